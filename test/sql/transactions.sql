\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Where events cannot be applied safely they are refused, and nothing is stored.
CREATE FUNCTION t.payload() RETURNS text LANGUAGE sql AS $$SELECT t.event('evt_1', 'product.created', '2026-01-01', t.product('prod_1', 'One'))$$;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM t.refusal('SELECT process_stripe_event(t.payload())');
SELECT code, message FROM t.refusal('SELECT process_stripe_events(ARRAY[t.payload()])');
SELECT code, message FROM t.refusal('SELECT retry_stripe_events()');
SELECT code, message FROM t.refusal($$SELECT replay_stripe_event('evt_1')$$);
SELECT code, message FROM t.refusal($$SELECT link_stripe_customer('user_1', 'cus_1')$$);
SELECT code, message FROM t.refusal('SELECT fix_customer_links()');
SELECT * FROM t.refusal($$SELECT update_subscription_cache('user_1')$$);
SELECT code, message FROM t.refusal('SELECT refresh_subscription_cache()');
SELECT get_user_subscription_state('user_1') ->> 'state' AS state, has_active_subscription('user_1');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT code, message FROM t.refusal('SELECT process_stripe_event(t.payload())');
COMMIT;
BEGIN READ ONLY;
SELECT * FROM t.refusal('SELECT process_stripe_event(t.payload())');
SELECT code, message FROM t.refusal($$SELECT link_stripe_customer('user_1', 'cus_1')$$);
SELECT code FROM t.refusal($$SELECT update_subscription_cache('user_1')$$);
SELECT code FROM t.refusal($$SELECT set_billing_setting('mode', 'live', 'test')$$);
COMMIT;
SET synchronous_commit = off;
SELECT * FROM t.refusal('SELECT process_stripe_event(t.payload())');
SET synchronous_commit = local;
SELECT process_stripe_event(t.payload()) ->> 'outcome' AS outcome;
RESET synchronous_commit;
SELECT count(*) FROM stripe_events;

-- The caller's own errors, savepoints and exception blocks leave nothing behind, and nothing broken.
BEGIN;
SAVEPOINT a;
SELECT outcome FROM t.process(t.event('evt_2', 'product.created', '2026-01-01', t.product('prod_2', 'Two')));
ROLLBACK TO a;
SELECT outcome FROM t.process(t.event('evt_3', 'product.created', '2026-01-01', t.product('prod_3', 'Three')));
SELECT process_stripe_events(ARRAY[NULL]::text[]);
ROLLBACK TO a;
SHOW search_path;
SHOW lock_timeout;
SELECT outcome FROM t.process(t.event('evt_4', 'product.created', '2026-01-01', t.product('prod_4', 'Four')));
COMMIT;
SELECT stripe_event_id FROM stripe_events ORDER BY 1;
DO $$
BEGIN
    FOR n IN 1 .. 50 LOOP
        BEGIN
            PERFORM process_stripe_event(t.event('evt_do_' || n, 'product.updated', '2026-01-02', t.product('prod_4', 'Four')));
            PERFORM link_stripe_customer('user_2', CASE n % 2 WHEN 0 THEN 'cus_2' ELSE 'no customer' END);
        EXCEPTION WHEN invalid_parameter_value THEN
            NULL;
        END;
    END LOOP;
END
$$;
SELECT count(*) FROM stripe_events WHERE stripe_event_id LIKE 'evt_do_%';
SHOW search_path;

-- A statement that is canceled is the system's fault, not the event's: the whole call fails.
CREATE FUNCTION t.slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_catalog.pg_sleep(60); RETURN NEW; END$$;
CREATE TRIGGER slow BEFORE INSERT ON stripe_objects FOR EACH ROW EXECUTE FUNCTION t.slow();
SET statement_timeout = '300ms';
SELECT outcome FROM t.process(t.event('evt_5', 'product.created', '2026-01-01', t.product('prod_5', 'Five')));
RESET statement_timeout;
DROP TRIGGER slow ON stripe_objects;
SELECT count(*) FROM stripe_events WHERE stripe_event_id = 'evt_5';
-- So are internal errors, lack of resources and serialization failures.
CREATE FUNCTION t.fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.object_id LIKE '%bad%' THEN
        RAISE EXCEPTION 'made to fail' USING ERRCODE = pg_catalog.current_setting('regress.errcode'), HINT = 'a hint', DETAIL = 'a detail';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER fail BEFORE INSERT ON stripe_objects FOR EACH ROW EXECUTE FUNCTION t.fail();
CREATE FUNCTION t.with_errcode(errcode text) RETURNS TABLE (code text, message text, detail text, hint text, stored bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('regress.errcode', errcode, true);
    RETURN QUERY SELECT r.code, r.message, r.detail, r.hint, (SELECT count(*) FROM stripe_events e WHERE e.stripe_event_id IN ('evt_' || errcode, 'evt_ok_' || errcode))
      FROM t.refusal(format('SELECT process_stripe_events(ARRAY[%L, %L])',
                            t.event('evt_' || errcode, 'product.created', '2026-01-01', t.product('prod_bad_' || errcode, 'Bad')),
                            t.event('evt_ok_' || errcode, 'product.created', '2026-01-01', t.product('prod_' || errcode, 'Good')))) r;
END
$$;
SELECT errcode, r.code, r.message, r.detail, r.hint
  FROM unnest(ARRAY['40001', '40P01', '53100', '53200', '57P01', '58030', 'XX000', 'XX001', '25006', '22003', '23505', '42501', '54000', 'P0001']) errcode, t.with_errcode(errcode) r;
SELECT stripe_event_id, outcome, error FROM stripe_events WHERE stripe_event_id ~ '^evt_(ok_)?[0-9A-Z]{5}$' ORDER BY 1;
