"""What a miss of the cache reads is what row-level security lets the caller read, whatever its policies say by now."""
import contextlib
import re

import psycopg2
import pytest

from harness.life import Life, flat

ONLY_SUPERUSERS = "(SELECT pg_catalog.has_table_privilege(OF(subscription_cache), 'INSERT')) OR false"
POLICY = "CREATE POLICY own_rows ON {s}.user_subscriptions FOR SELECT USING "


@pytest.fixture(name="app")
def app_fixture(database):
    life = Life("ada")
    database.process(*flat([life.customer_created(), life.subscribed(), *life.first_invoice()]))
    database.link("ada", life.customer_id)
    with contextlib.closing(database.connect(user=database.create_role("row_security_app", "app"))) as connection:
        yield connection


def sees(database, connection):
    """Whether a state that is computed now knows the subscription."""
    database.execute("SELECT {s}.clear_user_subscription_cache('ada')")
    state = database.value("SELECT {s}.get_user_subscription_state('ada')", connection=connection)
    assert not state["cached"]
    assert state["has_access"] == bool(state["subscriptions"])
    return state["has_access"]


def alter(database, change):
    """OF(table) is its number, as the extension's own policies have it."""
    database.execute(re.sub(r"OF\((\w+)\)", lambda table: "%d::pg_catalog.oid" % database.value(
        f"SELECT '{{s}}.{table[1]}'::regclass::oid"), change))


@pytest.mark.parametrize("change", (
    "CREATE POLICY hidden ON {s}.user_subscriptions AS RESTRICTIVE FOR SELECT USING (user_id <> 'ada')",
    "ALTER POLICY own_rows ON {s}.user_subscriptions USING (user_id <> 'ada')",
    "ALTER POLICY own_rows ON {s}.user_subscriptions USING (" + ONLY_SUPERUSERS + ")",
    "ALTER POLICY own_rows ON {s}.user_subscriptions TO pg_monitor",
    "DROP POLICY own_rows ON {s}.user_subscriptions",
    "DROP POLICY own_rows ON {s}.user_subscriptions; " + POLICY + "((SELECT pg_catalog.has_table_privilege("
    "OF(subscription_cache), 'SELECT') WHERE false) OR user_id = 'bob')",
    "DROP POLICY own_rows ON {s}.user_subscriptions; " + POLICY + "((SELECT pg_catalog.has_table_privilege("
    "OF(subscription_cache), 'SELECT')) AND user_id = 'bob')",
    "DROP POLICY own_rows ON {s}.user_subscriptions; " + POLICY + "((SELECT pg_catalog.has_table_privilege("
    "OF(stripe_events), 'SELECT')) OR user_id = 'bob')",
    "DROP POLICY own_rows ON {s}.user_subscriptions; CREATE POLICY own_rows ON {s}.user_subscriptions FOR UPDATE USING "
    "((SELECT pg_catalog.has_table_privilege(OF(subscription_cache), 'SELECT')) OR user_id = 'bob')"))
def test_a_policy_that_hides_rows_hides_them_from_the_state(database, app, change):
    assert sees(database, app)
    alter(database, change)
    assert not sees(database, app)
    assert database.rows("SELECT FROM {s}.user_subscriptions", connection=app) == []
    with contextlib.closing(database.connect()) as owner:
        assert sees(database, owner)


def test_another_policy_that_lets_in_changes_nothing(database, app):
    database.execute("CREATE POLICY more ON {s}.user_subscriptions FOR SELECT USING (true)")
    assert sees(database, app)
    alter(database, "DROP POLICY own_rows ON {s}.user_subscriptions; DROP POLICY more ON {s}.user_subscriptions; " + POLICY +
          "(user_id = 'bob' OR (SELECT pg_catalog.has_table_privilege(OF(subscription_cache), 'SELECT')))")
    assert sees(database, app)


def test_who_switches_row_security_off_gets_an_error_where_it_applies(database, app):
    database.execute("SET row_security = off", connection=app)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="row-level security"):
        sees(database, app)
    with contextlib.closing(database.connect()) as owner:
        database.execute("SET row_security = off", connection=owner)
        assert sees(database, owner)


def test_without_the_privilege_on_the_rows_there_is_an_error(database, app):
    database.execute("REVOKE SELECT ON {s}.user_subscriptions FROM row_security_app")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="user_subscriptions"):
        sees(database, app)
