\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- What is told of a user's access: what differs from what was told before, once, in the event's own transaction.
CREATE VIEW t.told AS SELECT user_id, kind, dedupe_key, payload, event_id, created_at FROM billing_notifications;
CREATE FUNCTION t.news(of_user text, after bigint DEFAULT 0) RETURNS TABLE (n bigint, kind text, plan text, price text, quantity text, ends text, before text, reason text, event_id text) LANGUAGE sql AS $$
SELECT (payload ->> 'sequence')::bigint, kind, payload ->> 'plan', payload ->> 'price_id', payload ->> 'quantity', payload ->> 'ends_at' IS NOT NULL,
       payload #>> '{before,price_id}', payload ->> 'reason', event_id
  FROM t.told WHERE user_id = of_user AND payload ? 'sequence' AND (payload ->> 'sequence')::bigint > after ORDER BY 1
$$;
CREATE FUNCTION t.month(status text, extra jsonb DEFAULT '{}', id text DEFAULT 'sub_1', customer text DEFAULT 'cus_1') RETURNS jsonb LANGUAGE sql AS $$
SELECT t.subscription(id, customer, status, date_trunc('second', now()) - interval '1 day', date_trunc('second', now()) + interval '29 days', jsonb_build_object('created', t.unix(now())) || extra)
$$;
CREATE FUNCTION t.at(seconds integer) RETURNS timestamptz LANGUAGE sql AS $$SELECT date_trunc('second', now()) + seconds * interval '1 second'$$;
SELECT t.link('ada', 'cus_1');
SELECT outcome FROM t.process(t.event('evt_1', 'customer.subscription.created', t.at(0), t.month('incomplete')));
SELECT count(*) AS nothing_gained FROM billing_notifications;
SELECT outcome FROM t.process(t.event('evt_2', 'customer.subscription.updated', t.at(1), t.month('active')));
SELECT * FROM t.news('ada');
-- A duplicate, a late event, a replay and a rebuild tell nothing.
SELECT outcome FROM t.process(t.event('evt_2', 'customer.subscription.updated', t.at(1), t.month('active')));
SELECT outcome FROM t.process(t.event('evt_1b', 'customer.subscription.updated', t.at(0), t.month('past_due')));
SELECT replay_stripe_event('evt_1') ->> 'outcome' AS replayed, (SELECT count(*) FROM rebuild_billing_state(true)) AS rebuilt;
UPDATE user_subscriptions SET status = 'unpaid';
SELECT count(*) AS repaired FROM rebuild_billing_state(true) WHERE repaired;
SELECT * FROM t.news('ada', 1);
-- Ending, taken back, another price, more of it: each once.
SELECT outcome FROM t.process(t.event('evt_3', 'customer.subscription.updated', t.at(3), t.month('active', '{"cancel_at_period_end": true}')));
SELECT outcome FROM t.process(t.event('evt_4', 'customer.subscription.updated', t.at(4), t.month('active', '{"cancel_at_period_end": true, "metadata": {"a": "b"}}')));
SELECT outcome FROM t.process(t.event('evt_5', 'customer.subscription.updated', t.at(5), t.month('active')));
SELECT outcome FROM t.process(t.event('evt_6', 'customer.subscription.updated', t.at(6), jsonb_set(jsonb_set(t.month('active'), '{items,data,0,price,id}', '"price_team"'), '{items,data,0,quantity}', '3')));
SELECT * FROM t.news('ada', 1);
-- Two changes in one batch are one; there and back is none.
SELECT outcome FROM t.process(t.event('evt_7', 'customer.subscription.updated', t.at(7), t.month('active')), t.event('evt_8', 'customer.subscription.updated', t.at(8), t.month('past_due')));
SELECT outcome FROM t.process(t.event('evt_9', 'customer.subscription.updated', t.at(9), t.month('unpaid')), t.event('evt_10', 'customer.subscription.updated', t.at(10), t.month('active')));
SELECT outcome FROM t.process(t.event('evt_11', 'customer.subscription.deleted', t.at(11), t.month('canceled', jsonb_build_object('ended_at', t.unix(now()) - 2))));
SELECT * FROM t.news('ada', 4);
SELECT count(*), count(DISTINCT notification_id), bool_and(notification_id ~ '^ntf_[0-9a-f]{32}$') FROM billing_notifications;
SELECT access_told, access_due_at FROM billing_users WHERE user_id = 'ada';
-- Given by hand, and lost by time alone.
SELECT upsert_plan('{"id": "pro", "prices": [{"price_id": "price_pro"}]}') ->> 'id' AS plan;
SELECT grant_access('bob', 'pro', now() + interval '1 hour', 'a week on us') ->> 'status' AS given;
SELECT grant_access('bob', 'pro', now() + interval '2 hours', 'another one') ->> 'status' AS given, access_due_at > now() + interval '119 minutes' AS due FROM billing_users WHERE user_id = 'bob';
SELECT notify_due() AS nobody_yet;
UPDATE access_grants SET created_at = created_at - interval '3 hours', until = until - interval '3 hours'; UPDATE billing_users SET access_due_at = access_due_at - interval '3 hours';
SELECT notify_due() AS one, notify_due() AS none;
SELECT * FROM t.news('bob');
SELECT grant_access('bob', 'pro') ->> 'status' AS given, revoke_access('bob', 'pro', 'enough') ->> 'status' AS taken;
SELECT * FROM t.news('bob', 2);

