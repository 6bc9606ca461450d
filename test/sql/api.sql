\set ECHO none
\getenv source PG_ABS_SRCDIR
\set payloads :source '/sql/include/payloads.sql'
\i :payloads
\set ECHO all
-- What the HTTP API asks of the database: who may buy what, one checkout at a time, and what a user sees of himself.
CREATE FUNCTION t.checkout(who text, request jsonb) RETURNS TABLE (status text, reason text, mode text, price text, plan text, trial_days text, replaces text, more jsonb) LANGUAGE sql AS $$
SELECT a ->> 'status', a ->> 'reason', a ->> 'mode', a ->> 'price', a ->> 'plan', a ->> 'trial_days', a ->> 'replaces',
       jsonb_strip_nulls(jsonb_build_object('param', a -> 'param', 'message', a -> 'message', 'next_step', a -> 'next_step', 'why', a -> 'why', 'metadata', a -> 'metadata', 'url', a -> 'url', 'wait', (a ->> 'retry_in')::int > 0))
  FROM begin_api_checkout(who, '{"most": 1000}' || request) a
$$;
CREATE FUNCTION t.opened(who text, session text) RETURNS text LANGUAGE sql AS $$
SELECT finish_api_checkout(who, (SELECT c.idempotency_key FROM api_checkouts c WHERE c.user_id = who), session, 'https://checkout/' || session, now() + interval '1 day')
$$;
SELECT outcome FROM t.process(
    t.event('evt_1', 'product.created', '2025-12-01', t.product('prod_pro', 'Pro')),
    t.event('evt_2', 'price.created', '2025-12-01', t.price('pro', 2900)),
    t.event('evt_3', 'price.created', '2025-12-01', t.price('old', 900) || '{"active": false}'),
    t.event('evt_4', 'product.created', '2025-12-01', t.product('prod_course', 'Course') || '{"metadata": {"item_id": "course_1", "seller_id": "s1", "note": "x"}}'),
    t.event('evt_5', 'price.created', '2025-12-01', t.price('course', 5000) || '{"type": "one_time", "recurring": null, "metadata": {"seller_id": "s2", "user_id": "mallory"}}'),
    t.event('evt_6', 'price.created', '2025-12-01', t.price('stray', 100)));
-- Before there are plans every active price is offered; there is no trial.
SELECT * FROM t.checkout('ada', '{"price": "price_pro"}');
SELECT jsonb_path_query_array(api_prices(), '$.prices[*].id');
SELECT upsert_plan('{"id": "pro", "trial_days": 14, "prices": [{"price_id": "price_pro", "cycle": "monthly"}], "features": {"export": true}}') ->> 'id',
       upsert_plan('{"id": "gone", "active": false, "prices": [{"price_id": "price_old"}]}') ->> 'id';
SELECT jsonb_pretty(api_prices());
SELECT * FROM t.checkout('bob', '{"price": "price_pro"}');
SELECT * FROM t.checkout('bob', '{"plan": "pro", "cycle": "monthly", "mode": "subscription", "trial": false}');
SELECT * FROM t.checkout('bob', '{"price": "price_course", "quantity": 2}');
-- What cannot be bought.
SELECT r ->> 'plan' AS plan, r ->> 'price' AS price, c.status, c.reason, c.more FROM (VALUES
    ('{"price": "price_none"}'::jsonb), ('{"price": "price_old"}'), ('{"price": "price_stray"}'), ('{"plan": "none"}'), ('{"plan": "gone"}'),
    ('{"plan": "pro", "cycle": "yearly"}'), ('{"plan": "pro", "cycle": "weekly"}'), ('{"price": "price_pro", "mode": "payment"}'),
    ('{"price": "price_course", "mode": "subscription"}'), ('{}')) v(r), t.checkout('eve', r) c;
