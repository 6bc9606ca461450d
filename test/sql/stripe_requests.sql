\set ECHO none
\getenv source PG_ABS_SRCDIR
\set payloads :source '/sql/include/payloads.sql'
\i :payloads
\set ECHO all
-- The outbox: what the transaction wants of Stripe is written in it, and handed out once it has committed.
CREATE FUNCTION t.brief(reply jsonb) RETURNS jsonb LANGUAGE sql AS
    $$ SELECT CASE WHEN reply ? 'request_id' THEN reply - 'request_id' || jsonb_build_object('written',
              (SELECT jsonb_build_array(r.purpose, r.method, r.path, r.parameters) FROM stripe_requests r WHERE r.request_id = reply ->> 'request_id'))
              ELSE reply END $$;
CREATE FUNCTION t.requests() RETURNS TABLE (purpose text, path text, status text, attempts integer, doubt boolean, code text) LANGUAGE sql AS
    $$ SELECT purpose, path, status, attempts, in_doubt_since IS NOT NULL, error ->> 'code' FROM stripe_requests ORDER BY number $$;
SELECT t.brief(enqueue_stripe_request('user_1', '/v1/customers/cus_1', '{"name": "Ada"}', 'name-1'));
SELECT t.brief(enqueue_stripe_request('user_1', '/v1/customers/cus_1', '{"name": "Ada"}', 'name-1'));
SELECT t.brief(enqueue_stripe_request('user_1', '/v1/customers/cus_1', '{"name": "Eve"}', 'name-1'));
SELECT t.brief(enqueue_stripe_request('user_1', '/v1/customers/cus_1', '{"name": "Grace"}'));
SELECT t.brief(enqueue_stripe_request(NULL, '/v1/coupons', '{"percent_off": 10}'));
BEGIN;
SELECT t.brief(enqueue_stripe_request('user_2', '/v1/customers', '{}'));
ROLLBACK;
-- Of one subject the first, and the next when it has its answer; each to one worker.
SELECT method, path, parameters, purpose, attempt, request_id ~ '^pgb_[0-9a-f]{32}$' AS id, fetch_id ~ '^fetch_[0-9]{19}$' AS fetch FROM claim_stripe_requests() ORDER BY path;
SELECT count(*) AS again FROM claim_stripe_requests();
SELECT jsonb_pretty(finish_stripe_request(request_id, '{"status": 200, "request_id": "req_1", "body": {"id": "cus_1"}}') - '{request_id,created_at,finished_at,next_attempt_at}'::text[])
  FROM stripe_requests WHERE parameters = '{"name": "Ada"}';
SELECT count(*) AS next FROM claim_stripe_requests();
SELECT finish_stripe_request(request_id, '{"status": 400, "body": null, "error": {"type": "invalid_request_error", "code": "parameter_unknown", "message": "no"}}') ->> 'status' AS status
  FROM stripe_requests WHERE parameters = '{"name": "Grace"}';
-- A second answer changes nothing.
SELECT finish_stripe_request(request_id, '{"status": 200, "body": {}}') ->> 'status' AS status FROM stripe_requests WHERE parameters = '{"name": "Grace"}';
-- No answer: again with the same id, later; whether Stripe may have acted stays known.
SELECT postpone_stripe_request(request_id, '{"code": "rate_limit"}', true) FROM stripe_requests WHERE path = '/v1/coupons';
SELECT * FROM t.requests();
UPDATE stripe_requests SET next_attempt_at = now() WHERE path = '/v1/coupons';
SELECT attempt FROM claim_stripe_requests();
SELECT postpone_stripe_request(request_id, '{"type": "connection_error"}', false) FROM stripe_requests WHERE path = '/v1/coupons';
-- Stripe knows a key for 24 hours: then a person looks.
UPDATE stripe_requests SET next_attempt_at = now(), in_doubt_since = now() - interval '23 hours 1 minute' WHERE path = '/v1/coupons';
SELECT count(*) AS none FROM claim_stripe_requests();
SELECT * FROM t.requests() WHERE path = '/v1/coupons';
SELECT release_stripe_request(request_id, 'looked: not there') - 'request_id' AS released FROM stripe_requests WHERE path = '/v1/coupons';
SELECT release_stripe_request(request_id, 'twice') - 'request_id' AS released FROM stripe_requests WHERE path = '/v1/coupons';
SELECT attempt FROM claim_stripe_requests();
SELECT cancel_stripe_request(request_id, 'too late') - 'request_id' AS canceled FROM stripe_requests WHERE path = '/v1/coupons';
-- A restored backup.
SELECT hold_stripe_requests('restored from a backup') AS held;
SELECT cancel_stripe_request(request_id, 'it was sent before') - 'request_id' AS canceled FROM stripe_requests WHERE path = '/v1/coupons';
SELECT * FROM t.requests() WHERE path = '/v1/coupons';
SELECT action, subject IS NOT NULL AS names_it, reason, details FROM audit_logs WHERE action LIKE 'request%' ORDER BY created_at;
-- What nobody has taken for three days is over.
SELECT t.brief(enqueue_stripe_request('user_1', '/v1/coupons', '{}'));
UPDATE stripe_requests SET created_at = now() - interval '4 days' WHERE status = 'pending';
SELECT count(*) FROM claim_stripe_requests();
SELECT postpone_stripe_request(request_id, '{"code": "api_key_expired"}', true) FROM stripe_requests WHERE status = 'pending';
SELECT status, error FROM stripe_requests WHERE path = '/v1/coupons' ORDER BY number DESC LIMIT 1;
DELETE FROM stripe_requests;

