\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Payments, refunds, disputes and low credits: each once by its natural key, whatever tells of it, in whatever order.
SELECT set_billing_setting('notify_since', '2026-01-01T00:00:00Z', 'tests are in the past');
CREATE FUNCTION t.told(of_user text) RETURNS TABLE (key text, payload jsonb, event_id text) LANGUAGE sql AS $$
SELECT dedupe_key, jsonb_strip_nulls(payload), event_id FROM billing_notifications WHERE user_id = of_user AND kind !~ '^access' ORDER BY dedupe_key
$$;
CREATE FUNCTION t.refund(id text, charge text, amount integer, status text DEFAULT 'succeeded') RETURNS jsonb LANGUAGE sql AS $$
SELECT jsonb_build_object('id', id, 'object', 'refund', 'amount', amount, 'charge', charge, 'created', t.unix('2026-02-03'), 'currency', 'eur',
                          'metadata', '{}'::jsonb, 'payment_intent', NULL, 'reason', 'requested_by_customer', 'status', status)
$$;
CREATE FUNCTION t.dispute(id text, charge text, status text, created timestamptz DEFAULT '2026-02-04') RETURNS jsonb LANGUAGE sql AS $$
SELECT jsonb_build_object('id', id, 'object', 'dispute', 'amount', 2900, 'charge', charge, 'created', t.unix(created), 'currency', 'eur', 'evidence_details',
                          jsonb_build_object('due_by', t.unix('2026-02-20')), 'metadata', '{}'::jsonb, 'payment_intent', NULL, 'reason', 'fraudulent', 'status', status)
$$;
SELECT t.link('ada', 'cus_ada'), t.link('bob', 'cus_bob');
-- An invoice: two events tell of one payment; each failed attempt counts, unless it has been made good by then.
SELECT outcome FROM t.process(t.event('evt_1', 'invoice.payment_failed', '2026-02-01', t.invoice('in_1', 'sub_1', 'cus_ada', 'open', '2026-02-01', '2026-03-01')));
SELECT outcome FROM t.process(t.event('evt_1b', 'invoice.payment_failed', '2026-02-01', t.invoice('in_1', 'sub_1', 'cus_ada', 'open', '2026-02-01', '2026-03-01')),
                              t.event('evt_2', 'invoice.payment_failed', '2026-02-02', t.invoice('in_1', 'sub_1', 'cus_ada', 'open', '2026-02-01', '2026-03-01', '{"attempt_count": 2}')));
SELECT outcome FROM t.process(t.event('evt_3', 'invoice.paid', '2026-02-03', t.invoice('in_1', 'sub_1', 'cus_ada', 'paid', '2026-02-01', '2026-03-01', '{"attempt_count": 3}')));
SELECT outcome FROM t.process(t.event('evt_4', 'invoice.payment_succeeded', '2026-02-03', t.invoice('in_1', 'sub_1', 'cus_ada', 'paid', '2026-02-01', '2026-03-01', '{"attempt_count": 3}')),
                              t.event('evt_5', 'invoice.payment_failed', '2026-02-02', t.invoice('in_1', 'sub_1', 'cus_ada', 'open', '2026-02-01', '2026-03-01', '{"attempt_count": 3}')));
-- What costs nothing is not paid; what was paid before is history; what is paid elsewhere is paid.
SELECT outcome FROM t.process(t.event('evt_6', 'invoice.paid', '2026-02-03', t.invoice('in_2', 'sub_1', 'cus_ada', 'paid', '2026-02-01', '2026-03-01', '{"amount_paid": 0, "amount_due": 0, "total": 0}')),
                              t.event('evt_7', 'invoice.paid', '2025-12-03', t.invoice('in_3', 'sub_1', 'cus_ada', 'paid', '2025-12-01', '2026-01-01')),
                              t.event('evt_8', 'invoice.paid', '2026-02-03', t.invoice('in_4', 'sub_1', 'cus_ada', 'paid', '2026-02-01', '2026-03-01', '{"amount_paid": 0, "paid_out_of_band": true}')));
