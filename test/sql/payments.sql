\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Payments and enrollments: one row per payment, however many events tell of it.
CREATE FUNCTION t.intent(id text, customer text, status text, extra jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
SELECT jsonb_build_object('id', id, 'object', 'payment_intent', 'customer', customer, 'status', status, 'amount', 4900,
                          'amount_received', CASE status WHEN 'succeeded' THEN 4900 ELSE 0 END, 'currency', 'eur',
                          'created', t.unix('2026-01-01'), 'livemode', false, 'description', 'SQL for all',
                          'metadata', '{"item_id": "course_sql", "seller_id": "zoe"}'::jsonb) || extra
$$;
CREATE FUNCTION t.charge(id text, intent text, customer text, extra jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
SELECT jsonb_build_object('id', id, 'object', 'charge', 'customer', customer, 'payment_intent', intent, 'amount', 4900,
                          'amount_captured', 4900, 'amount_refunded', 0, 'refunded', false, 'captured', true, 'paid', true,
                          'status', 'succeeded', 'currency', 'eur', 'created', t.unix('2026-01-01 00:00:05'), 'livemode', false,
                          'billing_details', '{"email": "ada@example.com"}'::jsonb,
                          'metadata', '{"item_id": "course_sql", "seller_id": "zoe"}'::jsonb) || extra
$$;

SELECT status FROM jsonb_to_record(link_stripe_customer('user_ada', 'cus_ada')) x(status text);
SELECT outcome FROM t.process(
    t.event('evt_1', 'payment_intent.created', '2026-01-01', t.intent('pi_1', 'cus_ada', 'requires_payment_method')));
SELECT user_id, payment_id, status, amount, currency, paid_at FROM payments;
SELECT item_id, payment_id, status FROM enrollments;
SELECT has_access_to_item('user_ada', 'course_sql');
SELECT outcome FROM t.process(
    t.event('evt_2', 'charge.succeeded', '2026-01-01 00:00:06', t.charge('ch_1', 'pi_1', 'cus_ada')),
    t.event('evt_3', 'payment_intent.succeeded', '2026-01-01 00:00:06', t.intent('pi_1', 'cus_ada', 'succeeded', '{"latest_charge": "ch_1"}')));
\x
SELECT payment_id, stripe_charge_id, stripe_checkout_session_id, stripe_invoice_id, stripe_customer_id, status, amount, currency,
       amount_refunded, refunded_at, dispute_status, customer_email, seller_id, description, metadata, payment_created, paid_at, livemode
  FROM payments;
SELECT user_id, item_id, payment_id, status, payment_status, seller_id, enrolled_at, ended_at, livemode FROM enrollments;
\x
SELECT has_access_to_item('user_ada', 'course_sql');
SELECT has_access_to_item('user_ada', 'course_other'), has_access_to_item('user_bob', 'course_sql');

-- A dispute, then a refund: what was bought ends.
SELECT outcome FROM t.process(t.event('evt_4', 'charge.dispute.created', '2026-01-02',
    '{"id": "dp_1", "object": "dispute", "charge": "ch_1", "payment_intent": "pi_1", "status": "needs_response", "amount": 4900, "created": 1767312000}'));
SELECT p.status, p.dispute_status, e.status AS enrollment, e.ended_at FROM payments p JOIN enrollments e USING (user_id, payment_id);
SELECT has_access_to_item('user_ada', 'course_sql');
SELECT outcome FROM t.process(
    t.event('evt_5', 'charge.dispute.closed', '2026-01-03',
            '{"id": "dp_1", "object": "dispute", "charge": "ch_1", "payment_intent": "pi_1", "status": "won", "amount": 4900, "created": 1767312000}'),
    t.event('evt_6', 'charge.refunded', '2026-01-04', t.charge('ch_1', 'pi_1', 'cus_ada', '{"amount_refunded": 4900, "refunded": true}')));
SELECT p.status, p.dispute_status, p.amount_refunded, p.refunded_at, e.status AS enrollment, e.ended_at
  FROM payments p JOIN enrollments e USING (user_id, payment_id);

-- Money of nobody.
SELECT outcome FROM t.process(
    t.event('evt_7', 'payment_intent.succeeded', '2026-01-05', t.intent('pi_2', NULL, 'succeeded', '{"receipt_email": "eve@example.com"}')),
    t.event('evt_8', 'charge.succeeded', '2026-01-05', t.charge('ch_3', 'pi_3', 'cus_eve')),
    t.event('evt_9', 'payment_intent.payment_failed', '2026-01-05', t.intent('pi_4', NULL, 'requires_payment_method')));
SELECT payment_id, stripe_customer_id, livemode, status, amount, currency, customer_email, payment_created, next_step FROM unlinked_payments;
SELECT status FROM jsonb_to_record(link_stripe_customer('user_eve', 'pi_2')) x(status text);
SELECT payment_id FROM unlinked_payments;
SELECT user_id, payment_id, stripe_customer_id, status FROM payments ORDER BY 2;

-- Misuse.
SELECT has_access_to_item(NULL, 'course_sql');
SELECT has_access_to_item('user_ada', '');
SELECT * FROM rebuild_billing_state();
UPDATE payments SET status = 'completed' WHERE payment_id = 'pi_1';
DELETE FROM enrollments WHERE payment_id = 'pi_2';
SELECT table_name, row_key, difference, repaired FROM rebuild_billing_state(true) ORDER BY 1;
SELECT * FROM rebuild_billing_state();
SELECT user_id, payment_id, p.status, e.status AS enrollment FROM payments p JOIN enrollments e USING (user_id, payment_id) ORDER BY 2;

-- Of several that tell of one payment, whoever knows the email says it.
SELECT outcome FROM t.process(
    t.event('evt_10', 'payment_intent.succeeded', '2026-01-06', t.intent('pi_5', NULL, 'succeeded')),
    t.event('evt_11', 'charge.succeeded', '2026-01-06', t.charge('ch_5', 'pi_5', NULL)));
SELECT payment_id, status, customer_email FROM unlinked_payments ORDER BY 1;
