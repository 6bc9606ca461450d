\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Access that somebody gives: for ever or until a time, counted like a subscription's, kept and audited.
SELECT upsert_plan('{"id": "free", "default": true}') ->> 'id' AS a, upsert_plan('{"id": "pro", "rank": 20, "prices": [{"price_id": "price_pro"}]}') ->> 'id' AS b,
       upsert_plan('{"id": "team", "rank": 30}') ->> 'id' AS c, upsert_plan('{"id": "seats", "rank": 90, "addon": true}') ->> 'id' AS d;
CREATE FUNCTION t.now(user_id text) RETURNS TABLE (state text, stripe_status text, has_access text, reason text, next_step text, plan text, until text, purchase text, grants jsonb) LANGUAGE sql AS $$
SELECT s ->> 'state', s ->> 'stripe_status', s ->> 'has_access', s ->> 'reason', s ->> 'next_step', s ->> 'plan', left(s ->> 'access_until', 19), s ->> 'can_purchase', s -> 'access_grants'
  FROM get_user_subscription_state(user_id) s
$$;
SELECT grant_access('ada', 'pro', '2999-01-01', 'a friend of the house');
SELECT * FROM t.now('ada');
SELECT has_access, status, valid_until = '2999-01-01' AS until FROM subscription_cache;
SELECT has_active_subscription('ada');
SELECT get_user_subscription_state('ada') ->> 'cached' AS cached;
SELECT grant_access('ada', 'pro', '2999-01-01', 'a friend of the house') ->> 'status' AS again, grant_access('ada', 'pro', '2998-01-01') ->> 'status' AS sooner,
       grant_access('ada', 'pro', 'infinity', 'lifetime deal') ->> 'until' AS for_ever;
SELECT action, subject, reason, details, actor = current_user AS by_me FROM audit_logs WHERE user_id = 'ada' ORDER BY created_at, details ->> 'until' DESC NULLS LAST;
SELECT user_id, plan_id, until, reason, granted_by = current_user AS by_me, revoked_at FROM access_grants;
-- Not before it was given, and not after its end.
SELECT s ->> 'has_access' AS before FROM get_user_subscription_state('ada', '2020-01-01') s;
SELECT grant_access('bob', 'pro', '2999-01-01') ->> 'access_until' AS until;
SELECT (get_user_subscription_state('bob', '2998-12-31 23:59:59+00') ->> 'has_access') AS until_then, (get_user_subscription_state('bob', '2999-01-01') ->> 'has_access') AS no_more;

-- Taken back: at once, once, with a reason.
SELECT revoke_access('ada', 'pro', 'no friend any more');
SELECT state, has_access, reason, next_step, plan, grants FROM t.now('ada');
SELECT revoke_access('ada', 'pro', 'again'), revoke_access('ada', 'team', 'never given'), revoke_access('nobody', 'team', 'unknown');
SELECT has_access, status FROM subscription_cache WHERE user_id = 'ada';
SELECT action, subject, reason FROM audit_logs WHERE user_id = 'ada' AND action = 'access_revoked';
-- Given anew it begins anew.
UPDATE access_grants SET created_at = '2020-01-01', revoked_at = '2020-02-01' WHERE user_id = 'ada';
SELECT s ->> 'has_access' AS then FROM get_user_subscription_state('ada', '2020-01-15') s;
SELECT grant_access('ada', 'pro') ->> 'status' AS status;
SELECT s ->> 'has_access' AS not_then FROM get_user_subscription_state('ada', '2020-01-15') s;
SELECT created_at > now() - interval '1 hour' AS anew, revoked_at FROM access_grants WHERE user_id = 'ada';