SELECT * FROM t.told('ada');
-- A payment without an invoice, its refunds and its dispute: in any order the same.
CREATE TABLE t.events (n serial, payload text);
INSERT INTO t.events (payload) VALUES
    (t.event('evt_c', 'charge.succeeded', '2026-02-02', t.charge('ch_1', 'cus_X', jsonb_build_object('invoice', NULL, 'created', t.unix('2026-02-02'))))),
    (t.event('evt_r1', 'refund.created', '2026-02-03', t.refund('re_1', 'ch_1', 500, 'pending'))),
    (t.event('evt_r2', 'refund.updated', '2026-02-04', t.refund('re_1', 'ch_1', 500))),
    (t.event('evt_r3', 'refund.created', '2026-02-04', t.refund('re_2', 'ch_1', 400))),
    (t.event('evt_r4', 'refund.failed', '2026-02-04', t.refund('re_3', 'ch_1', 300, 'failed'))),
    (t.event('evt_cr', 'charge.refunded', '2026-02-04', t.charge('ch_1', 'cus_X', jsonb_build_object('invoice', NULL, 'created', t.unix('2026-02-02'), 'amount_refunded', 900)))),
    (t.event('evt_d1', 'charge.dispute.created', '2026-02-04', t.dispute('dp_1', 'ch_1', 'needs_response'))),
    (t.event('evt_d2', 'charge.dispute.closed', '2026-02-20', t.dispute('dp_1', 'ch_1', 'won')));
CREATE PROCEDURE t.deliver(customer text, backwards boolean) LANGUAGE plpgsql AS $$
DECLARE
    payload text;
BEGIN
    FOR payload IN SELECT e.payload FROM t.events e ORDER BY CASE WHEN backwards THEN -n ELSE n END LOOP
        PERFORM process_stripe_event(replace(replace(regexp_replace(payload, '"((evt|re|ch|dp)_[a-z0-9]+)"', '"\1_' || customer || '"', 'g'), 'cus_X', customer), '"pi_X"', 'null'));
    END LOOP;
    PERFORM count(*) FROM retry_stripe_events(100);
