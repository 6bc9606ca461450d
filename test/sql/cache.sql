\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- The derived state of each user, stored by whoever writes and never by who reads.
SELECT t.link('user_' || n, 'cus_' || n) FROM generate_series(1, 3) n;
-- Periods around now, because that is when the cache answers.
CREATE FUNCTION t.running(id text, n integer, status text) RETURNS text LANGUAGE sql AS $$
SELECT t.event(id, 'customer.subscription.updated', now() - interval '1 hour' + n * interval '1 second',
               t.subscription('sub_' || n, 'cus_' || n, status, now() - interval '10 days', now() + interval '20 days'))
$$;
SELECT outcome FROM t.process(t.running('evt_1', 1, 'active'), t.running('evt_2', 2, 'incomplete'));
CREATE FUNCTION t.seen(user_id text) RETURNS TABLE (state text, has_access text, cached text, has_times boolean, answer boolean) LANGUAGE sql AS $$
SELECT s ->> 'state', s ->> 'has_access', s ->> 'cached', s ->> 'cached_at' IS NOT NULL AND s ->> 'expires_at' IS NOT NULL, has_active_subscription(user_id)
  FROM get_user_subscription_state(user_id) s
$$;
-- Event processing has stored them, in its own transaction.
SELECT user_id, status, has_access, valid_from <= now() AND now() < valid_until AS valid, round(extract(epoch FROM expires_at - cached_at) / 60) AS minutes, generation FROM subscription_cache ORDER BY 1;
SELECT u, s.* FROM unnest(ARRAY['user_1', 'user_2', 'user_3', 'nobody']) u, t.seen(u) s ORDER BY u;
-- What is served is what a computation says.
SELECT (get_user_subscription_state('user_1') - 'cached' - 'cached_at' - 'expires_at') = (get_user_subscription_state('user_1', now()) - 'cached' - 'cached_at' - 'expires_at') AS same;
-- The window ends when time alone changes the state: the end of the period.
SELECT valid_until = (SELECT current_period_end FROM user_subscriptions WHERE user_id = 'user_1') AS until_the_end FROM subscription_cache WHERE user_id = 'user_1';

