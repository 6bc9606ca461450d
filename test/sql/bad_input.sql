\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Bad input: an errcode, the value, a hint; never a crash, never a silent null.
CREATE TABLE t.users (n serial, argument text);
INSERT INTO t.users (argument) VALUES ('NULL'), (quote_literal('')), (quote_literal(repeat('x', 256))), (quote_literal(repeat('é', 128)));
SELECT f.name, left(u.argument, 12) AS argument, r.code, left(r.message, 60) AS message, r.hint
  FROM t.users u, (VALUES (1, 'get_user_subscription_state(%s)'), (2, 'has_active_subscription(%s)'), (3, 'require_subscription(%s)'), (4, 'explain_user(%s)'),
                          (5, 'update_subscription_cache(%s)'), (6, 'clear_user_subscription_cache(%s)'), (7, $$link_stripe_customer(%s, 'cus_1')$$),
                          (8, $$get_or_create_stripe_customer(%s, 'a@example.com')$$), (9, 'check_user_id(%s)')) f(n, name),
       t.refusal(format('SELECT ' || f.name, u.argument)) r
 ORDER BY f.n, u.n;
-- The longest that is allowed, and any character.
SELECT r.code FROM unnest(ARRAY[repeat('x', 255), repeat('é', 127), ' ', E'\n', '''; DROP TABLE x; --', '🙂']) u, t.refusal(format('SELECT update_subscription_cache(%L)', u)) r;

CREATE TABLE t.calls (n serial, command text);
INSERT INTO t.calls (command) VALUES
    ('process_stripe_events(NULL)'), ('process_stripe_events(ARRAY[NULL]::text[])'), ($$process_stripe_events(ARRAY['{}', NULL])$$),
    ($$process_stripe_events(array_fill('{}'::text, ARRAY[201]))$$), ($$process_stripe_events(array_fill('{}'::text, ARRAY[3, 67]))$$),
    ($$process_stripe_events(ARRAY[repeat(' ', 4 * 1024 * 1024 + 1)])$$), ($$process_stripe_events(ARRAY[repeat(' ', 2097152), repeat(' ', 2097153)])$$),
    ('process_stripe_event(NULL)'), ($$process_stripe_event(repeat(' ', 4 * 1024 * 1024 + 1))$$),
    ($$process_stripe_events('{}', '[]')$$), ($$process_stripe_events('{}', '"endpoint"')$$), ($$process_stripe_events('{}', '{"endpoinds": []}')$$),
    ($$process_stripe_events('{}', '{"endpoints": "x"}')$$), ($$process_stripe_events('{}', '{"endpoints": ["a"]}')$$), ($$process_stripe_events(ARRAY['{}'], '{"endpoints": [5]}')$$), ($$process_stripe_events('{}', '{"woken": 1}')$$),
    ($$process_stripe_events('{}', '{"endpoint": 5}')$$), ($$process_stripe_event('{}', '{"endpoint": ["a"]}')$$),
    ($$process_stripe_event('{}', '{"endpoints": ["a"]}')$$), ($$process_stripe_event('{}', '{"": 1}')$$),
    ($$process_stripe_event('{}', (repeat('[', 100) || repeat(']', 100))::jsonb)$$), ($$process_stripe_event('{}', '{"endpoint": 1e400}')$$),
    ($$receive_stripe_webhook(NULL, 'x')$$), ($$receive_stripe_webhook('{}', NULL)$$), ($$receive_stripe_webhook('{}', 'x', '{"a": 1}')$$), ($$receive_stripe_webhook('{}', 'x', '[]')$$),
    ('retry_stripe_events(NULL)'), ('retry_stripe_events(0)'), ('retry_stripe_events(-1)'), ('retry_stripe_events(1001)'),
    ('replay_stripe_event(NULL)'), ($$replay_stripe_event('')$$), ($$replay_stripe_event('evt_none')$$),
    ($$link_stripe_customer('user_1', NULL)$$), ($$link_stripe_customer('user_1', '')$$), ($$link_stripe_customer('user_1', 'cus_')$$), ($$link_stripe_customer('cus_1', 'user_1')$$),
    ($$link_stripe_customer('user_1', 'cus_' || repeat('x', 252))$$), ($$link_stripe_customer('user_1', 'cus_1', '{"force": true}')$$), ($$link_stripe_customer('user_1', 'cus_1', '{"reason": 5}')$$),
    ($$link_stripe_customer('user_1', 'cus_1', '[]')$$),
    ($$get_or_create_stripe_customer('user_1', '')$$), ($$get_or_create_stripe_customer('user_1', 'nobody')$$), ($$get_or_create_stripe_customer('user_1', 'a b@example.com')$$),
    ($$get_or_create_stripe_customer('user_1', 'a@example.com', '{"name": "Ada"}')$$), ($$get_or_create_stripe_customer('user_1', 'a@example.com', '[]')$$),
    ('refresh_subscription_cache(NULL)'), ('refresh_subscription_cache(0)'), ('refresh_subscription_cache(-5)'), ('refresh_subscription_cache(10001)'),
    ('get_cache_cleanup_history(NULL)'), ('get_cache_cleanup_history(0)'), ('get_cache_cleanup_history(-1)'),
    ($$grant_billing_role(NULL, 'app')$$), ($$grant_billing_role('regress_no_such_role', 'app')$$), ($$grant_billing_role(current_user, 'owner')$$), ('grant_billing_role(current_user, NULL)'),
    ($$grant_billing_role('public', 'app')$$),
    ('my_subscription_state()'), ($$get_user_subscription_state('user_1', 'infinity')$$), ($$get_user_subscription_state('user_1', '-infinity')$$);
SELECT left(c.command, 58) AS command, r.code, left(r.message, 72) AS message, r.hint FROM t.calls c, t.refusal('SELECT ' || c.command) r ORDER BY c.n;
-- Nothing of all that was stored.
SELECT (SELECT count(*) FROM stripe_events) AS events, (SELECT count(*) FROM stripe_customer_links) AS links;
-- null options are none.
SELECT process_stripe_event('{"id": "evt_1", "type": "x", "created": 1}', NULL) ->> 'outcome' AS outcome;
SELECT link_stripe_customer('user_1', 'cus_1', NULL) ->> 'status' AS status;

-- The signed-in user comes from the claims that the gateway sets.
CREATE TABLE t.claims (n serial, claims text);
INSERT INTO t.claims (claims) VALUES (''), ('not json'), ('{}'), ('{"sub": null}'), ('{"sub": ""}'), ('[]'), ('"user_1"'), ('{"sub": "a\u0000b"}'), ('{"sub": "' || repeat('x', 256) || '"}');
SELECT left(c.claims, 20) AS claims, r.code, left(r.message, 60) AS message, r.hint
  FROM t.claims c, LATERAL (SELECT set_config('request.jwt.claims', c.claims, false) AS is) s, t.refusal('SELECT my_subscription_state() WHERE ' || quote_literal(s.is) || ' IS NOT NULL') r ORDER BY n;
SET request.jwt.claims = '{"sub": "user_1", "role": "authenticated"}';
SELECT my_subscription_state() ->> 'user_id' AS user_id;
RESET request.jwt.claims;

-- Payloads that cannot be read are stored under an id made of their bytes, marked failed for good, and acknowledged.
CREATE TABLE t.payloads (n serial, payload text);
INSERT INTO t.payloads (payload) VALUES
    (''), (' '), ('nonsense'), ('null'), ('7'), ('"evt_1"'), ('[]'), ('{}'), ('{"id": "evt_2"}'), ('{"id": "evt_3", "type": "x"}'), ('{"id": null, "type": "x", "created": 1}'),
    ('{"id": 4, "type": "x", "created": 1}'), ('{"id": "", "type": "x", "created": 1}'), ('{"id": "evt_5", "type": "", "created": 1}'), ('{"id": "evt_6", "type": "x", "created": "soon"}'),
    ('{"id": "evt_7", "type": "x", "created": -1}'), ('{"id": "evt_8", "type": "x", "created": 1.5}'), ('{"id": "evt_9", "type": "x", "created": 99999999999999}'),
    ('{"id": "' || repeat('e', 256) || '", "type": "x", "created": 1}'), ('{"id": "evt_10", "type": "' || repeat('x', 256) || '", "created": 1}'),
    ('{"id": "evt_11", "type": "x", "created": 1, "data": {"object": {"id": "' || repeat('o', 256) || '", "object": "x"}}}'),
    ('{"id": "evt_12", "type": "x", "created": 1, "data": {"object": {"id": "o", "object": "x", "customer": "' || repeat('c', 256) || '"}}}'),
    ('{"id": "evt_13", "type": "x", "created": 1, "account": "' || repeat('a', 256) || '"}'),
    ('{"id": "evt_14", "type": "x", "created": 1, "data": ' || repeat('[', 64) || repeat(']', 64) || '}'),
    ('{"id": "evt_15", "type": "x", "created": 1e400}'), ('{"id": "evt_16", "type": "x", "created": 1} {"id": "evt_17"}'), ('{"id": "evt_18", "type": "x", "created": 1'), (E'\uFEFF{"id": "evt_19", "type": "x", "created": 1}'),
    ('{"id": "evt_20", "type": "x", "created": 1, "data": {"object": {"id": "ch_20", "object": "charge", "payment_intent": "' || repeat('p', 256) || '"}}}');
SELECT n, left(r.stripe_event_id, 18) AS id, outcome, error FROM t.payloads p, t.process(p.payload) r ORDER BY n;
SELECT count(*), count(DISTINCT e.stripe_event_id), bool_and(stripe_event_id ~ '^unidentified_[0-9a-f]{64}$') AS derived, bool_and(p.payload IS NOT NULL) AS kept, min(retry_count), max(retry_count), array_agg(DISTINCT processed) AS processed
  FROM stripe_events e LEFT JOIN stripe_event_payloads p USING (stripe_event_id) WHERE outcome = 'failed';
-- The same bytes again are a duplicate. In one batch with good ones they do no harm.
SELECT DISTINCT outcome FROM t.payloads p, t.process(p.payload) r;
SELECT outcome, count(*) FROM process_stripe_events((SELECT array_agg(payload || ' ') FROM t.payloads) || t.event('evt_good', 'product.created', '2026-01-01', t.product('prod_1', 'One'))) GROUP BY 1 ORDER BY 1;

-- What can be read is, however odd: the deepest, the last of duplicate keys, any type of any member.
SELECT stripe_event_id, outcome, error FROM t.process(
    '{"id": "evt_21", "type": "x", "created": 1, "data": ' || repeat('[', 63) || repeat(']', 63) || '}',
    '{"id": "evt_wrong", "id": "evt_22", "type": "x", "created": 1, "data": {"object": {"id": "o_22", "object": "x", "a": 1, "a": 2}}}',
    '{"id": "evt_23", "type": "x", "created": 1, "livemode": "yes", "account": 5, "api_version": [], "data": [], "request": 1}',
    '{"id": "evt_24", "type": "x", "created": 1, "data": {"object": null, "previous_attributes": null}}',
    '{"id": "evt_25", "type": "x", "created": 1, "data": {"object": {"id": 5, "object": 6, "customer": 7}}}',
    '{"id": "evt_26", "type": "customer.subscription.updated", "created": 1, "data": {"object": {"id": "sub_26", "object": "subscription", "customer": {"id": "cus_1", "object": "customer"}, "items": 5, "metadata": [], "status": 9, "current_period_end": "never", "pause_collection": "x", "plan": [], "trial_end": 1e300, "quantity": 18446744073709551615}}}',
    '{"id": "evt_27", "type": "invoice.paid", "created": 253402300799, "data": {"object": {"id": "in_27", "object": "invoice", "customer": "cus_1", "subscription": "sub_26", "lines": {"data": [5, null, {}, {"period": {"end": 253402300799}, "type": "subscription"}]}, "paid": true, "amount_paid": 1e20}}}',
    '{"id": "evt_28\u0000\ud800", "type": "x", "created": 1}',
    '{"id": "evt_29", "type": "x", "created": 1, "data": {"object": {"id": "o_29", "object": "x", "big": 1e20, "tiny": 1e-400, "long": 18446744073709551615, "amount": 12.50}}}');
SELECT outcome, error FROM t.process('{"id": "evt_30", "type": "x", "created": 1, "data": {"object": {"id": "o_30", "object": "x", "big": 1e308}}}');
SELECT object FROM stripe_objects WHERE object_id IN ('o_22', 'o_29') ORDER BY object_id;
SELECT user_id, stripe_subscription_id, status, items, paid_through FROM user_subscriptions;
SELECT state, stripe_status, has_access, reason FROM t.state('user_1', '2026-01-01');
