"""CREATE EXTENSION, DROP EXTENSION, dump and restore."""
import os
import subprocess

import pytest

from harness.cluster import program
from harness.database import Database
from harness.life import Life, flat

# Everything that a schema, a database or the cluster can hold on to.
CATALOGS = ("pg_class", "pg_proc", "pg_type", "pg_operator", "pg_cast", "pg_constraint", "pg_trigger", "pg_policy",
            "pg_namespace", "pg_extension", "pg_event_trigger", "pg_rewrite", "pg_statistic_ext", "pg_collation",
            "pg_depend", "pg_shdepend", "pg_description", "pg_authid", "pg_db_role_setting", "pg_default_acl",
            "pg_init_privs", "pg_attrdef", "pg_index", "pg_partitioned_table")


def count_catalogs(database):
    return {name: database.value(f"SELECT count(*) FROM {name}") for name in CATALOGS}


def fill(database):
    ada, bob, eve = Life("ada"), Life("bob"), Life("eve", metadata={"user_id": "user_eve"})
    gus = Life("gus", metadata={"user_id": "user_gus"})
    database.execute("INSERT INTO {s}.billing_webhook_secrets VALUES ('main', 'whsec_not_for_dumps')")
    database.value("SELECT {s}.set_billing_setting('past_due_grace', '9 days', 'we are patient')")
    database.process(*flat([ada.customer_created(), ada.subscribed(trial_days=14), ada.first_invoice(),
                            ada.checkout_completed("user_ada"), ada.activated(), bob.subscribed(),
                            eve.customer_created(), eve.subscribed(), eve.scheduled(eve.items[0][0], 3),
                            gus.customer_created(), gus.subscribed(trial_days=7), gus.ended()]))
    assert database.value("SELECT {s}.erase_user('user_gus', 'asked for')")["success"]
    assert database.rows("SELECT * FROM {s}.apply_retention()")
    database.process(ada.events[0])
    database.process('{"not": "an event"}')
    database.value("SELECT {s}.get_or_create_stripe_customer('user_zoe', 'zoe@example.org')")
    database.value("SELECT {s}.clear_expired_subscription_cache()")


def everything(database):
    """{table: sorted rows} of every table of the extension."""
    tables = database.rows("""
        SELECT c.oid::regclass::text AS name FROM pg_class c
          JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
          JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'pg_billing'
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition""")
    return {row["name"]: sorted(str(sorted(line.items())) for line in database.rows(f"SELECT * FROM {row['name']}"))
            for row in tables}


@pytest.mark.parametrize("schema", ["public", "billing"])
def test_drop_extension_leaves_nothing(databases, schema):
    database = databases(None)
    database.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    before = count_catalogs(database)
    database.execute(f"CREATE EXTENSION pg_billing SCHEMA {schema}")
    database.schema = schema
    assert sum(len(rows) for rows in everything(database).values()) == 0, "an install script inserts no rows"
    fill(database)
    database.execute("DROP EXTENSION pg_billing")
    database.schema = None
    assert count_catalogs(database) == before
    # And it can come back, in the same session.
    database.execute(f"CREATE EXTENSION pg_billing SCHEMA {schema}")
    database.schema = schema
    fill(database)
    assert database.state("user_ada")["state"] == "active"


@pytest.mark.parametrize("schema", ["public", "billing"])
@pytest.mark.parametrize("form", ["plain", "custom"])
def test_dump_and_restore_keep_everything_but_secrets(cluster, databases, schema, form, tmp_path):
    source = databases(schema)
    fill(source)
    target = databases(None)
    dump = tmp_path / "dump"
    environment = {**os.environ, **cluster.environment()}
    subprocess.run([program("pg_dump"), "-F", form[0], "-f", dump, source.name], env=environment, check=True)
    assert b"whsec_not_for_dumps" not in dump.read_bytes()
    if form == "plain":
        cluster.psql(target.name, "-q", "-f", str(dump))
    else:
        subprocess.run([program("pg_restore"), "--exit-on-error", "-d", target.name, dump], env=environment, check=True)
    target.schema = schema
    expected, found = everything(source), everything(target)
    secrets = next(name for name in expected if name.endswith("billing_webhook_secrets"))
    assert len(expected.pop(secrets)) == 1 and found.pop(secrets) == []
    assert found == expected and sum(len(rows) for rows in found.values()) > 20
    # The partitions of payloads that were made since are there, each with its key, and go on being made and dropped.
    partitions = "SELECT * FROM {s}.payload_partitions()"
    assert target.rows(partitions) == source.rows(partitions) != []
    assert target.value("SELECT count(*) FROM pg_index i JOIN pg_inherits h ON h.inhrelid = i.indrelid"
                        " WHERE h.inhparent = '{s}.stripe_event_payloads'::regclass AND i.indisprimary") \
        == len(source.rows(partitions)) + 1
    assert target.value("SELECT count(*) FROM {s}.apply_retention('{\"months_ahead\": 4}')") == 1
    # It works on: what waited is linked, what was received is a duplicate, settings are in force.
    assert target.state("user_ada")["state"] == "active"
    assert target.link("user_bob", "cus_bob")
    assert target.state("user_bob")["state"] == "active"
    assert target.outcomes(Life("bob").subscribed()) == ["duplicate"]
    # Whoever was erased after a trial is still known not to be new.
    back = Life("back")
    back.customer_created({"user_id": "user_back"})
    assert target.outcomes(back.customer_updated(email="gus@example.org")) == ["processed"]
    trial = "SELECT {s}.is_trial_eligible('user_back') ->> 'reason'"
    target.execute("""SELECT {s}.upsert_plan('{"id": "pro", "trial_days": 7, "prices": [{"lookup_key": "pro"}]}')""")
    assert target.value(trial) == "trial_used"
    target.execute("DELETE FROM {s}.billing_erasure_key")
    assert target.value(trial) == "eligible", "without the key the hashes say nothing"
    settings = {row["name"]: row["value"] for row in target.rows("SELECT * FROM {s}.get_billing_settings()")}
    assert settings["past_due_grace"].startswith("9 day")


def test_it_works_without_being_preloaded(tmp_path):
    """Everything but the counters of the cache and the supervisor: session_preload is not needed either."""
    from harness.cluster import Cluster
    with Cluster(settings={"shared_preload_libraries": ""}) as plain:
        database = Database(plain)
        fill(database)
        assert database.state("user_ada")["state"] == "active"
        status = database.value("SELECT {s}.get_subscription_cache_status()")
        assert status["hits"] is None and status["misses"] is None
        assert database.value("SELECT {s}.refresh_subscription_cache()") == 0