-- A customer is asked for once.
SELECT t.brief(get_or_create_stripe_customer('user_1', 'ada@example.com'));
SELECT t.brief(get_or_create_stripe_customer('user_1', 'ada@example.com'));
SELECT count(*) FROM claim_stripe_requests();
SELECT finish_stripe_request(request_id, '{"status": 200, "body": {"id": "cus_1"}}',
       t.event('fetch_0000000000000000900', 'customer.updated', '2026-01-01', t.customer('cus_1', '{"metadata": {"user_id": "user_1"}}'))) ->> 'status' AS status
  FROM stripe_requests;
SELECT get_or_create_stripe_customer('user_1', 'ada@example.com');
-- One that a checkout linked meanwhile is not made a second time.
SELECT get_or_create_stripe_customer('user_2', NULL) ->> 'status' AS status;
SELECT link_stripe_customer('user_2', 'cus_2') ->> 'status' AS status;
SELECT count(*) AS none FROM claim_stripe_requests();
SELECT status, error ->> 'code' AS code FROM stripe_requests WHERE user_id = 'user_2';
DELETE FROM stripe_requests;

-- Subscriptions.
SELECT upsert_plan('{"id": "basic", "display_name": "Basic", "rank": 1, "prices": [{"price_id": "price_m", "cycle": "monthly"}, {"price_id": "price_y", "cycle": "yearly"}]}') IS NOT NULL AS stored;
SELECT upsert_plan('{"id": "pro", "display_name": "Pro", "rank": 2, "prices": [{"price_id": "price_pro"}]}') IS NOT NULL AS stored;
SELECT outcome FROM t.process(t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2090-01-01')));
SELECT items -> 0 ->> 'price_id' AS price, items -> 0 ->> 'id' AS item FROM user_subscriptions;
SELECT t.brief(resume_subscription('user_1'));
SELECT t.brief(cancel_subscription('user_1', options => '{"feedback": "unused"}'));
SELECT t.brief(cancel_subscription('user_1', options => '{"feedback": "unused"}'));
SELECT t.brief(resume_subscription('user_1'));
SELECT t.brief(cancel_subscription('user_1', false));
SELECT t.brief(cancel_subscription('user_1', true, '{"idempotency_key": "c-1"}'));
SELECT t.brief(cancel_subscription('user_1', true, '{"idempotency_key": "c-1"}'));
SELECT t.brief(cancel_subscription('user_1', false, '{"idempotency_key": "c-1"}'));
SELECT t.brief(cancel_subscription('nobody'));
DELETE FROM stripe_requests;
SELECT t.brief(change_subscription('user_1', 'basic', 'monthly'));
DELETE FROM stripe_requests;
SELECT t.brief(change_subscription('user_1', 'basic', 'yearly', 3, options => '{"proration_behavior": "always_invoice", "payment_behavior": "pending_if_incomplete"}'));
DELETE FROM stripe_requests;
SELECT t.brief(change_subscription('user_1', quantity => 1));
SELECT t.brief(change_subscription('user_1', 'pro', quantity => 5, options => '{"preview": true}'));
DELETE FROM stripe_requests;
SELECT t.brief(change_subscription('user_1', 'basic', 'yearly', apply_when => 'period_end'));
SELECT count(*) FROM claim_stripe_requests();
SELECT finish_stripe_request(request_id, '{"status": 200, "body": {"id": "sub_sched_1", "phases": [{"start_date": 1, "end_date": 2, "items": [{"price": "price_pro", "quantity": 1}, {"price": "price_addon", "quantity": 2}]}]}}') ->> 'status' AS status
  FROM stripe_requests;
SELECT purpose, path, jsonb_pretty(parameters) FROM stripe_requests WHERE status = 'pending';
DELETE FROM stripe_requests;
-- A price that only its metadata maps is the plan's too.
SELECT upsert_plan('{"id": "told", "display_name": "Told", "rank": 3}') ->> 'id' AS plan;
SELECT outcome FROM t.process(t.event('evt_2', 'price.created', '2026-01-01', t.price('told', 700) || '{"metadata": {"plan": "told"}}'));
SELECT plan_price('told'), plan_price('told', 'monthly'), plan_of_item('{"price_id": "price_told"}');
-- Misuse.
SELECT code, message, hint FROM t.refusal($$SELECT enqueue_stripe_request('', '/v1/customers')$$);
SELECT code, message, hint FROM t.refusal($$SELECT enqueue_stripe_request('user_1', '/v2/customers')$$);
SELECT code, message, hint FROM t.refusal($$SELECT enqueue_stripe_request('user_1', '/v1/customers/../charges')$$);
SELECT code, message, hint FROM t.refusal($$SELECT enqueue_stripe_request('user_1', '/v1/customers?x=1')$$);
SELECT code, message, hint FROM t.refusal($$SELECT enqueue_stripe_request('user_1', '/v1/webhook_endpoints')$$);
SELECT code, message, hint FROM t.refusal($$SELECT enqueue_stripe_request('user_1', NULL)$$);
SELECT code, message, hint FROM t.refusal($$SELECT enqueue_stripe_request('user_1', '/v1/customers', '[]')$$);
SELECT code, message, hint FROM t.refusal($$SELECT enqueue_stripe_request('user_1', '/v1/customers', '{}', '')$$);
SELECT code, message, hint FROM t.refusal($$SELECT enqueue_stripe_request('user_1', '/v1/customers', '{}', NULL, '{"method": "GET"}')$$);
SELECT code, message, hint FROM t.refusal($$SELECT enqueue_stripe_request('user_1', '/v1/customers', '{}', NULL, '{"verb": "GET"}')$$);
SELECT code, message, hint FROM t.refusal($$SELECT enqueue_stripe_request('user_1', '/v1/customers', '{}', NULL, '{"stripe_account": "x"}')$$);
SELECT code, message, hint FROM t.refusal($$SELECT claim_stripe_requests(0)$$);
SELECT code, message, hint FROM t.refusal($$SELECT finish_stripe_request('pgb_none', '{"status": 200}')$$);
SELECT code, message, hint FROM t.refusal($$SELECT finish_stripe_request('pgb_none', '{}')$$);
SELECT code, message, hint FROM t.refusal($$SELECT postpone_stripe_request('pgb_none', NULL, true)$$);
SELECT code, message, hint FROM t.refusal($$SELECT hold_stripe_requests('')$$);
SELECT code, message, hint FROM t.refusal($$SELECT release_stripe_request('pgb_none', 'why')$$);
SELECT code, message, hint FROM t.refusal($$SELECT release_stripe_request('pgb_none', '')$$);
SELECT code, message, hint FROM t.refusal($$SELECT cancel_subscription('user_1', NULL)$$);
SELECT code, message, hint FROM t.refusal($$SELECT cancel_subscription('user_1', true, '{"feedback": "bad"}')$$);
SELECT code, message, hint FROM t.refusal($$SELECT cancel_subscription('user_1', true, '{"when": "now"}')$$);
SELECT code, message, hint FROM t.refusal($$SELECT resume_subscription(NULL)$$);
SELECT code, message, hint FROM t.refusal($$SELECT change_subscription('user_1')$$);
SELECT code, message, hint FROM t.refusal($$SELECT change_subscription('user_1', 'gold')$$);
SELECT code, message, hint FROM t.refusal($$SELECT change_subscription('user_1', 'pro', 'weekly')$$);
SELECT code, message, hint FROM t.refusal($$SELECT change_subscription('user_1', 'basic', options => '{"price": "price_1"}')$$);
SELECT code, message, hint FROM t.refusal($$SELECT change_subscription('user_1', 'pro', quantity => 0)$$);
SELECT code, message, hint FROM t.refusal($$SELECT change_subscription('user_1', 'pro', apply_when => 'soon')$$);
SELECT code, message, hint FROM t.refusal($$SELECT change_subscription('user_1', 'pro', options => '{"item": "si_none"}')$$);
SELECT code, message, hint FROM t.refusal($$SELECT change_subscription('user_1', 'pro', options => '{"proration_behavior": "some"}')$$);
SELECT code, message, hint FROM t.refusal($$SELECT change_subscription('user_1', 'pro', options => '{"payment_behavior": "some"}')$$);
SELECT code, message, hint FROM t.refusal($$SELECT plan_price('basic')$$);
SELECT code, message, hint FROM t.refusal($$SELECT refund_payment('user_1', 'pi_1', 0)$$);
SELECT code, message, hint FROM t.refusal($$SELECT refund_payment('user_1', 'pi_1', 1, '{"reason": "bored"}')$$);
SELECT refund_payment('user_1', 'pi_none'), retry_invoice_payment('user_1');