SELECT count(*) FROM api_checkouts WHERE user_id = 'eve';
-- The same again is the same request to Stripe, then the same session; another one replaces it.
SELECT count(DISTINCT begin_api_checkout('cy', '{"most": 1000, "price": "price_pro"}') ->> 'idempotency_key') AS keys FROM generate_series(1, 3);
-- Who has no customer has asked for one in the same transaction; a link that is known is said at once.
SELECT a -> 'customer' ->> 'status' AS status FROM begin_api_checkout('cora', '{"most": 1000, "price": "price_pro", "email": "cora@example.org"}') a;
SELECT status, method, path, parameters FROM stripe_requests WHERE user_id = 'cora';
SELECT status FROM link_stripe_customer('cora', 'cus_cora') l(link), jsonb_to_record(link) AS s(status text);
SELECT a -> 'customer' FROM begin_api_checkout('cora', '{"most": 1000, "price": "price_pro"}') a;
SELECT t.opened('cy', 'cs_1');
SELECT * FROM t.checkout('cy', '{"price": "price_pro"}');
SELECT * FROM t.checkout('cy', '{"price": "price_course"}');
SELECT * FROM t.checkout('cy', '{"price": "price_course", "quantity": 2}');
SELECT finish_api_checkout('cy', 'pgb_checkout_of_before', 'cs_x', 'u', now()), t.opened('cy', 'cs_2');
SELECT * FROM t.checkout('cy', '{"price": "price_course", "quantity": 2}');
-- One that is over, or about to be, is open no more.
UPDATE api_checkouts SET expires_at = now() + interval '10 seconds' WHERE user_id = 'cy';
SELECT * FROM t.checkout('cy', '{"price": "price_course", "quantity": 2}');
SELECT t.opened('cy', 'cs_3');
SELECT outcome FROM t.process(t.event('evt_10', 'checkout.session.expired', '2026-01-01', '{"id": "cs_3", "object": "checkout.session", "mode": "payment", "status": "expired", "client_reference_id": "cy", "livemode": false}'));
SELECT * FROM t.checkout('cy', '{"price": "price_course", "quantity": 2}');
-- Nobody has two subscriptions; a trial is for those who have had none.
SELECT link_stripe_customer('dee', 'cus_1') ->> 'status';
SELECT outcome FROM t.process(t.event('evt_11', 'customer.subscription.created', now() - interval '1 day', t.subscription('sub_1', 'cus_1', 'active', now()::date - 1, now()::date + 29)));
SELECT * FROM t.checkout('dee', '{"price": "price_pro"}');
SELECT status, reason FROM t.checkout('dee', '{"price": "price_course"}');
SELECT outcome FROM t.process(t.event('evt_12', 'customer.subscription.deleted', now() - interval '1 minute', t.subscription('sub_1', 'cus_1', 'canceled', now()::date - 1, now()::date + 29) || jsonb_build_object('ended_at', t.unix(now() - interval '1 minute'))));
SELECT * FROM t.checkout('dee', '{"price": "price_pro"}');
SELECT * FROM t.checkout('dee', '{"price": "price_pro", "trial": true}');
-- So many a minute, of each kind, and refused ones do not count.
SELECT count_api_call('fay', 'checkout', 3) FROM generate_series(1, 3);
SELECT count_api_call('fay', 'checkout', 3) BETWEEN 58 AND 60 AS wait, count_api_call('fay', 'other', 3), count_api_call('gus', 'checkout', 3);
SELECT cardinality(calls) FROM api_calls WHERE user_id = 'fay' AND action = 'checkout';
UPDATE api_calls SET calls = ARRAY(SELECT c - interval '59 seconds' FROM unnest(calls) c) WHERE user_id = 'fay';
SELECT count_api_call('fay', 'checkout', 3) AS wait;
UPDATE api_calls SET calls = ARRAY(SELECT c - interval '2 seconds' FROM unnest(calls) c) WHERE user_id = 'fay';
SELECT count_api_call('fay', 'checkout', 3) AS wait;
SELECT status, reason, more FROM t.checkout('fay', '{"most": 1, "price": "price_pro"}');
-- Payments are off: nothing is sold.
SELECT set_billing_setting('accept_payments', 'off', 'test');
SELECT status, reason FROM t.checkout('hal', '{"price": "price_pro"}');
SELECT set_billing_setting('accept_payments', NULL, 'test');
-- Whose session it is.
SELECT user_id, is_session_of(user_id, s) FROM (VALUES ('ada'), ('dee')) u(user_id), (VALUES ('{"client_reference_id": "ada"}'::jsonb),
    ('{"client_reference_id": "ada", "customer": "cus_1"}'), ('{"metadata": {"user_id": "ada"}}'), ('{"customer": "cus_1"}'), ('{"customer": {"id": "cus_1"}}'), ('{}')) v(s);
