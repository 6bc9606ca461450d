"""Credits on a hot standby: reading works and time passes there too; whoever wants to write is told so."""
import time

import psycopg2
import pytest

from harness.cluster import Cluster
from harness.database import Database

WRITES = ("use_credits_validated('ada', 1)", "use_credits_batch('[{\"user_id\": \"ada\", \"amount\": 1}]')", "hold_credits('ada', 1)",
          "capture_hold('ada', 1)", "release_hold('ada', 1)", "refund_credits('ada', 3)", "grant_credits('ada', 1)",
          "void_grant('ada', 1)", "add_subscription_credits('cus_ada', 'in_1', 'sub_1', 1)")


def seen_by(connection, database):
    balance = database.value("SELECT {s}.get_credit_balance('ada')", connection=connection)
    state = database.value("SELECT {s}.get_user_subscription_state('ada') -> 'credits'", connection=connection)
    assert {name: balance[name] for name in state} == state
    return balance["balance"], balance["held"], balance["available"]


def test_reading_on_a_standby():
    with Cluster() as primary:
        database = Database(primary)
        standby = primary.create_standby()
        database.link("ada", "cus_ada")
        database.execute("SELECT {s}.grant_credits('ada', 100), {s}.grant_credits('ada', 10, expires_at => now() + interval '2 seconds')")
        database.execute("SELECT {s}.grant_credits('ada', 7, effective_at => now() + interval '2 seconds')")
        database.execute("SELECT {s}.use_credits_validated('ada', 4), {s}.hold_credits('ada', 8, '2 seconds')")
        primary.wait_for_replay(standby)
        connection = standby.connect(database.name)
        assert seen_by(connection, database) == (106, 8, 98)
        assert seen_by(database.connection, database) == (106, 8, 98)
        for write in WRITES:
            with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
                database.execute(f"SELECT {{s}}.{write}", connection=connection)
        time.sleep(2.1)
        # The hold and the grant of 10 are over, that of 7 has begun; nobody has written that anywhere.
        assert seen_by(connection, database) == (107, 0, 107)
        assert database.value("SELECT balance FROM {s}.credit_accounts", connection=connection) == 106
        entries = database.rows("SELECT * FROM {s}.credit_statement('ada')")
        assert database.rows("SELECT * FROM {s}.credit_statement('ada')", connection=connection) == entries
        assert database.rows("SELECT * FROM {s}.verify_credit_ledger()", connection=connection) == []
        then = ("SELECT {s}.get_credit_balance('ada', %s)", (entries[-1]["created_at"],))
        assert database.value(*then, connection=connection) == database.value(*then) == {
            "balance": 106, "held": 0, "available": 106, "debt": 0}
        # The job writes down what all have seen.
        assert database.value("SELECT {s}.expire_credits()") == 1
        assert seen_by(database.connection, database) == (107, 0, 107)
        connection.close()
        database.drop()
