\set ECHO none
\getenv source PG_ABS_SRCDIR
\set payloads :source '/sql/include/payloads.sql'
\i :payloads
\set orders :source '/sql/include/orders.sql'
\i :orders
\set ECHO all
-- A customer on one of Stripe's test clocks lives by it: judged at frozen_time, whatever the time really is.
CREATE FUNCTION t.clock(id text, frozen_time timestamptz, status text DEFAULT 'ready', clock text DEFAULT 'clock_1') RETURNS text LANGUAGE sql AS $$
SELECT t.event(id, 'test_helpers.test_clock.' || status, '2026-01-01',
               jsonb_build_object('id', clock, 'object', 'test_helpers.test_clock', 'created', t.unix('2026-01-01'), 'deletes_after', t.unix('2026-02-01'),
                                  'frozen_time', t.unix(frozen_time), 'livemode', false, 'name', NULL, 'status', status, 'status_details', '{}'::jsonb))
$$;
CREATE FUNCTION t.on_clock(id text, customer text, status text DEFAULT 'active', clock text DEFAULT 'clock_1', extra jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
SELECT t.subscription(id, customer, status, '2031-01-01', '2031-02-01', jsonb_build_object('test_clock', clock) || extra)
$$;
CREATE FUNCTION t.now(user_id text) RETURNS TABLE (state text, has_access text, reason text, test_clock text, cached text) LANGUAGE sql AS $$
SELECT s ->> 'state', s ->> 'has_access', s ->> 'reason', s ->> 'test_clock', s ->> 'cached' FROM get_user_subscription_state(user_id) s
$$;
SELECT t.link('ada', 'cus_ada'), t.link('bob', 'cus_bob');

-- While nobody has told what the clock shows, it shows what Stripe has done last; explain_user() says so.
SELECT outcome FROM t.process(t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.on_clock('sub_ada', 'cus_ada')));
SELECT * FROM t.now('ada');
SELECT jsonb_array_elements_text(explain_user('ada') -> 'why') AS why;

-- It is judged at what the clock shows; no time passes by itself.
SELECT outcome FROM t.process(t.clock('evt_2', '2031-01-15'));
SELECT * FROM t.now('ada');
SELECT valid_from, valid_until, frozen_time FROM subscription_cache;
SELECT jsonb_array_elements_text(explain_user('ada') -> 'why') AS why;
-- An advance moves everybody on it at once; what is stored moves along.
SELECT outcome FROM t.process(t.clock('evt_3', '2031-02-02'));
SELECT * FROM t.now('ada');
SELECT outcome FROM t.process(t.clock('evt_4', '2031-02-04'));
SELECT * FROM t.now('ada');
SELECT has_active_subscription('ada');
SELECT code, message FROM t.refusal($$SELECT require_subscription('ada')$$);
SELECT status, frozen_time FROM subscription_cache WHERE user_id = 'ada';
-- An instant that somebody asks about wins.
SELECT s.state, s.has_access, s.reason FROM t.state('ada', '2031-01-15') s;
SELECT get_user_subscription_state('ada', '2031-01-15') ? 'test_clock' AS says_so;
-- A clock of the past is no other: nobody is locked out by the real time.
SELECT outcome FROM t.process(t.clock('evt_5', '2020-01-10', clock => 'clock_2'), t.event('evt_6', 'customer.subscription.created', '2026-01-01',
    t.subscription('sub_bob', 'cus_bob', 'trialing', '2020-01-01', '2020-01-15', jsonb_build_object('test_clock', 'clock_2', 'trial_start', t.unix('2020-01-01'), 'trial_end', t.unix('2020-01-15')))));
SELECT * FROM t.now('bob');
SELECT outcome FROM t.process(t.clock('evt_7', '2020-01-20', clock => 'clock_2'));
SELECT * FROM t.now('bob');

-- A subscription that does not say so itself is on its customer's clock.
SELECT t.link('cat', 'cus_cat');
SELECT outcome FROM t.process(t.event('evt_8', 'customer.subscription.created', '2026-01-01', t.subscription('sub_cat', 'cus_cat', 'active', '2020-01-01', '2020-02-01')));
SELECT * FROM t.now('cat');
SELECT outcome FROM t.process(t.event('evt_9', 'customer.created', '2026-01-01', t.customer('cus_cat', '{"test_clock": "clock_2"}')));
SELECT * FROM t.now('cat');

-- Several customers on several clocks: each subscription by its own.
SELECT t.link('ada', 'cus_ada2');
SELECT outcome FROM t.process(t.event('evt_10', 'customer.subscription.created', '2026-01-01', t.subscription('sub_ada2', 'cus_ada2', 'active', '2020-01-01', '2020-02-01', '{"test_clock": "clock_2"}')));
SELECT s ->> 'stripe_subscription_id' AS id, s ->> 'reason' AS reason, s -> 'test_clock' ->> 'frozen_time' AS at FROM jsonb_array_elements(get_user_subscription_state('ada') -> 'subscriptions') s ORDER BY id;

