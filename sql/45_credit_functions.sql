-- Functions of one user's credits. Amounts are whole credits, at least 1. Expected refusals are answers with success
-- false, a status, a reason and a next_step; misuse raises. docs/credits.md lists statuses.
CREATE FUNCTION use_credits_validated(user_id text, amount bigint, description text DEFAULT NULL,
                                      idempotency_key text DEFAULT NULL, metadata jsonb DEFAULT '{}',
                                      mode text DEFAULT 'reject', actor_id text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'use_credits_validated';
COMMENT ON FUNCTION use_credits_validated(text, bigint, text, text, jsonb, text, text) IS
    'charges credits when the user may use them and has enough; mode: reject (all or nothing) or partial';

CREATE FUNCTION use_credits_batch(requests jsonb, OUT ordinal integer, OUT result jsonb)
    RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'use_credits_batch';
COMMENT ON FUNCTION use_credits_batch(jsonb) IS
    'charges many: an array of at most 10000 objects with the arguments of use_credits_validated(); one answer each, in order';

CREATE FUNCTION hold_credits(user_id text, amount bigint, expires_in interval DEFAULT '15 minutes',
                             description text DEFAULT NULL, idempotency_key text DEFAULT NULL,
                             metadata jsonb DEFAULT '{}', actor_id text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'hold_credits';
COMMENT ON FUNCTION hold_credits(text, bigint, interval, text, text, jsonb, text) IS
    'reserves credits for work in progress, from 1 second to 30 days; what is held does not lapse meanwhile';

CREATE FUNCTION capture_hold(user_id text, hold_id bigint, amount bigint DEFAULT NULL,
                             idempotency_key text DEFAULT NULL, options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'capture_hold';
COMMENT ON FUNCTION capture_hold(text, bigint, bigint, text, jsonb) IS
    'charges a hold, all of it or an amount, and releases the rest; options: allow_more (charge more than was held), description';

CREATE FUNCTION release_hold(user_id text, hold_id bigint)
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'release_hold';
COMMENT ON FUNCTION release_hold(text, bigint) IS 'gives back what a hold reserved; doing it again does no harm';

CREATE FUNCTION refund_credits(user_id text, transaction_id bigint, amount bigint DEFAULT NULL,
                               description text DEFAULT NULL, idempotency_key text DEFAULT NULL,
                               metadata jsonb DEFAULT '{}', actor_id text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'refund_credits';
COMMENT ON FUNCTION refund_credits(text, bigint, bigint, text, text, jsonb, text) IS
    'gives a charge back to the grants that it came from, all that is left of it or an amount; what went to expired grants lapses at once';

CREATE FUNCTION grant_credits(user_id text, amount bigint, category text DEFAULT 'promotional',
                              priority integer DEFAULT 50, effective_at timestamptz DEFAULT NULL,
                              expires_at timestamptz DEFAULT NULL, source text DEFAULT 'manual',
                              idempotency_key text DEFAULT NULL, metadata jsonb DEFAULT '{}',
                              requires_subscription boolean DEFAULT false, reason text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'grant_credits';
COMMENT ON FUNCTION grant_credits(text, bigint, text, integer, timestamptz, timestamptz, text, text, jsonb, boolean, text) IS
    'gives credits: category paid or promotional, lower priority burnt first, from effective_at until before expires_at; source opening_balance for what another system left';

CREATE FUNCTION void_grant(user_id text, grant_id bigint, reason text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'void_grant';
COMMENT ON FUNCTION void_grant(text, bigint, text) IS
    'ends a grant: takes what is neither spent nor held; what is released or refunded to it later lapses';

CREATE FUNCTION add_subscription_credits(stripe_customer_id text, invoice_id text, subscription_id text, credits bigint,
                                         description text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'add_subscription_credits';
COMMENT ON FUNCTION add_subscription_credits(text, text, text, bigint, text) IS
    'grants an invoice''s credits by hand, when its event was missed: the event, when it comes, grants nothing more';

CREATE FUNCTION get_credit_balance(user_id text, as_of timestamptz DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'get_credit_balance';
COMMENT ON FUNCTION get_credit_balance(text, timestamptz) IS
    'balance, held, available and debt: now, at an instant in the past, or as time alone will leave them';

CREATE FUNCTION expire_credits(max_rows integer DEFAULT 1000)
    RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'expire_credits';
COMMENT ON FUNCTION expire_credits(integer) IS
    'writes down what has lapsed; readers see it lapsed anyway. Returns how many accounts it tidied';
