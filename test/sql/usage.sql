\set ECHO none
\getenv source PG_ABS_SRCDIR
\set payloads :source '/sql/include/payloads.sql'
\i :payloads
\set usage :source '/sql/include/usage.sql'
\i :usage
\set ECHO all
SELECT count(upsert_plan(p::jsonb)) FROM unnest(ARRAY[
  '{"id": "free", "default": true, "features": {"messages": {"limit": 3, "window": "month"}, "tokens": {"limit": 10, "window": "day", "mode": "soft"}, "projects": {"limit": 2},
     "calls": {"limit": 10, "window": "week", "mode": "overage", "overage_limit": 5}, "logo": {"limit": 1, "window": "lifetime"}, "api": {"unlimited": true, "window": "year"},
     "export": true, "models": {"value": 1}, "film": {"limit": 2, "window": "month", "credit_cost": 5}, "still": {"credit_cost": 2}}}',
  '{"id": "pro", "rank": 10, "prices": [{"price_id": "price_pro"}], "features": {"messages": {"limit": 100, "window": "period"}, "projects": {"limit": 5}}}']) p;

-- A hard cap: checked and counted in one step.
SELECT n, t.short(use_feature('ada', 'messages')) FROM generate_series(1, 4) n;
SELECT t.told(use_feature('ada', 'messages'));
SELECT t.short(use_feature('bob', 'messages', 4)), t.short(use_feature('bob', 'messages', 3)), t.short(use_feature('bob', 'messages', 1));
SELECT t.told(use_feature('cy', 'messages', 2, actor_id => 'anna', options => '{"metadata": {"thread": 7}}'));
SELECT feature, amount, used_after, actor_id, metadata FROM usage_records WHERE user_id = 'cy';
SELECT window_start = date_trunc('month', now()) AS starts, window_end = date_trunc('month', now()) + interval '1 month' AS ends, kind, time_zone, limit_at_opening, used FROM usage_windows WHERE user_id = 'cy';

-- Soft: counted beyond, and says so. Overage: up to its own end.
SELECT t.told(use_feature('ada', 'tokens', 8)) AS within, t.told(use_feature('ada', 'tokens', 5)) AS beyond;
SELECT t.told(use_feature('ada', 'calls', 12)) AS beyond, t.short(use_feature('ada', 'calls', 4)) AS too_far, t.told(use_feature('ada', 'calls', 3)) AS to_the_end;
-- Once in a lifetime; without end; not counted at all.
SELECT t.short(use_feature('ada', 'logo')), t.short(use_feature('ada', 'logo')), t.short(use_feature('ada', 'api', 1000000));
SELECT t.told(use_feature('ada', 'export')), t.told(use_feature('ada', 'models', 7));
SELECT t.told(use_feature('ada', 'sso')), t.told(use_feature('ada', 'mesages'));
-- How many there are at a time.
SELECT t.short(use_feature('ada', 'projects', 2)), t.short(use_feature('ada', 'projects')), t.short(release_feature('ada', 'projects')), t.short(use_feature('ada', 'projects'));
SELECT t.told(release_feature('ada', 'projects', 3));
SELECT t.told(release_feature('ada', 'projects', 2)), t.told(release_feature('ada', 'projects'));
SELECT * FROM t.used('ada');

-- A key makes a call happen once, also when it is asked again after the cap is reached.
SELECT t.told(use_feature('dan', 'messages', 2, 'k1')) AS first;
SELECT t.told(use_feature('dan', 'messages', 2, 'k1')) AS again, t.short(use_feature('dan', 'messages', 1, 'k2')) AS last, t.short(use_feature('dan', 'messages', 1, 'k3')) AS refused;
SELECT use_feature('dan', 'messages', 2, 'k1') ->> 'record_id' = min(record_id)::text AS same FROM usage_records WHERE user_id = 'dan';
SELECT t.told(use_feature('dan', 'messages', 1, 'k1')), use_feature('dan', 'tokens', 2, 'k1') ->> 'status' AS other, release_feature('dan', 'messages', 2, 'k1') ->> 'status' AS release,
       use_feature('dan', 'messages', 2, 'k1', 'anna') ->> 'status' AS actor, use_feature('dan', 'messages', 2, 'k1', options => '{"metadata": {"a": 1}}') ->> 'status' AS metadata;
