-- What somebody should look at: values with thresholds, computed when they are read. docs/operations.md has the list.
-- Rates are from 0 to 1, times in seconds. A value is null where there is nothing to judge.
CREATE TABLE billing_alert_thresholds (
    name       text COLLATE "C" PRIMARY KEY,
    threshold  numeric,
    minimum    bigint CHECK (minimum >= 0),
    enabled    boolean NOT NULL DEFAULT true,
    reason     text,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE billing_alert_thresholds IS 'what differs from billing_alert_defaults(): change it with set_billing_alert()';
COMMENT ON COLUMN billing_alert_thresholds.threshold IS 'null: the default';
COMMENT ON COLUMN billing_alert_thresholds.minimum IS 'how much there must be to judge by; null: the default';

CREATE TABLE billing_alert_states (
    name             text COLLATE "C" PRIMARY KEY,
    firing           boolean NOT NULL,
    since            timestamptz,
    last_resolved_at timestamptz,
    checked_at       timestamptz NOT NULL
);
COMMENT ON TABLE billing_alert_states IS 'when each alert began to fire, as check_billing_alerts() has seen it';

CREATE FUNCTION billing_alert_defaults(OUT name text, OUT severity text, OUT comparison text, OUT threshold numeric,
                                       OUT minimum bigint, OUT description text, OUT next_step text)
    RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    VALUES
    ('webhook_failures', 'critical', '>', 0.05, 1,
     'share of the events received within 5 minutes that failed', 'SELECT error, count(*) FROM stripe_events WHERE outcome = ''failed'' GROUP BY 1'),
    ('webhook_failures_hourly', 'warning', '>', 0.01, 1,
     'share of the events received within an hour that failed', 'SELECT error, count(*) FROM stripe_events WHERE outcome = ''failed'' GROUP BY 1'),
    ('payment_errors', 'critical', '>', 0.01, 1,
     'share of the payments of 15 minutes that failed', 'SELECT * FROM payments WHERE status = ''failed'' ORDER BY payment_created DESC'),
    ('database_connections', 'critical', '>', 0.8, 1,
     'share of max_connections in use', 'SELECT usename, state, count(*) FROM pg_stat_activity GROUP BY 1, 2'),
    ('events_given_up', 'critical', '>', 0, 0,
     'events whose retries are used up', 'mend the cause, then SELECT replay_stripe_event(stripe_event_id)'),
    ('retry_overdue', 'critical', '>', 300, 1,
     'how long an event has been due for its next try', 'see that a worker runs, or pg_cron''s job stripe_event_retry'),
    ('events_waiting', 'warning', '>', 0, 0,
     'events that have waited for an hour for a price, a charge or a user that is busy', 'SELECT waiting_for, count(*) FROM stripe_events WHERE NOT processed GROUP BY 1'),
    ('webhook_latency', 'warning', '>', 5, 1,
     'from Stripe''s event until its receipt, 95 of 100 within 5 minutes', 'look at Stripe''s webhook page and the worker''s log'),
    ('webhook_processing', 'warning', '>', 10, 1,
     'from receipt until it took effect, 95 of 100 within 5 minutes', 'look for locks and slow statements'),
    ('webhook_silence', 'warning', '>', 3600, 1,
     'since the last event was received', 'look at Stripe''s webhook page, the worker''s /readyz and the proxy'),
    ('cancellation_spike', 'warning', '>', 3, 5,
     'subscriptions canceled within 24 hours, as a multiple of the daily average of the 28 days before', 'SELECT * FROM audit_logs WHERE action IN (''subscription_canceled'', ''subscription_ended'') ORDER BY event_created DESC'),
    ('payment_success_rate', 'warning', '<', 0.95, 1,
     'share of the payments of 24 hours that succeeded', 'SELECT * FROM metrics_payments_recent'),
    ('failed_payments', 'warning', '>', 10, 0,
     'payments that failed within an hour', 'SELECT * FROM payments WHERE status = ''failed'' ORDER BY payment_created DESC'),
    ('refund_rate', 'warning', '>', 0.05, 1,
     'share of the payments of 30 days that were refunded, in whole or in part', 'SELECT * FROM payments WHERE amount_refunded > 0 ORDER BY refunded_at DESC'),
    ('payment_amount_spike', 'warning', '>', 3, 1,
     'average payment of 24 hours, as a multiple of the average of the 28 days before; the greatest of the currencies', 'SELECT * FROM metrics_payments ORDER BY day DESC'),
    ('customers_unlinked', 'warning', '>', 0, 0,
     'customers with events that have waited for a user for an hour', 'SELECT link_stripe_customer(user_id, stripe_customer_id), or SELECT fix_customer_links()'),
    ('link_conflicts', 'warning', '>', 0, 0,
     'customers that Stripe''s data gives to two users', 'SELECT * FROM stripe_customer_links WHERE conflict_user_id IS NOT NULL'),
    ('unlinked_money', 'warning', '>', 0, 0,
     'payments older than an hour whose payer nobody knows', 'SELECT * FROM unlinked_payments'),
    ('ambiguous_objects', 'warning', '>', 0, 0,
     'objects of which Stripe''s events do not tell the last state', 'SELECT * FROM stripe_objects WHERE ambiguous; compare with Stripe''s Dashboard'),
    ('stripe_api_errors', 'warning', '>', 0, 0,
     'objects that Stripe''s API could not be asked for, or is not answering', 'SELECT * FROM stripe_refetches WHERE settled_at IS NULL AND error IS NOT NULL'),
    ('stripe_requests_waiting', 'critical', '>', 0, 0,
     'requests to Stripe that are held for a person, or have had no answer for an hour', 'SELECT * FROM stripe_requests WHERE finished_at IS NULL; then release_stripe_request() or cancel_stripe_request()'),
    ('events_of_other_mode', 'warning', '>', 0, 0,
     'events of the other mode received within an hour', 'SELECT set_billing_setting(''mode'', …), or another endpoint''s secret'),
    ('cache_hit_rate', 'warning', '<', 0.8, 1000,
     'share of the reads of states that the cache answered, since the server started', 'SELECT get_subscription_cache_status()'),
    ('maintenance_overdue', 'warning', '>', 3600, 1,
     'since the last cleanup of the cache', 'SELECT * FROM cron.job_run_details; SELECT schedule_maintenance()')
$$;
COMMENT ON FUNCTION billing_alert_defaults() IS 'every alert with its threshold, unless billing_alert_thresholds says otherwise';

CREATE FUNCTION billing_alert_values(OUT name text, OUT value numeric, OUT sample bigint)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
    AS $$
    WITH received AS (
        SELECT e.created_at > now() - interval '5 minutes' AS recent, e.outcome, e.error, e.processed,
               e.created_at - e.stripe_created AS delivery, e.processed_at - e.created_at AS processing
          FROM @extschema@.stripe_events e WHERE e.created_at > now() - interval '1 hour'),
    waiting AS (
        SELECT e.stripe_customer_id, e.created_at, e.next_retry_at, e.waiting_for, e.retry_count >= s.value::integer AS given_up
          FROM @extschema@.stripe_events e, @extschema@.get_billing_settings() s
         WHERE NOT e.processed AND s.name = 'retry_limit'),
    -- Payments are told within days of their making.
    paid AS (
        SELECT c.* FROM @extschema@.counted_payments c JOIN @extschema@.payments p USING (user_id, payment_id)
         WHERE p.payment_created > now() - interval '45 days' AND c.at > now() - interval '30 days'),
    cancellations AS (
        SELECT count(*) FILTER (WHERE a.event_created > now() - interval '24 hours') AS today,
               count(*) FILTER (WHERE a.event_created <= now() - interval '24 hours') / 28.0 AS usual
          FROM (SELECT l.user_id, l.subject, min(l.event_created) AS event_created FROM @extschema@.audit_logs l
                 WHERE l.action IN ('subscription_canceled', 'subscription_ended')
                   AND l.created_at > now() - interval '29 days' AND l.event_created > now() - interval '29 days'
                 GROUP BY 1, 2) a),
    averages AS (
        SELECT p.currency, avg(p.amount) FILTER (WHERE p.at > now() - interval '24 hours') AS today,
               avg(p.amount) FILTER (WHERE p.at <= now() - interval '24 hours') AS usual,
               count(*) FILTER (WHERE p.at > now() - interval '24 hours') AS payments
          FROM paid p WHERE p.succeeded AND p.at > now() - interval '29 days' GROUP BY 1),
    cache AS (SELECT k.hits, k.hits + k.misses AS reads FROM @extschema@.cache_counters() k)
    SELECT 'webhook_failures', avg((r.outcome = 'failed')::integer), count(*) FROM received r WHERE r.recent
    UNION ALL SELECT 'webhook_failures_hourly', avg((r.outcome = 'failed')::integer), count(*) FROM received r
    UNION ALL SELECT 'webhook_latency', percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM r.delivery)::float8)::numeric,
                     count(*) FROM received r WHERE r.recent
    UNION ALL SELECT 'webhook_processing', percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM r.processing)::float8)::numeric,
                     count(*) FROM received r WHERE r.recent AND r.processed
    UNION ALL SELECT 'webhook_silence', extract(epoch FROM now() - max(e.created_at)), 1 FROM @extschema@.stripe_events e
    UNION ALL SELECT 'events_of_other_mode', count(*), count(*) FROM received r
                     WHERE r.outcome = 'ignored' AND r.error LIKE '%mode%'
    UNION ALL SELECT 'events_given_up', count(*), count(*) FROM waiting w WHERE w.given_up
    UNION ALL SELECT 'retry_overdue', extract(epoch FROM now() - min(coalesce(w.next_retry_at, w.created_at))), count(*)
                FROM waiting w WHERE NOT w.given_up AND coalesce(w.next_retry_at, w.created_at) < now()
    UNION ALL SELECT 'events_waiting', count(*), count(*) FROM waiting w
                     WHERE w.waiting_for NOT LIKE 'customer:%' AND w.created_at < now() - interval '1 hour'
    UNION ALL SELECT 'customers_unlinked', count(DISTINCT w.stripe_customer_id), count(*) FROM waiting w
                     WHERE w.waiting_for LIKE 'customer:%' AND w.created_at < now() - interval '1 hour'
    UNION ALL SELECT 'payment_errors', avg(p.failed::integer), count(*) FROM paid p
                     WHERE (p.failed OR p.succeeded) AND p.at > now() - interval '15 minutes'
    UNION ALL SELECT 'payment_success_rate', avg(p.succeeded::integer), count(*) FROM paid p
                     WHERE (p.failed OR p.succeeded) AND p.at > now() - interval '24 hours'
    UNION ALL SELECT 'failed_payments', count(*), count(*) FROM paid p WHERE p.failed AND p.at > now() - interval '1 hour'
    UNION ALL SELECT 'refund_rate', avg((p.amount_refunded > 0)::integer), count(*) FROM paid p WHERE p.succeeded
    UNION ALL SELECT 'payment_amount_spike', max(a.today / nullif(a.usual, 0)), coalesce(max(a.payments), 0) FROM averages a
    UNION ALL SELECT 'cancellation_spike', c.today / nullif(c.usual, 0), c.today FROM cancellations c
    UNION ALL SELECT 'link_conflicts', count(*), count(*) FROM @extschema@.stripe_customer_links l
                     WHERE l.conflict_user_id IS NOT NULL
    UNION ALL SELECT 'unlinked_money', count(*), count(*) FROM @extschema@.unlinked_payments u
                     WHERE u.payment_created < now() - interval '1 hour'
    UNION ALL SELECT 'ambiguous_objects', count(*), count(*) FROM @extschema@.stripe_objects o WHERE o.ambiguous
    UNION ALL SELECT 'stripe_api_errors', count(*), count(*) FROM @extschema@.stripe_refetches r
               WHERE r.settled_at IS NULL AND r.error IS NOT NULL
    UNION ALL SELECT 'stripe_requests_waiting', count(*), count(*) FROM @extschema@.stripe_requests r
               WHERE r.finished_at IS NULL AND (r.status = 'held' OR r.created_at < now() - interval '1 hour')
    UNION ALL SELECT 'cache_hit_rate', k.hits::numeric / nullif(k.reads, 0), k.reads FROM cache k
    UNION ALL SELECT 'maintenance_overdue', extract(epoch FROM now() - max(h.cleaned_at)), 1
                FROM @extschema@.subscription_cache_cleanups h
    UNION ALL SELECT 'database_connections', count(*)::numeric / current_setting('max_connections')::integer, count(*)
                FROM pg_stat_activity a WHERE a.backend_type = 'client backend'
