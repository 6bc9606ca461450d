\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Mode and scope are enforced in the extension: what is not ours is stored without effect, and can be replayed.
SELECT t.link('user_1', 'cus_1');
CREATE FUNCTION t.live_event(id text, created timestamptz) RETURNS text LANGUAGE sql AS $$
SELECT t.event(id, 'customer.subscription.created', created,
               t.subscription('sub_live', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"livemode": true}'), extra => '{"livemode": true}')
$$;
SELECT * FROM t.process(t.live_event('evt_live', '2026-01-01'),
    t.event('evt_test', 'customer.subscription.created', '2026-01-01', t.subscription('sub_test', 'cus_1', 'active', '2026-01-01', '2026-02-01')));
SELECT stripe_event_id, livemode, processed, outcome, error, retry_count FROM stripe_events ORDER BY 1;
SELECT object_id FROM stripe_objects;
SELECT stripe_subscription_id, livemode FROM user_subscriptions;
SELECT count(*) FROM stripe_event_payloads;
SELECT state, has_access FROM t.state('user_1', '2026-01-15');
-- A link is not made by the other mode either.
SELECT outcome FROM t.process(t.event('evt_live_2', 'checkout.session.completed', '2026-01-01', t.checkout('cs_1', 'cus_9', 'sub_9', 'user_9'), extra => '{"livemode": true}'));
SELECT count(*) FROM stripe_customer_links WHERE stripe_customer_id = 'cus_9';

-- The switch: what was bought with a test card gives nothing in live mode, nor the other way round.
SELECT set_billing_setting('mode', 'live', 'launch');
SELECT has_access, state FROM t.state('user_1', '2026-01-15');
SELECT outcome, error FROM t.process(t.event('evt_test_2', 'product.created', '2026-01-01', t.product('prod_1', 'One')));
SELECT replay_stripe_event('evt_live') ->> 'outcome' AS outcome;
SELECT s ->> 'has_access' AS has_access, s ->> 'livemode' AS livemode, s ->> 'stripe_subscription_id' AS subscription, jsonb_array_length(s -> 'subscriptions') AS subscriptions
  FROM get_user_subscription_state('user_1', '2026-01-15') s;
SELECT replay_stripe_event('evt_test') ->> 'outcome' AS outcome;
SELECT set_billing_setting('mode', 'test', 'back');
SELECT s ->> 'has_access' AS has_access, s ->> 'livemode' AS livemode, s ->> 'stripe_subscription_id' AS subscription, jsonb_array_length(s -> 'subscriptions') AS subscriptions
  FROM get_user_subscription_state('user_1', '2026-01-15') s;
SELECT ingest_metrics() ->> 'mode' AS mode, explain_user('user_1') ->> 'mode' AS mode;

-- Scope: products or metadata that are ours.
SELECT set_billing_setting('scope', '{"products": ["prod_pro"], "metadata": {"app": "shop"}}', 'two shops in one account');
CREATE FUNCTION t.theirs(id text, extra jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
SELECT t.subscription(id, 'cus_1', 'active', '2026-01-01', '2026-02-01',
    jsonb_build_object('items', t.list(jsonb_build_array(t.item('si_1', id, t.price('other', 100), 1, '2026-01-01', '2026-02-01', t.new())), '/x')) || extra)
$$;
SELECT * FROM t.process(
    t.event('evt_s1', 'customer.subscription.created', '2026-01-02', t.theirs('sub_theirs')),
    t.event('evt_s2', 'customer.subscription.created', '2026-01-02', t.theirs('sub_ours', '{"metadata": {"app": "shop"}}')),
    t.event('evt_s3', 'customer.subscription.created', '2026-01-02', t.theirs('sub_other_app', '{"metadata": {"app": "blog"}}')),
    t.event('evt_s4', 'customer.subscription.created', '2026-01-02', t.subscription('sub_pro', 'cus_1', 'active', '2026-01-01', '2026-02-01')),
    t.event('evt_s5', 'invoice.paid', '2026-01-02', t.invoice('in_pro', 'sub_pro', 'cus_1', 'paid', '2026-01-01', '2026-02-01')),
    t.event('evt_s6', 'invoice.paid', '2026-01-02', t.invoice('in_pro_old', 'sub_pro', 'cus_1', 'paid', '2026-01-01', '2026-02-01', '{}', t.old()), t.old()),
    t.event('evt_s7', 'product.created', '2026-01-02', t.product('prod_other', 'Other')));
SELECT stripe_subscription_id FROM user_subscriptions WHERE stripe_subscription_id NOT IN ('sub_live', 'sub_test') ORDER BY 1;
-- The payload of what is not ours is not kept: it is other people's.
SELECT e.stripe_event_id, processed, outcome, p.payload IS NOT NULL AS payload_kept FROM stripe_events e LEFT JOIN stripe_event_payloads p USING (stripe_event_id)
 WHERE e.stripe_event_id LIKE 'evt_s%' ORDER BY 1;
SELECT outcome FROM t.process(t.event('evt_s1', 'customer.subscription.created', '2026-01-02', t.theirs('sub_theirs')));
SELECT set_billing_setting('scope', NULL, 'one shop');