SELECT grant_credits('dan', 5, idempotency_key => 'g1') ->> 'status' AS granted, use_feature('dan', 'messages', 1, 'g1') -> 'operation' AS operation;
SELECT t.short(release_feature('dan', 'messages', 1, 'k4')), t.short(release_feature('dan', 'messages', 1, 'k4')), t.short(use_feature('dan', 'messages', 1, 'k3')) AS judged_anew;
SELECT * FROM t.used('dan');

-- What failed is given back to the window that it was counted in, never more than it was.
SELECT t.short(use_feature('eve', 'messages', 3));
UPDATE usage_windows SET window_start = window_start - interval '1 month', window_end = window_start WHERE user_id = 'eve';
UPDATE usage_records SET window_start = window_start - interval '1 month' WHERE user_id = 'eve';
SELECT record_id AS eves FROM usage_records WHERE user_id = 'eve' \gset
SELECT t.short(use_feature('eve', 'messages')) AS next_window, t.short(release_feature('eve', 'messages', 2)) AS only_one;
SELECT t.told(release_feature('eve', 'messages', 2, options => jsonb_build_object('record_id', :eves)));
SELECT t.told(release_feature('eve', 'messages', 2, options => jsonb_build_object('record_id', :eves)) - 'releasable') AS too_much,
       t.short(release_feature('eve', 'messages', options => jsonb_build_object('record_id', :eves))) AS the_rest, t.short(release_feature('eve', 'messages', options => jsonb_build_object('record_id', :eves))) AS nothing;
SELECT * FROM t.used('eve');

-- What it costs in credits is charged with it, or nothing happens at all.
SELECT t.told(use_feature('fay', 'film')), t.told(use_feature('fay', 'still'));
SELECT grant_credits('fay', 14) ->> 'status';
SELECT t.told(use_feature('fay', 'film', 1, 'f1') - 'transaction_id'), t.told(use_feature('fay', 'still', 2, 'f2') - 'transaction_id'), t.short(use_feature('fay', 'film', 2)) AS credits_or_cap;
SELECT t.told(use_feature('fay', 'still', 2, 'f2') - 'transaction_id') AS again, use_feature('fay', 'still', 3, 'f2') ->> 'status' AS other;
SELECT t.short(use_feature('fay', 'film')) AS last, t.short(use_feature('fay', 'film')) AS cap_first, t.told(use_feature('fay', 'still'));
SELECT t.transaction_type, t.amount, t.description, t.metadata, r.amount AS used FROM credit_transactions t LEFT JOIN usage_records r USING (user_id, transaction_id)
 WHERE user_id = 'fay' AND t.amount < 0 ORDER BY transaction_id;

-- Upgrade: the period of the subscription counts, with its own limit; afterwards the month goes on.
SELECT t.link('ada', 'cus_ada');
SELECT outcome FROM t.process(t.event('evt_1', 'customer.subscription.created', now() - interval '5 days',
    t.subscription('sub_1', 'cus_ada', 'active', date_trunc('second', now() - interval '5 days'), date_trunc('second', now() + interval '25 days'))));
SELECT t.short(check_entitlement('ada', 'messages')), t.short(use_feature('ada', 'messages', 10)), t.short(use_feature('ada', 'projects', 5));
SELECT outcome FROM t.process(t.event('evt_2', 'customer.subscription.deleted', now() - interval '1 minute',
    t.subscription('sub_1', 'cus_ada', 'canceled', date_trunc('second', now() - interval '5 days'), date_trunc('second', now() + interval '25 days'), jsonb_build_object('ended_at', t.unix(now() - interval '1 minute')))));
SELECT t.short(check_entitlement('ada', 'messages')), t.short(use_feature('ada', 'messages')), t.told(check_entitlement('ada', 'projects'));
-- What is over the limit may go down, and not up.
SELECT t.short(release_feature('ada', 'projects', 2)), t.short(use_feature('ada', 'projects')), t.short(release_feature('ada', 'projects', 2)), t.short(use_feature('ada', 'projects'));
-- Taken away by hand: what is used can still be released.
SELECT t.told(set_user_entitlement('ada', 'projects', 'false') - 'entitlement'), t.short(use_feature('ada', 'projects')), t.short(release_feature('ada', 'projects'));
SELECT * FROM t.used('ada');

