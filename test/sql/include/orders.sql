-- Every permutation of a set is applied one event at a time, and then as one batch.
CREATE TABLE t.results (name text, permutation integer, way text, place text, contents text);
-- What one way of delivery leads to; it is undone.
CREATE FUNCTION t.outcome(payloads text[], at_once boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    result  jsonb;
    payload text;
BEGIN
    BEGIN
        IF at_once THEN
            PERFORM process_stripe_events(payloads);
        ELSE
            FOREACH payload IN ARRAY payloads LOOP
                PERFORM process_stripe_event(payload);
            END LOOP;
        END IF;
        -- What waited for a price is due by then.
        PERFORM retry_stripe_events();
        SELECT jsonb_object_agg(c.place, c.lines) INTO result
          FROM (SELECT place, string_agg(line, E'\n' ORDER BY line COLLATE "C") AS lines FROM t.contents() GROUP BY place) c;
        RAISE SQLSTATE 'T0000';
    EXCEPTION WHEN SQLSTATE 'T0000' THEN
        RETURN result;
    END;
END
$$;
-- At last the events stay, in the order given.
CREATE PROCEDURE t.try_orders(name text, payloads text[]) LANGUAGE plpgsql AS $$
DECLARE
    permuted text[];
    number   integer := 0;
BEGIN
    CALL t.forget();
    FOR permuted IN
        WITH RECURSIVE step (done, todo) AS (
            SELECT '{}'::text[], payloads
            UNION ALL
            SELECT s.done || s.todo[i], s.todo[:i - 1] || s.todo[i + 1:]
              FROM step s, generate_series(1, cardinality(s.todo)) i
        )
        SELECT s.done FROM step s WHERE s.todo = '{}'
    LOOP
        number := number + 1;
        INSERT INTO t.results SELECT name, number, 'one by one', c.* FROM jsonb_each_text(t.outcome(permuted, false)) c;
        INSERT INTO t.results SELECT name, number, 'batch', c.* FROM jsonb_each_text(t.outcome(permuted, true)) c;
    END LOOP;
    PERFORM process_stripe_events(payloads);
END
$$;
CREATE FUNCTION t.verdict(name text) RETURNS TABLE (orders bigint, place text, different_results bigint) LANGUAGE sql AS $$
SELECT (SELECT count(DISTINCT permutation) FROM t.results r WHERE r.name = verdict.name), r.place,
       count(DISTINCT r.contents) + ((SELECT count(*) FROM t.results a WHERE a.name = verdict.name AND a.place = 'event') <> count(*))::integer
  FROM t.results r WHERE r.name = verdict.name GROUP BY r.place ORDER BY r.place COLLATE "C"
$$;
