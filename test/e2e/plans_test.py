"""Plans where events come in any order from many sessions, and on a standby: one state, whoever asks where."""
import datetime

import convergence_test
import psycopg2
import psycopg2.extras
import pytest

from harness import load
from harness.cluster import Cluster
from harness.database import Database

PLANS = """SELECT {s}.upsert_plan(p) FROM jsonb_array_elements('[
    {"id": "free", "default": true, "features": {"messages": {"limit": 5, "window": "month"}}},
    {"id": "professional", "rank": 10, "trial_days": 14, "prices": [{"lookup_key": "%s"}]},
    {"id": "basic", "rank": 5, "prices": [{"price_id": "price_basic_monthly"}]}]'::jsonb) p""" % load.CREDITED.lookup_key
STATES = """SELECT u.user_id, {s}.get_user_subscription_state(u.user_id) - 'cached' - 'cached_at' - 'expires_at' AS state,
                   {s}.is_trial_eligible(u.user_id) AS trial
              FROM {s}.billing_users u ORDER BY 1"""


def test_every_delivery_of_the_same_events_gives_the_same_plans_and_trials(databases):
    lists = load.lives(40, convergence_test.START)
    calm = databases()
    calm.execute(PLANS)
    convergence_test.deliver_calmly(calm, lists)
    expected = calm.rows(STATES)
    assert {row["state"]["plan"] for row in expected} & {"professional"}
    assert {row["trial"]["eligible"] for row in expected} & {False}
    trials = calm.facts("trial_usage")
    for seed in range(3):
        wild = databases()
        wild.execute(PLANS)
        convergence_test.deliver_wildly(wild, lists, seed)
        assert wild.rows(STATES) == expected, f"order {seed}"
        assert wild.facts("trial_usage") == trials, f"order {seed}"


def test_plans_that_come_after_the_events_give_the_same(databases):
    lists = load.lives(10, convergence_test.START)
    before, after = databases(), databases()
    before.execute(PLANS)
    for database in (before, after):
        convergence_test.deliver_calmly(database, lists)
    assert after.rows(STATES) != before.rows(STATES)
    after.execute(PLANS)
    assert after.rows(STATES) == before.rows(STATES)
    # Dropped and made again elsewhere, they are the same plans.
    exported = before.value("SELECT {s}.export_plans()")
    assert after.value("SELECT {s}.export_plans()") == exported
    after.execute("DELETE FROM {s}.plan_features; DELETE FROM {s}.plan_prices; DELETE FROM {s}.subscription_plans")
    after.execute("SELECT {s}.upsert_plan(p) FROM jsonb_array_elements(%s::jsonb) p", (psycopg2.extras.Json(exported),))
    assert after.rows(STATES) == before.rows(STATES)


def test_a_role_of_the_application_gives_access_and_sees_it(databases):
    database = databases()
    database.execute(PLANS)
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=14)
    with database.connect(user=database.create_role("plans_app", "app")) as app:
        assert database.value("SELECT {s}.get_plan('professional') ->> 'id'", connection=app) == "professional"
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            database.execute("SELECT {s}.upsert_plan('{\"id\": \"mine\"}')", connection=app)
        app.rollback()
        given = database.value("SELECT {s}.grant_access('user_ada', 'professional', %s, 'trial without a card')", (until,), connection=app)
        assert given["status"] == "granted" and given["has_access"]
        state = database.state("user_ada", connection=app)
        assert (state["plan"], state["reason"], state["can_purchase"]) == ("professional", "granted_access", True)
        app.rollback()
        assert database.state("user_ada", connection=app)["has_access"] is False


def test_on_a_standby():
    with Cluster() as primary:
        database = Database(primary)
        standby = primary.create_standby()
        database.execute(PLANS)
        database.execute("SELECT {s}.grant_access('user_ada', 'professional')")
        primary.wait_for_replay(standby)
        connection = standby.connect(database.name)
        assert database.state("user_ada", connection=connection)["plan"] == "professional"
        # It forgets what it has kept of plans when they change.
        database.execute("SELECT {s}.upsert_plan('{\"id\": \"professional\", \"addon\": true}')")
        primary.wait_for_replay(standby)
        assert database.state("user_ada", connection=connection)["has_access"] is False
        assert database.value("SELECT {s}.get_plan('professional') -> 'addon'", connection=connection) is True
        for write in ("upsert_plan('{\"id\": \"x\"}')", "retire_plan('professional', 'x')", "grant_access('user_ada', 'professional')",
                      "revoke_access('user_ada', 'professional', 'x')"):
            with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
                database.execute(f"SELECT {{s}}.{write}", connection=connection)
        connection.close()
        database.drop()


@pytest.mark.parametrize("plan", ["", "pro plan", "pro\n", "Pro", "p" * 64])
def test_a_plan_that_is_not_written_by_upsert_plan_has_no_other_id(database, plan):
    with pytest.raises(psycopg2.errors.CheckViolation):
        database.execute("INSERT INTO {s}.subscription_plans (id, name, display_name) VALUES (%s, %s, 'Pro')", (plan, plan))