-- Beside a subscription: the higher rank counts, the subscription where they are alike, and the later end.
SELECT t.link('cat', 'cus_cat');
SELECT outcome FROM t.process(t.event('evt_1', 'customer.subscription.created', now() - interval '1 day', t.subscription('sub_1', 'cus_cat', 'active', now() - interval '1 day', now() + interval '29 days')));
SELECT grant_access('cat', 'free', '2999-01-01') -> 'has_access' AS has_access;
SELECT state, stripe_status, reason, plan, until, purchase FROM t.now('cat');
SELECT grant_access('cat', 'pro', '2999-01-01') -> 'has_access' AS has_access;
SELECT state, stripe_status, reason, plan, until, purchase FROM t.now('cat');
SELECT grant_access('cat', 'team', '2998-01-01') -> 'has_access' AS has_access;
SELECT state, stripe_status, reason, plan, until, purchase FROM t.now('cat');
SELECT s ->> 'stripe_customer_id' AS customer, s ->> 'stripe_subscription_id' AS subscription, s ->> 'price_id' AS price, s #>> '{subscriptions,0,plan}' AS of_subscription FROM get_user_subscription_state('cat') s;
SELECT outcome FROM t.process(t.event('evt_2', 'customer.subscription.deleted', now(), t.subscription('sub_1', 'cus_cat', 'canceled', now() - interval '1 day', now() + interval '29 days', jsonb_build_object('ended_at', t.unix(now() - interval '1 minute')))));
SELECT state, stripe_status, reason, plan, until, purchase FROM t.now('cat');
SELECT revoke_access('cat', plan_id, 'all of it') -> 'has_access' AS has_access FROM access_grants WHERE user_id = 'cat';
SELECT state, stripe_status, has_access, reason, plan FROM t.now('cat');

-- An add-on adds to a plan, and is no access by itself.
SELECT grant_access('dan', 'seats') -> 'has_access' AS has_access;
SELECT state, has_access, reason, plan, grants FROM t.now('dan');
-- A plan that is offered no more may still be given; credits that need a subscription can be used with one.
SELECT retire_plan('team', 'over') -> 'active' AS active;
SELECT grant_credits('dan', 10, requires_subscription => true) ->> 'available' AS without;
SELECT grant_access('dan', 'team') -> 'has_access' AS has_access;
SELECT get_user_subscription_state('dan') -> 'credits' AS credits;
SELECT use_credits_validated('dan', 4) ->> 'status' AS used, revoke_access('dan', 'team', 'test') -> 'has_access' AS has_access, use_credits_validated('dan', 4) ->> 'status' AS refused;

-- Misuse raises and leaves nothing behind.
\x
\a
CREATE TABLE t.before AS SELECT * FROM access_grants;
SELECT c AS command, r.* FROM unnest(ARRAY[
    'SELECT grant_access(NULL, ''pro'')', 'SELECT grant_access('''', ''pro'')', 'SELECT grant_access(repeat(''u'', 256), ''pro'')', 'SELECT grant_access(''eve'', NULL)', 'SELECT grant_access(''eve'', '''')',
    'SELECT grant_access(''eve'', ''nothing'')', 'SELECT grant_access(''eve'', ''pro'', ''2020-01-01'')', 'SELECT grant_access(''eve'', ''pro'', ''-infinity'')', 'SELECT grant_access(''eve'', ''pro'', ''10000-01-01'')',
    'SELECT grant_access(''eve'', ''pro'', NULL, repeat(''r'', 1001))', 'SELECT revoke_access(NULL, ''pro'', ''x'')', 'SELECT revoke_access(''ada'', NULL, ''x'')', 'SELECT revoke_access(''ada'', ''pro'', NULL)',
    'SELECT revoke_access(''ada'', ''pro'', '''')']) WITH ORDINALITY u(c, n), t.refusal(c) r ORDER BY n;
\a
\x
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT code, message, hint FROM t.refusal('SELECT grant_access(''eve'', ''pro'')');
COMMIT;
SELECT count(*) FROM (TABLE access_grants EXCEPT TABLE t.before) x;
SELECT count(*) FROM billing_users WHERE user_id = 'eve';
-- Without any plan nothing is given.
DELETE FROM access_grants; DELETE FROM plan_prices; DELETE FROM subscription_plans;
SELECT set_billing_setting('mode', NULL, 'forget');
SELECT code, message, hint FROM t.refusal('SELECT grant_access(''eve'', ''pro'')');
