\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- One bad event never harms its neighbours: it is kept, tried again later, given up at last. Operators bring it back.
SELECT t.link('user_1', 'cus_1');
-- Makes an event that cannot be stored.
ALTER TABLE stripe_objects ADD CONSTRAINT no_charges CHECK (object_type <> 'charge');
CREATE FUNCTION t.bad_event(id text) RETURNS text LANGUAGE sql AS $$
SELECT t.event(id, 'charge.succeeded', '2026-01-01', t.charge('ch_' || id, NULL, '{"payment_intent": null}'))
$$;
SELECT ordinal, left(stripe_event_id, 16) AS id, outcome, left(error, 18) AS error FROM t.process(
    t.event('evt_1', 'product.created', '2026-01-01', t.product('prod_pro', 'Pro')),
    t.bad_event('evt_bad'),
    t.event('evt_2', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01')),
    t.event('evt_2', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01')),
    'not json at all');
SELECT stripe_event_id, processed, processed_at IS NULL AS no_time, outcome, left(error, 9) AS error, retry_count, next_retry_at IS NOT NULL AS due_again, duplicates
  FROM stripe_events WHERE stripe_event_id LIKE 'evt%' ORDER BY 1;
SELECT object_type, object_id FROM stripe_objects ORDER BY 1;
SELECT status FROM user_subscriptions;
-- Alone it is kept too.
SELECT outcome FROM t.process(t.bad_event('evt_alone'));
SELECT process_stripe_event(t.bad_event('evt_one')) ->> 'outcome' AS outcome;

-- It is not due at once, but within the minute.
SELECT count(*) FROM retry_stripe_events();
SELECT next_retry_at BETWEEN now() + interval '5 seconds' AND now() + interval '1 minute' AS soon FROM stripe_events WHERE stripe_event_id = 'evt_bad';
-- Each try waits longer, up to an hour or so, until it is given up.
CREATE TABLE t.tries (n integer, seconds double precision);
DO $$
BEGIN
    FOR n IN 1 .. 20 LOOP
        UPDATE stripe_events SET next_retry_at = now() - interval '1 second' WHERE stripe_event_id = 'evt_bad' AND next_retry_at IS NOT NULL;
        EXIT WHEN NOT EXISTS (SELECT FROM retry_stripe_events(1) r WHERE r.stripe_event_id = 'evt_bad');
        INSERT INTO t.tries SELECT n, extract(epoch FROM next_retry_at - clock_timestamp()) FROM stripe_events WHERE stripe_event_id = 'evt_bad';
    END LOOP;
END
$$;
SELECT count(*) AS tries, bool_and(seconds > 0 AND seconds <= 4500) AS within_bounds, max(seconds) > 1000 AS grows FROM t.tries;
SELECT processed, outcome, retry_count, next_retry_at, ingest_metrics() ->> 'given_up' AS given_up FROM stripe_events WHERE stripe_event_id = 'evt_bad';
-- What failed for good does not come back by itself.
SELECT count(*) FROM retry_stripe_events() r WHERE r.stripe_event_id = 'evt_bad';

-- The operators' statement leads to a retry, of what was given up and of what was never tried again.
UPDATE stripe_events SET processed = false, retry_count = 0 WHERE stripe_event_id IN ('evt_bad', 'evt_alone');
SELECT stripe_event_id, outcome, left(error, 9) AS error FROM retry_stripe_events();
SELECT stripe_event_id, retry_count FROM stripe_events WHERE stripe_event_id IN ('evt_bad', 'evt_alone') ORDER BY 1;
-- ... and once what was wrong is put right, to its effect.
ALTER TABLE stripe_objects DROP CONSTRAINT no_charges;
UPDATE stripe_events SET processed = false, retry_count = 0 WHERE stripe_event_id IN ('evt_bad', 'evt_alone');
SELECT * FROM retry_stripe_events();
SELECT stripe_event_id, processed, outcome, error, retry_count, next_retry_at FROM stripe_events WHERE stripe_event_id IN ('evt_bad', 'evt_alone') ORDER BY 1;
SELECT object_id FROM stripe_objects WHERE object_type = 'charge' ORDER BY 1;

-- Also of what was processed long ago: it doubles nothing.
CREATE TABLE t.before AS SELECT * FROM t.contents();
UPDATE stripe_events SET processed = false, retry_count = 0 WHERE stripe_event_id IN ('evt_1', 'evt_2');
SELECT * FROM retry_stripe_events(1);
SELECT * FROM retry_stripe_events(1);
SELECT * FROM t.contents() EXCEPT ALL SELECT * FROM t.before;

-- What cannot be read fails for good; a retry says so again.
SELECT event_type, object_id, stripe_customer_id, processed, outcome, error, retry_count, next_retry_at FROM stripe_events WHERE event_type = 'unidentified';
UPDATE stripe_events SET processed = false, retry_count = 0 WHERE event_type = 'unidentified';
SELECT outcome, error FROM retry_stripe_events();
SELECT retry_count, next_retry_at FROM stripe_events WHERE event_type = 'unidentified';

-- Replay: one event again, whatever became of it.
SELECT replay_stripe_event('evt_2');
SELECT replay_stripe_event('evt_alone');
SELECT * FROM t.contents() EXCEPT ALL SELECT * FROM t.before;
SELECT outcome FROM t.process(t.event('evt_3', 'customer.subscription.created', '2026-01-01', t.subscription('sub_3', 'cus_3', 'active', '2026-01-01', '2026-02-01')));
SELECT replay_stripe_event('evt_3');
SELECT * FROM t.refusal($$SELECT replay_stripe_event('evt_none')$$);
-- An older snapshot played again does not win.
SELECT outcome FROM t.process(t.event('evt_4', 'customer.subscription.updated', '2026-01-05', t.subscription('sub_1', 'cus_1', 'past_due', '2026-01-01', '2026-02-01')));
SELECT replay_stripe_event('evt_2') ->> 'outcome' AS outcome;
SELECT status FROM user_subscriptions WHERE stripe_subscription_id = 'sub_1';
-- Retention has taken the payload: the effects stay, a replay says why it cannot be.
DELETE FROM stripe_event_payloads WHERE stripe_event_id IN ('evt_2', 'evt_3');
SELECT * FROM t.refusal($$SELECT replay_stripe_event('evt_2')$$);
SELECT link_stripe_customer('user_3', 'cus_3') ->> 'events_applied' AS applied;
SELECT user_id, status FROM user_subscriptions WHERE stripe_subscription_id = 'sub_3';

-- billing.retry_limit
SELECT set_billing_setting('retry_limit', '2', 'test');
SELECT outcome FROM t.process('{"id": "evt_5", "type": "x", "created": 1, "data": {"object": {"id": "o_5", "object": "x"}}}');
UPDATE stripe_events SET processed = false, outcome = 'failed', retry_count = 2, next_retry_at = NULL WHERE stripe_event_id = 'evt_5';
SELECT * FROM retry_stripe_events();
SELECT set_billing_setting('retry_limit', NULL, 'test');
SELECT * FROM retry_stripe_events();
