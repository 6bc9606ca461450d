\set ECHO none
\getenv source PG_ABS_SRCDIR
\set payloads :source '/sql/include/payloads.sql'
\i :payloads
\set usage :source '/sql/include/usage.sql'
\i :usage
\set ECHO all
-- Without plans nothing is given, whatever it is called.
SELECT t.told(check_entitlement('ada', 'messages'));
SELECT get_user_entitlements('ada');

SELECT count(upsert_plan(p::jsonb)) FROM unnest(ARRAY[
  '{"id": "free", "default": true, "features": {"messages": {"limit": 5, "window": "month"}, "export": false, "models": {"value": ["small"]}, "projects": {"limit": 1}}}',
  '{"id": "pro", "rank": 10, "prices": [{"price_id": "price_pro"}], "features": {"messages": {"unlimited": true, "window": "month"}, "export": true,
     "models": {"value": ["small", "large"]}, "projects": {"limit": 3, "per": "seat"}, "tokens": {"limit": 1000, "mode": "overage", "overage_limit": 200}, "render": {"credit_cost": 5}}}',
  '{"id": "more", "addon": true, "prices": [{"price_id": "price_more"}], "features": {"projects": {"limit": 10, "per": "seat"}, "sso": true}}',
  '{"id": "old", "active": false, "features": {"fax": true}}']) p;

-- Everybody has the default plan. What it does not give, another plan would.
SELECT f, t.told(check_entitlement('ada', f)) FROM unnest(ARRAY['messages', 'models', 'projects', 'export', 'sso', 'fax', 'mesages']) f;
SELECT check_entitlement('ada', 'messages') - 'window_start' - 'next_reset_at';
SELECT (check_entitlement('ada', 'messages') ->> 'next_reset_at')::timestamptz = date_trunc('month', now()) + interval '1 month' AS in_utc;
-- As much as is asked for.
SELECT n, t.short(check_entitlement('ada', 'messages', n)) FROM unnest(ARRAY[0, 1, 5, 6]) n;

-- Subscribed to two seats of pro: the plan's period, its limits, and its values.
SELECT t.link('ada', 'cus_ada'), t.link('bob', 'cus_bob');
SELECT outcome FROM t.process(t.event('evt_1', 'customer.subscription.created', now() - interval '5 days',
    t.subscription('sub_1', 'cus_ada', 'active', date_trunc('second', now() - interval '5 days'), date_trunc('second', now() + interval '25 days'),
                   jsonb_build_object('items', t.list(jsonb_build_array(
                       t.item('si_1', 'sub_1', t.price('pro', 2900), 2, date_trunc('second', now() - interval '5 days'), date_trunc('second', now() + interval '25 days'), t.new()),
                       t.item('si_2', 'sub_1', t.price('more', 900), 1, date_trunc('second', now() - interval '5 days'), date_trunc('second', now() + interval '25 days'), t.new())), '/v1/items')))));
SELECT f, t.told(check_entitlement('ada', f)), check_entitlement('ada', f) -> 'sources' AS sources
  FROM unnest(ARRAY['messages', 'models', 'projects', 'export', 'tokens', 'sso', 'fax']) f;
SELECT e ->> 'window' AS "window", (e ->> 'window_start')::timestamptz - date_trunc('second', now()) AS start, (e ->> 'next_reset_at')::timestamptz - date_trunc('second', now()) AS reset
  FROM check_entitlement('ada', 'tokens') e;
-- What costs credits is refused without them, and says so.
SELECT t.told(check_entitlement('ada', 'render', 3));
SELECT grant_credits('ada', 14) ->> 'status';
SELECT n, t.short(check_entitlement('ada', 'render', n)) FROM unnest(ARRAY[2, 3]) n;
SELECT e -> 'plans' AS plans, jsonb_object_agg(f.key, f.value -> 'allowed') AS allowed FROM get_user_entitlements('ada') e, jsonb_each(e -> 'features') f GROUP BY 1;
SELECT f.value = check_entitlement('ada', f.key) - 'user_id' - 'feature' AS same, count(*) FROM get_user_entitlements('ada') e, jsonb_each(e -> 'features') f GROUP BY 1;

-- require_entitlement lets through, or raises what PostgREST answers as 402.
SELECT require_entitlement('ada', 'export');
\x
\a
SELECT * FROM t.refusal($$SELECT require_entitlement('bob', 'export')$$);
SELECT code, message, detail::jsonb - 'next_reset_at' AS detail, hint FROM t.refusal($$SELECT require_entitlement('bob', 'messages', 6)$$);
\a
\x

-- Unpaid: back to the default plan, and the way out is named.
SELECT outcome FROM t.process(t.event('evt_2', 'customer.subscription.updated', now() - interval '1 day',
    t.subscription('sub_1', 'cus_ada', 'unpaid', date_trunc('second', now() - interval '5 days'), date_trunc('second', now() + interval '25 days'))));
SELECT f, t.told(check_entitlement('ada', f)) FROM unnest(ARRAY['messages', 'export', 'sso']) f;

