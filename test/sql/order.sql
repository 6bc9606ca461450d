\set ECHO none
\getenv source PG_ABS_SRCDIR
\set payloads :source '/sql/include/payloads.sql'
\i :payloads
\set orders :source '/sql/include/orders.sql'
\i :orders
\set ECHO all
-- The same events in any order give the same database: mirror, links, subscriptions, audit, cache and outcomes.

-- A subscription's beginning, two of its changes within one second.
CALL t.try_orders('beginning', ARRAY[
    t.event('evt_1', 'customer.created', '2026-01-01 09:59:50', t.customer('cus_1')),
    t.event('evt_9', 'customer.subscription.created', '2026-01-01 10:00:00', t.subscription('sub_1', 'cus_1', 'incomplete', '2026-01-01', '2026-02-01')),
    t.event('evt_3', 'customer.subscription.updated', '2026-01-01 10:00:00', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01'),
            previous => '{"status": "incomplete"}'),
    t.event('evt_4', 'checkout.session.completed', '2026-01-01 10:00:01', t.checkout('cs_1', 'cus_1', 'sub_1', 'user_1')),
    t.event('evt_5', 'invoice.paid', '2026-01-01 10:00:01', t.invoice('in_1', 'sub_1', 'cus_1', 'paid', '2026-01-01', '2026-02-01'))]);
SELECT * FROM t.verdict('beginning');
SELECT status, paid_through, ambiguous FROM user_subscriptions;

-- Its end: what is deleted stays deleted, however late and however new an update is.
CALL t.try_orders('end', ARRAY[
    t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"metadata": {"user_id": "user_1"}}')),
    t.event('evt_2', 'customer.subscription.updated', '2026-01-10', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"metadata": {"user_id": "user_1"}, "cancel_at_period_end": true}')),
    t.event('evt_3', 'customer.subscription.deleted', '2026-01-20', t.subscription('sub_1', 'cus_1', 'canceled', '2026-01-01', '2026-02-01',
            jsonb_build_object('ended_at', t.unix('2026-01-20'), 'metadata', '{"user_id": "user_1"}'::jsonb))),
    t.event('evt_4', 'customer.subscription.updated', '2026-01-21', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"metadata": {"user_id": "user_1"}}'))]);
SELECT * FROM t.verdict('end');
SELECT status, ended_at FROM user_subscriptions;
SELECT deleted, event_id FROM stripe_objects WHERE object_id = 'sub_1';

-- The customer is deleted.
CALL t.try_orders('deleted customer', ARRAY[
    t.event('evt_1', 'customer.created', '2026-01-01', t.customer('cus_1')),
    t.event('evt_2', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01')),
    t.event('evt_3', 'checkout.session.completed', '2026-01-01', t.checkout('cs_1', 'cus_1', 'sub_1', 'user_1')),
    t.event('evt_4', 'customer.deleted', '2026-01-20', t.customer('cus_1')),
    t.event('evt_5', 'customer.updated', '2026-01-21', t.customer('cus_1', '{"name": "Grace"}'))]);
SELECT * FROM t.verdict('deleted customer');
SELECT customer_deleted FROM user_subscriptions;

-- Three changes within one second, of which the events do not tell the order: the same one wins, and is marked.
CALL t.try_orders('one second', ARRAY[
    t.event('evt_0', 'customer.subscription.created', '2026-01-10', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"metadata": {"user_id": "user_1"}}')),
    t.event('evt_1', 'customer.subscription.updated', '2026-01-10', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"metadata": {"user_id": "user_1", "seats": "1"}}')),
    t.event('evt_2', 'customer.subscription.updated', '2026-01-10', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"metadata": {"user_id": "user_1", "seats": "2"}}')),
    t.event('evt_3', 'customer.subscription.updated', '2026-01-10', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"metadata": {"user_id": "user_1", "seats": "1"}}')),
    t.event('evt_4', 'customer.updated', '2026-01-10', t.customer('cus_1'))]);
SELECT * FROM t.verdict('one second');
SELECT ambiguous, metadata FROM user_subscriptions;

-- An invoice that was paid and refunded pays for nothing. Before basil the charge names the invoice ...
CALL t.try_orders('refund, old shape', ARRAY[
    t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"metadata": {"user_id": "user_1"}}', t.old()), t.old()),
    t.event('evt_2', 'invoice.paid', '2026-01-01', t.invoice('in_1', 'sub_1', 'cus_1', 'paid', '2026-01-01', '2026-02-01', '{}', t.old()), t.old()),
    t.event('evt_3', 'charge.succeeded', '2026-01-01', t.charge('ch_in_1', 'cus_1', '{"invoice": "in_1"}'), t.old()),
    t.event('evt_4', 'charge.refunded', '2026-01-05', t.charge('ch_in_1', 'cus_1', '{"invoice": "in_1", "refunded": true, "amount_refunded": 2900}'), t.old())]);
SELECT * FROM t.verdict('refund, old shape');
SELECT paid_through FROM user_subscriptions;
-- ... since basil an invoice payment is between them, which does not name the customer.
CALL t.try_orders('refund, new shape', ARRAY[
    t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"metadata": {"user_id": "user_1"}}')),
    t.event('evt_2', 'invoice.paid', '2026-01-01', t.invoice('in_1', 'sub_1', 'cus_1', 'paid', '2026-01-01', '2026-02-01')),
    t.event('evt_3', 'invoice_payment.paid', '2026-01-01', '{"id": "inpay_1", "object": "invoice_payment", "amount_paid": 2900, "amount_requested": 2900, "created": 1767225600, "currency": "eur", "invoice": "in_1", "is_default": true, "livemode": false, "payment": {"payment_intent": "pi_1", "type": "payment_intent"}, "status": "paid", "status_transitions": {"canceled_at": null, "paid_at": 1767225600}}'),
    t.event('evt_4', 'charge.refunded', '2026-01-05', t.charge('ch_1', 'cus_1', '{"payment_intent": "pi_1", "refunded": true, "amount_refunded": 2900}'))]);
