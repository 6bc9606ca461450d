"""Tables in which triggers have a say are read and written by statements, whatever would be quicker, and end the same."""
from harness.history import Run, compare_with_truth, deliver, divergent_rows, fingerprints, finish

FEATURES = ("--near-duplicates", "0.05", "--duplicates", "0.1", "--bursts", "0.25", "--upgrades", "0.3", "--order", "shuffled")
TRIGGERS = """
CREATE FUNCTION {s}.count_rows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM set_config('test.rows', (coalesce(nullif(current_setting('test.rows', true), ''), '0')::bigint + 1)::text, false);
    RETURN NULL;
END $$;
DO $$ DECLARE name name; BEGIN
    FOR name IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = '{s}'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition LOOP
        EXECUTE format('CREATE TRIGGER counted AFTER INSERT OR UPDATE OR DELETE ON {s}.%I FOR EACH ROW EXECUTE FUNCTION {s}.count_rows()', name);
    END LOOP;
END $$
"""


def test_tables_with_triggers_end_the_same(databases, tmp_path):
    run = Run(tmp_path, "--seed", 11, "--customers", 40, *FEATURES)
    found = []
    for triggers in (False, True):
        database = databases().grant_since_ever()
        if triggers:
            database.execute(TRIGGERS)
        deliver(database, run)
        finish(database, run)
        assert compare_with_truth(database, run)[1] == {}
        found.append(fingerprints(database))
    assert list(divergent_rows(*found)) == []
    written = sum(database.value(f"SELECT count(*) FROM {{s}}.{table}") for table in ("stripe_events", "stripe_objects", "credit_transactions"))
    assert int(database.value("SELECT current_setting('test.rows')")) > written