$$;
COMMENT ON FUNCTION billing_alert_values() IS 'the value of every alert now, and how much it is judged by';

CREATE VIEW billing_alerts AS
SELECT d.name, d.severity, round(v.value, 4) AS value, coalesce(t.threshold, d.threshold) AS threshold, f.firing,
       CASE WHEN f.firing THEN coalesce(CASE WHEN s.firing THEN s.since END, now()) END AS since, d.next_step,
       d.comparison, v.sample, coalesce(t.minimum, d.minimum) AS minimum, coalesce(t.enabled, true) AS enabled,
       d.description, s.last_resolved_at, s.checked_at
  FROM billing_alert_defaults() d
  LEFT JOIN billing_alert_values() v ON v.name = d.name
  LEFT JOIN billing_alert_thresholds t ON t.name = d.name
  LEFT JOIN billing_alert_states s ON s.name = d.name
 CROSS JOIN LATERAL (SELECT coalesce(coalesce(t.enabled, true) AND v.sample >= coalesce(t.minimum, d.minimum)
            AND CASE d.comparison WHEN '>' THEN v.value > coalesce(t.threshold, d.threshold)
                                  ELSE v.value < coalesce(t.threshold, d.threshold) END, false)) f(firing);
COMMENT ON VIEW billing_alerts IS 'every alert with its value and threshold, and whether it fires; since is as check_billing_alerts() has seen it';
COMMENT ON COLUMN billing_alerts.sample IS 'how much the value is judged by; below minimum nothing fires';

