\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- A subscription's life through process_stripe_events(): outcomes, the inbox, and what the user gets.
SELECT * FROM t.process(
    t.event('evt_1', 'product.created', '2026-01-01 10:00', t.product('prod_pro', 'Pro')),
    t.event('evt_2', 'price.created', '2026-01-01 10:00', t.price('pro', 2900)),
    t.event('evt_3', 'customer.created', '2026-01-01 10:01', t.customer('cus_1')),
    t.event('evt_4', 'customer.subscription.created', '2026-01-01 10:02',
            t.subscription('sub_1', 'cus_1', 'incomplete', '2026-01-01', '2026-02-01')),
    t.event('evt_5', 'checkout.session.completed', '2026-01-01 10:03', t.checkout('cs_1', 'cus_1', 'sub_1', 'user_1')),
    t.event('evt_6', 'invoice.paid', '2026-01-01 10:03', t.invoice('in_1', 'sub_1', 'cus_1', 'paid', '2026-01-01', '2026-02-01')),
    t.event('evt_7', 'customer.subscription.updated', '2026-01-01 10:03',
            t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01'), previous => '{"status": "incomplete"}'));
SELECT stripe_event_id, event_type, object_id, object_type, stripe_customer_id, api_version, stripe_created, processed,
       processed_at IS NOT NULL AS has_time, outcome, error, retry_count, next_retry_at, waiting_for, duplicates, endpoint
  FROM stripe_events ORDER BY stripe_event_id;
SELECT user_id, stripe_subscription_id, stripe_customer_id, livemode, status, price_id, product_id, quantity,
       current_period_start, current_period_end, cancel_at_period_end, paid_through, customer_deleted, event_created, ambiguous
  FROM user_subscriptions;
SELECT stripe_customer_id, user_id, source, linked_by, conflict_user_id FROM stripe_customer_links;
SELECT user_id, action, subject, actor, reason, event_id, event_created, details FROM audit_logs
 ORDER BY event_created, event_id, action;
SELECT * FROM t.state('user_1', '2026-01-15');

-- The payload is kept as it was signed, byte by byte.
SELECT * FROM process_stripe_event(E'{ "id":"evt_raw",\t"type":"x.y", "created":1767225600, "data":{"object":{"id":"o_1","object":"odd","t":"\\u00e9 \\u0000 \\ud800 é"}}}\n');
SELECT payload FROM stripe_event_payloads WHERE stripe_event_id = 'evt_raw';
-- What jsonb cannot hold is replaced in the mirror.
SELECT object FROM stripe_objects WHERE object_id = 'o_1';

-- Where it came from is kept: one name for all, or one each.
SELECT outcome FROM process_stripe_event(t.event('evt_8', 'product.updated', '2026-01-02', t.product('prod_pro', 'Pro')),
                                         '{"endpoint": "/stripe/webhook"}') r, jsonb_to_record(r) AS x(outcome text);
SELECT outcome FROM process_stripe_events(ARRAY[
    t.event('evt_9', 'product.updated', '2026-01-03', t.product('prod_pro', 'Pro')),
    t.event('evt_10', 'product.updated', '2026-01-04', t.product('prod_pro', 'Pro'))], '{"endpoints": ["/a", "/b/"]}');
SELECT stripe_event_id, endpoint FROM stripe_events WHERE endpoint IS NOT NULL ORDER BY stripe_created;

-- Types that nobody knows, objects without an id, and no object at all are stored like any other.
SELECT * FROM t.process(
    t.event('evt_11', 'some.future.event', '2026-01-01', '{"id": "fut_1", "object": "future", "customer": "cus_1"}'),
    t.event('evt_12', 'invoice.upcoming', '2026-01-01',
            t.invoice('in_x', 'sub_1', 'cus_1', 'draft', '2026-02-01', '2026-03-01') - 'id'),
    t.event('evt_13', 'balance.available', '2026-01-01', '{"object": "balance", "available": []}'),
    '{"id": "evt_14", "type": "no.data", "created": 1767225600}',
    '{"id": "evt_15", "object": "event", "type": "old.request", "created": 1767225600, "request": "req_1", "api_version": null, "data": {"object": {"id": "x_1", "object": "x"}}}');
SELECT object_type, object_id, stripe_customer_id FROM stripe_objects
 WHERE event_id IN ('evt_11', 'evt_12', 'evt_13', 'evt_14', 'evt_15') ORDER BY object_type;
SELECT stripe_event_id, event_type, object_id, object_type, stripe_customer_id, outcome FROM stripe_events
 WHERE stripe_event_id IN ('evt_11', 'evt_12', 'evt_13', 'evt_14', 'evt_15') ORDER BY stripe_event_id;

-- A thin event names its object without carrying it.
SELECT * FROM t.process('{"id": "evt_16", "object": "v2.core.event", "type": "v1.billing.meter.error_report_triggered", "created": "2026-01-05T08:30:00.123Z", "livemode": false, "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1"}}');
SELECT stripe_created, object_id, object_type, processed FROM stripe_events WHERE stripe_event_id = 'evt_16';
SELECT count(*) FROM stripe_objects WHERE object_id = 'mtr_1';

-- A Connect account's objects are apart.
SELECT outcome FROM t.process(
    t.event('evt_17', 'product.created', '2026-01-06', t.product('prod_pro', 'Theirs'), extra => '{"account": "acct_1"}'));
SELECT stripe_account, object ->> 'name' AS name FROM stripe_objects WHERE object_id = 'prod_pro' ORDER BY 1;

-- Nothing to do.
SELECT * FROM process_stripe_events('{}');
SELECT * FROM process_stripe_events(ARRAY[]::text[], NULL);
-- An array of any shape is read in its order.
SELECT ordinal, stripe_event_id, outcome FROM process_stripe_events(ARRAY[
    ARRAY[t.event('evt_18', 'product.updated', '2026-01-07', t.product('prod_pro', 'Pro'))],
    ARRAY[t.event('evt_19', 'product.updated', '2026-01-08', t.product('prod_pro', 'Pro'))]]) ORDER BY ordinal;

-- The most that one call takes.
SELECT count(*), count(DISTINCT stripe_event_id), min(ordinal), max(ordinal), array_agg(DISTINCT outcome)
  FROM process_stripe_events((SELECT array_agg(t.event('evt_many_' || n, 'product.updated',
       timestamptz '2026-01-09' + n * interval '1 second', t.product('prod_pro', 'Pro ' || n))) FROM generate_series(1, 200) n));
SELECT object ->> 'name' AS name, ambiguous FROM stripe_objects WHERE object_id = 'prod_pro' AND stripe_account = '';

-- The effects belong to the caller's transaction.
BEGIN;
SELECT outcome FROM t.process(t.event('evt_20', 'customer.subscription.deleted', '2026-01-20',
    t.subscription('sub_1', 'cus_1', 'canceled', '2026-01-01', '2026-02-01',
                   jsonb_build_object('ended_at', t.unix('2026-01-20'), 'canceled_at', t.unix('2026-01-20')))));
SELECT state, has_access FROM t.state('user_1', '2026-01-21');
ROLLBACK;
SELECT state, has_access FROM t.state('user_1', '2026-01-21');
SELECT count(*) FROM stripe_events WHERE stripe_event_id = 'evt_20';