-- Usage is counted in the windows of the clock: it begins anew when the clock passes their end.
SELECT upsert_plan('{"id": "pro", "prices": [{"lookup_key": "pro"}], "features": {"runs": {"limit": 2, "window": "day"}, "exports": {"limit": 1, "window": "period"}}}') ->> 'id' AS plan;
SELECT t.link('dan', 'cus_dan');
SELECT outcome FROM t.process(t.clock('evt_11', '2031-01-10 12:00', clock => 'clock_3'), t.event('evt_12', 'customer.subscription.created', '2026-01-01', t.on_clock('sub_dan', 'cus_dan', clock => 'clock_3')));
SELECT u ->> 'status' AS status, u ->> 'used' AS used, u ->> 'next_reset_at' AS next_reset_at FROM generate_series(1, 3) n, use_feature('dan', 'runs', least(n, 1)) u;
SELECT use_feature('dan', 'exports') ->> 'next_reset_at' AS next_reset_at;
SELECT outcome FROM t.process(t.clock('evt_13', '2031-01-11', clock => 'clock_3'));
SELECT c ->> 'allowed' AS allowed, c ->> 'remaining' AS remaining FROM check_entitlement('dan', 'runs') c;
SELECT c ->> 'allowed' AS allowed, c ->> 'remaining' AS remaining FROM check_entitlement('dan', 'exports') c;
SELECT use_feature('dan', 'runs') ->> 'status' AS status, release_feature('dan', 'runs') ->> 'status' AS released;
SELECT feature, window_start, window_end, used, opened_at FROM usage_windows ORDER BY feature, window_start;
SELECT * FROM verify_usage();

-- Credits too: they begin and lapse by the clock, together with the state.
SELECT outcome FROM t.process(t.event('evt_14', 'price.created', '2025-12-01', t.price('pro', 2900) || '{"metadata": {"credits": "30"}}'),
    t.event('evt_15', 'invoice.paid', '2026-01-01', t.invoice('in_dan', 'sub_dan', 'cus_dan', 'paid', '2031-01-01', '2031-02-01', '{"test_clock": "clock_3", "billing_reason": "subscription_create"}')));
SELECT s -> 'credits' AS credits, s ->> 'can_use_credits' AS usable FROM get_user_subscription_state('dan') s;
SELECT u ->> 'status' AS status, u ->> 'available' AS available FROM use_credits_validated('dan', 5, 'story') u;
SELECT hold_credits('dan', 5) ->> 'expires_at' AS expires_at;
SELECT outcome FROM t.process(t.clock('evt_16', '2031-02-03 12:00', clock => 'clock_3'));
SELECT s -> 'credits' AS credits FROM get_user_subscription_state('dan') s;
SELECT expire_credits();
SELECT outcome FROM t.process(t.clock('evt_17', '2031-02-04', clock => 'clock_3'));
SELECT s ->> 'reason' AS reason, s -> 'credits' AS credits FROM get_user_subscription_state('dan') s;
SELECT get_credit_balance('dan') AS now, get_credit_balance('dan', '2031-01-20') AS then;
SELECT use_credits_validated('dan', 5, 'story') ->> 'status' AS status;
SELECT transaction_type, amount, effective_at FROM credit_transactions WHERE user_id = 'dan' ORDER BY transaction_id;
SELECT * FROM verify_credit_ledger();
-- A clock of the past grants too, though it shows a time before the installation.
SELECT outcome FROM t.process(t.event('evt_18', 'invoice.paid', '2026-01-01', t.invoice('in_cat', 'sub_cat', 'cus_cat', 'paid', '2020-01-01', '2020-02-01', '{"test_clock": "clock_2", "billing_reason": "subscription_create"}')));
SELECT s -> 'credits' AS credits FROM get_user_subscription_state('cat') s;

-- Whoever deletes a clock deletes its customers.
SELECT outcome FROM t.process(t.clock('evt_19', '2020-01-20', 'deleted', 'clock_2'));
SELECT * FROM t.now('bob');
-- Live mode knows no test clocks.
SELECT set_billing_setting('mode', 'live', 'test');
SELECT outcome FROM t.process(t.clock('evt_20', '2031-03-01'));
SELECT * FROM t.now('dan');
SELECT set_billing_setting('mode', 'test', 'test');
SELECT * FROM t.now('dan');
SELECT table_name, row_key, difference FROM rebuild_billing_state();
-- A clock that the mirror has lost comes back with its time.
DELETE FROM stripe_objects WHERE object_id = 'clock_3';
SELECT set_billing_setting('cache_ttl', NULL, 'test');
SELECT * FROM t.now('dan');
SELECT table_name, row_key ->> 'object_id' AS id, difference, repaired FROM rebuild_billing_state(true);
SELECT * FROM t.now('dan');

-- Any order of clock, customer, subscription and advance gives the same, the cache included.
CALL t.try_orders('clock', ARRAY[
    t.event('evt_1', 'customer.created', '2026-01-01', t.customer('cus_1', '{"test_clock": "clock_1", "metadata": {"user_id": "user_1"}}')),
    t.event('evt_2', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2020-01-01', '2020-02-01')),
    t.clock('evt_3', '2020-01-01'), t.clock('evt_4', '2020-02-02', 'advancing'), t.clock('evt_5', '2020-02-02')]);
SELECT * FROM t.verdict('clock');
SELECT * FROM t.now('user_1');
