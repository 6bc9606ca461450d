\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Handing notifications out: each to one at a time, again when the lease has ended, until somebody says what became of it.
SELECT upsert_plan('{"id": "pro"}') ->> 'id' AS plan;
SELECT grant_access(u, 'pro') ->> 'status' AS status FROM unnest('{ada,bob,cat}'::text[]) u;
CREATE TABLE t.claimed (LIKE billing_notifications);
CREATE FUNCTION t.queue() RETURNS TABLE (user_id text, kind text, status text, attempts integer, leased text, due text, finished text, error text) LANGUAGE sql AS $$
SELECT user_id, kind, status, attempts, lease_until > clock_timestamp(), next_attempt_at <= clock_timestamp(), finished_at IS NOT NULL, error FROM billing_notifications ORDER BY 1, created_at, payload ->> 'sequence'
$$;
CREATE FUNCTION t.finish(of_user text, success boolean, error text DEFAULT NULL, options jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
SELECT finish_billing_notification(n.user_id, n.notification_id, success, error, options) - 'next_attempt_at' FROM billing_notifications n WHERE n.user_id = of_user ORDER BY n.payload ->> 'sequence' LIMIT 1
$$;
SELECT user_id, kind, attempt, livemode, payload ->> 'plan' AS plan, lease_until > clock_timestamp() + interval '50 seconds' AS leased FROM claim_billing_notifications(2);
SELECT user_id, attempt FROM claim_billing_notifications(options => '{"lease": "1 second"}');
SELECT user_id FROM claim_billing_notifications();
SELECT * FROM t.queue();
SELECT pg_sleep(1.1);
SELECT user_id, attempt FROM claim_billing_notifications();
-- Delivered: once. Failed: later, with waits that grow.
SELECT t.finish('ada', true), t.finish('ada', true) AS again, t.finish('ada', false, 'late') AS late;
SELECT t.finish('bob', false, 'status 503');
SELECT next_attempt_at - clock_timestamp() BETWEEN interval '3 seconds' AND interval '7 seconds' AS soon FROM billing_notifications WHERE user_id = 'bob';
UPDATE billing_notifications SET attempts = 9 WHERE user_id = 'bob';
SELECT t.finish('bob', false, 'status 503');
SELECT next_attempt_at - clock_timestamp() BETWEEN interval '4 hours' AND interval '8 hours' AS later FROM billing_notifications WHERE user_id = 'bob';
SELECT t.finish('bob', false, 'asked to wait', '{"retry_in": "90 seconds"}');
SELECT next_attempt_at - clock_timestamp() BETWEEN interval '89 seconds' AND interval '90 seconds' AS as_told FROM billing_notifications WHERE user_id = 'bob';
SELECT t.finish('bob', false, 'at once', '{"retry_in": "0"}');
SELECT user_id, attempt FROM claim_billing_notifications();
-- Whose lease has ended does not take it from the next; that it was delivered is true all the same.
SELECT t.finish('cat', false, 'late', '{"attempt": 1}') AS late, t.finish('cat', true, NULL, '{"attempt": 1}') AS delivered;
SELECT t.finish('bob', false, 'no such handler', '{"give_up": true}') AS given_up, t.finish('bob', true) AS after_all;
SELECT * FROM t.queue();
SELECT finish_billing_notification('ada', 'ntf_unknown', true), finish_billing_notification('nobody', 'ntf_unknown', false);
-- Some kinds only, and in a user's order.
SELECT revoke_access('ada', 'pro', 'test') ->> 'status' AS a, grant_access('ada', 'pro') ->> 'status' AS b;
SELECT user_id, kind FROM claim_billing_notifications(options => '{"kinds": ["access_lost", "credits_low"]}');
SELECT user_id, kind, payload ->> 'sequence' AS sequence FROM claim_billing_notifications(options => '{"kinds": ["access_gained"]}');
-- Not for ever: what is older than notify_limit is no news.
SELECT t.finish('ada', false) ->> 'status' AS status; UPDATE billing_notifications SET created_at = now() - interval '8 days', next_attempt_at = now() - interval '1 day', lease_until = NULL, error = 'status 500' WHERE user_id = 'ada' AND status = 'pending' AND kind = 'access_lost';
SELECT notify_due() AS given_up, notify_due() AS none;
SELECT user_id, kind, status, error FROM billing_notifications WHERE status = 'failed';
UPDATE billing_notifications SET created_at = now() - interval '8 days' WHERE user_id = 'ada' AND status = 'pending';
SELECT finish_billing_notification(user_id, notification_id, false, 'status 500') FROM billing_notifications WHERE user_id = 'ada' AND status = 'pending';
-- The queue has an index, and so has what is due by time.
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT user_id FROM billing_notifications WHERE status = 'pending' AND next_attempt_at <= now() ORDER BY next_attempt_at LIMIT 10;
EXPLAIN (COSTS OFF) SELECT user_id FROM billing_users WHERE access_due_at <= now() ORDER BY access_due_at LIMIT 10;
RESET enable_seqscan;
-- Misuse raises and changes nothing.
CREATE TABLE t.before AS SELECT * FROM billing_notifications;
\x
\a
SELECT c AS command, r.* FROM unnest(ARRAY[
    'SELECT claim_billing_notifications(0)', 'SELECT claim_billing_notifications(1001)', 'SELECT claim_billing_notifications(NULL)', 'SELECT claim_billing_notifications(1, NULL)', 'SELECT claim_billing_notifications(1, ''[]'')',
    'SELECT claim_billing_notifications(1, ''{"leese": "1s"}'')', 'SELECT claim_billing_notifications(1, ''{"lease": "soon"}'')', 'SELECT claim_billing_notifications(1, ''{"lease": "2 days"}'')', 'SELECT claim_billing_notifications(1, ''{"lease": null}'')',
    'SELECT claim_billing_notifications(1, ''{"kinds": "access_lost"}'')', 'SELECT claim_billing_notifications(1, ''{"kinds": ["nothing"]}'')', 'SELECT finish_billing_notification(NULL, ''x'', true)', 'SELECT finish_billing_notification(''ada'', NULL, true)', 'SELECT finish_billing_notification(''ada'', ''x'', NULL)',
    'SELECT finish_billing_notification(''ada'', ''x'', true, NULL, ''{"later": 1}'')', 'SELECT finish_billing_notification(''ada'', ''x'', true, NULL, ''{"attempt": "1"}'')', 'SELECT finish_billing_notification(''ada'', ''x'', true, NULL, ''{"retry_in": "-1 s"}'')',
    'SELECT finish_billing_notification(''ada'', ''x'', true, NULL, ''{"give_up": 1}'')', 'SELECT finish_billing_notification(''ada'', ''x'', true, NULL, NULL)', 'SELECT notify_due(0)', 'SELECT notify_due(NULL)',
    'SELECT set_credits_low_thresholds(''ada'', ''{-1}'', ''x'')', 'SELECT set_credits_low_thresholds(''ada'', ''{NULL}'', ''x'')', 'SELECT set_credits_low_thresholds(''ada'', ''{1}'', '''')', 'SELECT set_credits_low_thresholds(NULL, ''{1}'', ''x'')',
    'SELECT set_credits_low_thresholds(''ada'', ARRAY(SELECT generate_series(1, 21)), ''x'')', 'SELECT set_billing_setting(''credits_low_thresholds'', ''1, two'', ''x'')', 'SELECT set_billing_setting(''credits_low_thresholds'', ''-1'', ''x'')', 'SELECT set_billing_setting(''credits_low_thresholds'', '''', ''x'')',
    'SELECT set_billing_setting(''notify_since'', ''yesterday'', ''x'')', 'SELECT set_billing_setting(''notify_limit'', ''1 month'', ''x'')', 'SELECT set_billing_setting(''notifications'', ''yes'', ''x'')']) WITH ORDINALITY u(c, n), t.refusal(c) r ORDER BY n;
\a
\x
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT code, message, hint FROM t.refusal('SELECT notify_due()');
COMMIT;
SELECT count(*) FROM (TABLE billing_notifications EXCEPT TABLE t.before) x;
