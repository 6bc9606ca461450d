\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Who may try a plan: once per person, and not after having subscribed.
CREATE FUNCTION t.trial(user_id text, plan text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
SELECT concat_ws(' ', s ->> 'eligible', s ->> 'reason', s ->> 'next_step', s ->> 'days') FROM is_trial_eligible(user_id, plan) s
$$;
CREATE FUNCTION t.tried(id text, customer text, status text, trial boolean DEFAULT true, price jsonb DEFAULT t.price('pro', 2900), extra jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
SELECT jsonb_set(t.subscription(id, customer, status, '2026-01-01', '2026-01-15', CASE WHEN trial THEN jsonb_build_object('trial_start', t.unix('2026-01-01'), 'trial_end', t.unix('2026-01-15')) ELSE '{}' END || extra),
                 '{items,data,0,price}', price)
$$;
SELECT is_trial_eligible('ada');
SELECT upsert_plan('{"id": "free", "default": true, "prices": [{"price_id": "price_free"}]}') ->> 'id' AS a, upsert_plan('{"id": "pro", "trial_days": 14, "prices": [{"price_id": "price_pro"}]}') ->> 'id' AS b,
       upsert_plan('{"id": "team", "trial_days": 7}') ->> 'id' AS c;
SELECT is_trial_eligible('ada');
SELECT t.trial('ada', 'team') AS team, t.trial('ada', 'free') AS free;

-- Used by the first trial_start that is seen, whatever becomes of subscription and customer.
SELECT t.link('ada', 'cus_ada');
SELECT outcome FROM t.process(t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.tried('sub_ada', 'cus_ada', 'trialing')));
SELECT t.trial('ada');
SELECT user_id, stripe_subscription_id, stripe_customer_id, livemode, trial_start, trial_end, items -> 0 ->> 'price_id' AS price FROM trial_usage;
SELECT outcome FROM t.process(t.event('evt_2', 'customer.subscription.deleted', '2026-01-05', t.tried('sub_ada', 'cus_ada', 'canceled', extra => jsonb_build_object('ended_at', t.unix('2026-01-05')))),
                              t.event('evt_3', 'customer.deleted', '2026-01-06', t.customer('cus_ada', '{"deleted": true}')));
SELECT t.trial('ada');
DELETE FROM user_subscriptions;
SELECT t.trial('ada');

-- An event that comes late may be the only one that tells of it; one that comes before its customer is known waits.
SELECT outcome FROM t.process(t.event('evt_4', 'customer.subscription.updated', '2026-01-20', t.tried('sub_bob', 'cus_bob', 'incomplete', false)),
                              t.event('evt_5', 'customer.subscription.created', '2026-01-01', t.tried('sub_bob', 'cus_bob', 'trialing')));
SELECT t.trial('bob');
SELECT t.link('bob', 'cus_bob');
SELECT t.trial('bob');
SELECT t.link('cat', 'cus_cat');
SELECT outcome FROM t.process(t.event('evt_6', 'customer.subscription.updated', '2026-01-20', t.tried('sub_cat', 'cus_cat', 'incomplete', false)));
SELECT t.trial('cat');
SELECT outcome FROM t.process(t.event('evt_7', 'customer.subscription.created', '2026-01-01', t.tried('sub_cat', 'cus_cat', 'trialing')));
SELECT t.trial('cat');

-- Having paid before refuses it too; the free plan at no cost, and what never began, use up nothing.
SELECT t.link('dan', 'cus_dan'), t.link('eve', 'cus_eve'), t.link('fay', 'cus_fay');
SELECT outcome FROM t.process(t.event('evt_8', 'customer.subscription.deleted', '2026-01-05', t.tried('sub_dan', 'cus_dan', 'canceled', false)),
                              t.event('evt_9', 'customer.subscription.created', '2026-01-01', t.tried('sub_eve', 'cus_eve', 'trialing', true, t.price('free', 0))),
                              t.event('evt_10', 'customer.subscription.created', '2026-01-01', t.tried('sub_fay', 'cus_fay', 'incomplete_expired', false)));
SELECT t.trial('dan') AS dan, t.trial('eve') AS eve, t.trial('fay') AS fay;
-- Of the mode that counts.
SELECT set_billing_setting('mode', 'live', 'test');
SELECT t.trial('ada');
SELECT set_billing_setting('mode', NULL, 'test');

-- In any order, and in one batch or many, the same is recorded.
CREATE TABLE t.told AS SELECT row_number() OVER () AS n, e FROM (VALUES
    (t.event('evt_a', 'customer.subscription.created', '2026-01-01', t.tried('sub_gus', 'cus_gus', 'trialing'))),
    (t.event('evt_b', 'customer.subscription.updated', '2026-01-02', t.tried('sub_gus', 'cus_gus', 'trialing', true, t.price('team', 4900)))),
    (t.event('evt_c', 'customer.subscription.updated', '2026-01-03', t.tried('sub_gus', 'cus_gus', 'trialing', true, t.price('team', 4900), jsonb_build_object('trial_end', t.unix('2026-02-15'))))),
    (t.event('evt_d', 'customer.subscription.updated', '2026-01-04', t.tried('sub_gus', 'cus_gus', 'active', false)))) v(e);
CREATE PROCEDURE t.again(descending boolean, batch integer) LANGUAGE plpgsql AS $$
DECLARE
    payloads text[];
BEGIN
    CALL t.forget();
    PERFORM t.link('gus', 'cus_gus');
    FOR payloads IN SELECT array_agg(e ORDER BY CASE WHEN descending THEN -n ELSE n END) FROM t.told GROUP BY (CASE WHEN descending THEN 4 - n ELSE n - 1 END) / batch ORDER BY min(CASE WHEN descending THEN 4 - n ELSE n - 1 END) LOOP
        PERFORM process_stripe_events(payloads);
    END LOOP;
END
$$;
CALL t.again(false, 1);
SELECT trial_start, trial_end, items -> 0 ->> 'price_id' AS price FROM trial_usage;
CREATE TABLE t.first AS SELECT to_jsonb(u) - 'created_at' AS line FROM trial_usage u;
CALL t.again(true, 1);
SELECT to_jsonb(u) - 'created_at' = line AS same FROM trial_usage u, t.first;
CALL t.again(false, 4);
SELECT to_jsonb(u) - 'created_at' = line AS same FROM trial_usage u, t.first;
CALL t.again(true, 2);
SELECT to_jsonb(u) - 'created_at' = line AS same FROM trial_usage u, t.first;

-- Misuse.
SELECT c AS command, r.code, r.message, r.hint FROM unnest(ARRAY['SELECT is_trial_eligible(NULL)', 'SELECT is_trial_eligible('''')', 'SELECT is_trial_eligible(''ada'', ''nothing'')', 'SELECT is_trial_eligible(''ada'', '''')']) c, t.refusal(c) r;