-- A period is over, and its renewal not told of yet: what is used meanwhile counts in the next one.
SELECT date_trunc('second', now()) AS now \gset
SELECT t.link('hal', 'cus_hal');
CREATE FUNCTION t.period(id text, told timestamptz, starts timestamptz, ends timestamptz) RETURNS text LANGUAGE sql AS $$
SELECT outcome FROM t.process(t.event(id, 'customer.subscription.updated', told, t.subscription('sub_hal', 'cus_hal', 'active', starts, ends)))
$$;
SELECT t.period('evt_h1', :'now'::timestamptz - interval '30 days', :'now'::timestamptz - interval '1 month 1 hour', :'now'::timestamptz - interval '1 hour');
SELECT t.short(use_feature('hal', 'messages', 10));
SELECT kind, window_start = :'now'::timestamptz - interval '1 hour' AS begins_at_the_end FROM usage_windows WHERE user_id = 'hal';
SELECT t.period('evt_h2', :'now'::timestamptz - interval '50 minutes', :'now'::timestamptz - interval '1 hour', :'now'::timestamptz + interval '30 days');
SELECT t.short(use_feature('hal', 'messages', 10));
-- A period that begins anew, even a little ahead of our clock, is a new window.
SELECT t.period('evt_h3', :'now'::timestamptz - interval '1 minute', :'now'::timestamptz + interval '3 seconds', :'now'::timestamptz + interval '31 days');
SELECT t.short(use_feature('hal', 'messages', 10)), t.short(use_feature('hal', 'messages', 90)), t.short(use_feature('hal', 'messages'));
SELECT kind, used, window_end = :'now'::timestamptz + interval '30 days' AS as_told FROM usage_windows WHERE user_id = 'hal' ORDER BY window_start;

-- A period that turns out longer than it was told (a trial that is extended) goes on counting.
SELECT t.link('ida', 'cus_ida');
SELECT outcome FROM t.process(t.event('evt_i1', 'customer.subscription.updated', :'now'::timestamptz - interval '1 day',
    t.subscription('sub_ida', 'cus_ida', 'active', :'now'::timestamptz - interval '40 days', :'now'::timestamptz + interval '5 days')));
SELECT t.short(use_feature('ida', 'messages', 90));
UPDATE usage_windows SET window_end = :'now'::timestamptz - interval '10 days' WHERE user_id = 'ida';
SELECT t.short(check_entitlement('ida', 'messages', 20)), t.short(use_feature('ida', 'messages', 20)), t.short(use_feature('ida', 'messages', 10));
SELECT used, window_end = :'now'::timestamptz + interval '5 days' AS as_told FROM usage_windows WHERE user_id = 'ida';

-- The calendar of billing.time_zone. A window that is open keeps its bounds when that changes.
SELECT set_billing_setting('time_zone', 'Asia/Kathmandu', 'we moved');
SELECT t.short(use_feature('gil', 'messages')), t.short(use_feature('cy', 'messages'));
SELECT user_id, window_start = date_trunc('month', now() AT TIME ZONE time_zone) AT TIME ZONE time_zone AS starts,
       window_end = (date_trunc('month', now() AT TIME ZONE time_zone) + interval '1 month') AT TIME ZONE time_zone AS ends, time_zone, used FROM usage_windows WHERE user_id IN ('cy', 'gil') ORDER BY 1;
SELECT (check_entitlement('gil', 'messages') ->> 'next_reset_at')::timestamptz = window_end AS same FROM usage_windows WHERE user_id = 'gil';
-- The next one begins where the last one ended, if that was later.
SELECT t.short(use_feature('jon', 'messages'));
UPDATE usage_windows SET time_zone = 'UTC', window_start = date_trunc('month', now()) - interval '1 month', window_end = date_trunc('month', now()) WHERE user_id = 'jon';
UPDATE usage_records r SET window_start = w.window_start FROM usage_windows w WHERE w.user_id = 'jon' AND r.user_id = 'jon';
SELECT t.short(check_entitlement('jon', 'messages')), t.short(use_feature('jon', 'messages', 2)), t.short(use_feature('jon', 'messages', 2));
SELECT window_start >= date_trunc('month', now()) AS after_the_last, time_zone, used FROM usage_windows WHERE user_id = 'jon' ORDER BY window_start;
-- What is rolled back was never used.
BEGIN;
SAVEPOINT a;
SELECT t.short(use_feature('gil', 'messages', 2));
ROLLBACK TO a;
SELECT t.short(use_feature('gil', 'messages', 1, 'again'));
COMMIT;
SELECT * FROM t.used('gil');
SELECT * FROM verify_usage();
UPDATE usage_windows SET used = used + 1 WHERE user_id = 'gil';
SELECT account, invariant, detail - 'window_start' AS detail FROM verify_usage('gil');
SELECT * FROM verify_usage('ada');
