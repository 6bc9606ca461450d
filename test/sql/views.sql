\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- One view per object that people query, the same columns whatever API version a snapshot came in.
SELECT t.link('user_1', 'cus_1');
SELECT DISTINCT outcome FROM t.process(
    t.event('evt_1', 'product.created', '2026-01-01', t.product('prod_pro', 'Pro')),
    t.event('evt_2', 'price.created', '2026-01-01', t.price('pro', 2900)),
    t.event('evt_3', 'plan.created', '2026-01-01', '{"id": "plan_old", "object": "plan", "active": true, "amount": 900, "currency": "eur", "interval": "month", "interval_count": 3, "nickname": "Old", "product": "prod_pro", "usage_type": "licensed", "created": 1500000000, "metadata": {}}', '2017-08-15'),
    t.event('evt_4', 'customer.created', '2026-01-01', t.customer('cus_1', '{"invoice_settings": {"default_payment_method": "pm_1"}, "metadata": {"k": "v"}}')),
    t.event('evt_5', 'customer.created', '2026-01-01', t.customer('cus_2', '{"default_source": {"id": "card_1", "object": "card"}}')),
    t.event('evt_6', 'customer.deleted', '2026-01-02', t.customer('cus_2')),
    t.event('evt_7', 'customer.subscription.created', '2026-01-01', t.subscription('sub_new', 'cus_1', 'active', '2026-01-01', '2026-02-01',
            '{"pause_collection": {"behavior": "keep_as_draft", "resumes_at": 1769904000}, "latest_invoice": {"id": "in_new", "object": "invoice"}, "schedule": "sub_sched_1"}')),
    t.event('evt_8', 'customer.subscription.created', '2026-01-01', t.subscription('sub_old', 'cus_1', 'trialing', '2026-01-01', '2026-02-01',
            jsonb_build_object('trial_end', t.unix('2026-02-01'), 'cancel_at', t.unix('2026-03-01')), t.old()), t.old()),
    -- The oldest shape: one plan and one quantity on the subscription itself.
    t.event('evt_9', 'customer.subscription.created', '2026-01-01', jsonb_build_object('id', 'sub_oldest', 'object', 'subscription', 'customer', 'cus_1', 'status', 'active',
            'current_period_start', t.unix('2026-01-01'), 'current_period_end', t.unix('2026-02-01'), 'quantity', 3, 'created', t.unix('2026-01-01'), 'metadata', '{}'::jsonb,
            'plan', '{"id": "plan_old", "object": "plan", "amount": 900, "currency": "eur", "interval": "month", "product": "prod_pro"}'::jsonb), '2014-01-31'),
    t.event('evt_10', 'invoice.paid', '2026-01-01', t.invoice('in_new', 'sub_new', 'cus_1', 'paid', '2026-01-01', '2026-02-01')),
    t.event('evt_11', 'invoice.payment_failed', '2026-01-01', t.invoice('in_old', 'sub_old', 'cus_1', 'open', '2026-01-01', '2026-02-01', '{"subscription_details": {"metadata": {"k": "v"}}}', t.old()), t.old()),
    t.event('evt_12', 'payment_intent.succeeded', '2026-01-01', '{"id": "pi_1", "object": "payment_intent", "amount": 2900, "amount_received": 2900, "currency": "eur", "customer": "cus_1", "latest_charge": "ch_1", "payment_method": "pm_1", "status": "succeeded", "created": 1767225600, "metadata": {}}'),
    t.event('evt_13', 'payment_intent.payment_failed', '2026-01-01', '{"id": "pi_2", "object": "payment_intent", "amount": 2900, "currency": "eur", "customer": "cus_1", "invoice": "in_old", "charges": {"object": "list", "data": [{"id": "ch_2", "object": "charge"}]}, "last_payment_error": {"code": "card_declined"}, "status": "requires_payment_method", "created": 1767225600, "metadata": {}}', t.old()),
    t.event('evt_14', 'charge.succeeded', '2026-01-01', t.charge('ch_1', 'cus_1', '{"payment_intent": "pi_1"}')),
    t.event('evt_15', 'charge.failed', '2026-01-01', t.charge('ch_2', 'cus_1', '{"invoice": "in_old", "status": "failed", "paid": false, "failure_code": "card_declined"}'), t.old()),
    t.event('evt_16', 'refund.created', '2026-01-05', '{"id": "re_1", "object": "refund", "amount": 1000, "charge": "ch_1", "currency": "eur", "payment_intent": "pi_1", "reason": "requested_by_customer", "status": "succeeded", "created": 1767571200, "metadata": {}}'),
    t.event('evt_17', 'charge.dispute.created', '2026-01-06', '{"id": "dp_1", "object": "dispute", "amount": 2900, "charge": "ch_1", "currency": "eur", "evidence_details": {"due_by": 1769904000}, "payment_intent": "pi_1", "reason": "fraudulent", "status": "needs_response", "created": 1767657600, "metadata": {}}'),
    t.event('evt_18', 'checkout.session.completed', '2026-01-01', t.checkout('cs_1', 'cus_1', 'sub_new', 'user_1')),
    t.event('evt_19', 'payment_method.attached', '2026-01-01', '{"id": "pm_1", "object": "payment_method", "card": {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030}, "customer": "cus_1", "type": "card", "created": 1767225600, "metadata": {}}'),
    t.event('evt_20', 'subscription_schedule.created', '2026-01-01', '{"id": "sub_sched_1", "object": "subscription_schedule", "customer": "cus_1", "subscription": "sub_new", "status": "active", "end_behavior": "release", "current_phase": {"start_date": 1767225600, "end_date": 1769904000}, "phases": [], "created": 1767225600, "metadata": {}}'));

