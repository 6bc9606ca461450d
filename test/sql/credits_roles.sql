\set ECHO none
\getenv source PG_ABS_SRCDIR
\set payloads :source '/sql/include/payloads.sql'
\i :payloads
\set credits :source '/sql/include/credits.sql'
\i :credits
\set ECHO all
-- Who may do what with credits. Nothing is for everybody, and nobody but the owner rewrites the ledger.
CREATE ROLE regress_credits_worker;
CREATE ROLE regress_credits_app;
CREATE ROLE regress_credits_reader;
CREATE ROLE regress_credits_admin;
CREATE ROLE regress_credits_user;
CREATE ROLE regress_credits_nobody;
SELECT grant_billing_role('regress_credits_worker', 'worker'), grant_billing_role('regress_credits_app', 'app'), grant_billing_role('regress_credits_reader', 'reader'),
       grant_billing_role('regress_credits_admin', 'admin'), grant_billing_role('regress_credits_user', 'user');
CREATE VIEW t.functions AS
SELECT p.oid, p.proname FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.proname ~ 'credit|_hold$|void_grant';
CREATE VIEW t.tables AS
SELECT c.oid, c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname LIKE 'credit%';
CREATE VIEW t.roles AS SELECT rolname FROM pg_roles WHERE rolname LIKE 'regress_credits_%';
SELECT p.proname, string_agg(right(r.rolname, -16), ' ' ORDER BY r.rolname COLLATE "C") AS may_execute
  FROM t.functions p LEFT JOIN t.roles r ON has_function_privilege(r.rolname, p.oid, 'EXECUTE') GROUP BY 1 ORDER BY p.proname COLLATE "C";
SELECT c.relname, string_agg(right(r.rolname, -16), ' ' ORDER BY r.rolname COLLATE "C") AS may_read
  FROM t.tables c LEFT JOIN t.roles r ON has_table_privilege(r.rolname, c.oid, 'SELECT') GROUP BY 1 ORDER BY c.relname COLLATE "C";
SELECT c.relname, r.rolname, p.privilege FROM t.tables c, t.roles r, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p(privilege)
 WHERE has_table_privilege(r.rolname, c.oid, p.privilege);
SELECT c.relname, r.rolname, a.attname FROM t.tables c, t.roles r, pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND has_column_privilege(r.rolname, c.oid, a.attnum, 'INSERT, UPDATE');
SELECT p.proname, p.proacl FROM pg_proc p WHERE p.oid IN (SELECT oid FROM t.functions) AND (p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0));

-- What each may do works, and nothing else does.
GRANT USAGE ON SCHEMA t TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA t TO PUBLIC;
CREATE FUNCTION t.may(commands text[]) RETURNS TABLE (command text, code text, message text) LANGUAGE sql AS $$
SELECT left(c, 70), r.code, CASE WHEN r.code <> '00000' THEN r.message END FROM unnest(commands) WITH ORDINALITY u(c, n), t.refusal(c) r ORDER BY n
$$;
SELECT t.link('ada', 'cus_ada'), grant_credits('ada', 100) ->> 'status' AS status;
SELECT array_agg(format('%s %I', v, relname) || CASE v WHEN 'INSERT INTO' THEN ' DEFAULT VALUES' WHEN 'UPDATE' THEN format(' SET %1$I = %1$I', (SELECT attname FROM pg_attribute WHERE attrelid = relname::regclass AND attnum = 1)) ELSE '' END ORDER BY relname COLLATE "C", n) AS writes
  FROM t.tables, unnest(ARRAY['INSERT INTO', 'UPDATE', 'DELETE FROM', 'TRUNCATE']) WITH ORDINALITY v(v, n) \gset
SET ROLE regress_credits_app;
SELECT * FROM t.may(ARRAY[$$SELECT grant_credits('ada', 5)$$, $$SELECT use_credits_validated('ada', 5)$$, $$SELECT use_credits_batch('[{"user_id": "ada", "amount": 1}]')$$, $$SELECT hold_credits('ada', 5)$$, $$SELECT capture_hold('ada', 1)$$,
    $$SELECT hold_credits('ada', 5)$$, $$SELECT release_hold('ada', 2)$$, $$SELECT refund_credits('ada', 3)$$, $$SELECT add_subscription_credits('cus_ada', 'in_1', 'sub_1', 5)$$, $$SELECT get_credit_balance('ada')$$, $$SELECT credit_statement('ada')$$,
    'SELECT FROM credit_accounts', 'SELECT FROM credit_transactions', 'SELECT FROM credit_grants', 'SELECT FROM credit_holds', 'SELECT FROM credit_burns',
    'SELECT FROM credit_requests', $$SELECT void_grant('ada', 1)$$, 'SELECT expire_credits()', 'SELECT verify_credit_ledger()']);
