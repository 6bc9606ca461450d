\set ECHO none
\getenv source PG_ABS_SRCDIR
\set payloads :source '/sql/include/payloads.sql'
\i :payloads
\set ECHO all
-- Usage is pushed to Stripe's meters by the hour, once, and what is given back is less of what comes.
SELECT upsert_plan('{"id": "free", "default": true, "features": {"calls": {"limit": 1000, "window": "lifetime"}, "tokens": {"limit": 1000, "window": "lifetime"}}}') ->> 'id' AS plan;
SELECT link_stripe_customer('ada', 'cus_ada') ->> 'status' AS ada;
CREATE FUNCTION t.use(who text, amount bigint, hours_ago integer, what text DEFAULT 'calls') RETURNS text LANGUAGE plpgsql AS $$
DECLARE reply jsonb := CASE WHEN amount > 0 THEN use_feature(who, what, amount) ELSE release_feature(who, what, -amount) END;
BEGIN
  UPDATE usage_records SET created_at = date_trunc('hour', now()) - hours_ago * interval '1 hour' + interval '10 minutes'
   WHERE record_id = (SELECT max(record_id) FROM usage_records WHERE user_id = who);
  RETURN reply ->> 'status';
END $$;
CREATE FUNCTION t.pushed() RETURNS TABLE (who text, event text, value text, customer text, hours_ago numeric, own_id boolean, status text, code text) LANGUAGE sql AS $$
  SELECT user_id, parameters ->> 'event_name', parameters #>> '{payload,value}', parameters #>> '{payload,stripe_customer_id}',
         round(extract(epoch FROM date_trunc('hour', now()) + interval '10 minutes' - to_timestamp((parameters ->> 'timestamp')::bigint)) / 3600, 2),
         parameters ->> 'identifier' = request_id, status, error ->> 'code' FROM stripe_requests WHERE purpose = 'push_stripe_usage' ORDER BY number $$;
SELECT t.use('ada', 1, 5);
SELECT set_stripe_meter('calls', 'api_calls', now() - interval '1 day');
SELECT t.use('ada', 2, 5), t.use('ada', 3, 4), t.use('bob', 5, 3), t.use('ada', 9, 5, 'tokens');
SELECT push_stripe_usage();
SELECT * FROM t.pushed();
SELECT push_stripe_usage() AS again;
-- Given back: less of the next hour.
SELECT t.use('ada', -2, 2);
SELECT push_stripe_usage() AS nothing_left, (SELECT carried FROM stripe_meter_positions WHERE user_id = 'ada') AS carried;
SELECT t.use('ada', 4, 0);
SELECT push_stripe_usage() AS hour_under_way;
UPDATE usage_records SET created_at = date_trunc('hour', now()) - interval '80 minutes' WHERE user_id = 'ada' AND amount = 4;
SELECT push_stripe_usage() AS hour_is_over;
SELECT t.use('ada', 7, 1);
SELECT push_stripe_usage();
SELECT * FROM t.pushed() OFFSET 2;
-- Who has no customer yet is pushed later; what is too old by then Stripe is not asked.
UPDATE usage_records SET created_at = date_trunc('hour', now()) - interval '36 days' + interval '10 minutes' WHERE user_id = 'bob';
UPDATE stripe_meters SET since = now() - interval '40 days';
SELECT link_stripe_customer('bob', 'cus_bob') ->> 'status' AS bob;
SELECT push_stripe_usage();
SELECT count(*) AS claimed FROM claim_stripe_requests();
SELECT * FROM t.pushed() WHERE who = 'bob';
-- Two users become one: nothing is lost, nothing is pushed twice.
SELECT t.use('bob', 11, 0);
SELECT merge_users('bob', 'ada', 'the same person', '{"usage": "into"}') ->> 'status' AS merged;
SELECT user_id, feature, carried FROM stripe_meter_positions;
SELECT who, value, customer FROM t.pushed() ORDER BY value::bigint DESC LIMIT 1;
SELECT push_stripe_usage() AS nothing_more;
SELECT set_stripe_meter('calls', NULL);
SELECT t.use('ada', 1, 1);
SELECT push_stripe_usage() AS no_meter;
-- Misuse.
SELECT code, message, hint FROM t.refusal($$SELECT set_stripe_meter('', 'api_calls')$$);
SELECT code, message, hint FROM t.refusal($$SELECT set_stripe_meter(NULL, 'api_calls')$$);
SELECT code, hint FROM t.refusal($$SELECT set_stripe_meter('calls', '')$$);
SELECT code, hint FROM t.refusal($$SELECT set_stripe_meter('calls', 'api_calls', now() - interval '36 days')$$);
SELECT code, message, hint FROM t.refusal($$SELECT push_stripe_usage(0)$$);