SELECT * FROM t.verdict('refund, new shape');
SELECT paid_through FROM user_subscriptions;

-- A schedule says what changes next.
CALL t.try_orders('schedule', ARRAY[
    t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"metadata": {"user_id": "user_1"}}')),
    t.event('evt_2', 'customer.subscription.updated', '2026-01-02', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"metadata": {"user_id": "user_1"}, "schedule": "sub_sched_1"}')),
    t.event('evt_3', 'subscription_schedule.created', '2026-01-02', jsonb_build_object('id', 'sub_sched_1', 'object', 'subscription_schedule', 'customer', 'cus_1',
            'current_phase', jsonb_build_object('start_date', t.unix('2026-01-01'), 'end_date', t.unix('2026-02-01')), 'status', 'active', 'subscription', 'sub_1',
            'phases', jsonb_build_array(jsonb_build_object('start_date', t.unix('2026-01-01'), 'end_date', t.unix('2026-02-01'), 'items', '[{"price": "price_pro", "quantity": 1}]'::jsonb),
                                        jsonb_build_object('start_date', t.unix('2026-02-01'), 'end_date', t.unix('2026-03-01'), 'items', '[{"price": "price_basic", "quantity": 2}]'::jsonb)))),
    t.event('evt_4', 'customer.created', '2026-01-01', t.customer('cus_1'))]);
