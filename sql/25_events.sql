CREATE FUNCTION process_stripe_events(payloads text[], options jsonb DEFAULT '{}',
                                      OUT ordinal integer, OUT stripe_event_id text, OUT outcome text, OUT error text)
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
                                    OUT stripe_event_id text, OUT outcome text, OUT error text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
    AS 'MODULE_PATHNAME', 'retry_stripe_events';
COMMENT ON FUNCTION retry_stripe_events(integer) IS 'applies events whose retry is due, oldest first';

CREATE FUNCTION replay_stripe_event(stripe_event_id text)
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
    AS 'MODULE_PATHNAME', 'replay_stripe_event';
COMMENT ON FUNCTION replay_stripe_event(text) IS 'applies a stored event again, whatever became of it; doubles nothing';

CREATE FUNCTION ingest_metrics()
    RETURNS jsonb
    LANGUAGE sql VOLATILE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    WITH settings AS (
        SELECT max(s.value) FILTER (WHERE s.name = 'mode') AS mode,
               max(s.value) FILTER (WHERE s.name = 'retry_limit')::integer AS retry_limit
          FROM @extschema@.get_billing_settings() s
    ), waiting AS (
        SELECT e.created_at, e.retry_count, e.outcome, split_part(e.waiting_for, ':', 1) AS kind
          FROM @extschema@.stripe_events e
         WHERE NOT e.processed
    )
    SELECT jsonb_build_object(
               'unprocessed', (SELECT count(*) FROM waiting),
               'oldest_unprocessed_seconds', (SELECT extract(epoch FROM now() - min(w.created_at)) FROM waiting w),
               'parked', (SELECT coalesce(jsonb_object_agg(p.reason, p.n), '{}')
                            FROM (SELECT CASE w.kind WHEN 'customer' THEN 'customer_link'
                                                     WHEN 'user' THEN 'user_busy' ELSE 'other' END AS reason,
                                         count(*) AS n
                                    FROM waiting w WHERE w.outcome = 'parked' GROUP BY 1) p),
               'failed', (SELECT count(*) FROM waiting w WHERE w.outcome = 'failed'),
               'given_up', (SELECT count(*) FROM waiting w, settings s WHERE w.retry_count >= s.retry_limit),
               'cache', (SELECT jsonb_build_object('hits', k.hits, 'misses', k.misses)
                           FROM @extschema@.cache_counters() k),
               'mode', (SELECT s.mode FROM settings s),
               'extension_version', (SELECT x.extversion FROM pg_extension x WHERE x.extname = 'pg_billing'))
$$;
COMMENT ON FUNCTION ingest_metrics() IS 'what the worker shows in /metrics and /readyz of the database''s side';
