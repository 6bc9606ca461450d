"""End users behind a gateway that speaks PostgREST's protocol: each sees his own rows, whatever he tries."""
import contextlib
import json

import psycopg2
import pytest

from harness.life import Life

VIEWS = ("my_subscriptions", "my_access_grants", "my_payments", "my_enrollments", "my_credit_grants",
         "my_credit_transactions", "my_usage")
TABLES = ("user_subscriptions", "access_grants", "payments", "enrollments", "credit_grants", "credit_transactions",
          "usage_windows")
PLAN = """SELECT {s}.upsert_plan('{"id": "basic", "default": true, "prices": [{"price_id": "price_pro_monthly"}],
                                 "features": {"messages": {"limit": 10, "window": "lifetime"}}}')"""


class Gateway:
    """One transaction a request, as PostgREST's documentation describes it: the authenticator's role changes to that of
    the token, its claims become a setting of the transaction, and the request is one statement."""

    def __init__(self, database):
        self.database = database
        database.create_role("end_user", "user")
        database.create_role("authenticator")
        database.execute("ALTER ROLE authenticator NOINHERIT; GRANT end_user TO authenticator")
        self.connection = database.connect(user="authenticator", autocommit=False)

    def request(self, statement, claims):
        try:
            self.database.execute("""SELECT set_config('search_path', %s, true), set_config('role', 'end_user', true),
                                            set_config('request.jwt.claims', %s, true),
                                            set_config('request.method', 'GET', true)""",
                                  (self.database.schema, json.dumps(claims) if isinstance(claims, dict) else claims),
                                  self.connection)
            return self.database.value(statement, None, self.connection)
        finally:
            self.connection.rollback()

    def read(self, relation, user, condition="true"):
        return self.request(f"""WITH pgrst_source AS (SELECT * FROM {{s}}.{relation} WHERE {condition})
                                SELECT coalesce(json_agg(s), '[]') FROM (SELECT * FROM pgrst_source LIMIT 1000) s""",
                            {"sub": user, "role": "end_user"})

    def call(self, function, user):
        return self.request(f"SELECT {{s}}.{function}()", {"sub": user, "role": "end_user"})


@pytest.fixture
def gateway(any_database):
    """Two users who have one row in everything, behind a gateway."""
    database = any_database
    database.execute(PLAN)
    for user in ("ada", "bob"):
        life = Life(user)
        database.process(life.customer_created(), life.subscribed(), life.checkout_completed(user))
        database.execute(f"""SELECT {{s}}.grant_access('{user}', 'basic'), {{s}}.grant_credits('{user}', 100),
                                    {{s}}.use_feature('{user}', 'messages', {3 if user == 'ada' else 4})""")
        database.execute(f"""INSERT INTO {{s}}.payments (user_id, payment_id, stripe_customer_id, status, amount, livemode)
                             VALUES ('{user}', 'pi_{user}', 'cus_{user}', 'completed', 100, false)""")
        database.execute(f"""INSERT INTO {{s}}.enrollments (user_id, item_id, payment_id, status, payment_status, livemode)
                             VALUES ('{user}', 'course', 'pi_{user}', 'active', 'completed', false)""")
    gateway = Gateway(database)
    with contextlib.closing(gateway.connection):
        yield gateway


def test_each_sees_his_own_and_nothing_else(gateway):
    for view in VIEWS:
        for user in ("ada", "bob"):
            rows = gateway.read(view, user)
            assert [row["user_id"] for row in rows] == [user], view
        assert gateway.read(view, "eve") == []
        # Whatever the filter, also one that looks before it is filtered.
        assert gateway.read(view, "ada", "user_id <> 'ada' OR user_id = 'bob'") == []
        assert gateway.read(view, "ada", "1 / (user_id = 'ada')::int = 1"), "a filter has seen the other user's row"
    assert gateway.call("my_subscription_state", "ada")["stripe_subscription_id"] == "sub_ada"
    assert gateway.call("my_credits", "bob")["balance"] == 100
    assert gateway.call("my_credits", "eve")["balance"] == 0
    features = gateway.call("my_entitlements", "bob")["features"]
    assert features["messages"]["used"] == 4


