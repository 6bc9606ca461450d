"""Coming from another system, beside it, and back: imports that may be repeated, and what the two say differently."""
import contextlib
import io
import json
import re

import psycopg2
import pytest

from harness.life import Life
from harness.objects import PRO
from harness.worker import ROOT


def run(database, function, rows, reason="from the old system", connection=None):
    return database.value(f"SELECT {{s}}.import_{function}(%s::jsonb, %s)", (json.dumps(rows), reason), connection)


def differences(database, query, connection=None):
    return [tuple(row.values()) for row in database.rows("SELECT * FROM {s}.compare_billing_state(%s)", (query,), connection)]


def test_links_are_imported_once_and_bring_what_waited(any_database):
    database, lives = any_database, [Life(name) for name in ("ada", "bob", "cy")]
    for life in lives:
        database.process(life.customer_created(), life.subscribed())
    database.link("user_cy", "cus_cy")
    rows = [{"user_id": f"user_{name}", "stripe_customer_id": f"cus_{name}"} for name in ("bob", "ada", "cy", "new")]
    answer = run(database, "customer_links", rows)
    assert answer == {"imported": 3, "exists": 1, "events_applied": 2, "conflicts": []}
    assert all(database.state(f"user_{name}")["has_access"] for name in ("ada", "bob", "cy"))
    again = run(database, "customer_links", rows + [{"user_id": "user_eve", "stripe_customer_id": "cus_ada"}])
    assert again == {"imported": 0, "exists": 4, "events_applied": 0, "conflicts": [
        {"row": 5, "stripe_customer_id": "cus_ada", "user_id": "user_eve", "linked_to": "user_ada"}]}
    assert not database.state("user_eve")["has_access"]
    entries = database.rows("SELECT subject, reason, details FROM {s}.audit_logs WHERE action = 'imported' ORDER BY created_at")
    assert [(entry["subject"], entry["details"]["imported"], entry["details"]["conflicts"]) for entry in entries] == [
        ("customer_links", 3, 0), ("customer_links", 0, 1)]


def test_balances_are_imported_once(any_database):
    database = any_database
    rows = [{"user_id": "ada", "balance": 120}, {"user_id": "ada", "balance": "30", "key": "promo", "category": "promotional",
                                                 "expires_at": "2100-01-01"},
            {"user_id": "bob", "balance": 0}, {"user_id": "cy", "balance": 5, "expires_at": "2001-01-01"}]
    assert run(database, "credit_balances", rows) == {"imported": 2, "credits": 150, "exists": 0, "nothing_left": 2, "conflicts": []}
    assert database.value("SELECT {s}.use_credits_validated('ada', 40)")["available"] == 110
    # What has been used since does not come back.
    assert run(database, "credit_balances", rows)["exists"] == 2
    assert database.value("SELECT {s}.get_credit_balance('ada')")["balance"] == 110
    other = run(database, "credit_balances", [{"user_id": "ada", "balance": 500}])
    assert other["conflicts"] == [{"row": 1, "user_id": "ada", "key": "balance", "balance": 500}] and other["imported"] == 0
    assert database.unsound_credits() == []
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []


def test_trials_are_imported_and_stay(any_database):
    database = any_database
    database.execute("""SELECT {s}.upsert_plan('{"id": "pro", "trial_days": 14}')""")
    rows = [{"user_id": "ada", "trial_start": "2024-01-01T00:00:00Z", "trial_end": "2024-01-15"},
            {"user_id": "bob", "trial_start": "2024-02-01", "stripe_subscription_id": "sub_bob"}]
    assert database.value("SELECT {s}.is_trial_eligible('ada')")["eligible"]
    assert run(database, "trial_usage", rows) == {"imported": 2, "exists": 0, "conflicts": []}
    assert run(database, "trial_usage", rows) == {"imported": 0, "exists": 2, "conflicts": []}
    for user in ("ada", "bob"):
        assert database.value("SELECT {s}.is_trial_eligible(%s)", (user,))["reason"] == "trial_used"
    # Stripe tells of the same trial later, and no rebuild takes away what was imported.
    bob = Life("bob")
    database.process(bob.customer_created(metadata={"user_id": "bob"}), bob.subscribed(trial_days=7))
    assert len(database.rows("SELECT * FROM {s}.trial_usage")) == 2
    before = database.rows("SELECT * FROM {s}.trial_usage ORDER BY user_id")
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state(true)") == []
    assert database.rows("SELECT * FROM {s}.trial_usage ORDER BY user_id") == before


