\set ECHO none
\getenv source PG_ABS_SRCDIR
\set payloads :source '/sql/include/payloads.sql'
\i :payloads
\set ECHO all
-- What webhooks leave in doubt is wanted; a fetch that began later settles it, one that did not leaves it open.
CREATE FUNCTION t.wanted() RETURNS TABLE (type text, id text, reason text, after timestamptz, settled boolean, error text) LANGUAGE sql AS
    $$ SELECT object_type, object_id, reason, wanted_after, settled_at IS NOT NULL, error FROM stripe_refetches ORDER BY 1, 2 $$;
SELECT outcome FROM t.process(
    t.event('evt_1', 'customer.created', '2026-01-01', t.customer('cus_1', '{"metadata": {"user_id": "user_1"}}')),
    t.event('evt_2', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01')),
    t.event('evt_3', 'customer.subscription.updated', '2026-01-02', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"quantity": 2}')));
SELECT * FROM t.wanted();
SELECT outcome FROM t.process(
    t.event('evt_4', 'customer.subscription.updated', '2026-01-02', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"quantity": 3}')),
    t.event('evt_5', 'product.updated', '2026-01-02', '{"id": "prod_1", "object": "product", "items": {"has_more": true}}'));
SELECT * FROM t.wanted();
-- Not before Stripe's second is over; then each once, for a while.
SELECT count(*) AS early FROM claim_stripe_refetches();
UPDATE stripe_refetches SET next_attempt_at = now();
SELECT object_type, object_id, reason, fetch_id ~ '^fetch_[0-9]{19}$' AS numbered FROM claim_stripe_refetches() ORDER BY 2;
SELECT count(*) AS again FROM claim_stripe_refetches();
SELECT outcome FROM t.process(t.event('fetch_0000000000000000001', 'customer.subscription.updated', '2026-01-02', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"quantity": 4}')));
SELECT * FROM t.wanted();
-- What was read too early is read again, less and less often: it may be our clock that is ahead.
SELECT attempts, next_attempt_at - clock_timestamp() BETWEEN interval '0 seconds' AND interval '3 seconds' AS soon FROM stripe_refetches WHERE object_id = 'sub_1';
UPDATE stripe_refetches SET attempts = 9 WHERE object_id = 'sub_1';
SELECT outcome FROM t.process(t.event('fetch_0000000000000000002', 'customer.subscription.updated', '2026-01-02', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"quantity": 4}')));
SELECT next_attempt_at - clock_timestamp() BETWEEN interval '12 minutes' AND interval '13 minutes' AS later FROM stripe_refetches WHERE object_id = 'sub_1';
SELECT outcome FROM t.process(t.event('fetch_0000000000000000003', 'customer.subscription.updated', '2026-01-03', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"quantity": 4}')));
SELECT postpone_stripe_refetch('', false, 'product', 'prod_1', 'api_error: try later');
SELECT * FROM t.wanted();
SELECT ambiguous, event_id FROM stripe_objects WHERE object_id = 'sub_1';
-- What was before a fetch asks for nothing; who is settled stays so.
SELECT outcome FROM t.process(t.event('evt_6', 'customer.subscription.updated', '2026-01-02', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01', '{"quantity": 5}')));
SELECT postpone_stripe_refetch('', false, 'subscription', 'sub_1', 'late');
SELECT * FROM t.wanted();
SELECT table_name, row_key, difference FROM rebuild_billing_state();
-- A renewal that nobody has told of, once; of the other mode nothing is asked.
SELECT request_stale_refetches() AS asked_for, (SELECT count(*) FROM stripe_refetches WHERE reason = 'stale') AS stale;
UPDATE stripe_refetches SET settled_at = now() - interval '7 hours';
SELECT request_stale_refetches() AS asked_for, request_stale_refetches() AS again;
SELECT set_billing_setting('mode', 'live', 'test');
UPDATE stripe_refetches SET next_attempt_at = now(), settled_at = NULL;
SELECT count(*) AS of_the_other_mode FROM claim_stripe_refetches();
-- Misuse.
SELECT code, message, hint FROM t.refusal('SELECT claim_stripe_refetches(0)');
SELECT code, message, hint FROM t.refusal('SELECT claim_stripe_refetches(NULL)');
SELECT code, message, hint FROM t.refusal('SELECT request_stale_refetches(-1)');
SELECT code, message, hint FROM t.refusal('SELECT request_missing_refetches(NULL)');
SELECT code, message, hint FROM t.refusal('SELECT request_stale_refetches(NULL)');
SELECT code, message, hint FROM t.refusal($$SELECT postpone_stripe_refetch('', false, 'subscription', 'sub_1', '')$$);
SELECT code, message, hint FROM t.refusal($$SELECT postpone_stripe_refetch('', false, 'subscription', 'sub_nobody', 'why')$$);
SELECT code, message, hint FROM t.refusal($$SELECT postpone_stripe_refetch('', NULL, NULL, NULL, 'why')$$);