SELECT begin_session_fetch('ada', 'cs_1', 1) -> 'livemode', begin_session_fetch('ada', 'cs_1', 1) ->> 'reason';
-- Nothing is fetched of what is paid and there.
SELECT outcome FROM t.process(t.event('evt_15', 'checkout.session.completed', '2026-01-01', '{"id": "cs_7", "object": "checkout.session", "mode": "subscription", "status": "complete", "payment_status": "paid", "customer": "cus_1", "subscription": "sub_1", "client_reference_id": "dee", "livemode": false}'),
    t.event('evt_16', 'checkout.session.completed', '2026-01-01', '{"id": "cs_8", "object": "checkout.session", "mode": "subscription", "status": "complete", "payment_status": "paid", "customer": "cus_9", "subscription": "sub_none", "client_reference_id": "joe", "livemode": false}'));
SELECT i, s ->> 'status', s #>> '{session,id}', jsonb_array_length(s -> 'fetch_ids') FROM unnest(ARRAY['cs_7', 'cs_8', 'cs_none']) i, begin_session_fetch('dee', i, 99) s;
SELECT i, is_session_applied('dee', s) FROM (VALUES (1, '{"status": "open", "subscription": null}'::jsonb), (2, '{"status": "complete", "subscription": "sub_1"}'), (3, '{"status": "complete", "subscription": {"id": "sub_2"}}'), (4, '{"status": "complete", "payment_status": "paid", "payment_intent": "pi_1"}'), (5, '{"status": "complete", "payment_status": "unpaid", "payment_intent": "pi_1"}')) v(i, s) ORDER BY 1;
-- What a user sees.
SELECT api_subscription('dee') ->> 'state', api_authorize('dee', NULL), api_authorize('dee', 'export');
SELECT outcome FROM t.process(
    t.event('evt_20', 'invoice.paid', '2026-01-01', '{"id": "in_1", "object": "invoice", "customer": "cus_1", "status": "paid", "total": 2900, "currency": "eur", "created": 1767225600, "livemode": false}'),
    t.event('evt_21', 'invoice.paid', '2026-01-02', '{"id": "in_2", "object": "invoice", "customer": "cus_1", "status": "paid", "total": 2900, "currency": "eur", "created": 1767312000, "livemode": false}'),
    t.event('evt_22', 'invoice.created', '2026-01-03', '{"id": "in_3", "object": "invoice", "customer": "cus_1", "status": "draft", "total": 2900, "currency": "eur", "created": 1767398400, "livemode": false}'),
    t.event('evt_23', 'invoice.paid', '2026-01-03', '{"id": "in_4", "object": "invoice", "customer": "cus_other", "status": "paid", "total": 1, "currency": "eur", "created": 1767398400, "livemode": false}'));
