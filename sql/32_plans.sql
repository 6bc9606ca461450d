-- Plans: what is sold, which of Stripe's prices it is, and what it gives. Written only through upsert_plan() and its
-- neighbours, which also tell every backend to forget its copy. Small, and the same for everybody. docs/plans.md
CREATE TABLE subscription_plans (
    id                  text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[a-z0-9_.-]{1,63}$'),
    name                text COLLATE "C" NOT NULL UNIQUE,
    display_name        text NOT NULL,
    description         text,
    rank                integer NOT NULL DEFAULT 0 CHECK (rank >= 0),
    is_active           boolean NOT NULL DEFAULT true,
    is_default          boolean NOT NULL DEFAULT false,
    is_addon            boolean NOT NULL DEFAULT false,
    trial_days          integer CHECK (trial_days BETWEEN 0 AND 730),
    currency            text CHECK (currency ~ '^[a-z]{3}$'),
    price_monthly       numeric CHECK (price_monthly >= 0),
    price_yearly        numeric CHECK (price_yearly >= 0),
    price_monthly_minor bigint CHECK (price_monthly_minor >= 0),
    price_yearly_minor  bigint CHECK (price_yearly_minor >= 0),
    credits             jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(credits) = 'object'),
    metadata            jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT subscription_plans_name_is_id CHECK (name = id),
    CONSTRAINT subscription_plans_default_is_no_addon CHECK (NOT (is_default AND is_addon)),
    CONSTRAINT subscription_plans_money_has_currency
        CHECK (currency IS NOT NULL OR (price_monthly_minor IS NULL AND price_yearly_minor IS NULL))
);
CREATE UNIQUE INDEX subscription_plans_default_idx ON subscription_plans (is_default) WHERE is_default;
COMMENT ON TABLE subscription_plans IS 'what is sold; change it with upsert_plan()';
COMMENT ON COLUMN subscription_plans.rank IS 'of two plans that a user has access to, the higher one counts';
COMMENT ON COLUMN subscription_plans.is_active IS 'whether it is offered; who has a plan that is not offered any more keeps it';
COMMENT ON COLUMN subscription_plans.is_default IS 'the plan of whoever has no subscription; one at most';
COMMENT ON COLUMN subscription_plans.is_addon IS 'whether it adds to another plan instead of standing for itself';
COMMENT ON COLUMN subscription_plans.price_monthly IS 'for people, in major units (19.99); what is charged is Stripe''s price';
COMMENT ON COLUMN subscription_plans.price_monthly_minor IS 'the same in minor units (1999)';

CREATE TABLE plan_prices (
    kind      text COLLATE "C" NOT NULL CHECK (kind IN ('price', 'lookup_key', 'product')),
    reference text COLLATE "C" NOT NULL CHECK (octet_length(reference) BETWEEN 1 AND 255),
    plan_id   text COLLATE "C" NOT NULL,
    cycle     text CHECK (cycle IN ('monthly', 'yearly')),
    PRIMARY KEY (kind, reference)
);
CREATE INDEX plan_prices_plan_idx ON plan_prices (plan_id);
COMMENT ON TABLE plan_prices IS 'which plan a price of Stripe''s is: by its id, by its lookup key, or by its product';

CREATE TABLE plan_features (
    id            text COLLATE "C" PRIMARY KEY,
    plan_id       text COLLATE "C" NOT NULL,
    feature       text COLLATE "C" NOT NULL CHECK (octet_length(feature) BETWEEN 1 AND 80),
    kind          text NOT NULL CHECK (kind IN ('boolean', 'limit', 'metered', 'value')),
    enabled       boolean NOT NULL DEFAULT true,
    unlimited     boolean NOT NULL DEFAULT false,
    limit_value   bigint CHECK (limit_value >= 0),
    per_seat      boolean NOT NULL DEFAULT false,
    usage_window  text CHECK (usage_window IN ('period', 'day', 'week', 'month', 'year', 'lifetime')),
    mode          text CHECK (mode IN ('hard', 'soft', 'overage')),
    overage_limit bigint CHECK (overage_limit >= 0),
    credit_cost   bigint CHECK (credit_cost >= 0),
    value         jsonb,
    UNIQUE (plan_id, feature),
    CONSTRAINT plan_features_id_of_both CHECK (id = plan_id || ':' || feature),
    CONSTRAINT plan_features_limit_of_kind
        CHECK ((kind IN ('limit', 'metered') AND NOT unlimited) = (limit_value IS NOT NULL)),
    CONSTRAINT plan_features_window_of_kind
        CHECK ((kind = 'metered') = (usage_window IS NOT NULL) AND (kind = 'metered') = (mode IS NOT NULL)),
    CONSTRAINT plan_features_value_of_kind CHECK ((kind = 'value') = (value IS NOT NULL))
);
COMMENT ON TABLE plan_features IS 'what each plan gives; a feature that is not listed is not given';
COMMENT ON COLUMN plan_features.unlimited IS 'stated, never implied by a missing limit';
COMMENT ON COLUMN plan_features.usage_window IS 'metered: over what use is counted; period is the subscription''s billing period';
COMMENT ON COLUMN plan_features.credit_cost IS 'what one use costs in credits';

-- The prices and products of the mirror that can tell a plan; prices made for one checkout are not among them.
CREATE INDEX stripe_objects_plans_idx ON stripe_objects (object_type, object_id)
    WHERE object_type IN ('price', 'product')
      AND (object ->> 'lookup_key' IS NOT NULL OR object -> 'metadata' ->> 'plan' IS NOT NULL);

CREATE FUNCTION upsert_plan(plan jsonb, reason text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'upsert_plan';
COMMENT ON FUNCTION upsert_plan(jsonb, text) IS
    'adds a plan, or makes the one with this id what is written; returns it as stored. The same again changes nothing';

CREATE FUNCTION retire_plan(plan_id text, reason text)
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'retire_plan';
COMMENT ON FUNCTION retire_plan(text, text) IS 'offers a plan no longer; who has it keeps it';

CREATE FUNCTION get_plan(plan_id text)
    RETURNS jsonb
    LANGUAGE c STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'get_plan';
COMMENT ON FUNCTION get_plan(text) IS 'one plan as upsert_plan() reads it; null when there is none with this id';

CREATE FUNCTION export_plans()
    RETURNS jsonb
    LANGUAGE c STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'export_plans';
COMMENT ON FUNCTION export_plans() IS 'every plan, as an array whose elements upsert_plan() reads';