SELECT * FROM t.verdict('schedule');
SELECT schedule_id, scheduled_change FROM user_subscriptions;
-- One of which it is not known what it says last makes the change uncertain, until a later event tells.
CREATE FUNCTION t.schedule(quantity integer) RETURNS jsonb LANGUAGE sql AS $$
SELECT jsonb_build_object(
           'id', 'sub_sched_1', 'object', 'subscription_schedule', 'customer', 'cus_1', 'status', 'active', 'subscription', 'sub_1',
           'current_phase', jsonb_build_object('start_date', t.unix('2026-01-01'), 'end_date', t.unix('2026-02-01')),
           'phases', jsonb_build_array(jsonb_build_object('start_date', t.unix('2026-02-01'), 'end_date', t.unix('2026-03-01'),
                                                          'items', jsonb_build_array(jsonb_build_object('price', 'price_basic', 'quantity', quantity)))))
$$;
CALL t.try_orders('uncertain schedule', ARRAY[
    t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"metadata": {"user_id": "user_1"}, "schedule": "sub_sched_1"}')),
    t.event('evt_2', 'subscription_schedule.updated', '2026-01-02', t.schedule(2)),
    t.event('evt_3', 'subscription_schedule.updated', '2026-01-02', t.schedule(3))]);
SELECT * FROM t.verdict('uncertain schedule');
SELECT u.ambiguous, s.ambiguous AS mirror FROM user_subscriptions u JOIN stripe_objects s ON s.object_id = u.stripe_subscription_id;
SELECT get_user_subscription_state('user_1') -> 'ambiguous' AS ambiguous;
SELECT outcome FROM t.process(t.event('evt_4', 'subscription_schedule.updated', '2026-01-03', t.schedule(4)));
SELECT ambiguous, scheduled_change ->> 'quantity' AS quantity FROM user_subscriptions;

-- A downgrade in the portal: a schedule, told of before or after its subscription, that begins its next phase and is released.
CREATE FUNCTION t.phase(price text, starts timestamptz, ends timestamptz, quantity integer DEFAULT 1) RETURNS jsonb LANGUAGE sql AS $$
SELECT jsonb_build_object('start_date', t.unix(starts), 'end_date', t.unix(ends), 'metadata', '{}'::jsonb, 'items', jsonb_build_array(jsonb_build_object('price', price, 'quantity', quantity)))
$$;
CREATE FUNCTION t.downgrade(status text, starts timestamptz, ends timestamptz) RETURNS jsonb LANGUAGE sql AS $$
SELECT jsonb_build_object('id', 'sub_sched_1', 'object', 'subscription_schedule', 'customer', 'cus_1', 'status', status, 'end_behavior', 'release',
           'subscription', CASE status WHEN 'released' THEN NULL ELSE 'sub_1' END, 'released_subscription', CASE status WHEN 'released' THEN 'sub_1' END,
           'current_phase', CASE status WHEN 'active' THEN jsonb_build_object('start_date', t.unix(starts), 'end_date', t.unix(ends)) END,
           'phases', jsonb_build_array(t.phase('price_pro', '2026-01-01', '2031-02-01'), t.phase('price_pro', '2031-02-01', '2031-03-01'), t.phase('price_basic', '2031-03-01', '2031-04-01')))
