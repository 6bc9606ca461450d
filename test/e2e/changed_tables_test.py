"""What is kept of tables and rights between calls holds no longer than it is true: other sessions change them in the middle
of one that goes on."""
import contextlib
import threading
import time

import psycopg2
import pytest

ASK = "SELECT {s}.has_active_subscription('ada')"
USE = "SELECT {s}.use_credits_validated('ada', 1) ->> 'status'"
BATCH = """SELECT result ->> 'status' FROM {s}.use_credits_batch('[{"user_id": "ada", "amount": 1}, {"user_id": "ada", "amount": 2}]')"""
FUNCTION = """
CREATE FUNCTION {s}.note_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.description := 'seen';
    RETURN NEW;
END $$"""
TRIGGER = "CREATE TRIGGER noted BEFORE INSERT ON {s}.credit_transactions FOR EACH ROW EXECUTE FUNCTION {s}.note_row()"


@pytest.fixture
def app(database):
    role = database.create_role("changed_tables_app", "app")
    database.execute("SELECT {s}.update_subscription_cache('ada')")
    with contextlib.closing(database.connect(user=role)) as connection:
        yield connection
    database.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA {{s}} FROM {role}")


def direct(database):
    return "REVOKE SELECT ON {s}.subscription_cache FROM changed_tables_app", "GRANT SELECT ON {s}.subscription_cache TO changed_tables_app"


def by_membership(database):
    database.create_role("changed_tables_group")
    database.execute("REVOKE SELECT ON {s}.subscription_cache FROM changed_tables_app;"
                     "GRANT SELECT ON {s}.subscription_cache TO changed_tables_group; GRANT changed_tables_group TO changed_tables_app")
    return "REVOKE changed_tables_group FROM changed_tables_app", "GRANT changed_tables_group TO changed_tables_app"


def by_inheritance(database):
    by_membership(database)
    if database.connection.server_version >= 160000:
        return ("GRANT changed_tables_group TO changed_tables_app WITH INHERIT FALSE", "GRANT changed_tables_group TO changed_tables_app WITH INHERIT TRUE")
    return "ALTER ROLE changed_tables_app NOINHERIT", "ALTER ROLE changed_tables_app INHERIT"


def as_superuser(database):
    database.execute("REVOKE SELECT ON {s}.subscription_cache FROM changed_tables_app")
    return "ALTER ROLE changed_tables_app NOSUPERUSER", "ALTER ROLE changed_tables_app SUPERUSER"


@pytest.mark.parametrize("right", (direct, by_membership, by_inheritance, as_superuser))
def test_a_right_that_is_taken_is_gone_at_once(database, app, right):
    take, give = right(database)
    database.execute(give)
    try:
        for _ in range(3):
            assert database.value(ASK, connection=app) is False
            database.execute(take)
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                database.value(ASK, connection=app)
            database.execute(give)
        assert database.value(ASK, connection=app) is False
    finally:
        database.execute("ALTER ROLE changed_tables_app NOSUPERUSER INHERIT")


def test_rights_are_those_of_the_current_role(database, app):
    database.create_role("changed_tables_other")
    database.execute("GRANT changed_tables_other TO changed_tables_app; GRANT USAGE ON SCHEMA {s} TO changed_tables_other;"
                     "GRANT EXECUTE ON FUNCTION {s}.has_active_subscription(text) TO changed_tables_other")
    for _ in range(2):
        assert database.value(ASK, connection=app) is False
        database.execute("SET ROLE changed_tables_other", connection=app)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            database.value(ASK, connection=app)
        database.execute("RESET ROLE", connection=app)
    database.execute("DROP OWNED BY changed_tables_other")


def test_row_level_security_that_is_switched_on_hides_at_once(database, app):
    has_rows = "SELECT count(*) FROM {s}.subscription_cache"
    database.execute("UPDATE {s}.subscription_cache SET has_access = true")
    assert database.value(ASK, connection=app) is True
    database.execute("ALTER TABLE {s}.subscription_cache ENABLE ROW LEVEL SECURITY; CREATE POLICY none ON {s}.subscription_cache USING (false)")
    assert database.value(has_rows, connection=app) == 0
    assert database.value(ASK, connection=app) is False
    database.execute("ALTER TABLE {s}.subscription_cache DISABLE ROW LEVEL SECURITY")
    assert database.value(ASK, connection=app) is True


def test_a_trigger_fires_from_the_next_row_on(database):
    database.execute("SELECT {s}.grant_credits('ada', 100)")
    database.execute(FUNCTION)
    seen = "SELECT description IS NOT DISTINCT FROM 'seen' FROM {s}.credit_transactions ORDER BY transaction_id DESC LIMIT 1"
    with contextlib.closing(database.connect()) as other:
        for statement in (USE, BATCH) * 2:
            assert database.value(statement) == "charged" and not database.value(seen)
            database.execute(TRIGGER, connection=other)
            assert database.value(statement) == "charged" and database.value(seen)
            database.execute("DROP TRIGGER noted ON {s}.credit_transactions", connection=other)


@pytest.mark.parametrize("statement", (USE, BATCH), ids=("one", "batch"))
def test_a_trigger_that_is_made_while_a_debit_waits(database, statement):
    database.execute("SELECT {s}.grant_credits('ada', 100)")
    database.execute(FUNCTION)
    with contextlib.closing(database.connect()) as second, contextlib.closing(database.connect()) as other:
        assert database.value(statement, connection=second) == "charged"
        other.autocommit = False
        database.execute(TRIGGER, connection=other)
        answers = []
        thread = threading.Thread(target=lambda: answers.append(database.value(statement, connection=second)))
        thread.start()
        deadline = time.monotonic() + 20
        while not database.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            assert time.monotonic() < deadline and thread.is_alive()
            time.sleep(0.01)
        other.commit()
        thread.join()
    assert answers == ["charged"]
    assert database.value("SELECT description FROM {s}.credit_transactions ORDER BY transaction_id DESC LIMIT 1") == "seen"