-- History is told to nobody: neither what Stripe says of the time before, nor what began before.
SELECT t.link('cat', 'cus_cat'), t.link('dan', 'cus_dan');
SELECT outcome FROM t.process(t.event('evt_c1', 'customer.subscription.created', now() - interval '1 day', t.month('active', '{}', 'sub_c', 'cus_cat')));
SELECT outcome FROM t.process(t.event('evt_d1', 'customer.subscription.updated', t.at(1), t.month('active', '{"created": 1700000000}', 'sub_d', 'cus_dan')));
SELECT user_id, access_told -> 'access' ->> 'has_access' AS known FROM billing_users WHERE user_id IN ('cat', 'dan') ORDER BY 1;
SELECT user_id, kind FROM t.told WHERE user_id IN ('cat', 'dan');
SELECT outcome FROM t.process(t.event('evt_c2', 'customer.subscription.deleted', t.at(2), t.month('canceled', jsonb_build_object('ended_at', t.unix(now()) - 2), 'sub_c', 'cus_cat')));
SELECT kind, reason, event_id FROM t.news('cat');
-- What another system told of before its links were taken over.
SELECT t.link('eve', 'cus_eve');
UPDATE stripe_customer_links SET source = 'import', linked_at = t.at(60) WHERE stripe_customer_id = 'cus_eve';
SELECT outcome FROM t.process(t.event('evt_e1', 'customer.subscription.created', t.at(30), t.month('active', '{}', 'sub_e', 'cus_eve')));
SELECT outcome FROM t.process(t.event('evt_e2', 'customer.subscription.updated', t.at(90), t.month('active', '{"cancel_at_period_end": true}', 'sub_e', 'cus_eve')));
SELECT kind, event_id FROM t.news('eve');

-- What waited for its customer is told when it takes effect; the one who is linked by hand too.
SELECT outcome FROM t.process(t.event('evt_f1', 'customer.subscription.created', t.at(0), t.month('active', '{}', 'sub_f', 'cus_fay')));
SELECT link_stripe_customer('fay', 'cus_fay') ->> 'events_applied' AS applied;
SELECT kind, plan, event_id FROM t.news('fay');

-- A trial's end: three days ahead, by Stripe's event or by time, once.
SELECT t.link('gus', 'cus_gus');
SELECT outcome FROM t.process(t.event('evt_g1', 'customer.subscription.created', t.at(0), t.month('trialing', jsonb_build_object('trial_start', t.unix(now()), 'trial_end', t.unix(now() + interval '4 days')), 'sub_g', 'cus_gus')));
SELECT abs(extract(epoch FROM access_due_at - now()) - 86400) < 3 AS due_in_a_day FROM billing_users WHERE user_id = 'gus';
UPDATE user_subscriptions SET trial_end = trial_end - interval '2 days' WHERE user_id = 'gus'; UPDATE billing_users SET access_due_at = access_due_at - interval '2 days' WHERE user_id = 'gus';
SELECT notify_due() AS one;
SELECT kind, payload - '{trial_end,renews_at,access_until}'::text[] AS payload, payload ? 'trial_end' AS has_end FROM t.told WHERE user_id = 'gus' ORDER BY kind;
SELECT t.link('hal', 'cus_hal');
SELECT outcome FROM t.process(t.event('evt_h1', 'customer.subscription.created', t.at(0), t.month('trialing', jsonb_build_object('trial_start', t.unix(now() - interval '4 days'), 'trial_end', t.unix(now() + interval '2 days')), 'sub_h', 'cus_hal')));
SELECT outcome FROM t.process(t.event('evt_h2', 'customer.subscription.trial_will_end', t.at(1), t.month('trialing', jsonb_build_object('trial_start', t.unix(now() - interval '4 days'), 'trial_end', t.unix(now() + interval '2 days')), 'sub_h', 'cus_hal')));
SELECT kind, event_id FROM t.told WHERE user_id = 'hal' ORDER BY kind;
SELECT notify_due() AS none;

-- Off: nothing is written, and nothing is made up for later.
SELECT set_billing_setting('notifications', 'off', 'test');
SELECT grant_access('ivy', 'pro') ->> 'status' AS given;
SELECT set_billing_setting('notifications', NULL, 'test');
SELECT update_subscription_cache('ivy') ->> 'has_access' AS has_access;
SELECT revoke_access('ivy', 'pro', 'enough') ->> 'status' AS taken;
SELECT kind FROM t.news('ivy');