-- Stripe's own entitlements allow; a cut list takes nothing away, a whole one does.
CREATE FUNCTION t.summary(id text, at timestamptz, keys text[], has_more boolean DEFAULT false) RETURNS text LANGUAGE sql AS $$
SELECT outcome FROM t.process(t.event(id, 'entitlements.active_entitlement_summary.updated', at, jsonb_build_object(
    'object', 'entitlements.active_entitlement_summary', 'customer', 'cus_bob', 'livemode', false,
    'entitlements', jsonb_build_object('object', 'list', 'has_more', has_more, 'url', '/v1/customer/cus_bob/entitlements', 'data',
        (SELECT coalesce(jsonb_agg(jsonb_build_object('id', 'ent_' || k, 'object', 'entitlements.active_entitlement', 'feature', 'feat_' || k, 'livemode', false, 'lookup_key', k)), '[]')
           FROM unnest(keys) k)))))
$$;
CREATE FUNCTION t.features(user_id text) RETURNS text LANGUAGE sql AS $$
SELECT string_agg(f.key || ' ' || (f.value ->> 'source'), ', ' ORDER BY f.key) FROM jsonb_each(get_user_entitlements(user_id) -> 'features') f WHERE (f.value ->> 'allowed')::boolean
$$;
SELECT t.summary('evt_s1', now() - interval '5 days', '{journeys,export}'), t.features('bob');
SELECT t.summary('evt_s2', now() - interval '4 days', '{maps}', true), t.features('bob');
SELECT t.summary('evt_s4', now() - interval '2 days', '{maps,sso}', true), t.features('bob');
-- One that came late was whole: what it did not list was gone by then.
SELECT t.summary('evt_s3', now() - interval '3 days', '{maps}'), t.features('bob');
SELECT t.summary('evt_s5', now() - interval '1 day', '{}'), t.features('bob');
SELECT whole_at IS NOT NULL AS whole, seen FROM stripe_entitlements;
SELECT t.summary('evt_s6', now() - interval '1 hour', '{journeys}'), t.features('bob');
SELECT outcome, t.features('bob') FROM t.process(t.event('evt_3', 'customer.deleted', now(), t.customer('cus_bob')));

-- By hand: instead of what plans say, until it is over or cleared; removed means removed.
SELECT t.told(set_user_entitlement('bob', 'messages', '{"limit": 50, "window": "day"}', reason => 'beta tester') #- '{entitlement,window_start}' #- '{entitlement,next_reset_at}');
SELECT t.told(set_user_entitlement('bob', 'messages', '{"window": "day", "limit": 50}'))->> 'status' AS again;
SELECT t.told(set_user_entitlement('bob', 'messages', '{"unlimited": true}', now() + interval '2 days') - 'until' - 'entitlement');
SELECT t.told(check_entitlement('bob', 'messages'));
UPDATE user_entitlements SET until = now() - interval '1 second';
SELECT t.told(check_entitlement('bob', 'messages'));
SELECT t.told(set_user_entitlement('bob', 'models', 'false', reason => 'abuse'));
SELECT t.told(check_entitlement('bob', 'models'));
SELECT t.told(clear_user_entitlement('bob', 'models', 'forgiven') - 'entitlement'), t.told(clear_user_entitlement('bob', 'models') - 'entitlement');
SELECT t.short(check_entitlement('bob', 'models'));
SELECT feature, setting, removed, reason, set_by = current_user AS by_me FROM user_entitlements ORDER BY feature;
SELECT action, subject, reason, details #- '{new,until}' AS details FROM audit_logs WHERE action LIKE 'entitlement%' ORDER BY created_at, action DESC;

-- Access that somebody gave gives the plan's features, and a given add-on adds; when it is over they are gone.
SELECT grant_access('eve', 'pro', now() + interval '1 day', 'a day to try it') -> 'has_access' AS pro, grant_access('eve', 'more', reason => 'for her trouble') -> 'has_access' AS more;
SELECT f, t.told(check_entitlement('eve', f)), check_entitlement('eve', f) -> 'sources' AS sources FROM unnest(ARRAY['messages', 'projects', 'tokens', 'sso']) f;
SELECT (check_entitlement('eve', 'tokens') ->> 'next_reset_at')::timestamptz = date_trunc('month', now()) + interval '1 month' AS without_a_period_by_the_month;
UPDATE access_grants SET until = now() - interval '1 second' WHERE plan_id = 'pro'; SELECT clear_user_subscription_cache('eve');
SELECT f, t.short(check_entitlement('eve', f)), check_entitlement('eve', f) -> 'sources' AS sources FROM unnest(ARRAY['messages', 'projects', 'tokens', 'sso']) f;
SELECT revoke_access('eve', 'more', 'enough') IS NOT NULL AS revoked;
SELECT f, t.short(check_entitlement('eve', f)), check_entitlement('eve', f) -> 'sources' AS sources FROM unnest(ARRAY['projects', 'sso']) f;