CREATE FUNCTION check_billing_alerts(OUT name text, OUT firing boolean, OUT value numeric, OUT threshold numeric)
    RETURNS SETOF record
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    -- One at a time, so that a change is told once.
    LOCK TABLE @extschema@.billing_alert_states IN SHARE ROW EXCLUSIVE MODE;
    WITH before AS (SELECT s.* FROM @extschema@.billing_alert_states s),
    now_seen AS (SELECT a.name, a.firing, a.value, a.threshold FROM @extschema@.billing_alerts a),
    stored AS (
        INSERT INTO @extschema@.billing_alert_states AS s (name, firing, since, checked_at)
        SELECT n.name, n.firing, CASE WHEN n.firing THEN clock_timestamp() END, clock_timestamp() FROM now_seen n
        ON CONFLICT ON CONSTRAINT billing_alert_states_pkey DO UPDATE SET
            firing = excluded.firing,
            since = CASE WHEN excluded.firing THEN coalesce(s.since, excluded.since) END,
            last_resolved_at = CASE WHEN s.firing AND NOT excluded.firing THEN excluded.checked_at ELSE s.last_resolved_at END,
            checked_at = excluded.checked_at)
    SELECT n.name, n.firing, n.value, n.threshold
      FROM now_seen n LEFT JOIN before b ON b.name = n.name
     WHERE n.firing IS DISTINCT FROM coalesce(b.firing, false)
     ORDER BY n.name COLLATE "C"
