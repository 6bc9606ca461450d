-- Who has tried what. Kept apart from the subscriptions, so that it outlives whatever becomes of them.
CREATE TABLE trial_usage (
    user_id                text COLLATE "C" NOT NULL,
    stripe_subscription_id text COLLATE "C" NOT NULL,
    stripe_customer_id     text COLLATE "C" NOT NULL,
    stripe_account         text COLLATE "C" NOT NULL DEFAULT '',
    livemode               boolean NOT NULL,
    trial_start            timestamptz NOT NULL,
    trial_end              timestamptz,
    items                  jsonb NOT NULL,
    created_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, stripe_subscription_id)
);
COMMENT ON TABLE trial_usage IS 'trials that have begun, as the first trial_start seen tells; is_trial_eligible() asks it';
COMMENT ON COLUMN trial_usage.items IS 'what was tried: that of the free plan at no cost uses up nothing';

CREATE FUNCTION is_trial_eligible(user_id text, plan text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'is_trial_eligible';
COMMENT ON FUNCTION is_trial_eligible(text, text) IS
    'whether the user may try a plan (or any) without paying: eligible, reason, next_step, days';
