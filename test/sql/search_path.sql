\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Whatever a caller's search_path finds first, the same tables, functions and operators are used. Here everything in the
-- schema evil fails loudly, and its owner is a role that would gain from being called.
CREATE SCHEMA evil;
CREATE FUNCTION evil.boo() RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil as %', current_user; END$$;
CREATE FUNCTION evil.texts(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil ='; END$$;
CREATE FUNCTION evil.integers(integer, integer) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil <'; END$$;
CREATE FUNCTION evil.bigints(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil <'; END$$;
CREATE FUNCTION evil.times(timestamptz, timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil <='; END$$;
CREATE FUNCTION evil.arrow(jsonb, text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil ->>'; END$$;
CREATE FUNCTION evil.arrow_json(jsonb, text) RETURNS jsonb LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil ->'; END$$;
CREATE FUNCTION evil.concat(text, text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil ||'; END$$;
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.texts);
CREATE OPERATOR evil.< (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.integers);
CREATE OPERATOR evil.>= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.bigints);
CREATE OPERATOR evil.<= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.times);
CREATE OPERATOR evil.< (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.times);
CREATE OPERATOR evil.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = evil.arrow);
CREATE OPERATOR evil.-> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = evil.arrow_json);
CREATE OPERATOR evil.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.concat);
CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil now'; END$$;
CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil clock_timestamp'; END$$;
CREATE FUNCTION evil.statement_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil statement_timestamp'; END$$;
CREATE FUNCTION evil.format(text, VARIADIC "any") RETURNS text LANGUAGE internal AS 'text_format';
CREATE FUNCTION evil.current_database() RETURNS name LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil current_database'; END$$;
CREATE FUNCTION evil.to_timestamp(double precision) RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil to_timestamp'; END$$;
CREATE FUNCTION evil.jsonb_build_object(VARIADIC text[]) RETURNS jsonb LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil jsonb_build_object'; END$$;
CREATE FUNCTION evil.jsonb_typeof(jsonb) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil jsonb_typeof'; END$$;
CREATE FUNCTION evil.date_trunc(text, timestamptz) RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil date_trunc'; END$$;
CREATE FUNCTION evil.get_billing_settings(OUT name text, OUT value text) RETURNS SETOF record LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil get_billing_settings'; END$$;
CREATE FUNCTION evil.check_user_id(text) RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil check_user_id'; END$$;
CREATE TABLE evil.stripe_events (a integer);
CREATE TABLE evil.stripe_customer_links (a integer);
CREATE TABLE evil.billing_users (a integer);
CREATE TABLE evil.billing_settings (name text, value text, generation bigint);
INSERT INTO evil.billing_settings VALUES ('mode', 'live', 99);
CREATE TABLE evil.pg_extension (extname name);
CREATE TABLE evil.subscription_cache (a integer);
CREATE TEMPORARY TABLE user_subscriptions (a integer);
CREATE TEMPORARY TABLE stripe_objects (a integer);
CREATE TEMPORARY TABLE pg_roles (rolname name);
CREATE ROLE regress_billing_app;
SELECT t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01')) AS one,
       t.event('evt_2', 'customer.created', '2026-01-01', t.customer('cus_1')) AS two \gset
SET search_path = evil, pg_temp, pg_catalog, public;
SELECT public.process_stripe_event(:'one') OPERATOR(pg_catalog.->>) 'outcome';
SELECT outcome, error FROM public.process_stripe_events(ARRAY[:'two', 'nonsense']);
SELECT public.link_stripe_customer('user_1', 'cus_1') OPERATOR(pg_catalog.->>) 'status';
SELECT public.get_or_create_stripe_customer('user_2', 'a@example.com') OPERATOR(pg_catalog.->>) 'status';
SELECT public.fix_customer_links() OPERATOR(pg_catalog.->>) 'linked';
SELECT public.get_user_subscription_state('user_1', '2026-01-15') OPERATOR(pg_catalog.->>) 'state', public.has_active_subscription('user_1'), public.get_user_subscription_state('user_1') OPERATOR(pg_catalog.->>) 'user_id';
SELECT public.explain_user('user_1') OPERATOR(pg_catalog.->>) 'mode';
SELECT public.update_subscription_cache('user_1') OPERATOR(pg_catalog.->>) 'user_id', public.clear_user_subscription_cache('user_1'), public.clear_all_subscription_cache(), public.clear_expired_subscription_cache();
SELECT public.get_subscription_cache_status() OPERATOR(pg_catalog.->>) 'total', public.ingest_metrics() OPERATOR(pg_catalog.->>) 'unprocessed', public.refresh_subscription_cache() OPERATOR(pg_catalog.>=) 0 AS refreshed;
SELECT pg_catalog.count(*) FROM public.get_cache_cleanup_history();
SELECT pg_catalog.count(*) FROM public.retry_stripe_events();
SELECT public.replay_stripe_event('evt_1') OPERATOR(pg_catalog.->>) 'outcome';
SELECT public.set_billing_setting('past_due_grace', '8 days', 'test');
SELECT value FROM public.get_billing_settings() WHERE name OPERATOR(pg_catalog.=) 'past_due_grace';
SELECT public.grant_billing_role('regress_billing_app', 'app');
SET request.jwt.claims = '{"sub": "user_1"}';
SELECT public.my_subscription_state() OPERATOR(pg_catalog.->>) 'user_id';
RESET request.jwt.claims;
SELECT id, created, default_payment_method_id FROM public.stripe_customers;
SELECT id, status, current_period_end, latest_invoice_id FROM public.stripe_subscriptions;
SELECT id, price_id, product_id, quantity FROM public.stripe_subscription_items;
SELECT public.stripe_time('1767225600'), public.stripe_id('"x"'), public.stripe_integer('7'), public.stripe_flag('true');
SELECT pg_catalog.count(*) FROM public.maintenance_jobs();
SELECT public.unschedule_maintenance();
SHOW search_path;
RESET search_path;
SELECT stripe_event_id, outcome FROM stripe_events ORDER BY 1 LIMIT 2;
SELECT count(*) FROM evil.stripe_events;
DROP OWNED BY regress_billing_app;
DROP ROLE regress_billing_app;

-- CREATE EXTENSION itself finds its own, with the evil schema before it.
DROP EXTENSION pg_billing;
SET search_path = evil, public;
CREATE EXTENSION pg_billing SCHEMA public;
RESET search_path;
SELECT t.link('user_1', 'cus_1');
SELECT process_stripe_event(:'one') ->> 'outcome' AS outcome;
SELECT status, current_period_end FROM stripe_subscriptions;
DROP SCHEMA evil CASCADE;