END
$$;
CALL t.deliver('cus_bob', false);
SELECT * FROM t.told('bob');
SELECT t.link('cat', 'cus_cat');
CALL t.deliver('cus_cat', true);
SELECT key FROM t.told('cat');
SELECT count(*) AS differ FROM (SELECT replace(key, 'cus_bob', ''), replace(payload::text, 'cus_bob', '') FROM t.told('bob') EXCEPT SELECT replace(key, 'cus_cat', ''), replace(payload::text, 'cus_cat', '') FROM t.told('cat')) x;
-- Linked last, by an event: the same again. By hand, months later, it is no news any more.
CALL t.deliver('cus_dan', false);
SELECT count(*) AS nobody_yet FROM t.told('dan');
SELECT process_stripe_event(t.event('evt_link', 'checkout.session.completed', '2026-02-21', t.checkout('cs_1', 'cus_dan', 'sub_1', 'dan'))) ->> 'outcome' AS outcome;
SELECT key FROM t.told('dan');
CALL t.deliver('cus_eve', false);
SELECT t.link('eve', 'cus_eve');
SELECT key FROM t.told('eve');
-- Since basil a payment intent does not say whether an invoice asked for it: what a checkout made, or has metadata, stands alone.
SELECT t.link('fay', 'cus_fay');
CREATE FUNCTION t.intent(id text, extra jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
SELECT jsonb_build_object('id', id, 'object', 'payment_intent', 'amount', 700, 'amount_received', 700, 'created', t.unix('2026-02-01'), 'currency', 'eur', 'customer', 'cus_fay',
                          'latest_charge', 'ch_' || id, 'metadata', '{}'::jsonb, 'status', 'succeeded') || extra
$$;
SELECT outcome FROM t.process(t.event('evt_i1', 'payment_intent.succeeded', '2026-02-01', t.intent('pi_1')), t.event('evt_i2', 'payment_intent.succeeded', '2026-02-01', t.intent('pi_2', '{"metadata": {"item_id": "course_1"}}')),
                              t.event('evt_i3', 'payment_intent.payment_failed', '2026-02-01', t.intent('pi_3', '{"status": "requires_payment_method", "last_payment_error": {"code": "card_declined"}, "metadata": {"item_id": "course_2"}}')));
SELECT key, payload - 'payment_id' AS payload FROM t.told('fay');
SELECT outcome FROM t.process(t.event('evt_i4', 'checkout.session.completed', '2026-02-01', t.checkout('cs_2', 'cus_fay', NULL) || '{"mode": "payment", "payment_intent": "pi_1"}'));
SELECT key, event_id FROM t.told('fay');

-- Low credits: once per crossing downward, the lowest of several; armed again by a grant, not by a refund.
SELECT set_billing_setting('credits_low_thresholds', '10, 100', 'test');
CREATE FUNCTION t.low(of_user text) RETURNS TABLE (key text, payload jsonb) LANGUAGE sql AS $$
SELECT dedupe_key, payload FROM billing_notifications WHERE user_id = of_user ORDER BY length(dedupe_key), dedupe_key
$$;
CREATE FUNCTION t.use(amount bigint) RETURNS TABLE (transaction_id bigint, balance bigint, told bigint) LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb := use_credits_validated('gus', amount);
BEGIN
    RETURN QUERY SELECT (answer ->> 'transaction_id')::bigint, (answer ->> 'balance')::bigint, (SELECT count(*) FROM t.low('gus'));
END
$$;
SELECT grant_credits('gus', 50) ->> 'balance' AS balance;
SELECT * FROM t.use(20);
SELECT grant_credits('gus', 200) ->> 'balance' AS balance;
SELECT * FROM t.use(129);
SELECT * FROM t.use(1);
SELECT * FROM t.use(50);
SELECT refund_credits('gus', (SELECT max(transaction_id) FROM credit_transactions WHERE user_id = 'gus'), 50) ->> 'balance' AS refunded;
SELECT refund_credits('gus', 4, 20) ->> 'balance' AS refunded;
SELECT * FROM t.use(60);
SELECT * FROM t.use(51);
SELECT * FROM t.use(9);
SELECT grant_credits('gus', 90) ->> 'balance' AS balance;
SELECT * FROM t.use(85);
SELECT grant_credits('gus', 1000) ->> 'balance' AS balance;
SELECT * FROM t.use(1000);
SELECT * FROM t.low('gus');
SELECT low_told FROM credit_accounts WHERE user_id = 'gus';
-- What lapses when the next credits start leaves nobody without; what is taken back does.
SELECT grant_credits('hal', 500, expires_at => now() + interval '1 hour') ->> 'balance' AS balance, grant_credits('hal', 500, effective_at => now() + interval '1 hour') ->> 'balance' AS balance;
CREATE PROCEDURE t.later() LANGUAGE sql AS $$
UPDATE credit_accounts SET next_due_at = next_due_at - interval '2 hours', last_entry_at = last_entry_at - interval '2 hours' WHERE user_id = 'hal';
UPDATE credit_grants SET effective_at = effective_at - interval '2 hours', expires_at = expires_at - interval '2 hours', created_at = created_at - interval '2 hours' WHERE user_id = 'hal';
$$;
CALL t.later();
SELECT count(*) AS lapsed FROM expire_credits();
SELECT balance FROM credit_accounts WHERE user_id = 'hal';
SELECT key FROM t.low('hal');
SELECT void_grant('hal', 2, 'test') ->> 'balance' AS balance;
SELECT key FROM t.low('hal');
-- Thresholds of one user stand before everybody's.
SELECT set_credits_low_thresholds('ivy', '{5,300,5}', 'asked for'), set_credits_low_thresholds('ivy', '{300,5}', 'again') ->> 'status' AS again;
SELECT grant_credits('ivy', 400) ->> 'balance' AS balance, use_credits_validated('ivy', 200) ->> 'balance' AS left, use_credits_validated('ivy', 150) ->> 'balance' AS left;
SELECT key FROM t.low('ivy');
SELECT set_credits_low_thresholds('ivy', '{}', 'none') -> 'thresholds' AS none, use_credits_validated('ivy', 50) ->> 'balance' AS left, set_credits_low_thresholds('ivy', NULL, 'as all') -> 'thresholds' AS default;
SELECT key FROM t.low('ivy');
SELECT action, reason, details FROM audit_logs WHERE user_id = 'ivy' ORDER BY created_at, details ->> 'new' NULLS LAST;
-- A debit that is undone has told nothing.
SELECT grant_credits('jan', 20) ->> 'balance' AS balance;
BEGIN;
SELECT use_credits_validated('jan', 15) ->> 'balance' AS left;
ROLLBACK;
SELECT count(*) FROM t.low('jan');
