\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Payments of guests, whom Stripe has no customer for: the payment intent stands for the payer.
SELECT set_billing_setting('grants_since', '2020-01-01T00:00:00Z', 'test') \gset
CREATE FUNCTION t.pack(id text, intent text, extra jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
SELECT jsonb_build_object('id', id, 'object', 'checkout.session', 'mode', 'payment', 'status', 'complete', 'payment_status', 'paid',
                          'customer', NULL, 'payment_intent', intent, 'created', t.unix('2026-01-01'), 'livemode', false,
                          'amount_total', 2000, 'currency', 'eur', 'metadata', '{"credits": "250"}'::jsonb) || extra
$$;
CREATE FUNCTION t.guest_charge(id text, intent text, extra jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
SELECT jsonb_build_object('id', id, 'object', 'charge', 'customer', NULL, 'payment_intent', intent, 'amount', 2000,
                          'amount_captured', 2000, 'amount_refunded', 0, 'refunded', false, 'captured', true, 'paid', true,
                          'status', 'succeeded', 'currency', 'eur', 'livemode', false, 'metadata', '{}'::jsonb) || extra
$$;

-- Named by the checkout, and refunded by half.
SELECT outcome FROM t.process(
    t.event('evt_1', 'checkout.session.completed', '2026-01-01', t.pack('cs_1', 'pi_1', '{"client_reference_id": "user_ada"}')),
    t.event('evt_2', 'charge.refunded', '2026-01-02', t.guest_charge('ch_1', 'pi_1', '{"amount_refunded": 1000}')));
SELECT stripe_customer_id, user_id, source, event_id FROM stripe_customer_links;
SELECT object_type, object_id, stripe_customer_id FROM stripe_objects ORDER BY 1;
SELECT get_credit_balance('user_ada') -> 'balance' AS balance;

-- Nobody's, until somebody says whose.
SELECT outcome, error FROM t.process(t.event('evt_3', 'checkout.session.completed', '2026-01-01', t.pack('cs_2', 'pi_2')));
SELECT link_stripe_customer('user_bob', 'pi_2');
SELECT get_credit_balance('user_bob') -> 'balance' AS balance;
SELECT link_stripe_customer('user_ada', 'pi_2');
-- A charge without an intent, and a free session, stand for themselves.
SELECT outcome FROM t.process(
    t.event('evt_4', 'charge.succeeded', '2026-01-01', t.guest_charge('ch_3', NULL, '{"metadata": {"user_id": "user_cy"}}')),
    t.event('evt_5', 'checkout.session.completed', '2026-01-01',
            t.pack('cs_4', NULL, '{"payment_status": "no_payment_required", "client_reference_id": "user_dan"}')));
SELECT stripe_customer_id, user_id, source FROM stripe_customer_links WHERE user_id IN ('user_cy', 'user_dan') ORDER BY 2;

-- What is no payer at all.
SELECT link_stripe_customer('user_ada', 'in_1');
SELECT link_stripe_customer('user_ada', 'pi_');

-- A pack whose price nobody has told of waits for it, is counted, and is given up in the end; it still counts when it comes.
SELECT outcome, error FROM t.process(t.event('evt_6', 'checkout.session.completed', '2026-01-01',
    t.pack('cs_5', 'pi_5', '{"client_reference_id": "user_eve", "metadata": {"price_id": "price_pack"}}')));
-- So does a dispute of what was never told of.
SELECT outcome, error FROM t.process(t.event('evt_7', 'charge.dispute.created', '2026-01-03',
    '{"id": "dp_1", "object": "dispute", "charge": "ch_9", "payment_intent": "pi_9", "status": "needs_response", "amount": 2000}'));
SELECT stripe_event_id, waiting_for, next_retry_at > now() + interval '89 days' AS waits FROM stripe_events WHERE NOT processed ORDER BY 1;
SELECT ingest_metrics() -> 'parked' AS parked;
UPDATE stripe_events SET created_at = now() - interval '91 days', next_retry_at = now() - interval '1 hour' WHERE NOT processed;
SELECT stripe_event_id, outcome, error FROM retry_stripe_events() ORDER BY 1;
SELECT m -> 'parked' AS parked, m -> 'failed' AS failed, m -> 'given_up' AS given_up FROM ingest_metrics() m;
SELECT * FROM retry_stripe_events();
SELECT outcome FROM t.process(
    t.event('evt_8', 'price.created', '2026-01-04', t.price('pack', 2000) || '{"metadata": {"credits": "70"}, "recurring": null}'),
    t.event('evt_9', 'payment_intent.succeeded', '2026-01-04', '{"id": "pi_9", "object": "payment_intent", "customer": null, "amount": 2000}'));
-- What is due is no difference.
SELECT * FROM rebuild_billing_state();
SELECT stripe_event_id, outcome, error FROM retry_stripe_events() ORDER BY 1;
SELECT get_credit_balance('user_eve') -> 'balance' AS balance;
SELECT * FROM rebuild_billing_state();
