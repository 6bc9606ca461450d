"""Readers write nothing: they work in read-only transactions and on a hot standby, and take no lock that matters."""
import psycopg2
import pytest

from harness.database import Database
from harness.life import Life, flat

READS = [
    "SELECT {s}.get_user_subscription_state('user_ada')",
    "SELECT {s}.get_user_subscription_state('user_ada', now() + interval '1 year')",
    "SELECT {s}.get_user_subscription_state('user_nobody')",
    "SELECT {s}.has_active_subscription('user_ada')",
    "SELECT {s}.require_subscription('user_ada')",
    "SELECT {s}.explain_user('user_ada')",
    "SELECT {s}.get_subscription_cache_status()",
    "SELECT count(*) FROM {s}.get_cache_cleanup_history(5)",
    "SELECT count(*) FROM {s}.get_billing_settings()",
    "SELECT {s}.ingest_metrics()",
    "SELECT count(*) FROM {s}.stripe_subscriptions",
]


def lived(database):
    ada = Life("ada")
    database.process(*flat([ada.customer_created(), ada.subscribed(), ada.first_invoice(),
                            ada.checkout_completed("user_ada")]))


@pytest.mark.parametrize("cached", [True, False])
def test_readers_work_in_read_only_transactions(any_database, cached):
    database = any_database
    lived(database)
    if not cached:
        database.value("SELECT {s}.clear_all_subscription_cache()")
    reader = database.connect()
    reader.set_session(readonly=True, autocommit=True)
    for statement in READS:
        database.value(statement, connection=reader)
    assert database.state("user_ada", connection=reader)["cached"] is cached
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        database.process(Life("eve").customer_created(), connection=reader)
    reader.close()


@pytest.mark.parametrize("cached", [True, False])
def test_readers_write_nothing_and_lock_no_row(database, cached):
    """No transaction id, no WAL, no row: also where they could."""
    lived(database)
    if not cached:
        database.value("SELECT {s}.clear_all_subscription_cache()")
    reader = database.connect(autocommit=False)
    before = database.value("SELECT pg_stat_get_xact_tuples_inserted('subscription_cache'::regclass)",
                            connection=reader)
    for statement in READS:
        database.value(statement, connection=reader)
    assert database.value("SELECT pg_current_xact_id_if_assigned()::text", connection=reader) is None
    assert database.value("SELECT pg_stat_get_xact_tuples_inserted('subscription_cache'::regclass)",
                          connection=reader) == before
    strong = database.rows("SELECT mode FROM pg_locks WHERE pid = %s AND mode NOT IN ('AccessShareLock', "
                           "'ExclusiveLock') OR (pid = %s AND locktype NOT IN ('relation', 'virtualxid'))",
                           (reader.get_backend_pid(), reader.get_backend_pid()))
    assert strong == []
    reader.rollback()
    reader.close()


def test_a_missed_read_is_stored_by_the_refresh_loop(database):
    lived(database)
    database.value("SELECT {s}.clear_all_subscription_cache()")
    assert database.state("user_ada")["cached"] is False
    assert database.value("SELECT {s}.refresh_subscription_cache()") == 1
    assert database.state("user_ada")["cached"] is True
    assert database.value("SELECT {s}.refresh_subscription_cache()") == 0


def test_readers_work_on_a_hot_standby(cluster, database):
    lived(database)
    standby = cluster.create_standby()
    try:
        cluster.wait_for_replay(standby)
        there = Database(standby, database.schema, name=database.name)
        for statement in READS:
            there.value(statement)
        here, found = database.state("user_ada"), there.state("user_ada")
        assert found == here and found["cached"] is True
        # A state that is not cached there is computed there.
        database.value("SELECT {s}.clear_all_subscription_cache()")
        cluster.wait_for_replay(standby)
        assert there.state("user_ada")["cached"] is False and there.state("user_ada")["state"] == "active"
        # A settings change on the primary reaches it.
        database.value("SELECT {s}.set_billing_setting('past_due_grace', '1 day', 'strict')")
        cluster.wait_for_replay(standby)
        values = {row["name"]: row["value"] for row in there.rows("SELECT * FROM {s}.get_billing_settings()")}
        assert values["past_due_grace"].startswith("1 day") or values["past_due_grace"].startswith("24:00")
        with pytest.raises(psycopg2.Error) as caught:
            there.process(Life("eve").customer_created())
        assert caught.value.pgcode == "25006" and caught.value.diag.message_hint is not None
        there.connection.close()
    finally:
        standby.destroy()
        cluster.standbys.remove(standby)
