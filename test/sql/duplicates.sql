\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Sent twice = one effect.
SELECT t.link('user_1', 'cus_1');
CREATE TABLE t.payloads (n integer, payload text);
INSERT INTO t.payloads VALUES
    (1, t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01'))),
    (2, t.event('evt_2', 'invoice.paid', '2026-01-01', t.invoice('in_1', 'sub_1', 'cus_1', 'paid', '2026-01-01', '2026-02-01'))),
    (3, t.event('evt_3', 'invoice.payment_succeeded', '2026-01-01', t.invoice('in_1', 'sub_1', 'cus_1', 'paid', '2026-01-01', '2026-02-01')));
SELECT ordinal, p.stripe_event_id, outcome FROM process_stripe_events((SELECT array_agg(payload ORDER BY n) FROM t.payloads)) p ORDER BY ordinal;

CREATE TABLE t.before AS SELECT * FROM t.contents() WHERE place <> 'event';
SELECT place, count(*) FROM t.before GROUP BY 1 ORDER BY 1;

-- Again, one by one and together.
SELECT outcome, error FROM t.payloads p, LATERAL t.process(p.payload) ORDER BY n;
SELECT outcome FROM process_stripe_events((SELECT array_agg(payload ORDER BY n DESC) FROM t.payloads)) p ORDER BY ordinal;
SELECT process_stripe_event(payload) FROM t.payloads WHERE n = 1;
SELECT stripe_event_id, outcome, processed, duplicates FROM stripe_events ORDER BY 1;
SELECT * FROM t.contents() WHERE place <> 'event' EXCEPT ALL SELECT * FROM t.before;
SELECT * FROM t.before EXCEPT ALL SELECT * FROM t.contents();
SELECT count(*) FROM stripe_event_payloads;
-- Two events tell of one payment: one fact.
SELECT action, subject, event_id FROM audit_logs WHERE action = 'payment_succeeded';

-- Several times in one batch: the first counts, the others are duplicates of it.
SELECT * FROM t.process(
    t.event('evt_4', 'product.created', '2026-01-01', t.product('prod_1', 'One')),
    t.event('evt_4', 'product.created', '2026-01-01', t.product('prod_1', 'One')),
    t.event('evt_5', 'product.created', '2026-01-01', t.product('prod_2', 'Two')),
    t.event('evt_4', 'product.created', '2026-01-01', t.product('prod_1', 'One')),
    t.event('evt_1', 'product.created', '2026-01-01', t.product('prod_3', 'Three')));
SELECT stripe_event_id, outcome, duplicates FROM stripe_events WHERE stripe_event_id IN ('evt_1', 'evt_4', 'evt_5') ORDER BY 1;
-- The event id decides, whatever the second one carries.
SELECT count(*) FROM stripe_objects WHERE object_id = 'prod_3';
SELECT payload::jsonb #>> '{data,object,object}' AS object FROM stripe_event_payloads WHERE stripe_event_id = 'evt_1';
-- Ids are case-sensitive.
SELECT * FROM t.process(t.event('EVT_4', 'product.updated', '2026-01-02', t.product('prod_1', 'Uno')));

-- Duplicates of what is parked, failed and ignored change nothing.
SELECT outcome FROM t.process(t.event('evt_p', 'customer.subscription.created', '2026-01-01', t.subscription('sub_2', 'cus_2', 'active', '2026-01-01', '2026-02-01')),
                              'not json',
                              t.event('evt_i', 'product.created', '2026-01-01', t.product('prod_9', 'Nine'), extra => '{"livemode": true}'));
SELECT outcome FROM t.process(t.event('evt_p', 'customer.subscription.created', '2026-01-01', t.subscription('sub_2', 'cus_2', 'active', '2026-01-01', '2026-02-01')),
                              'not json',
                              t.event('evt_i', 'product.created', '2026-01-01', t.product('prod_9', 'Nine'), extra => '{"livemode": true}'));
SELECT event_type, outcome, processed, retry_count, duplicates FROM stripe_events
 WHERE stripe_event_id IN ('evt_p', 'evt_i') OR event_type = 'unidentified' ORDER BY event_type COLLATE "C";

-- Operators delete old events. What is then sent again has no second effect.
DELETE FROM stripe_events WHERE processed AND stripe_event_id IN ('evt_1', 'evt_2', 'evt_3');
SELECT outcome FROM process_stripe_events((SELECT array_agg(payload ORDER BY n DESC) FROM t.payloads)) p ORDER BY ordinal;
SELECT place, line FROM t.contents() WHERE place IN ('subscription', 'audit', 'cache', 'link') EXCEPT ALL SELECT * FROM t.before ORDER BY 1, 2;
SELECT stripe_event_id, count(*) FROM stripe_event_payloads GROUP BY 1 HAVING count(*) > 1;
SELECT action, count(*) FROM audit_logs GROUP BY 1 ORDER BY 1;