def test_enrollments_are_imported_from_csv(any_database):
    """Through COPY into a table of one's own."""
    database = any_database
    csv = "user_id,item_id,status,enrolled_at,payment_id\nada,course_1,active,2024-05-01,\nada,course_2,refunded,2024-05-02,pi_2\n" \
          "bob,course_1,,,\n"
    database.execute("""CREATE TABLE public.old_enrollments (user_id text, item_id text, status text, enrolled_at timestamptz,
                                                             payment_id text)""")
    with database.connection.cursor() as cursor:
        cursor.copy_expert("COPY public.old_enrollments FROM STDIN CSV HEADER", io.StringIO(csv))
    statement = "SELECT {s}.import_enrollments((SELECT jsonb_agg(to_jsonb(o)) FROM public.old_enrollments o), 'csv')"
    assert database.value(statement) == {"imported": 3, "exists": 0, "conflicts": []}
    assert database.value(statement) == {"imported": 0, "exists": 3, "conflicts": []}
    assert [database.value("SELECT {s}.has_access_to_item(%s, %s)", pair) for pair in (
        ("ada", "course_1"), ("ada", "course_2"), ("bob", "course_1"), ("bob", "course_2"))] == [True, False, True, False]
    changed = run(database, "enrollments", [{"user_id": "ada", "item_id": "course_1", "status": "revoked"}])
    assert changed["conflicts"] == [{"row": 1, "user_id": "ada", "item_id": "course_1", "status": "revoked", "stored": "active"}]
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []


WRONG = [
    ("customer_links", {"user_id": "ada"}, "rows must be a JSON array of objects, not object"),
    ("customer_links", [1], "row 1 is no object: 1"),
    ("customer_links", [{"user_id": "a", "stripe_customer_id": "cus_1"}, {"user_id": "b"}], "row 2 has no stripe_customer_id"),
    ("customer_links", [{"user_id": "a", "stripe_customer_id": "cus_1", "mail": "x"}], 'row 1 has an unknown member "mail"'),
    ("customer_links", [{"user_id": "a" * 256, "stripe_customer_id": "cus_1"}], "row 1 has a user_id of 256 bytes"),
    ("credit_balances", [{"user_id": "a", "balance": "many"}], 'row 1 has balance "many", which is no bigint'),
    ("credit_balances", [{"user_id": "a", "balance": 1}, {"user_id": "b", "balance": -1}], "row 2 has balance -1"),
    ("trial_usage", [{"user_id": "a", "trial_start": "soon"}], 'row 1 has trial_start "soon", which is no timestamp with time zone'),
    ("enrollments", [{"user_id": "a", "item_id": "i", "status": "done"}], 'row 1 has status "done"'),
    ("enrollments", [{"user_id": "a", "item_id": "i"}] * 10001, "10001 rows are too many for one call"),
]


@pytest.mark.parametrize("function, rows, message", WRONG, ids=[message for *_, message in WRONG])
def test_bad_rows_are_named_and_nothing_is_kept(database, function, rows, message):
    before = database.facts()
    with pytest.raises(psycopg2.Error) as caught:
        run(database, function, rows)
    assert caught.value.diag.message_primary == message and caught.value.diag.message_hint
    assert database.facts() == before
    assert database.value("SELECT count(*) FROM {s}.credit_grants") == 0


def test_only_operators_import(database):
    app = database.create_role("some_app", "app")
    admin = database.create_role("some_admin", "admin")
    for function in ("customer_links", "credit_balances", "trial_usage", "enrollments"):
        with contextlib.closing(database.connect(user=app)) as connection:
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                run(database, function, [], connection=connection)
        with contextlib.closing(database.connect(user=admin)) as connection:
            assert run(database, function, [], connection=connection)["imported"] == 0
    assert database.value("SELECT DISTINCT actor FROM {s}.audit_logs WHERE action = 'imported'") == admin