SELECT s -> 'credits' AS credits FROM get_user_subscription_state('ada') s;
SELECT count(*), count(*) FILTER (WHERE code = '42501') AS refused FROM t.may(:'writes');
SET ROLE regress_credits_reader;
SELECT * FROM t.may(ARRAY[$$SELECT get_credit_balance('ada')$$, $$SELECT get_credit_balance('ada', '2026-01-01')$$, $$SELECT credit_statement('ada')$$, 'SELECT verify_credit_ledger()', 'SELECT FROM credit_transactions', 'SELECT FROM credit_accounts',
    $$SELECT grant_credits('ada', 5)$$, $$SELECT use_credits_validated('ada', 5)$$, $$SELECT use_credits_batch('[]')$$, $$SELECT hold_credits('ada', 5)$$, $$SELECT capture_hold('ada', 1)$$, $$SELECT release_hold('ada', 1)$$,
    $$SELECT refund_credits('ada', 2)$$, $$SELECT void_grant('ada', 1)$$, $$SELECT add_subscription_credits('cus_ada', 'in_2', 'sub_1', 5)$$, 'SELECT expire_credits()']);
SELECT count(*), count(*) FILTER (WHERE code = '42501') AS refused FROM t.may(:'writes');
SET ROLE regress_credits_admin;
SELECT * FROM t.may(ARRAY[$$SELECT grant_credits('ada', 5, reason => 'sorry')$$, $$SELECT void_grant('ada', 2, 'too much')$$, 'SELECT expire_credits()', 'SELECT verify_credit_ledger()']);
SELECT count(*), count(*) FILTER (WHERE code = '42501') AS refused FROM t.may(:'writes');
RESET ROLE;
SELECT action, actor, count(*) FROM audit_logs WHERE action IN ('credits_granted', 'grant_voided') AND actor LIKE 'regress%' GROUP BY 1, 2 ORDER BY 1, 2;
GRANT SELECT ON ALL TABLES IN SCHEMA t TO regress_credits_nobody;
SET ROLE regress_credits_nobody;
SELECT count(*) > 12 AS functions, array_agg(DISTINCT r.code) AS codes FROM t.functions p, t.refusal(format('SELECT %s(%s)', p.oid::regproc, (SELECT string_agg('NULL::' || format_type(a, NULL), ',') FROM pg_proc q, unnest(q.proargtypes) a WHERE q.oid = p.oid))) r;
SELECT array_agg(DISTINCT r.code) AS codes FROM t.tables c, t.refusal(format('SELECT FROM %s', c.oid::regclass)) r;
RESET ROLE;
-- The worker grants credits through events, and can do nothing else with them.
SET ROLE regress_credits_worker;
SELECT outcome FROM t.process(t.event('evt_1', 'checkout.session.completed', now(), t.checkout('cs_1', 'cus_ada', NULL) || jsonb_build_object('mode', 'payment', 'created', t.unix(now()), 'metadata', '{"credits": "7"}'::jsonb)));
SELECT * FROM t.may(ARRAY[$$SELECT get_credit_balance('ada')$$, $$SELECT grant_credits('ada', 5)$$, $$SELECT use_credits_validated('ada', 5)$$, 'SELECT expire_credits()', 'SELECT FROM credit_accounts']);
RESET ROLE;
SELECT source, amount FROM credit_grants WHERE user_id = 'ada' AND source = 'checkout';

-- Whatever a caller's search_path finds first, the same tables, functions and operators are used.
CREATE SCHEMA evil;
DO $$
DECLARE
    item record;
    n    integer := 0;