def test_a_hostile_user_gets_nothing_by_other_ways(gateway):
    hostile = {"sub": "eve", "role": "end_user"}
    for statement in ("SELECT {s}.get_user_subscription_state('ada')", "SELECT {s}.get_credit_balance('ada')",
                      "SELECT {s}.get_user_entitlements('ada')", "SELECT {s}.explain_user('ada')",
                      "SELECT {s}.use_credits_validated('ada', 1)", "SELECT count(*) FROM {s}.subscription_cache",
                      "SELECT count(*) FROM {s}.stripe_objects", "SELECT count(*) FROM {s}.credit_accounts",
                      "SELECT count(metadata) FROM {s}.payments", "SELECT count(rule) FROM {s}.credit_grants",
                      "DELETE FROM {s}.my_payments", "UPDATE {s}.my_usage SET used = 0",
                      "INSERT INTO {s}.access_grants (user_id, plan_id, granted_by) VALUES ('eve', 'basic', 'eve')",
                      "ALTER TABLE {s}.payments DISABLE ROW LEVEL SECURITY",
                      "CREATE POLICY mine ON {s}.payments USING (true)"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            gateway.request(statement, hostile)
    # A function and an operator of one's own, in front of everything.
    gateway.database.execute("""CREATE SCHEMA IF NOT EXISTS eves AUTHORIZATION end_user;
        CREATE FUNCTION eves.has_table_privilege(oid, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
        CREATE FUNCTION eves.current_setting(text, boolean) RETURNS text LANGUAGE sql AS $f$SELECT '{"sub": "ada"}'$f$;
        CREATE FUNCTION eves.eq(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
        CREATE OPERATOR eves.= (LEFTARG = text, RIGHTARG = text, FUNCTION = eves.eq)""")
    assert gateway.request("SELECT count(*) FROM {s}.my_payments, set_config('search_path', 'eves, pg_catalog', true)",
                           hostile) == 0
    for table in TABLES:
        assert gateway.request(f"SELECT count(user_id) FROM {{s}}.{table}", hostile) == 0
        assert gateway.request(f"SELECT string_agg(user_id, '') FROM {{s}}.{table}", {"sub": "bob"}) == "bob"


@pytest.mark.parametrize("claims", ["", "{}", "nonsense", '{"sub": ""}', '{"sub": null}', "[]", '"ada"'])
def test_who_is_not_signed_in_sees_an_error_or_nothing(gateway, claims):
    for view in VIEWS:
        with pytest.raises(psycopg2.Error) as caught:
            gateway.request(f"SELECT count(*) FROM {{s}}.{view}", claims)
        assert caught.value.pgcode == "28000" and caught.value.diag.message_hint
    for function in ("my_subscription_state", "my_credits", "my_entitlements", "my_user_id"):
        with pytest.raises(psycopg2.Error) as caught:
            gateway.request(f"SELECT {{s}}.{function}()", claims)
        assert caught.value.pgcode == "28000"
    for table in TABLES:
        try:
            assert gateway.request(f"SELECT count(user_id) FROM {{s}}.{table}", claims) == 0
        except psycopg2.errors.InvalidTextRepresentation:
            assert claims == "nonsense"


def test_a_table_that_was_opened_by_hand_shows_each_his_own_rows(gateway):
    """As GRANT SELECT ON ALL TABLES does, but for the tables of everybody's states."""
    for table in TABLES:
        gateway.database.execute(f"GRANT SELECT ON {{s}}.{table} TO end_user")
        assert [row["user_id"] for row in gateway.read(table, "ada")] == ["ada"]


def test_those_who_serve_everybody_see_everybody(gateway):
    database = gateway.database
    for kind in ("app", "reader", "admin"):
        with contextlib.closing(database.connect(user=database.create_role(f"some_{kind}", kind))) as connection:
            # What the application asks of usage it asks functions.
            for table in TABLES[:-1] if kind == "app" else TABLES:
                assert database.value(f"SELECT count(DISTINCT user_id) FROM {{s}}.{table}", None, connection) == 2
            assert database.value("SELECT {s}.get_user_subscription_state('ada')", None, connection)["has_access"]
            assert database.value("SELECT {s}.get_credit_balance('ada')", None, connection)["balance"] == 100


def test_an_end_users_rows_are_found_by_their_key(gateway):
    database = gateway.database
    database.execute("""INSERT INTO {s}.payments (user_id, payment_id, stripe_customer_id, status, amount, livemode)
                        SELECT 'other_' || n, 'pi_' || n, 'cus_' || n, 'completed', 100, false FROM generate_series(1, 20000) n""")
    database.execute("ANALYZE {s}.payments")
    plan = gateway.request("EXPLAIN (FORMAT json) SELECT * FROM {s}.my_payments", {"sub": "ada"})
    assert '"Index' in json.dumps(plan) or '"Bitmap' in json.dumps(plan), plan