SELECT id, deleted, email, default_payment_method_id, delinquent, metadata, created FROM stripe_customers ORDER BY id;
SELECT id, name, active, created FROM stripe_products;
SELECT id, product_id, lookup_key, nickname, active, currency, unit_amount, "interval", interval_count, usage_type FROM stripe_prices ORDER BY id;
SELECT id, customer_id, status, current_period_start, current_period_end, trial_end, cancel_at_period_end, cancel_at, pause_behavior, pause_resumes_at, latest_invoice_id, schedule_id
  FROM stripe_subscriptions ORDER BY id;
SELECT id, subscription_id, customer_id, position, price_id, product_id, quantity, current_period_start, current_period_end FROM stripe_subscription_items ORDER BY subscription_id;
SELECT id, customer_id, subscription_id, status, paid, total, amount_due, amount_paid, amount_remaining, attempt_count, period_start, paid_at, subscription_metadata FROM stripe_invoices ORDER BY id;
SELECT id, customer_id, status, amount, amount_received, latest_charge_id, invoice_id, payment_method_id, last_error_code FROM stripe_payment_intents ORDER BY id;
SELECT id, customer_id, status, amount, amount_refunded, paid, refunded, disputed, payment_intent_id, invoice_id, failure_code FROM stripe_charges ORDER BY id;
SELECT id, status, amount, currency, charge_id, payment_intent_id, reason FROM stripe_refunds;
SELECT id, status, amount, charge_id, payment_intent_id, reason, evidence_due_by FROM stripe_disputes;
SELECT id, customer_id, mode, status, payment_status, client_reference_id, customer_email, subscription_id, amount_total, expires_at FROM stripe_checkout_sessions;
SELECT id, customer_id, type, card_brand, card_last4, card_exp_month, card_exp_year FROM stripe_payment_methods;
SELECT id, customer_id, subscription_id, status, end_behavior, current_phase_start, current_phase_end FROM stripe_subscription_schedules;
SELECT count(*) FROM stripe_webhook_endpoints;

-- One odd object breaks no view: fields of other types are null.
SELECT kind, p.outcome, p.error
  FROM unnest(ARRAY['customer', 'product', 'price', 'plan', 'subscription', 'invoice', 'payment_intent', 'charge', 'refund', 'dispute', 'checkout.session',
                    'payment_method', 'subscription_schedule', 'webhook_endpoint']) kind,
       t.process(t.event('evt_odd_' || kind, kind || '.created', '2026-01-01', jsonb_build_object('id', 'odd_' || kind, 'object', kind,
           'created', 'yesterday', 'amount', 'much', 'amount_due', 1e30, 'unit_amount', 2.5, 'total', -1e30, 'items', 'none', 'metadata', 7, 'card', 'visa',
           'status', '{"a": 1}'::jsonb, 'paid', 'yes', 'trial_end', -5, 'cancel_at', 1e18, 'ended_at', 1.5, 'pause_collection', 3, 'product', '[]'::jsonb,
           'recurring', 'monthly', 'default_source', 5, 'lines', '{"data": {}}'::jsonb, 'parent', 'x', 'current_phase', '[]'::jsonb, 'deleted', 'no'))) p;
CREATE PROCEDURE t.read_all() LANGUAGE plpgsql AS $$
DECLARE
    item text;
    line record;
    n    bigint;
BEGIN
    FOR item IN SELECT relname FROM pg_class WHERE relkind = 'v' AND relname LIKE 'stripe\_%' AND relnamespace = 'public'::regnamespace ORDER BY relname COLLATE "C" LOOP
        n := 0;
        FOR line IN EXECUTE format('SELECT v.*, v::text FROM %I v', item) LOOP
            n := n + 1;
        END LOOP;
        RAISE NOTICE '%: %', item, n;
    END LOOP;
END
$$;
SET client_min_messages = notice;
CALL t.read_all();
SET client_min_messages = warning;
SELECT id, status, created, amount_due, total FROM stripe_invoices WHERE id LIKE 'odd%';
SELECT id, unit_amount, product_id FROM stripe_prices WHERE id LIKE 'odd%' ORDER BY id;
-- Placeholders are not objects.
INSERT INTO stripe_objects (livemode, object_type, object_id) VALUES (false, 'customer', 'cus_placeholder');
SELECT count(*) FROM stripe_customers WHERE id = 'cus_placeholder';

-- What the views are made of.
SELECT v, stripe_time(v) AS time, stripe_id(v) AS id, stripe_integer(v) AS integer, stripe_flag(v) AS flag
  FROM unnest(ARRAY['0', '1767225600', '1767225600.5', '-1', '253402300799', '253402300800', '1e30', '2.5', '9223372036854775806', '9223372036854775807', '9223372036854775808',
                    '-9223372036854775807', '"x"', '{"id": "x"}', '{"id": null}', '{}', '["x"]', 'true', 'false', 'null', NULL]::jsonb[]) v;
