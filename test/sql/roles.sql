\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Nothing is for everybody; grant_billing_role() gives a role exactly what it needs.
CREATE ROLE regress_billing_worker;
CREATE ROLE regress_billing_app;
CREATE ROLE regress_billing_reader;
CREATE ROLE regress_billing_admin;
CREATE ROLE "regress billing ""user""";
CREATE ROLE regress_billing_nobody;
SELECT grant_billing_role('regress_billing_worker', 'worker'), grant_billing_role('regress_billing_app', 'app'), grant_billing_role('regress_billing_reader', 'reader'),
       grant_billing_role('regress_billing_admin', 'admin'), grant_billing_role('regress billing "user"', 'user');
-- Granted twice is granted once.
SELECT grant_billing_role('regress_billing_worker', 'worker');

CREATE VIEW t.members AS
SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid
 WHERE x.extname = 'pg_billing' AND d.deptype = 'e';
CREATE VIEW t.roles AS SELECT rolname FROM pg_roles WHERE rolname LIKE 'regress%billing%';
SELECT r.rolname, string_agg(p.proname, ' ' ORDER BY p.proname COLLATE "C") AS functions
  FROM t.roles r LEFT JOIN pg_proc p ON p.oid IN (SELECT objid FROM t.members WHERE classid = 'pg_proc'::regclass) AND has_function_privilege(r.rolname, p.oid, 'EXECUTE')
 GROUP BY 1 ORDER BY r.rolname COLLATE "C";
SELECT r.rolname, x.privilege, string_agg(c.relname, ' ' ORDER BY c.relname COLLATE "C") AS relations
  FROM t.roles r, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) x(privilege), pg_class c
 WHERE c.oid IN (SELECT objid FROM t.members WHERE classid = 'pg_class'::regclass) AND c.relkind IN ('r', 'p', 'v') AND has_table_privilege(r.rolname, c.oid, x.privilege)
 GROUP BY 1, 2 ORDER BY r.rolname COLLATE "C", 2;
SELECT r.rolname, c.relname, string_agg(a.attname, ' ' ORDER BY a.attnum) AS updatable
  FROM t.roles r, pg_class c, pg_attribute a WHERE c.oid IN (SELECT objid FROM t.members WHERE classid = 'pg_class'::regclass) AND a.attrelid = c.oid AND a.attnum > 0
   AND has_column_privilege(r.rolname, c.oid, a.attnum, 'UPDATE') GROUP BY 1, 2 ORDER BY 1, 2;

-- What each does works, and nothing else does.
GRANT USAGE ON SCHEMA t TO PUBLIC;
COPY billing_webhook_secrets (name, secret) FROM STDIN;
a	whsec_regress
\.
SELECT t.link('user_1', 'cus_1');
CREATE FUNCTION t.may(commands text[]) RETURNS TABLE (command text, code text, message text) LANGUAGE sql AS $$
SELECT left(c, 64), r.code, r.message FROM unnest(commands) WITH ORDINALITY u(c, n), t.refusal(c) r ORDER BY n
$$;
SET ROLE regress_billing_worker;
SELECT outcome FROM t.process(t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01')),
                              t.event('evt_2', 'customer.subscription.created', '2026-01-01', t.subscription('sub_2', 'cus_2', 'active', '2026-01-01', '2026-02-01')));
SELECT * FROM t.may(ARRAY[$$SELECT process_stripe_event('{}')$$, 'SELECT retry_stripe_events()', 'SELECT refresh_subscription_cache()', 'SELECT ingest_metrics()',
    $$SELECT get_user_subscription_state('user_1')$$, $$SELECT link_stripe_customer('user_2', 'cus_2')$$, $$SELECT set_billing_setting('mode', 'live', 'x')$$, 'SELECT get_billing_settings()',
    $$SELECT receive_stripe_webhook('{}', 'x')$$, $$SELECT replay_stripe_event('evt_1')$$, 'SELECT clear_all_subscription_cache()', 'SELECT my_subscription_state()',
    'SELECT FROM stripe_events', 'SELECT FROM stripe_event_payloads', 'SELECT FROM billing_webhook_secrets', 'SELECT FROM billing_settings', 'INSERT INTO stripe_events DEFAULT VALUES',
    $$SELECT grant_billing_role('regress_billing_worker', 'admin')$$]);
SET ROLE regress_billing_app;
SELECT * FROM t.may(ARRAY[$$SELECT get_user_subscription_state('user_1')$$, $$SELECT get_user_subscription_state('nobody', '2026-01-01')$$, $$SELECT has_active_subscription('user_1')$$,
    $$SELECT require_subscription('user_1')$$, $$SELECT explain_user('user_1')$$, $$SELECT update_subscription_cache('user_1')$$, $$SELECT clear_user_subscription_cache('user_1')$$,
    $$SELECT get_or_create_stripe_customer('user_3', NULL)$$, $$SELECT link_stripe_customer('user_2', 'cus_2')$$, 'SELECT * FROM user_subscriptions', 'SELECT FROM subscription_cache',
    $$SELECT process_stripe_event('{}')$$, 'SELECT retry_stripe_events()', 'SELECT fix_customer_links()', $$SELECT set_billing_setting('mode', 'live', 'x')$$,
    'SELECT FROM stripe_events', 'SELECT FROM stripe_customer_links', 'SELECT FROM billing_webhook_secrets', $$UPDATE user_subscriptions SET status = 'active'$$, 'DELETE FROM subscription_cache']);
