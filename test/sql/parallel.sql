\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Readers work in parallel queries, also as the first thing that a session does.
SELECT t.link('user_1', 'cus_1');
SELECT outcome FROM t.process(t.event('evt_1', 'customer.subscription.created', '2026-01-01',
    t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '9999-01-01')));
CREATE TABLE t.people AS SELECT 'user_' || n AS user_id FROM generate_series(1, 20000) n;
ANALYZE t.people;
CREATE PROCEDURE t.prefer_parallel() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config(name, '0', false) FROM unnest(ARRAY['parallel_setup_cost', 'parallel_tuple_cost', 'min_parallel_table_scan_size']) name;
    PERFORM set_config('max_parallel_workers_per_gather', '2', false);
END
$$;
\c -
CALL t.prefer_parallel();
EXPLAIN (COSTS OFF) SELECT has_active_subscription(p.user_id) FROM t.people p WHERE p.user_id = 'user_1';
SELECT has_active_subscription(p.user_id) FROM t.people p WHERE p.user_id = 'user_1';
\c -
CALL t.prefer_parallel();
SELECT get_user_subscription_state(p.user_id, '2026-01-15') ->> 'state' AS state FROM t.people p WHERE p.user_id IN ('user_1', 'user_2') ORDER BY 1;
\c -
CALL t.prefer_parallel();
SELECT get_user_subscription_state(p.user_id) ->> 'state' AS state FROM t.people p WHERE p.user_id IN ('user_1', 'user_2') ORDER BY 1;
-- A change of settings is seen in a parallel query as well.
SELECT set_billing_setting('accept_payments', 'off', 'test');
SELECT get_user_subscription_state(p.user_id) ->> 'can_purchase' AS can_purchase FROM t.people p WHERE p.user_id IN ('user_2');
-- Functions that are labelled safe are.
\c -
SELECT name AS parallel_setting FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query') \gset
SET :parallel_setting = on;
SELECT count(*) > 0 AS listed FROM get_billing_settings();
SELECT stripe_time('1767225600') IS NOT NULL AS time, stripe_id('"x"'), stripe_integer('7'), stripe_flag('true') FROM t.people LIMIT 1;
SELECT count(*) FROM maintenance_jobs();
SELECT count(*) FROM get_cache_cleanup_history();
SELECT count(*) FROM t.people p WHERE check_user_id(p.user_id)::text = '';
SELECT hits IS NULL = (misses IS NULL) AS counted FROM cache_counters();
SELECT has_active_subscription('user_1'), ingest_metrics() ->> 'mode' AS mode, get_subscription_cache_status() ->> 'total' AS total;
RESET :parallel_setting;
