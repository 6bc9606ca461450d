-- The extension in a schema of its own, in a database of its own, with nothing of it in anybody's search_path.
\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\set database :DBNAME
\set ECHO all
CREATE DATABASE regress_billing TEMPLATE template0 ENCODING 'UTF8';
\c regress_billing
\set ECHO none
\i :source
\set ECHO all
DROP EXTENSION pg_billing;
CREATE SCHEMA billing;
CREATE EXTENSION pg_billing SCHEMA billing;
SET search_path = '';
SELECT billing.process_stripe_event(p) ->> 'outcome' AS outcome FROM unnest(ARRAY[
    t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01')),
    t.event('evt_2', 'checkout.session.completed', '2026-01-01', t.checkout('cs_1', 'cus_1', 'sub_1', 'user_1'))]) p;
SELECT billing.get_user_subscription_state('user_1', '2026-01-15') ->> 'state' AS state, billing.has_active_subscription('user_1') IS NOT NULL AS answered;
SELECT user_id, stripe_subscription_id, status FROM billing.user_subscriptions;
SELECT id, status, current_period_end FROM billing.stripe_subscriptions;
SELECT jobname, command FROM billing.maintenance_jobs();
SELECT hint ~ 'billing.maintenance_jobs' AS named FROM t.refusal('SELECT billing.schedule_maintenance()');
SELECT billing.ingest_metrics() ->> 'unprocessed' AS unprocessed, billing.get_subscription_cache_status() ->> 'total' AS total, billing.explain_user('user_1') ->> 'user_id' AS user_id;
SELECT billing.set_billing_setting('past_due_grace', '9 days', 'test');
SELECT value FROM billing.get_billing_settings() WHERE name = 'past_due_grace';
SELECT billing.clear_user_subscription_cache('user_1'), billing.clear_expired_subscription_cache(), billing.clear_all_subscription_cache();
SELECT billing.update_subscription_cache('user_1') ->> 'user_id' AS user_id;
SELECT billing.get_or_create_stripe_customer('user_1', NULL) ->> 'stripe_customer_id' AS customer;
SELECT billing.fix_customer_links() ->> 'unlinked' AS unlinked;
-- A role that was granted only `app`.
CREATE ROLE regress_billing_app;
SELECT billing.grant_billing_role('regress_billing_app', 'app');
SET ROLE regress_billing_app;
SELECT billing.get_user_subscription_state('user_1') ->> 'user_id' AS user_id, billing.link_stripe_customer('user_1', 'cus_1') ->> 'status' AS status;
RESET ROLE;
DROP OWNED BY regress_billing_app;
DROP ROLE regress_billing_app;
DROP EXTENSION pg_billing;
SELECT count(*) FROM pg_class WHERE relnamespace = 'billing'::regnamespace;

-- Any name of a schema.
CREATE SCHEMA "My billing 100% @";
CREATE EXTENSION pg_billing SCHEMA "My billing 100% @";
SET search_path = "My billing 100% @";
SELECT t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01')) AS payload \gset
SELECT link_stripe_customer('user_1', 'cus_1') ->> 'status' AS status;
SELECT process_stripe_event(:'payload') ->> 'outcome' AS outcome;
SELECT get_user_subscription_state('user_1', '2026-01-15') ->> 'state' AS state;
SELECT has_active_subscription('user_1') IS NOT NULL AS answered, explain_user('user_1') ->> 'user_id' AS user_id, clear_all_subscription_cache();
CREATE ROLE regress_billing_app;
SELECT grant_billing_role('regress_billing_app', 'app'), grant_billing_role('regress_billing_app', 'reader');
DROP OWNED BY regress_billing_app;
DROP ROLE regress_billing_app;
SELECT code, hint LIKE '%"My billing 100\% @".maintenance_jobs()%' AS named FROM t.refusal('SELECT schedule_maintenance()');
SELECT unschedule_maintenance();
\c :database
DROP DATABASE regress_billing;
