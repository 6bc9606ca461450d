\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Churn, trials and changes between plans, over the last months. Months are told as 0 (this one), -1, -2 …
CREATE FUNCTION t.month(n integer, plus interval DEFAULT '0') RETURNS timestamptz LANGUAGE sql AS $$
SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') + n * interval '1 month') AT TIME ZONE 'UTC' + plus
$$;
CREATE FUNCTION t.ago(month date) RETURNS integer LANGUAGE sql AS $$
SELECT (12 * (extract(year FROM month) - extract(year FROM t.month(0))) + extract(month FROM month) - extract(month FROM t.month(0)))::integer
$$;
CREATE FUNCTION t.of(price text, amount integer, extra jsonb DEFAULT '{}', every text DEFAULT 'month') RETURNS jsonb LANGUAGE sql AS $$
SELECT jsonb_build_object('items', t.list(jsonb_build_array(t.item('si_' || price, '', t.price(price, amount) || jsonb_build_object('recurring', jsonb_build_object('interval', every, 'interval_count', 1, 'usage_type', 'licensed')),
                                                                   1, t.month(0), t.month(1), t.new())), '/v1/x')) || extra
$$;
CREATE SEQUENCE t.events;
CREATE FUNCTION t.happens(type text, at timestamptz, object jsonb, previous jsonb DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
SELECT outcome FROM t.process(t.event('evt_' || nextval('t.events'), 'customer.subscription.' || type, at, object, t.new(), previous))
$$;
-- A subscription from one time, and maybe to another.
CREATE FUNCTION t.from_to(who text, n integer, price text, amount integer, began timestamptz, ended timestamptz DEFAULT NULL, extra jsonb DEFAULT '{}', every text DEFAULT 'month') RETURNS text LANGUAGE sql AS $$
SELECT concat_ws(' ', t.happens('created', began, t.subscription(format('sub_%s_%s', who, n), 'cus_' || who, 'active', t.month(0), t.month(1), t.of(price, amount, jsonb_build_object('created', t.unix(began)) || extra, every))),
    CASE WHEN ended IS NOT NULL THEN t.happens('deleted', ended, t.subscription(format('sub_%s_%s', who, n), 'cus_' || who, 'canceled', t.month(0), t.month(1),
                                                                                t.of(price, amount, jsonb_build_object('created', t.unix(began), 'ended_at', t.unix(ended)) || extra, every))) END)
$$;
SELECT upsert_plan('{"id": "free", "default": true, "prices": [{"price_id": "price_free"}]}') ->> 'id' AS a, upsert_plan('{"id": "starter", "rank": 10, "prices": [{"price_id": "price_starter"}, {"price_id": "price_starter_yearly"}]}') ->> 'id' AS b,
       upsert_plan('{"id": "pro", "rank": 20, "prices": [{"lookup_key": "pro"}]}') ->> 'id' AS c, upsert_plan('{"id": "extra", "addon": true, "prices": [{"product_id": "prod_extra"}]}') ->> 'id' AS d;
SELECT * FROM metrics_churn;
SELECT * FROM metrics_conversion;
SELECT count(t.link('user_' || w, 'cus_' || w)) FROM unnest(ARRAY['ada', 'bob', 'cleo', 'dan', 'eve', 'fay', 'gus', 'hal', 'ivy', 'joe', 'kim', 'lee']) w;
UPDATE billing_users SET created_at = t.month(-4, '1 day');

-- Four begin in month -3; bob leaves in -1, cleo this month; dan begins in -1 and leaves this month; eve begins this month; joe begins and leaves within -2.
-- fay goes over to another subscription in -1 without a gap: no churn. gus leaves in -2 and comes back in -1. hal's is free, kim never paid the first time. ivy stays.
SELECT t.from_to('ada', 1, 'starter', 1999, t.month(-3, '1 day')), t.from_to('bob', 1, 'pro', 4999, t.month(-3, '2 days'), t.month(-1, '5 days')),
       t.from_to('cleo', 1, 'starter_yearly', 19999, t.month(-2, '3 days'), t.month(0), '{}', 'year'), t.from_to('dan', 1, 'pro', 4999, t.month(-1, '1 day'), t.month(0)),
       t.from_to('eve', 1, 'starter', 1999, t.month(0)), t.from_to('joe', 1, 'starter', 1999, t.month(-2, '1 day'), t.month(-2, '9 days')),
       t.from_to('fay', 1, 'starter', 1999, t.month(-3, '4 days'), t.month(-1, '7 days')), t.from_to('fay', 2, 'pro', 4999, t.month(-1, '7 days')),
       t.from_to('gus', 1, 'starter', 1999, t.month(-3, '5 days'), t.month(-2, '6 days')), t.from_to('gus', 2, 'starter', 1999, t.month(-1, '8 days')),
       t.from_to('hal', 1, 'free', 0, t.month(-3, '1 day')), t.from_to('ivy', 1, 'pro', 4999, t.month(-2, '2 days'));
SELECT t.happens('created', t.month(-2), t.subscription('sub_kim_1', 'cus_kim', 'incomplete_expired', t.month(0), t.month(1), t.of('pro', 4999, jsonb_build_object('created', t.unix(t.month(-2))))));
-- lee stops paying in -1: past_due counts, unpaid does not. Later events of an unpaid subscription change nothing.
SELECT t.happens('created', t.month(-2, '1 day'), t.subscription('sub_lee_1', 'cus_lee', 'active', t.month(0), t.month(1), t.of('starter', 1999, jsonb_build_object('created', t.unix(t.month(-2, '1 day')))))),
       t.happens('updated', t.month(-1, '1 day'), t.subscription('sub_lee_1', 'cus_lee', 'past_due', t.month(0), t.month(1), t.of('starter', 1999, jsonb_build_object('created', t.unix(t.month(-2, '1 day'))))), '{"status": "active"}'),
       t.happens('updated', t.month(-1, '15 days'), t.subscription('sub_lee_1', 'cus_lee', 'unpaid', t.month(0), t.month(1), t.of('starter', 1999, jsonb_build_object('created', t.unix(t.month(-2, '1 day'))))), '{"status": "past_due"}'),
       t.happens('updated', t.month(0), t.subscription('sub_lee_1', 'cus_lee', 'unpaid', t.month(0), t.month(1), t.of('starter', 1999, jsonb_build_object('created', t.unix(t.month(-2, '1 day')), 'latest_invoice', 'in_9'))), '{"latest_invoice": null}');
-- Month -3: ada, bob, fay, gus begin: 0 + 4 - 0 = 4.
-- Month -2: cleo, ivy, lee begin, gus leaves; joe comes and goes unseen: 4 + 3 - 1 = 6; 1 / 4 = 0.25.
-- Month -1: dan and gus begin, bob and lee leave; fay stays: 6 + 2 - 2 = 6; 2 / 6 = 0.3333.
-- This month: eve begins, cleo and dan leave: 6 + 1 - 2 = 5; 2 / 6 = 0.3333.
SELECT t.ago(month) AS month, payers_at_start, gained, churned, payers_at_end, churn_rate, complete FROM metrics_churn ORDER BY month;
-- What ended: -2 gus and joe 1999 each; -1 bob 4999, fay 1999, lee 1999 = 8997; 0 dan 4999 and cleo 19999 / 12 = 1666.58: 6665.58.
SELECT t.ago(month) AS month, currency, subscriptions, mrr FROM metrics_churned_mrr ORDER BY 1;
SELECT stripe_subscription_id, t.ago(paying_from::date) AS month, monthly_value::numeric(9, 2), paying_until = t.month(-1, '15 days') AS until_unpaid FROM paying_subscriptions WHERE payer = 'user_lee';
-- What the sums say is what the churn says: who pays now is who is paid for now.
SELECT (SELECT payers_at_end FROM metrics_churn ORDER BY month DESC LIMIT 1) AS by_churn, sum(payers) AS by_mrr, sum(mrr) AS mrr FROM metrics_mrr;

-- ada goes from starter to pro in -1, back in the same month, and to pro again this month; an add-on beside it is no plan.
SELECT t.happens('updated', t.month(-1, '2 days'), t.subscription('sub_ada_1', 'cus_ada', 'active', t.month(0), t.month(1), t.of('pro', 4999, jsonb_build_object('created', t.unix(t.month(-3, '1 day')))))),
       t.happens('updated', t.month(-1, '9 days'), t.subscription('sub_ada_1', 'cus_ada', 'active', t.month(0), t.month(1), t.of('starter', 1999, jsonb_build_object('created', t.unix(t.month(-3, '1 day')))))),
       t.happens('updated', t.month(0), t.subscription('sub_ada_1', 'cus_ada', 'active', t.month(0), t.month(1), t.of('pro', 4999, jsonb_build_object('created', t.unix(t.month(-3, '1 day')))))),
       t.from_to('ada', 2, 'extra', 500, t.month(-1, '5 days')), t.from_to('kim', 2, 'elsewhere', 100, t.month(0));
SELECT substr(user_id, 6) AS who, string_agg(format('%s from %s', plan, CASE WHEN t.ago(since::date) > -4 THEN t.ago(since::date)::text ELSE 'before' END), ', ' ORDER BY since) AS plans FROM user_plan_spans GROUP BY 1 ORDER BY 1;
-- What a user is on now is what the state says.
SELECT s.user_id, s.plan, t.state FROM user_plan_spans s, LATERAL (SELECT get_user_subscription_state(s.user_id) ->> 'plan' AS state) t WHERE s.until IS NULL AND s.plan <> 'free' ORDER BY 1;
-- Month -3: of 12 users, all free at its start, ada, fay and gus start starter (3 / 12), bob starts pro (1 / 12).
-- Month -2: free at some time are cleo, dan, eve, gus (after), hal, ivy, joe, kim, lee: 9. cleo, joe, lee start starter: 3 / 9; ivy pro 1 / 9.
--   starter are ada, cleo, fay, gus, joe, lee: 6. gus and joe end: 2 / 6.
-- Month -1: free are bob (after), dan, eve, gus, hal, joe, kim, lee (after): 8. dan starts pro 1 / 8, gus starter 1 / 8. starter are ada, cleo, fay, gus, lee: 5.
--   ada and fay go up: 2 / 5; lee ends 1 / 5. pro are ada, bob, dan, fay, ivy: 5. ada goes down: 1 / 5; bob ends: 1 / 5.
-- This month: free are bob, cleo (after), dan (after), eve, hal, joe, kim, lee: 8. eve starts starter, kim a price that is no plan: 1 / 8 each.
--   starter are ada, cleo, eve, gus; cleo and ada change at the very start of the month: 4. cleo ends 1 / 4, ada goes up 1 / 4. pro are ada, dan, fay, ivy: dan ends 1 / 4.
SELECT t.ago(month) AS month, from_plan, to_plan, kind, users, users_on_plan, rate FROM metrics_conversion ORDER BY 1, 2, 3;

-- Trials. max's ends unpaid (an hour's grace for Stripe's job), ned's goes on to a paid month, ola's runs, pam's was paused for want of a card: 1 of 3 converted.
CREATE FUNCTION t.trial(who text, status text, ended timestamptz DEFAULT NULL, until timestamptz DEFAULT t.month(-1)) RETURNS text LANGUAGE sql AS $$
SELECT t.happens('created', t.month(-2), t.subscription('sub_' || who, 'cus_' || who, status, t.month(0), t.month(1),
    t.of('pro', 4999, jsonb_build_object('created', t.unix(t.month(-2)), 'trial_start', t.unix(t.month(-2)), 'trial_end', t.unix(until), 'ended_at', t.unix(ended)))))
$$;
SELECT count(t.link('user_' || w, 'cus_' || w)) FROM unnest(ARRAY['max', 'ned', 'ola', 'pam']) w;
SELECT t.trial('max', 'canceled', t.month(-1, '30 minutes')), t.trial('ned', 'active'), t.trial('ola', 'trialing', NULL, t.month(2)), t.trial('pam', 'paused');
SELECT t.ago(month) AS month, started, running, converted, lost, conversion_rate FROM metrics_trials;
SELECT t.ago(paying_from::date) AS month, paying_until FROM paying_subscriptions WHERE payer = 'user_ned';
SELECT plan FROM user_plan_spans WHERE user_id IN ('user_max', 'user_ola', 'user_pam');

-- Months are those of billing.time_zone: in Kiritimati (UTC+14) the month's first instant in UTC is the month's first day at 14:00; an hour before the month here is this month there.
SELECT t.link('user_qi', 'cus_qi'), t.from_to('qi', 1, 'starter', 1999, t.month(-2, '1 day'), t.month(-1, '-1 hour'));
SELECT t.ago(month) AS month, subscriptions, mrr FROM metrics_churned_mrr WHERE t.ago(month) < 0 ORDER BY 1;
SELECT set_billing_setting('time_zone', 'Pacific/Kiritimati', 'a test');
SELECT to_char(month, 'DD') AS day, t.ago(month) AS month, subscriptions, mrr FROM metrics_churned_mrr WHERE t.ago(month) < 0 ORDER BY 2;
SELECT set_billing_setting('time_zone', NULL, 'a test');

-- Which plan a price is, as the state has it too: by its metadata, or else its product's.
SELECT upsert_plan('{"id": "team", "rank": 30}') ->> 'id' AS a, upsert_plan('{"id": "club", "rank": 40}') ->> 'id' AS b, t.link('user_ron', 'cus_ron'), t.link('user_sam', 'cus_sam');
SELECT outcome FROM t.process(t.event('evt_pr', 'price.created', t.month(-1), t.price('told', 100) || '{"metadata": {"plan": "team"}}'),
    t.event('evt_po', 'product.created', t.month(-1), t.product('prod_by_product', 'x') || '{"metadata": {"plan": "club"}}'), t.event('evt_po2', 'product.created', t.month(-1), t.product('prod_told', 'x') || '{"metadata": {"plan": "club"}}'));
SELECT t.from_to('ron', 1, 'told', 100, t.month(0)), t.from_to('sam', 1, 'by_product', 100, t.month(0));
SELECT price_id, plan_id FROM price_plans ORDER BY 1;
SELECT r.payer, r.plan_id, get_user_subscription_state(r.payer) ->> 'plan' AS state, s.plan AS span FROM subscription_revenue r JOIN user_plan_spans s ON s.user_id = r.user_id AND s.until IS NULL WHERE r.payer IN ('user_ron', 'user_sam') ORDER BY 1;

-- By day: what happened, once each.
SELECT outcome FROM t.process(t.event('evt_p1', 'invoice.paid', t.month(-1, '1 hour'), t.invoice('in_1', 'sub_ada_1', 'cus_ada', 'paid', t.month(-1), t.month(0))),
    t.event('evt_p2', 'invoice.payment_succeeded', t.month(-1, '1 hour'), t.invoice('in_1', 'sub_ada_1', 'cus_ada', 'paid', t.month(-1), t.month(0))),
    t.event('evt_p3', 'invoice.payment_failed', t.month(-1, '2 hours'), t.invoice('in_2', 'sub_ada_1', 'cus_ada', 'open', t.month(-1), t.month(0))),
    t.event('evt_p4', 'invoice.payment_failed', t.month(-1, '5 hours'), t.invoice('in_2', 'sub_ada_1', 'cus_ada', 'open', t.month(-1), t.month(0), '{"attempt_count": 2}')),
    t.event('evt_p5', 'checkout.session.completed', t.month(-1, '3 hours'), t.checkout('cs_1', 'cus_ada', 'sub_ada_1', 'user_ada') || jsonb_build_object('created', t.unix(t.month(-1)))));
SELECT day - t.month(-1)::date AS day, checkouts_created AS opened, checkouts_completed AS completed, subscriptions_activated AS activated, cancellations_scheduled AS canceled, cancellations_withdrawn AS withdrawn,
       subscriptions_ended AS ended, payments_succeeded AS paid, payments_failed AS failed FROM metrics_subscription_activity WHERE day >= t.month(-1)::date AND day < t.month(0)::date ORDER BY 1;

-- What operators ask, as their runbooks have it.
SELECT sp.name, COUNT(pf.id) as feature_count
FROM subscription_plans sp
LEFT JOIN plan_features pf ON sp.id = pf.plan_id
GROUP BY sp.name ORDER BY 1;
SELECT count(*) FROM (SELECT * FROM audit_logs WHERE action LIKE 'subscription%' ORDER BY created_at DESC LIMIT 20) q;
