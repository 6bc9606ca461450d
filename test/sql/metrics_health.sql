\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- How webhooks and cache do, from an inbox whose times are set by hand.
SELECT "window", received, duplicates, success_rate, failure_rate, duplicate_rate, average_processing_seconds, last_received_at FROM metrics_webhooks ORDER BY 1;
INSERT INTO stripe_events (stripe_event_id, event_type, livemode, stripe_created, created_at, processed, processed_at, outcome, retry_count, duplicates)
SELECT 'evt_' || n, CASE WHEN n % 2 = 0 THEN 'invoice.paid' ELSE 'customer.updated' END, false, now() - age - delivery, now() - age, outcome IN ('processed', 'ignored'),
       CASE WHEN outcome IN ('processed', 'ignored') THEN now() - age + took END, outcome, retries, twice
  FROM (VALUES (1, interval '1 minute', interval '1 second', 'processed', interval '0.1 seconds', 0, 0), (2, '2 minutes', '3 seconds', 'processed', '0.3 seconds', 0, 2),
               (3, '3 minutes', '2 seconds', 'failed', NULL, 3, 0), (4, '4 minutes', '2 seconds', 'parked', NULL, 1, 0),
               (5, '10 minutes', '2 seconds', 'ignored', '0.2 seconds', 0, 0), (6, '30 minutes', '50 seconds', 'processed', '600 seconds', 2, 1),
               (7, '20 hours', '2 seconds', 'failed', NULL, 10, 0), (8, '6 days', '2 seconds', 'processed', '0.1 seconds', 0, 0),
               (9, '8 days', '2 seconds', 'processed', '0.1 seconds', 0, 0)) v(n, age, delivery, outcome, took, retries, twice);
-- 5 minutes: 1 to 4; success 3 / 4; duplicates 2 of 4 + 2 arrivals = 0.3333; (0.1 + 0.3) / 2 = 0.2 s; 95 % between 0.1 and 0.3: 0.29 s; delivery (1 + 3 + 2 + 2) / 4 = 2.0 s, 95 % 2.85 s.
-- 1 hour: 1 to 6; 5 / 6; duplicates 3 / 9; (0.1 + 0.3 + 0.2 + 600) / 4 = 150.15 s; one took effect when tried again.
-- 7 days: 1 to 8; 6 / 8.
SELECT "window", received AS n, duplicates AS twice, processed AS done, ignored, parked, failed, processed_after_retry AS again, success_rate AS success, failure_rate AS failure, duplicate_rate AS twice_rate,
       average_processing_seconds AS processing, p95_processing_seconds AS p95, average_delivery_seconds AS delivery, p95_delivery_seconds AS p95_delivery, date_trunc('minute', now() - last_received_at) AS last
  FROM metrics_webhooks ORDER BY 1;
SELECT event_type, sum(received) AS received, sum(duplicates) AS duplicates, sum(failed) AS failed, sum(parked) AS parked FROM metrics_webhooks_hourly GROUP BY 1 ORDER BY 1;
-- Alerts as people word them.
SELECT failure_rate > 0.05 AS critical FROM metrics_webhooks WHERE "window" = interval '5 minutes';
SELECT p95_delivery_seconds > 5 AS late, p95_processing_seconds > 10 AS slow FROM metrics_webhooks WHERE "window" = interval '15 minutes';
SELECT received = 0 AS silence FROM metrics_webhooks WHERE "window" = interval '1 hour';

-- An event that is applied at once takes a measurable time, and not long.
SELECT t.link('user_1', 'cus_1');
SELECT outcome FROM t.process(t.event('evt_now', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01')));
SELECT processed_at > created_at AS later, processed_at < created_at + interval '10 seconds' AS soon FROM stripe_events WHERE stripe_event_id = 'evt_now';

-- The cache: 2 states, of which 1 is out of date; hits and misses are counted only when the library is preloaded.
SELECT t.link('user_2', 'cus_2'), update_subscription_cache('user_2') IS NOT NULL AS cached;
UPDATE subscription_cache SET expires_at = now() - interval '1 second' WHERE user_id = 'user_2';
SELECT cached, valid, expired, ttl_seconds, last_cleanup, removed_in_24_hours, hit_rate BETWEEN 0 AND 1 IS NOT FALSE AS rate FROM metrics_cache;
SELECT clear_expired_subscription_cache() AS removed;
SELECT cached, valid, expired, last_cleanup IS NOT NULL AS cleaned, removed_in_24_hours FROM metrics_cache;

-- A reader reads all of it, an app none.
CREATE ROLE regress_billing_reader;
CREATE ROLE regress_billing_app;
SELECT grant_billing_role('regress_billing_reader', 'reader'), grant_billing_role('regress_billing_app', 'app');
GRANT USAGE ON SCHEMA t TO PUBLIC;
CREATE FUNCTION t.read_all() RETURNS TABLE (name text, code text) LANGUAGE sql AS $$
SELECT c.relname::text, r.code FROM pg_class c, t.refusal(format('SELECT v::text FROM %I v', c.relname)) r
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'v' AND (c.relname LIKE 'metrics\_%' OR c.relname IN ('price_plans', 'counted_payments', 'subscription_revenue', 'paying_subscriptions', 'user_plan_spans'))
 ORDER BY c.relname COLLATE "C"
$$;
SET ROLE regress_billing_reader;
SELECT * FROM t.read_all();
SET ROLE regress_billing_app;
SELECT DISTINCT code FROM t.read_all();
RESET ROLE;
DROP OWNED BY regress_billing_reader, regress_billing_app;
DROP ROLE regress_billing_reader, regress_billing_app;
