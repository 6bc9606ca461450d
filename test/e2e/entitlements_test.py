"""Entitlements for roles, on standbys, while plans change, and through the 402 that PostgREST makes of them."""
import contextlib
import json
import threading

import psycopg2
import pytest

from harness.cluster import Cluster
from harness.database import Database

PLAN = """SELECT {s}.upsert_plan('{"id": "free", "default": true, "features": {
    "messages": {"limit": 3, "window": "month"}, "models": {"value": ["small"]}}}')"""
WRITES = ("use_feature('ada', 'messages')", "release_feature('ada', 'messages')",
          "set_user_entitlement('ada', 'messages', 'true')", "clear_user_entitlement('ada', 'messages')")
READS = ("check_entitlement('ada', 'messages')", "get_user_entitlements('ada')")


def test_each_kind_of_role_gets_what_it_needs(any_database):
    database = any_database
    database.execute(PLAN)
    may = {"app": {*WRITES, *READS, "require_entitlement('ada', 'models')"}, "reader": {*READS, "verify_usage()"},
           "worker": set(), "user": set()}
    for kind, allowed in may.items():
        with contextlib.closing(database.connect(user=database.create_role(f"ent_{kind}", kind))) as connection:
            for call in (*WRITES, *READS, "require_entitlement('ada', 'models')", "verify_usage()"):
                if call in allowed:
                    database.rows(f"SELECT * FROM {{s}}.{call}", connection=connection)
                else:
                    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                        database.rows(f"SELECT * FROM {{s}}.{call}", connection=connection)
            for table in ("usage_windows", "usage_records", "user_entitlements"):
                with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    database.execute(f"DELETE FROM {{s}}.{table}", connection=connection)


def test_reading_on_a_standby():
    with Cluster() as primary:
        database = Database(primary)
        standby = primary.create_standby()
        database.execute(PLAN)
        database.execute("SELECT {s}.use_feature('ada', 'messages', 2)")
        primary.wait_for_replay(standby)
        with contextlib.closing(standby.connect(database.name)) as connection:
            for read in READS:
                assert database.value(f"SELECT {{s}}.{read}", connection=connection) == \
                    database.value(f"SELECT {{s}}.{read}")
            assert database.value("SELECT {s}.check_entitlement('ada', 'messages')", connection=connection)["used"] == 2
            for write in WRITES:
                with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
                    database.execute(f"SELECT {{s}}.{write}", connection=connection)


def test_a_refusal_is_what_postgrest_answers_with_402(database):
    database.execute(PLAN)
    database.execute("SELECT {s}.require_entitlement('ada', 'messages', 3)")
    with pytest.raises(psycopg2.Error) as caught:
        database.execute("SELECT {s}.require_entitlement('ada', 'messages', 4)")
    assert caught.value.pgcode == "PT402"
    assert caught.value.diag.message_hint == "Next step: wait_for_reset."
    detail = json.loads(caught.value.diag.message_detail)
    assert (detail["reason"], detail["limit"], detail["remaining"]) == ("cap_exceeded", 3, 3)


def test_a_plan_that_changes_counts_from_the_next_call_on_in_every_session(database):
    database.execute(PLAN)
    sessions = [database.connect() for _ in range(3)]
    try:
        for limit in (5, 1, 8):
            for connection in sessions:
                database.value("SELECT {s}.check_entitlement('ada', 'messages')", connection=connection)
            database.execute("""SELECT {s}.upsert_plan(jsonb_build_object('id', 'free', 'default', true, 'features',
                jsonb_build_object('messages', jsonb_build_object('limit', %s, 'window', 'month'))))""", (limit,))
            for connection in sessions:
                for call in ("check_entitlement('ada', 'messages')", "use_feature('ada', 'messages', 100)"):
                    assert database.value(f"SELECT {{s}}.{call}", connection=connection)["limit"] == limit
    finally:
        for connection in sessions:
            connection.close()


def test_who_waited_for_a_lock_decides_by_the_plan_of_afterwards(database):
    """A use waits for another; meanwhile the plan's limit is lowered: the old limit counts for nobody any more."""
    database.execute(PLAN)
    holder, waiter = database.connect(autocommit=False), database.connect()
    answers = []
    try:
        assert database.value("SELECT {s}.use_feature('ada', 'messages')", connection=holder)["used"] == 1
        thread = threading.Thread(target=lambda: answers.append(
            database.value("SELECT {s}.use_feature('ada', 'messages')", connection=waiter)))
        thread.start()
        while not database.value("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert thread.is_alive()
        database.execute("""SELECT {s}.upsert_plan('{"id": "free", "default": true, "features": {
            "messages": {"limit": 1, "window": "month"}}}')""")
        holder.commit()
        thread.join()
        assert (answers[0]["status"], answers[0]["limit"], answers[0]["used"]) == ("cap_exceeded", 1, 1)
    finally:
        holder.close()
        waiter.close()