SELECT jsonb_path_query_array(p, '$.data[*].id'), p -> 'has_more' FROM api_invoices('dee', 1) p;
SELECT jsonb_path_query_array(p, '$.data[*].id'), p -> 'has_more' FROM api_invoices('dee', 1, 'in_2') p;
SELECT api_invoices('dee', 20, 'in_4'), api_invoices('ada');
SELECT grant_credits('dee', 10, reason => 'one') ->> 'status', grant_credits('dee', 5, reason => 'two') ->> 'status';
SELECT api_credits('dee', 1) #- '{transactions,0,created_at}', api_credits('dee', 1, '2') #- '{transactions,0,created_at}';
SELECT api_credits('dee', 1, 'x'), api_payments('dee'), api_payments('dee', 5, 'pi_none');
-- Times are in UTC, whatever the session's zone is.
SET TimeZone = 'Asia/Tokyo';
SELECT api_invoices('dee', 1) #>> '{data,0,created}' AS invoice, (api_credits('dee', 1) #>> '{transactions,0,created_at}') ~ '[+]00:00$' AS entry;
SET TimeZone = 'UTC';
-- Misuse.
SELECT * FROM t.refusal($$SELECT api_invoices('dee', 101)$$);
SELECT * FROM t.refusal($$SELECT api_payments('dee', 0)$$);
SELECT * FROM t.refusal($$SELECT count_api_call('dee', 'x', 0)$$);
SELECT * FROM t.refusal($$SELECT begin_api_checkout('', '{"most": 1}')$$);
SELECT * FROM t.refusal($$SELECT begin_api_checkout('dora', '{"most": 1, "price": "price_course", "email": "nobody"}')$$);
-- Who is renamed keeps the checkout that is open; who is erased has none.
SELECT t.opened('dee', 'cs_9'), rename_user('dee', 'didi', 'test') ->> 'status';
SELECT user_id, session_id FROM api_checkouts WHERE session_id = 'cs_9';
SELECT is_session_of('didi', '{"client_reference_id": "dee"}'), is_session_of('ada', '{"client_reference_id": "dee"}');
SELECT erase_user('didi', 'test') ->> 'status';
SELECT count(*) FROM api_checkouts WHERE user_id = 'didi';
-- Changes, as somebody may ask for them who is no operator; each is a request to Stripe.
SELECT link_stripe_customer('ida', 'cus_5') ->> 'status';
SELECT outcome FROM t.process(t.event('evt_30', 'customer.subscription.created', now() - interval '1 day', t.subscription('sub_5', 'cus_5', 'active', now()::date - 1, now()::date + 29)));
CREATE FUNCTION t.change(who text, action text, request jsonb) RETURNS TABLE (status text, reason text, param text, parameters jsonb) LANGUAGE sql AS $$
SELECT a ->> 'status', a ->> 'reason', a ->> 'param', (SELECT r.parameters FROM stripe_requests r WHERE r.request_id = a ->> 'request_id') FROM api_change(who, action, '{"most": 1000}' || request) a
$$;
SELECT * FROM t.change('ida', 'change', '{"quantity": 3}');
SELECT * FROM t.change('ida', 'change', '{"plan": "pro", "cycle": "monthly", "quantity": 2, "preview": true}');
SELECT * FROM t.change('ida', 'change', '{"price": "price_stray"}');
SELECT * FROM t.change('ida', 'change', '{"price": "price_course"}');
SELECT * FROM t.change('ida', 'change', '{"plan": "none"}');
SELECT * FROM t.change('ida', 'cancel', '{"feedback": "unused"}');
SELECT * FROM t.change('ida', 'resume', '{}');
SELECT * FROM t.change('nobody', 'cancel', '{}');
SELECT * FROM t.change('ida', 'cancel', '{"most": 1}');
SELECT purpose, method, parameters FROM stripe_requests WHERE user_id = 'ida' ORDER BY number;
SELECT * FROM t.refusal($$SELECT api_change('ida', 'steal', '{"most": 1000}')$$);
SELECT begin_api_portal('ida', 9), begin_api_portal('nobody', 9);
-- Until the mirror has what Stripe answered.
SELECT is_api_change_applied('ida', 'pgb_none'), (SELECT count(*) FROM stripe_requests r WHERE NOT is_api_change_applied('ida', r.request_id));
UPDATE stripe_requests r SET response = (SELECT o.object || '{"cancel_at_period_end": true}' FROM stripe_objects o WHERE o.object_id = 'sub_5') WHERE r.user_id = 'ida' AND r.purpose = 'cancel_subscription';
SELECT is_api_change_applied('ida', r.request_id), is_api_change_applied('bob', r.request_id) FROM stripe_requests r WHERE r.purpose = 'cancel_subscription' AND r.user_id = 'ida';
UPDATE stripe_requests r SET response = (SELECT o.object FROM stripe_objects o WHERE o.object_id = 'sub_5') WHERE r.user_id = 'ida' AND r.purpose = 'cancel_subscription';
SELECT is_api_change_applied('ida', r.request_id) FROM stripe_requests r WHERE r.purpose = 'cancel_subscription' AND r.user_id = 'ida';