def test_planted_differences_are_found_and_nothing_else(any_database):
    """Beside another system: its table, with what it says otherwise."""
    database = any_database
    for number in range(40):
        life = Life(f"u{number}", items=((PRO, 1),))
        database.process(life.customer_created(metadata={"user_id": f"u{number}"}), life.subscribed())
        if number % 10 == 0:
            database.process(life.ended())
    database.execute("SELECT {s}.grant_credits('u1', 50)")
    database.execute("""CREATE TABLE public.legacy AS
        SELECT u.user_id, (s ->> 'has_access')::boolean AS has_access, s ->> 'state' AS state,
               (s #>> '{credits,available}')::bigint AS credits
          FROM {s}.billing_users u, {s}.get_user_subscription_state(u.user_id) s""")
    query = "SELECT * FROM public.legacy"
    reader = database.create_role("some_reader", "reader")
    database.execute("GRANT SELECT ON public.legacy TO some_reader")
    with contextlib.closing(database.connect(user=reader)) as connection:
        assert differences(database, query, connection) == []
        database.execute("""UPDATE public.legacy SET has_access = true WHERE user_id = 'u10';
                            UPDATE public.legacy SET credits = 49, state = 'past_due' WHERE user_id = 'u1';
                            UPDATE public.legacy SET has_access = NULL WHERE user_id = 'u2';
                            DELETE FROM public.legacy WHERE user_id IN ('u3', 'u20');
                            INSERT INTO public.legacy VALUES ('u99', true, 'active', 0)""")
        assert sorted(differences(database, query, connection)) == [
            ("u1", "credits", "49", "50"), ("u1", "state", "past_due", "active"), ("u10", "has_access", "true", "false"),
            ("u2", "has_access", None, "true"), ("u3", "has_access", None, "true"), ("u99", "has_access", "true", "false"),
            ("u99", "state", "active", "no_subscription")]
        # With the rights of who asks.
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            differences(database, "SELECT name AS user_id FROM billing_webhook_secrets".replace(
                "billing_webhook_secrets", f"{database.schema}.billing_webhook_secrets"), connection)
    for query, message in (("", "query must not be empty"), ("SELECT 1 AS user_id, 2 AS mail", 'the query has a column "mail"'),
                           ("SELECT NULL AS user_id", "the query has a row without user_id")):
        with pytest.raises(psycopg2.Error) as caught:
            differences(database, query)
        assert caught.value.diag.message_primary == message and caught.value.diag.message_hint


def runbook(heading):
    """The SQL of a section of docs/takeover.md, statement by statement."""
    text = (ROOT / "docs" / "takeover.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    return [line for block in re.findall(r"```sql\n(.*?)```", text, re.S) for line in block.splitlines()]


def test_the_way_back_loses_nothing_that_only_this_knows(database):
    database.execute("CREATE TABLE public.legacy AS SELECT 1 AS untouched")
    database.execute("""SELECT {s}.upsert_plan('{"id": "team"}'), {s}.grant_access('ada', 'team'), {s}.grant_credits('ada', 10),
                               {s}.use_credits_validated('ada', 3),
                               {s}.import_enrollments('[{"user_id": "ada", "item_id": "course"}]'),
                               {s}.import_trial_usage('[{"user_id": "ada", "trial_start": "2024-01-01Z"}]')""")
    taken = {}
    for line in runbook("Going back"):
        query, name = re.fullmatch(r"\\copy (\(.*\)) TO '(\w+\.csv)' CSV HEADER", line).groups()
        with database.connection.cursor() as cursor:
            out = io.StringIO()
            cursor.copy_expert(f"COPY {query} TO STDOUT CSV HEADER", out)
            taken[name] = out.getvalue().splitlines()
    assert taken == {"credits.csv": ["user_id,credits,debt", "ada,7,0"], "access.csv": ["user_id,plan_id,until", "ada,team,"],
                     "enrollments.csv": ["user_id,item_id,status", "ada,course,active"],
                     "trials.csv": ["user_id,trial_start,trial_end", "ada,2024-01-01 00:00:00+00,"]}
    for statement in ("DROP TABLE subscription_cache CASCADE", "DROP FUNCTION get_user_subscription_state CASCADE"):
        with pytest.raises(psycopg2.errors.DependentObjectsStillExist):
            database.execute(statement)
    database.execute("SELECT unschedule_maintenance(); DROP EXTENSION pg_billing")
    assert database.rows("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'S')") == [
        {"relname": "legacy"}]
    database.execute("CREATE EXTENSION pg_billing")  # for the fixtures