BEGIN
    FOR item IN SELECT relname FROM t.tables UNION SELECT unnest(ARRAY['billing_users', 'billing_settings', 'user_subscriptions']) LOOP
        EXECUTE format('CREATE TABLE evil.%I (a integer)', item.relname);
    END LOOP;
    -- Every operator on types that credits use, and functions that stand in their statements.
    FOR item IN SELECT o.oprname, format_type(o.oprleft, NULL) AS l, format_type(o.oprright, NULL) AS r, format_type(o.oprresult, NULL) AS result FROM pg_operator o
                 WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprkind = 'b' AND o.oprname IN ('=', '<>', '<', '<=', '>', '>=', '+', '-', '->', '->>', '||')
                   AND o.oprleft IN ('text'::regtype, 'bigint'::regtype, 'integer'::regtype, 'numeric'::regtype, 'boolean'::regtype, 'timestamptz'::regtype, 'jsonb'::regtype)
                   AND o.oprright IN ('text'::regtype, 'bigint'::regtype, 'integer'::regtype, 'numeric'::regtype, 'boolean'::regtype, 'timestamptz'::regtype, 'jsonb'::regtype) LOOP
        n := n + 1;
        EXECUTE format('CREATE FUNCTION evil.op%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS $f$BEGIN RAISE EXCEPTION %L; END$f$', n, item.l, item.r, item.result, 'evil ' || item.oprname);
        EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = evil.op%s)', item.oprname, item.l, item.r, n);
    END LOOP;
    FOR item IN SELECT * FROM (VALUES ('now()', 'timestamptz'), ('clock_timestamp()', 'timestamptz'), ('statement_timestamp()', 'timestamptz'), ('jsonb_build_object(VARIADIC text[])', 'jsonb'), ('jsonb_array_elements(jsonb)', 'jsonb'),
                                      ('check_user_id(text)', 'void'), ('unnest(anyarray)', 'anyelement'), ('pg_advisory_xact_lock(bigint)', 'void')) f(signature, result) LOOP
        EXECUTE format('CREATE FUNCTION evil.%s RETURNS %s LANGUAGE plpgsql AS $f$BEGIN RAISE EXCEPTION %L; END$f$', item.signature, item.result, 'evil ' || item.signature);
    END LOOP;
END
$$;
CREATE TEMPORARY TABLE credit_accounts (a integer);
CREATE TEMPORARY TABLE credit_transactions (a integer);
CREATE TEMPORARY TABLE credit_grants (a integer);
GRANT USAGE ON SCHEMA evil TO PUBLIC;
SET search_path = evil, pg_temp, pg_catalog, public;
SELECT public.grant_credits('bob', 100) OPERATOR(pg_catalog.->>) 'status' AS granted, public.use_credits_validated('bob', 5) OPERATOR(pg_catalog.->>) 'status' AS used, public.hold_credits('bob', 5) OPERATOR(pg_catalog.->>) 'status' AS held,
       public.capture_hold('bob', 1) OPERATOR(pg_catalog.->>) 'status' AS captured, public.hold_credits('bob', 5) OPERATOR(pg_catalog.->>) 'status' AS again, public.release_hold('bob', 2) OPERATOR(pg_catalog.->>) 'status' AS released,
       public.refund_credits('bob', 2) OPERATOR(pg_catalog.->>) 'status' AS refunded, public.void_grant('bob', 1) OPERATOR(pg_catalog.->>) 'status' AS voided, public.get_credit_balance('bob') AS balance,
       public.get_credit_balance('bob', '2026-01-01') AS earlier, public.expire_credits() OPERATOR(pg_catalog.>=) 0 AS tidied, public.add_subscription_credits('cus_ada', 'in_9', 'sub_9', 5) OPERATOR(pg_catalog.->>) 'status' AS added;
SELECT result OPERATOR(pg_catalog.->>) 'status' AS status FROM public.use_credits_batch('[{"user_id": "bob", "amount": 1, "idempotency_key": "k"}]');
SELECT pg_catalog.count(*) FROM public.credit_statement('bob');
SELECT * FROM public.verify_credit_ledger();
SELECT public.get_user_subscription_state('bob') OPERATOR(pg_catalog.->) 'credits' AS credits;
RESET search_path;
SELECT (SELECT count(*) FROM pg_temp.credit_accounts) + (SELECT count(*) FROM evil.credit_accounts) AS misled;
SELECT * FROM public.verify_credit_ledger();
DROP TABLE pg_temp.credit_accounts, pg_temp.credit_transactions, pg_temp.credit_grants;
DROP SCHEMA evil CASCADE;

DROP EXTENSION pg_billing;
DROP OWNED BY regress_credits_worker, regress_credits_app, regress_credits_reader, regress_credits_admin, regress_credits_user, regress_credits_nobody;
DROP ROLE regress_credits_worker, regress_credits_app, regress_credits_reader, regress_credits_admin, regress_credits_user, regress_credits_nobody;
