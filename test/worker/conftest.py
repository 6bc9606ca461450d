"""Fixtures of the worker's tests: a database whose process_stripe_events can be told to misbehave."""
import pytest

# Stands before the real function, which it calls unless the table says otherwise.
WRAPPER = """
ALTER FUNCTION {s}.process_stripe_events(text[], jsonb) RENAME TO process_for_real;
CREATE TABLE {s}.orders (name text PRIMARY KEY, value text);
CREATE SEQUENCE {s}.calls;  -- survives what is rolled back
CREATE TABLE {s}.parents (id int PRIMARY KEY);
CREATE TABLE {s}.children (id int REFERENCES {s}.parents DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION {s}.process_stripe_events(payloads text[], options jsonb DEFAULT '{}', OUT ordinal int,
        OUT stripe_event_id text, OUT outcome text, OUT error text, OUT event_type text, OUT activity text)
    RETURNS SETOF record LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    orders jsonb := (SELECT coalesce(jsonb_object_agg(o.name, o.value), '{}') FROM {s}.orders o);
    call bigint := nextval('{s}.calls');
BEGIN
    IF orders ? 'raise' AND call <= coalesce((orders->>'times')::int, 1000000) THEN
        RAISE EXCEPTION 'as ordered' USING errcode = orders->>'raise';
    END IF;
    IF orders ? 'poison' AND EXISTS (SELECT FROM unnest(payloads) p WHERE p LIKE '%POISON%') THEN
        RAISE EXCEPTION 'poisoned' USING errcode = orders->>'poison';
    END IF;
    PERFORM pg_sleep((orders->>'sleep')::float);
    IF orders ? 'terminate' AND call <= (orders->>'terminate')::int THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
    END IF;
    IF orders ? 'fail_at_commit' THEN
        INSERT INTO {s}.children VALUES (1);
    END IF;
    RETURN QUERY SELECT * FROM {s}.process_for_real(payloads, options) r
                  WHERE NOT orders ? 'forget' OR r.ordinal > 1;
END $$;
GRANT EXECUTE ON FUNCTION {s}.process_stripe_events(text[], jsonb) TO PUBLIC;
"""


class Orders:
    """orders.give(sleep=1): from now on every batch takes a second. orders.give(): all is well again."""

    def __init__(self, database):
        self.database = database
        database.execute(WRAPPER)

    def give(self, **orders):
        self.database.execute("DELETE FROM {s}.orders")
        self.database.execute("SELECT setval('{s}.calls', 1, false)")
        for name, value in orders.items():
            self.database.execute("INSERT INTO {s}.orders VALUES (%s, %s)", (name, str(value)))

    def calls(self):
        return self.database.value("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {s}.calls")


@pytest.fixture
def orders(database):
    return Orders(database)