$$;
CALL t.try_orders('downgrade', ARRAY[
    t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2031-02-01', '{"metadata": {"user_id": "user_1"}}')),
    t.event('evt_2', 'subscription_schedule.created', '2026-01-02', t.downgrade('active', '2026-01-01', '2031-02-01')),
    t.event('evt_3', 'customer.subscription.updated', '2026-01-03', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2031-02-01', '{"metadata": {"user_id": "user_1"}, "schedule": "sub_sched_1"}')),
    t.event('evt_4', 'subscription_schedule.updated', '2026-01-04', t.downgrade('active', '2031-02-01', '2031-03-01'))]);
SELECT * FROM t.verdict('downgrade');
SELECT s -> 'price_id' AS price_id, s -> 'scheduled_change' AS change FROM get_user_subscription_state('user_1') s;
-- A schedule may be told of before its subscription says so; its release clears what it said, and so does the subscription.
CALL t.forget();
SELECT outcome FROM t.process(
    t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2031-02-01', '{"metadata": {"user_id": "user_1"}}')),
    t.event('evt_2', 'subscription_schedule.created', '2026-01-02', t.downgrade('active', '2026-01-01', '2031-02-01')));
SELECT get_user_subscription_state('user_1') #>> '{scheduled_change,price_id}' AS early;
SELECT outcome FROM t.process(t.event('evt_3', 'customer.subscription.updated', '2026-01-03', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2031-02-01', '{"metadata": {"user_id": "user_1"}}')));
SELECT get_user_subscription_state('user_1') -> 'scheduled_change' AS withdrawn;
SELECT outcome FROM t.process(t.event('evt_4', 'customer.subscription.updated', '2026-01-04', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2031-02-01', '{"metadata": {"user_id": "user_1"}, "schedule": "sub_sched_1"}')),
                              t.event('evt_5', 'subscription_schedule.released', '2026-01-05', t.downgrade('released', NULL, NULL)));
SELECT get_user_subscription_state('user_1') -> 'scheduled_change' AS released;
-- The price that is coming has a plan; nothing of it holds before the subscription's own event.
SELECT upsert_plan('{"id": "pro", "rank": 2, "prices": [{"price_id": "price_pro"}], "features": {"exports": true}}') ->> 'id' AS pro, upsert_plan('{"id": "basic", "prices": [{"price_id": "price_basic"}]}') ->> 'id' AS basic;
SELECT outcome FROM t.process(t.event('evt_6', 'customer.subscription.updated', '2026-01-06', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2031-02-01', '{"metadata": {"user_id": "user_1"}, "schedule": "sub_sched_2"}')),
    t.event('evt_7', 'subscription_schedule.created', '2026-01-06', t.downgrade('active', '2026-01-01', '2031-02-01') || '{"id": "sub_sched_2"}'));
SELECT s -> 'plan' AS plan, s #> '{scheduled_change,plan}' AS coming, s #> '{scheduled_change,effective_at}' AS at FROM get_user_subscription_state('user_1') s;
SELECT s -> 'scheduled_change' AS change, s -> 'plan' AS plan FROM get_user_subscription_state('user_1', '2031-03-01') s;
-- A schedule that cancels, and an update that waits for its payment.
SELECT outcome FROM t.process(t.event('evt_8', 'subscription_schedule.updated', '2026-01-07', t.downgrade('active', '2031-03-01', '2031-04-01') || '{"id": "sub_sched_2", "end_behavior": "cancel"}'));
SELECT get_user_subscription_state('user_1') -> 'scheduled_change' AS change;
SELECT outcome FROM t.process(t.event('evt_9', 'customer.subscription.updated', '2026-01-08', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2031-02-01', jsonb_build_object('pending_update',
    jsonb_build_object('expires_at', t.unix('2031-01-10'), 'subscription_items', '[{"id": "si_1", "price": {"id": "price_max", "object": "price", "lookup_key": "max"}, "quantity": 2}]'::jsonb)))));
SELECT get_user_subscription_state('user_1') -> 'scheduled_change' AS change;

-- Two customers of one user, whom several objects name; one link each, with its strongest evidence.
CALL t.try_orders('evidence', ARRAY[
    t.event('evt_1', 'customer.created', '2026-01-01', t.customer('cus_1', '{"metadata": {"user_id": "user_1"}}')),
    t.event('evt_2', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"metadata": {"user_id": "user_1"}}')),
    t.event('evt_3', 'checkout.session.completed', '2026-01-01', t.checkout('cs_1', 'cus_1', 'sub_1', 'user_1')),
    t.event('evt_4', 'customer.subscription.created', '2026-01-03', t.subscription('sub_2', 'cus_2', 'trialing', '2026-01-03', '2026-02-03', '{"metadata": {"user_id": "user_1"}}'))]);
SELECT * FROM t.verdict('evidence');
SELECT stripe_customer_id, user_id, source FROM stripe_customer_links ORDER BY 1;
