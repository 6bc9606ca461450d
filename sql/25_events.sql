CREATE FUNCTION process_stripe_events(payloads text[], options jsonb DEFAULT '{}',
                                      OUT ordinal integer, OUT stripe_event_id text, OUT outcome text, OUT error text,
                                      OUT event_type text, OUT activity text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
    AS 'MODULE_PATHNAME', 'process_stripe_events';
COMMENT ON FUNCTION process_stripe_events(text[], jsonb) IS
    'stores and applies up to 200 webhook payloads in one transaction; one row each with its outcome';

CREATE FUNCTION process_stripe_event(payload text, options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
    AS 'MODULE_PATHNAME', 'process_stripe_event';
COMMENT ON FUNCTION process_stripe_event(text, jsonb) IS 'stores and applies one webhook payload';

CREATE FUNCTION receive_stripe_webhook(payload text, signature text, options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
    AS 'MODULE_PATHNAME', 'receive_stripe_webhook';
COMMENT ON FUNCTION receive_stripe_webhook(text, text, jsonb) IS
    'verifies the Stripe-Signature header against billing_webhook_secrets, then processes the payload';

CREATE FUNCTION retry_stripe_events(max_rows integer DEFAULT 100,
                                    OUT stripe_event_id text, OUT outcome text, OUT error text,
                                    OUT event_type text, OUT activity text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
    AS 'MODULE_PATHNAME', 'retry_stripe_events';
COMMENT ON FUNCTION retry_stripe_events(integer) IS 'applies events whose retry is due, oldest first';

CREATE FUNCTION replay_stripe_event(stripe_event_id text, reason text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
    AS 'MODULE_PATHNAME', 'replay_stripe_event';
COMMENT ON FUNCTION replay_stripe_event(text, text) IS 'applies a stored event again, whatever became of it; doubles nothing';
