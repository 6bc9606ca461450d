\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- The trap everybody falls into: events of a customer that nobody linked. They are kept, say what to do, and take
-- full effect once the link appears, whatever brings it.
CREATE FUNCTION t.sub_event(id text, subscription text, customer text, extra jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
SELECT t.event(id, 'customer.subscription.created', '2026-01-01', t.subscription(subscription, customer, 'active', '2026-01-01', '2026-02-01', extra))
$$;

SELECT * FROM t.process(
    t.sub_event('evt_1', 'sub_1', 'cus_1'),
    t.event('evt_2', 'invoice.paid', '2026-01-01', t.invoice('in_1', 'sub_1', 'cus_1', 'paid', '2026-01-01', '2026-02-01')),
    t.event('evt_3', 'customer.created', '2026-01-01', t.customer('cus_1')),
    t.event('evt_4', 'product.created', '2026-01-01', t.product('prod_pro', 'Pro')));
SELECT stripe_event_id, processed, processed_at, outcome, retry_count, waiting_for, next_retry_at > now() + interval '89 days' AS waits
  FROM stripe_events WHERE NOT processed ORDER BY 1;
-- The link has a place for whoever comes; the object is in the mirror already, nothing else happened.
SELECT stripe_customer_id, user_id, source, linked_at FROM stripe_customer_links;
SELECT object_type, object_id FROM stripe_objects ORDER BY 1;
SELECT (SELECT count(*) FROM user_subscriptions) AS subscriptions, (SELECT count(*) FROM billing_users) AS users,
       (SELECT count(*) FROM audit_logs) AS audit;
SELECT m -> 'unprocessed' AS unprocessed, m -> 'parked' AS parked, m -> 'failed' AS failed, m -> 'given_up' AS given_up,
       m -> 'mode' AS mode, (m ->> 'oldest_unprocessed_seconds')::numeric >= 0 AS has_age FROM ingest_metrics() m;
-- A user who asks why is told what to run.
SELECT jsonb_pretty(e -> 'why') AS why, e ->> 'next_step' AS next_step, jsonb_array_length(e -> 'waiting_events') AS waiting
  FROM explain_user('user_1') e;
-- They wait for their own thing: a retry does not touch them.
SELECT * FROM retry_stripe_events();

-- By hand.
SELECT jsonb_pretty(link_stripe_customer('user_1', 'cus_1', '{"reason": "asked by mail"}'));
SELECT stripe_event_id, processed, processed_at IS NOT NULL AS has_time, outcome, error, retry_count, waiting_for, next_retry_at
  FROM stripe_events ORDER BY 1;
SELECT user_id, stripe_subscription_id, status, paid_through FROM user_subscriptions;
SELECT state, has_access FROM t.state('user_1', '2026-01-15');
SELECT action, subject, actor = current_user AS by_me, reason, event_id FROM audit_logs ORDER BY action COLLATE "C";
SELECT count(*) FROM subscription_cache WHERE user_id = 'user_1';
SELECT jsonb_pretty(explain_user('user_1') -> 'waiting_events') AS waiting;

-- By checkout, in a later batch.
SELECT outcome FROM t.process(t.sub_event('evt_11', 'sub_2', 'cus_2'));
SELECT outcome FROM t.process(t.event('evt_12', 'checkout.session.completed', '2026-01-01', t.checkout('cs_2', 'cus_2', 'sub_2', 'user_2')));
-- By the metadata of another subscription.
SELECT outcome FROM t.process(t.sub_event('evt_21', 'sub_3', 'cus_3'));
SELECT outcome FROM t.process(t.sub_event('evt_22', 'sub_3b', 'cus_3', '{"metadata": {"user_id": "user_3"}}'));
-- By an invoice's copy of it, in both shapes.
SELECT outcome FROM t.process(t.sub_event('evt_31', 'sub_4', 'cus_4'), t.sub_event('evt_41', 'sub_5', 'cus_5'));
SELECT outcome FROM t.process(
    t.event('evt_32', 'invoice.finalized', '2026-01-01', t.invoice('in_4', 'sub_4', 'cus_4', 'open', '2026-01-01', '2026-02-01',
            '{"parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_4", "metadata": {"user_id": "user_4"}}}}')),
    t.event('evt_42', 'invoice.finalized', '2026-01-01', t.invoice('in_5', 'sub_5', 'cus_5', 'open', '2026-01-01', '2026-02-01',
            '{"subscription_details": {"metadata": {"user_id": "user_5"}}}', t.old()), t.old()));
-- By the customer's metadata.
SELECT outcome FROM t.process(t.sub_event('evt_51', 'sub_6', 'cus_6'));
SELECT outcome FROM t.process(t.event('evt_52', 'customer.updated', '2026-01-02', t.customer('cus_6', '{"metadata": {"user_id": "user_6"}}')));
-- Within one batch, the evidence last.
SELECT outcome FROM t.process(t.sub_event('evt_61', 'sub_7', 'cus_7'),
                              t.event('evt_62', 'checkout.session.completed', '2026-01-01', t.checkout('cs_7', 'cus_7', 'sub_7', 'user_7')));
SELECT l.stripe_customer_id, l.user_id, l.source, l.linked_by, s.stripe_subscription_id, s.status,
       (SELECT count(*) FROM stripe_events e WHERE e.stripe_customer_id = l.stripe_customer_id AND NOT e.processed) AS waiting
  FROM stripe_customer_links l JOIN user_subscriptions s USING (user_id, stripe_customer_id) ORDER BY 1, 5;

-- Sent again together with what links it: the duplicate does not hide the one that waits.
SELECT outcome FROM t.process(t.sub_event('evt_63', 'sub_12', 'cus_12'));
SELECT outcome FROM t.process(t.sub_event('evt_63', 'sub_12', 'cus_12'),
                              t.event('evt_64', 'checkout.session.completed', '2026-01-01', t.checkout('cs_12', 'cus_12', 'sub_12', 'user_12')),
                              t.sub_event('evt_63', 'sub_12', 'cus_12'));
SELECT stripe_event_id, processed, outcome, waiting_for, duplicates FROM stripe_events WHERE stripe_customer_id = 'cus_12' ORDER BY 1;
SELECT action, event_id FROM audit_logs WHERE user_id = 'user_12' ORDER BY event_id, action;

-- What cannot be a user id is no evidence: empty, over-long, not text.
SELECT outcome, error FROM t.process(
    t.sub_event('evt_71', 'sub_8', 'cus_8', '{"metadata": {"user_id": ""}}'),
    t.sub_event('evt_72', 'sub_9', 'cus_9', jsonb_build_object('metadata', jsonb_build_object('user_id', repeat('x', 256)))),
    t.sub_event('evt_73', 'sub_10', 'cus_10', '{"metadata": {"user_id": 7}}'));
SELECT outcome FROM t.process(t.sub_event('evt_74', 'sub_11', 'cus_11', jsonb_build_object('metadata', jsonb_build_object('user_id', repeat('x', 255)))));

-- fix_customer_links() finds what older versions of the rules did not, and tells of the rest.
UPDATE stripe_customer_links SET user_id = NULL, source = NULL, linked_at = NULL, linked_by = NULL WHERE stripe_customer_id = 'cus_7';
SELECT jsonb_pretty(fix_customer_links());
SELECT user_id, source FROM stripe_customer_links WHERE stripe_customer_id = 'cus_7';
SELECT fix_customer_links() - 'unlinked_customers';

-- Nobody came: after billing.parked_limit an event is given up, and says so. A link takes it up again, however late; an
-- operator can have it tried too.
UPDATE stripe_events SET created_at = now() - interval '91 days', next_retry_at = now() - interval '1 hour' WHERE stripe_event_id = 'evt_71';
SELECT * FROM retry_stripe_events();
SELECT processed, outcome, retry_count, waiting_for, next_retry_at FROM stripe_events WHERE stripe_event_id = 'evt_71';
SELECT ingest_metrics() ->> 'given_up' AS given_up;
SELECT link_stripe_customer('user_8', 'cus_8');
SELECT state, has_access FROM t.state('user_8', '2026-01-15');
UPDATE stripe_events SET processed = false, retry_count = 0 WHERE stripe_event_id = 'evt_71';
SELECT * FROM retry_stripe_events();
SELECT count(*) FROM stripe_events WHERE NOT processed AND stripe_customer_id = 'cus_8';