$$;
COMMENT ON FUNCTION check_billing_alerts() IS 'notes which alerts fire, for their since; returns those that began or ceased to';

CREATE FUNCTION set_billing_alert(name text, threshold numeric DEFAULT NULL, enabled boolean DEFAULT true,
                                  reason text DEFAULT NULL, minimum bigint DEFAULT NULL)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
BEGIN
    IF name IS NULL OR NOT EXISTS (SELECT FROM @extschema@.billing_alert_defaults() d WHERE d.name = set_billing_alert.name) THEN
        RAISE EXCEPTION 'there is no alert "%"', coalesce(left(name, 100), 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'SELECT name FROM billing_alerts lists them.';
    END IF;
    IF threshold = 'NaN' OR threshold < 0 OR minimum < 0 THEN
        RAISE EXCEPTION 'alert % cannot have threshold %, minimum %', name, coalesce(threshold::text, 'default'),
                coalesce(minimum::text, 'default')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Rates are from 0 to 1, times in seconds; null is the default.';
    END IF;
    INSERT INTO @extschema@.billing_alert_thresholds AS t (name, threshold, minimum, enabled, reason)
    VALUES (name, threshold, minimum, coalesce(enabled, true), reason)
    ON CONFLICT ON CONSTRAINT billing_alert_thresholds_pkey DO UPDATE SET threshold = excluded.threshold,
        minimum = excluded.minimum, enabled = excluded.enabled, reason = excluded.reason,
        updated_at = now();
    PERFORM @extschema@.audit_by_hand('', 'alert_changed', name, reason, jsonb_build_object(
        'threshold', threshold, 'minimum', minimum, 'enabled', coalesce(enabled, true)));
END
$$;
COMMENT ON FUNCTION set_billing_alert(text, numeric, boolean, text, bigint) IS
    'sets an alert''s threshold and minimum (null is the default), or switches it off; kept in audit_logs';
