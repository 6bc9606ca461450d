\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- The state of a user, and its reason, for what Stripe's subscriptions can be.
-- One user per case: `status` with replaced members, judged in the middle of the period 2026-01-01 .. 2026-02-01.
CREATE FUNCTION t.case(name text, status text, extra jsonb DEFAULT '{}', version text DEFAULT t.new()) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM t.link(name, 'cus_' || name);
    RETURN process_stripe_event(t.event('evt_' || name, 'customer.subscription.updated', '2026-01-01',
        t.subscription('sub_' || name, 'cus_' || name, status, '2026-01-01', '2026-02-01', extra, version), version)) ->> 'outcome';
END
$$;
CREATE TABLE t.cases AS SELECT * FROM (VALUES
    ('incomplete', 'incomplete', '{}'::jsonb),
    ('incomplete_expired', 'incomplete_expired', '{}'),
    ('trialing', 'trialing', jsonb_build_object('trial_start', t.unix('2026-01-01'), 'trial_end', t.unix('2026-02-01'))),
    ('active', 'active', '{}'),
    ('past_due', 'past_due', '{}'),
    ('unpaid', 'unpaid', '{}'),
    ('paused', 'paused', '{}'),
    ('canceled', 'canceled', jsonb_build_object('canceled_at', t.unix('2026-01-10'), 'ended_at', t.unix('2026-01-10'))),
    ('at_period_end', 'active', jsonb_build_object('cancel_at_period_end', true, 'canceled_at', t.unix('2026-01-10'))),
    ('cancel_at', 'active', jsonb_build_object('cancel_at', t.unix('2026-01-20'))),
    ('trial_at_end', 'trialing', jsonb_build_object('trial_end', t.unix('2026-01-08'), 'cancel_at_period_end', true)),
    ('pause_collection', 'active', '{"pause_collection": {"behavior": "void", "resumes_at": null}}'),
    ('unknown', 'hibernating', '{}'),
    ('no_status', 'active', '{"status": null}')) c(name, status, extra);
SELECT name, t.case(name, status, extra) AS outcome FROM t.cases ORDER BY name COLLATE "C";
SELECT name, s.* FROM t.cases, t.state(name, '2026-01-15') s ORDER BY name COLLATE "C";

-- The same in the shape from before basil.
SELECT t.case('old_active', 'active', '{}', t.old()), t.case('old_past_due', 'past_due', '{}', t.old()),
       t.case('old_at_period_end', 'active', '{"cancel_at_period_end": true}', t.old());
SELECT name, s.* FROM unnest(ARRAY['old_active', 'old_at_period_end', 'old_past_due']) name, t.state(name, '2026-01-15') s ORDER BY name COLLATE "C";
SELECT user_id, current_period_start, current_period_end, items #>> '{0,current_period_end}' AS item_end FROM user_subscriptions WHERE user_id IN ('active', 'old_active') ORDER BY 1;

-- Everything that a state says.
SELECT jsonb_pretty(get_user_subscription_state('active', '2026-01-15'));
SELECT jsonb_pretty(get_user_subscription_state('nobody', '2026-01-15'));

-- Several items: the first is the primary one, the period is the widest, the next renewal the soonest.
SELECT t.link('items', 'cus_items');
SELECT outcome FROM t.process(t.event('evt_items', 'customer.subscription.created', '2026-01-01',
    t.subscription('sub_items', 'cus_items', 'active', '2026-01-01', '2026-02-01', jsonb_build_object('items', t.list(jsonb_build_array(
        t.item('si_1', 'sub_items', t.price('pro', 2900), 1, '2026-01-01', '2027-01-01', t.new()),
        t.item('si_2', 'sub_items', t.price('seat', 500), 7, '2026-01-01', '2026-02-01', t.new())), '/v1/x')))));
SELECT price_id, quantity, current_period_end, next_renewal, jsonb_array_length(items) AS items FROM user_subscriptions WHERE user_id = 'items';
SELECT s ->> 'price_id' AS price_id, s ->> 'plan' AS plan, s ->> 'quantity' AS quantity, s ->> 'renews_at' AS renews_at,
       s #>> '{subscriptions,0,items,1,price_id}' AS second, s #>> '{subscriptions,0,items,1,quantity}' AS quantity
  FROM get_user_subscription_state('items', '2026-01-15') s;

-- Several subscriptions: access is their union, the primary one is the newest of those with access.
SELECT t.link('several', 'cus_s1'), t.link('several', 'cus_s2');
SELECT outcome FROM t.process(
    t.event('evt_s1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_s1', 'cus_s1', 'active', '2026-01-01', '2026-02-01')),
    t.event('evt_s2', 'customer.subscription.created', '2026-01-02', t.subscription('sub_s2', 'cus_s2', 'active', '2026-01-02', '2026-03-02', jsonb_build_object('created', t.unix('2026-01-02')))),
    t.event('evt_s3', 'customer.subscription.created', '2026-01-03', t.subscription('sub_s3', 'cus_s1', 'incomplete', '2026-01-03', '2026-02-03', jsonb_build_object('created', t.unix('2026-01-03')))));
SELECT i.at, s ->> 'stripe_subscription_id' AS "primary", s ->> 'state' AS state, s ->> 'has_access' AS has_access,
       left(s ->> 'access_until', 10) AS until, s ->> 'can_purchase' AS can_purchase,
       (SELECT string_agg(x ->> 'stripe_subscription_id' || '=' || (x ->> 'state'), ' ' ORDER BY n) FROM jsonb_array_elements(s -> 'subscriptions') WITH ORDINALITY e(x, n)) AS subscriptions
  FROM (VALUES (timestamptz '2026-01-15'), ('2026-02-20'), ('2026-06-01')) i(at), LATERAL get_user_subscription_state('several', i.at) s ORDER BY 1;

-- A deleted customer has no access, whatever its subscriptions said last.
SELECT outcome FROM t.process(t.event('evt_d', 'customer.deleted', '2026-01-10', t.customer('cus_active')));
SELECT * FROM t.state('active', '2026-01-15');

-- The three readers agree, and read what this transaction has written.
BEGIN;
SELECT outcome FROM t.process(t.event('evt_r', 'customer.subscription.updated', now(),
    t.subscription('sub_incomplete', 'cus_incomplete', 'active', now() - interval '1 day', now() + interval '1 month')));
SELECT has_active_subscription('incomplete'), require_subscription('incomplete')::text, get_user_subscription_state('incomplete') ->> 'has_access' AS has_access;
ROLLBACK;
SELECT has_active_subscription('incomplete'), has_active_subscription('nobody'), get_user_subscription_state('incomplete') ->> 'has_access' AS has_access;
SELECT * FROM t.refusal($$SELECT require_subscription('incomplete')$$);
SELECT * FROM t.refusal($$SELECT require_subscription('nobody')$$);