-- A row is served only within its window, before it expires, and with the settings that made it. has_access is turned
-- round here, so that what is served from the row can be told from what is computed.
CREATE PROCEDURE t.spoil(change text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM update_subscription_cache('user_1');
    UPDATE subscription_cache SET has_access = NOT has_access, state = state || '{"has_access": false}' WHERE user_id = 'user_1';
    EXECUTE 'UPDATE subscription_cache SET ' || change || $q$ WHERE user_id = 'user_1'$q$;
END
$$;
CALL t.spoil('status = status');
SELECT * FROM t.seen('user_1');
CALL t.spoil('expires_at = now()');
SELECT * FROM t.seen('user_1');
CALL t.spoil('valid_until = now()');
SELECT * FROM t.seen('user_1');
CALL t.spoil($$valid_from = now() + interval '1 hour'$$);
SELECT * FROM t.seen('user_1');
CALL t.spoil('generation = generation + 1');
SELECT * FROM t.seen('user_1');
CALL t.spoil('status = status');
SELECT set_billing_setting('cache_ttl', '1 hour', 'test');
SELECT * FROM t.seen('user_1');
-- ... also within the transaction that changes them, and back.
SELECT update_subscription_cache('user_1') ->> 'state' AS state;
BEGIN;
SELECT cached FROM t.seen('user_1');
SELECT set_billing_setting('accept_payments', 'off', 'test');
SELECT cached FROM t.seen('user_1');
SELECT get_user_subscription_state('nobody') ->> 'can_purchase' AS can_purchase;
SAVEPOINT a;
SELECT set_billing_setting('accept_payments', 'on', 'test');
SELECT get_user_subscription_state('nobody') ->> 'can_purchase' AS can_purchase;
ROLLBACK TO a;
SELECT get_user_subscription_state('nobody') ->> 'can_purchase' AS can_purchase;
ROLLBACK;
SELECT cached FROM t.seen('user_1');
SELECT get_user_subscription_state('nobody') ->> 'can_purchase' AS can_purchase;
SELECT round(extract(epoch FROM expires_at - cached_at) / 60) AS minutes FROM subscription_cache WHERE user_id = 'user_1';
SELECT set_billing_setting('cache_ttl', NULL, 'test');

-- Reading stores nothing.
SELECT clear_user_subscription_cache('user_1'), clear_user_subscription_cache('user_1'), clear_user_subscription_cache('nobody');
SELECT * FROM t.seen('user_1');
SELECT count(*) FROM subscription_cache WHERE user_id IN ('user_1', 'nobody');
SELECT update_subscription_cache('user_1') ->> 'state' AS state;
SELECT * FROM t.seen('user_1');

-- House-keeping.
SELECT clear_expired_subscription_cache();
UPDATE subscription_cache SET expires_at = now() - interval '1 second' WHERE user_id = 'user_1';
UPDATE subscription_cache SET valid_until = now() - interval '1 second' WHERE user_id = 'user_2';
SELECT s -> 'total' AS total, s -> 'valid' AS valid, s -> 'expired' AS expired, s -> 'ttl_seconds' AS ttl, (s ->> 'average_age_seconds')::numeric >= 0 AS has_age,
       s ->> 'last_cleanup' IS NOT NULL AS cleaned FROM get_subscription_cache_status() s;
SELECT clear_expired_subscription_cache();
SELECT rows_removed, cleaned_at <= now() AS at, duration >= '0' AS took FROM get_cache_cleanup_history();
SELECT count(*) FROM get_cache_cleanup_history(1);
INSERT INTO subscription_cache_cleanups VALUES (now() - interval '91 days', 5, '1 ms');
SELECT clear_expired_subscription_cache();
SELECT count(*) FROM get_cache_cleanup_history() WHERE cleaned_at < now() - interval '90 days';
-- Twice in one transaction is one line of history.
BEGIN;
SELECT update_subscription_cache('user_1') IS NOT NULL AS stored;
UPDATE subscription_cache SET expires_at = now() - interval '1 second';
SELECT clear_expired_subscription_cache() > 0 AS removed;
SELECT clear_expired_subscription_cache();
SELECT count(*), sum(rows_removed) > 0 AS counted FROM subscription_cache_cleanups WHERE cleaned_at = now();
COMMIT;
SELECT update_subscription_cache('user_' || n) ->> 'state' AS state FROM generate_series(1, 3) n;
SELECT clear_all_subscription_cache(), clear_all_subscription_cache();
SELECT s -> 'total' AS total, s -> 'average_age_seconds' AS age FROM get_subscription_cache_status() s;
-- Hits and misses are counted when the library is preloaded, and null otherwise; refreshing needs it too.
SELECT current_setting('shared_preload_libraries') LIKE '%pg_billing%' = (hits IS NOT NULL AND misses IS NOT NULL) AS counted_when_preloaded FROM cache_counters();
SELECT refresh_subscription_cache(10000) >= 0 AS refreshed, clear_all_subscription_cache() >= 0 AS cleared;
-- What was missed is stored, of users that are known; anybody may have asked for any id.
SELECT cached FROM t.seen('user_1') UNION ALL SELECT cached FROM t.seen('nobody');
SELECT current_setting('shared_preload_libraries') LIKE '%pg_billing%' = (refresh_subscription_cache() = 1) AS refreshed_when_preloaded;
SELECT refresh_subscription_cache();
SELECT current_setting('shared_preload_libraries') LIKE '%pg_billing%' = (count(*) = 1) AS stored_when_preloaded FROM subscription_cache;

-- The index may be rebuilt, the table rewritten: nothing of them is kept.
SELECT update_subscription_cache('user_1') ->> 'state' AS state;
SELECT cached FROM t.seen('user_1');
REINDEX TABLE subscription_cache;
SELECT cached FROM t.seen('user_1');
VACUUM FULL subscription_cache;
SELECT cached FROM t.seen('user_1');
CLUSTER subscription_cache USING subscription_cache_pkey;
SELECT cached FROM t.seen('user_1');
-- User ids compare bytewise.
SELECT cached FROM t.seen('USER_1');

-- Where row-level security applies to the caller, it decides what is read.
CREATE ROLE regress_billing_reader;
SELECT grant_billing_role('regress_billing_reader', 'app');
GRANT USAGE ON SCHEMA t TO regress_billing_reader;
ALTER TABLE subscription_cache ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_subscriptions ENABLE ROW LEVEL SECURITY;
CREATE POLICY one ON subscription_cache FOR SELECT TO regress_billing_reader USING (user_id = 'user_1');
CREATE POLICY one ON user_subscriptions AS RESTRICTIVE FOR SELECT TO regress_billing_reader USING (user_id = 'user_1');
SELECT update_subscription_cache('user_' || n) ->> 'state' AS state FROM generate_series(1, 3) n;
UPDATE user_subscriptions SET status = 'active' WHERE user_id = 'user_2';
SET ROLE regress_billing_reader;
SELECT u, s.* FROM unnest(ARRAY['user_1', 'user_2']) u, t.seen(u) s ORDER BY u;
RESET ROLE;
SELECT u, s.* FROM unnest(ARRAY['user_1', 'user_2']) u, t.seen(u) s ORDER BY u;
DROP OWNED BY regress_billing_reader;
DROP ROLE regress_billing_reader;