SELECT state, has_access FROM t.state('user_2', '2026-01-15');
SET ROLE regress_billing_reader;
SELECT * FROM t.may(ARRAY[$$SELECT get_user_subscription_state('user_1')$$, $$SELECT explain_user('user_1')$$, 'SELECT get_subscription_cache_status()', 'SELECT get_cache_cleanup_history()',
    'SELECT get_billing_settings()', 'SELECT ingest_metrics()', 'SELECT FROM stripe_events', 'SELECT * FROM stripe_subscriptions', 'SELECT * FROM stripe_invoices', 'SELECT * FROM stripe_subscription_items',
    'SELECT FROM audit_logs', 'SELECT FROM billing_settings', 'SELECT FROM stripe_event_payloads', 'SELECT FROM stripe_event_payloads_default', 'SELECT FROM billing_webhook_secrets',
    $$SELECT update_subscription_cache('user_1')$$, $$SELECT link_stripe_customer('user_9', 'cus_9')$$, 'SELECT clear_expired_subscription_cache()', 'UPDATE stripe_events SET processed = false']);
SET ROLE regress_billing_admin;
SELECT * FROM t.may(ARRAY[$$SELECT set_billing_setting('past_due_grace', '8 days', 'x')$$, $$SELECT replay_stripe_event('evt_1')$$, 'SELECT fix_customer_links()', 'SELECT clear_all_subscription_cache()',
    'SELECT * FROM stripe_event_payloads', 'UPDATE stripe_events SET processed = false, retry_count = 0 WHERE NOT processed', 'DELETE FROM stripe_events WHERE false', 'SELECT FROM billing_webhook_secrets',
    $$UPDATE stripe_events SET outcome = 'processed'$$, 'DELETE FROM stripe_objects', $$INSERT INTO audit_logs (user_id, fact, action, actor) VALUES ('', 'x', 'x', 'x')$$, $$UPDATE billing_settings SET value = 'live'$$,
    $$SELECT grant_billing_role('regress_billing_admin', 'worker')$$]);
SELECT actor FROM audit_logs WHERE action = 'setting_changed';
SET ROLE "regress billing ""user""";
SET request.jwt.claims = '{"sub": "user_1"}';
SELECT my_subscription_state() ->> 'user_id' AS user_id;
SELECT * FROM t.may(ARRAY[$$SELECT get_user_subscription_state('user_2')$$, $$SELECT has_active_subscription('user_2')$$, $$SELECT explain_user('user_2')$$, 'SELECT * FROM user_subscriptions', 'SELECT FROM subscription_cache',
    'SELECT FROM stripe_customers', $$SELECT link_stripe_customer('user_1', 'cus_9')$$]);
RESET request.jwt.claims;
SET ROLE regress_billing_nobody;
SELECT DISTINCT r.code FROM pg_proc p, t.refusal(format('SELECT %s(%s)', p.oid::regproc, (SELECT string_agg('NULL::' || format_type(a, NULL), ',') FROM unnest(p.proargtypes) a))) r
 WHERE p.oid IN (SELECT p.oid FROM pg_proc p WHERE pronamespace = 'public'::regnamespace);
SELECT DISTINCT r.code FROM pg_class c, t.refusal(format('SELECT FROM %s', c.oid::regclass)) r WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v');
RESET ROLE;

-- EXECUTE alone is not enough to see somebody's state: the tables behind it count.
GRANT EXECUTE ON FUNCTION get_user_subscription_state(text, timestamptz), has_active_subscription(text) TO regress_billing_nobody;
SET ROLE regress_billing_nobody;
SELECT * FROM t.may(ARRAY[$$SELECT get_user_subscription_state('user_1')$$, $$SELECT get_user_subscription_state('user_1', '2026-01-15')$$, $$SELECT has_active_subscription('user_1')$$]);
RESET ROLE;

-- Default privileges that a platform has set up give nobody anything of ours.
DROP EXTENSION pg_billing;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO regress_billing_nobody;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO regress_billing_nobody;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO regress_billing_nobody;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;
CREATE EXTENSION pg_billing;
ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM regress_billing_nobody;
ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON FUNCTIONS FROM regress_billing_nobody;
ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON SEQUENCES FROM regress_billing_nobody;
ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM PUBLIC;
SELECT has_table_privilege('regress_billing_nobody', 'billing_webhook_secrets', 'SELECT') AS reads_secrets,
       has_table_privilege('regress_billing_nobody', 'stripe_events', 'DELETE') AS deletes_events,
       has_function_privilege('regress_billing_nobody', 'set_billing_setting(text, text, text)', 'EXECUTE') AS changes_settings;
SELECT count(*) FILTER (WHERE has_table_privilege('regress_billing_nobody', c.oid, 'SELECT')) AS readable FROM pg_class c
 WHERE c.oid IN (SELECT objid FROM t.members WHERE classid = 'pg_class'::regclass) AND c.relkind IN ('r', 'p', 'v');
SELECT count(*) FILTER (WHERE has_sequence_privilege('regress_billing_nobody', c.oid, 'USAGE, SELECT, UPDATE')) AS usable FROM pg_class c
 WHERE c.oid IN (SELECT objid FROM t.members WHERE classid = 'pg_class'::regclass) AND c.relkind = 'S';
SELECT count(*) FILTER (WHERE has_function_privilege('regress_billing_nobody', objid, 'EXECUTE')) AS callable FROM t.members WHERE classid = 'pg_proc'::regclass;

DROP EXTENSION pg_billing;
DROP OWNED BY regress_billing_worker, regress_billing_app, regress_billing_reader, regress_billing_admin, "regress billing ""user""", regress_billing_nobody;
DROP ROLE regress_billing_worker, regress_billing_app, regress_billing_reader, regress_billing_admin, "regress billing ""user""", regress_billing_nobody;
