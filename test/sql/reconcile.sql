\set ECHO none
\getenv source PG_ABS_SRCDIR
\set payloads :source '/sql/include/payloads.sql'
\i :payloads
CREATE FUNCTION t.found(run integer) RETURNS TABLE (difference text, object_id text, stripe_event_id text, event_type text, was jsonb, is_now jsonb, repaired boolean) LANGUAGE sql AS
    $$ SELECT difference, object_id, stripe_event_id, event_type, was, CASE WHEN was IS NOT NULL THEN now END, repaired
         FROM stripe_reconciliation_differences WHERE reconciliation_id = run ORDER BY number $$;
\set ECHO all
SELECT outcome FROM t.process(
    t.event('evt_1', 'customer.created', '2026-01-01', t.customer('cus_1', '{"metadata": {"user_id": "ada"}}')),
    t.event('evt_2', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01')));
-- A dry run notes what differs, and changes nothing.
SELECT begin_stripe_reconciliation(false, '1 day', '{"dry_run": true}') - 'since' AS begun;
SELECT reconcile_stripe_events(1, ARRAY[
    t.event('evt_4', 'customer.created', '2026-01-03', t.customer('cus_2', '{"metadata": {"user_id": "bea"}}')),
    t.event('evt_3', 'customer.subscription.updated', '2026-01-02', t.subscription('sub_1', 'cus_1', 'past_due', '2026-01-01', '2026-02-01')),
    t.event('evt_1', 'customer.created', '2026-01-01', t.customer('cus_1', '{"metadata": {"user_id": "ada"}}'))]);
SELECT reconcile_stripe_objects(1, jsonb_build_array(
    t.subscription('sub_1', 'cus_1', 'past_due', '2026-01-01', '2026-02-01'), t.customer('cus_1', '{"metadata": {"user_id": "ada"}}'), t.customer('cus_3'))::text,
    t.unix('2026-01-04'), t.new());
SELECT * FROM t.found(1);
SELECT * FROM stripe_reconciliation_customers(1);
SELECT finish_stripe_reconciliation(1) - 'differences' - 'since' AS report;
SELECT count(*) AS events, (SELECT count(*) FROM stripe_objects WHERE object IS NOT NULL AND finality >= 0) AS objects FROM stripe_events;
-- What is missing takes effect; of what is repaired by its event, the object matches afterwards.
SELECT begin_stripe_reconciliation(false, '1 day') - 'since' AS begun;
SELECT reconcile_stripe_events(2, ARRAY[
    t.event('evt_3', 'customer.subscription.updated', '2026-01-02', t.subscription('sub_1', 'cus_1', 'past_due', '2026-01-01', '2026-02-01'))]);
SELECT reconcile_stripe_events(2, ARRAY[
    t.event('evt_3', 'customer.subscription.updated', '2026-01-02', t.subscription('sub_1', 'cus_1', 'past_due', '2026-01-01', '2026-02-01')),
    t.event('evt_1', 'customer.created', '2026-01-01', t.customer('cus_1', '{"metadata": {"user_id": "ada"}}'))]);
SELECT reconcile_stripe_objects(2, jsonb_build_array(
    t.subscription('sub_1', 'cus_1', 'past_due', '2026-01-01', '2026-02-01'), t.customer('cus_3', '{"metadata": {"user_id": "cyd"}}'))::text, t.unix('2026-01-04'), t.new());
-- What something later is known of was told meanwhile; of another version only what is the same in all counts.
SELECT reconcile_stripe_objects(2, jsonb_build_array(t.subscription('sub_1', 'cus_1', 'canceled', '2026-01-01', '2026-02-01'))::text, t.unix('2026-01-01'), t.new());
SELECT reconcile_stripe_objects(2, jsonb_build_array(
    t.subscription('sub_1', 'cus_1', 'past_due', '2026-01-01', '2026-02-01', '{"something_new": 1}'))::text, t.unix('2026-01-05'), '2027-01-01.other');
SELECT reconcile_stripe_objects(2, jsonb_build_array(
    t.subscription('sub_1', 'cus_1', 'unpaid', '2026-01-01', '2026-02-01', '{"something_new": 1}'))::text, t.unix('2026-01-05'), '2027-01-01.other');
SELECT * FROM t.found(2);
SELECT finish_stripe_reconciliation(2, 'disputes could not be read') - 'differences' - 'since' AS report;
SELECT stripe_event_id, event_type, endpoint, outcome FROM stripe_events WHERE endpoint = 'reconcile' ORDER BY 1;
SELECT status FROM user_subscriptions;
SELECT table_name, row_key, difference FROM rebuild_billing_state();
-- One at a time, by the clock.
SELECT begin_stripe_reconciliation(false, '1 day', '{"every": "1 hour"}');
SELECT begin_stripe_reconciliation(true, '1 day');
-- Misuse.
SELECT code, message, hint FROM t.refusal('SELECT begin_stripe_reconciliation(false, $$40 days$$)');
SELECT code, message, hint FROM t.refusal('SELECT begin_stripe_reconciliation(false, NULL)');
SELECT code, message, hint FROM t.refusal('SELECT begin_stripe_reconciliation(false, $$1 day$$, $${"dry": true}$$)');
SELECT code, message, hint FROM t.refusal('SELECT reconcile_stripe_events(2, ARRAY[]::text[])');
SELECT code, message, hint FROM t.refusal('SELECT reconcile_stripe_events(99, NULL)');
SELECT code, message, hint FROM t.refusal('SELECT reconcile_stripe_objects(2, $${}$$, 1, NULL)');
SELECT code, message, hint FROM t.refusal('SELECT finish_stripe_reconciliation(2)');
