\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- DROP EXTENSION leaves nothing, and what backends keep of it survives that.
SELECT t.link('user_1', 'cus_1');
SELECT outcome FROM t.process(t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01')));
SELECT set_billing_setting('past_due_grace', '1 day', 'test');
SELECT state FROM t.state('user_1', '2026-01-15');
SELECT count(*) > 0 AS partitions_made FROM apply_retention();
DROP EXTENSION pg_billing;
SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace;
SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace;
SELECT count(*) FROM pg_type WHERE typnamespace = 'public'::regnamespace;
-- Created again in the same session it is empty, and works.
CREATE EXTENSION pg_billing;
SELECT (SELECT count(*) FROM stripe_events) AS events, (SELECT count(*) FROM billing_settings) AS settings;
SELECT value FROM get_billing_settings() WHERE name = 'past_due_grace';
SELECT state FROM t.state('user_1', '2026-01-15');
SELECT t.link('user_1', 'cus_1');
SELECT outcome FROM t.process(t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01')));
SELECT state FROM t.state('user_1', '2026-01-15');
-- In another schema, too, within the same session.
DROP EXTENSION pg_billing;
CREATE SCHEMA regress_billing;
CREATE EXTENSION pg_billing SCHEMA regress_billing;
SELECT regress_billing.process_stripe_event(t.event('evt_1', 'product.created', '2026-01-01', t.product('prod_1', 'One'))) ->> 'outcome' AS outcome;
SELECT regress_billing.get_user_subscription_state('user_1') ->> 'state' AS state;
SELECT object_id FROM regress_billing.stripe_objects;
DROP EXTENSION pg_billing;
DROP SCHEMA regress_billing;
-- A view or a policy that uses it holds it.
CREATE EXTENSION pg_billing;
CREATE VIEW t.uses AS SELECT get_user_subscription_state('user_1') AS state;
SELECT code, message FROM t.refusal('DROP EXTENSION pg_billing');
DROP EXTENSION pg_billing CASCADE;
SELECT to_regclass('t.uses') IS NULL AS gone;
