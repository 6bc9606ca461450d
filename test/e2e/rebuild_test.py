"""rebuild_billing_state: what the stored events determine, compared with what is in the tables."""
import dataclasses
import time

import pytest

from harness import load
from harness.life import Life, event
from harness.objects import BASIC, DAY, NEW, OLD, PRO
from refunded_invoice_test import refunded

START = 1_795_000_000
TABLES = ("stripe_events", "stripe_objects", "stripe_customer_links", "user_subscriptions", "audit_logs",
          "billing_users")


@pytest.fixture
def lived(any_database):
    """A database with the lives of twelve customers in it."""
    for events in load.lives(12, START):
        for first in range(0, len(events), 5):
            any_database.process(*events[first:first + 5])
    any_database.retry()
    return any_database


def differences(database, apply=False):
    rows = database.rows("SELECT * FROM {s}.rebuild_billing_state(%s)", (apply,))
    return sorted((row["table_name"], row["difference"], row["repaired"]) for row in rows)


def everything(database):
    """Every row of every table, times included."""
    return {table: sorted(map(str, database.rows(f"SELECT * FROM {{s}}.{table}"))) for table in TABLES}


def test_a_healthy_database_is_reported_healthy_and_left_alone(lived):
    before = everything(lived)
    assert differences(lived) == []
    assert differences(lived, apply=True) == []
    assert everything(lived) == before


def test_what_was_damaged_is_reported_and_repaired(lived):
    healthy = lived.facts()
    lived.execute("DELETE FROM {s}.user_subscriptions WHERE user_id = 'user_1'")
    lived.execute("UPDATE {s}.user_subscriptions SET status = 'unpaid', quantity = 99 WHERE user_id = 'user_2'")
    lived.execute("""UPDATE {s}.stripe_objects SET object = jsonb_set(object, '{status}', '"paused"')
                      WHERE object_id = 'sub_load3'""")
    lived.execute("DELETE FROM {s}.stripe_objects WHERE object_id = 'sub_load4'")
    lived.execute("DELETE FROM {s}.audit_logs WHERE user_id = 'user_5' AND action = 'payment_succeeded'")
    damaged = lived.facts()
    found = differences(lived)
    assert {(table, kind) for table, kind, _ in found} == {
        ("user_subscriptions", "missing"), ("user_subscriptions", "different"), ("stripe_objects", "different"),
        ("stripe_objects", "missing"), ("audit_logs", "missing")}
    assert not any(repaired for *_, repaired in found)
    assert lived.facts() == damaged, "a dry run changes nothing"
    assert all(repaired for *_, repaired in differences(lived, apply=True))
    assert lived.facts() == healthy
    assert differences(lived) == []


def test_trials_are_compared_as_long_as_their_beginning_is_stored(lived):
    healthy = lived.facts()
    assert len(healthy["trial_usage"]) > 4
    lived.execute("DELETE FROM {s}.trial_usage WHERE user_id = 'user_0'")
    lived.execute("UPDATE {s}.trial_usage SET trial_start = trial_start - interval '1 year' WHERE user_id = 'user_1'")
    lived.execute("UPDATE {s}.trial_usage SET items = '[]' WHERE user_id = 'user_2'")
    lived.execute("""INSERT INTO {s}.trial_usage (user_id, stripe_subscription_id, stripe_customer_id, livemode,
                                                 trial_start, items)
                     VALUES ('user_3', 'sub_imported', 'cus_load3', false, '2020-01-01', '[]')""")
    expected = [("trial_usage", "different"), ("trial_usage", "different"), ("trial_usage", "missing")]
    assert [(table, kind) for table, kind, _ in differences(lived)] == expected
    assert all(repaired for *_, repaired in differences(lived, apply=True))
    assert differences(lived) == []
    lived.execute("DELETE FROM {s}.trial_usage WHERE stripe_subscription_id = 'sub_imported'")
    assert lived.facts() == healthy
    # A trial is remembered longer than what told of it.
    lived.execute("""DELETE FROM {s}.stripe_event_payloads p USING {s}.stripe_events e
                      WHERE e.stripe_event_id = p.stripe_event_id AND e.event_type = 'customer.subscription.created'""")
    lived.execute("UPDATE {s}.trial_usage SET trial_end = trial_end - interval '1 day'")
    assert differences(lived, apply=True) == []


def test_a_row_that_no_event_accounts_for_is_removed(lived):
    healthy = lived.facts()
    lived.execute("""INSERT INTO {s}.user_subscriptions (user_id, stripe_subscription_id, stripe_customer_id, livemode,
                                                         status, items, event_created)
                     VALUES ('user_1', 'sub_invented', 'cus_load1', false, 'active', '[]', now())""")
    lived.execute("SELECT {s}.update_subscription_cache('user_1')")
    assert differences(lived, apply=True) == [("user_subscriptions", "extra", True)]
    assert lived.facts() == healthy
    subscriptions = lived.state("user_1")["subscriptions"]
    assert "sub_invented" not in [one["stripe_subscription_id"] for one in subscriptions]


def test_what_belongs_to_nobody_is_repaired_before_what_follows_from_it(database):
    first, (charge, payment, paid) = refunded(1)
    database.process(*first, charge, payment, paid)
    healthy = database.facts()
    # Without its payment the invoice has nothing to do with the refund.
    database.execute("DELETE FROM {s}.stripe_objects WHERE object_type = 'invoice_payment'")
    database.execute("UPDATE {s}.user_subscriptions SET paid_through = '2030-01-01'")
    assert ("stripe_objects", "missing", True) in differences(database, apply=True)
    assert differences(database) == []
    assert database.facts() == healthy


def test_what_waits_for_its_customer_is_compared_like_the_rest(database):
    """More events than a rebuild takes at once, three in each second, of which only the chain tells the order."""
    ada = Life("ada", start=START)
    events = [ada.subscribed()]
    for number in range(90):
        ada.advance(seconds=10)
        for letter, price, quantity in (("b", PRO, 3 * number + 2), ("c", BASIC, 3 * number + 2),
                                        ("a", BASIC, 3 * number + 3)):
            events.append(ada.price_changed(price, quantity))
            events[-1]["id"] = f"evt_{number:02d}_{letter}"
            ada.clock -= 1
    for first in range(0, len(events), 50):
        assert set(database.outcomes(*events[first:first + 50])) == {"parked"}
    assert differences(database) == []
    # Given up after waiting too long; what it told is in the mirror all the same, and takes effect when the link comes.
    database.execute("""UPDATE {s}.stripe_events SET created_at = now() - interval '100 days', next_retry_at = now()""")
    assert {row["outcome"] for row in database.retry(1000)} == {"failed"}
    before = database.facts()
    assert differences(database, apply=True) == []
    assert database.facts() == before
    database.link("user_ada", ada.customer_id)
    assert not database.state("user_ada")["ambiguous"] and database.state("user_ada")["quantity"] == 270
    while database.retry(1000):
        pass
    assert not database.value("SELECT count(*) FROM {s}.stripe_events WHERE NOT processed")
    assert differences(database) == []


def test_after_payloads_have_been_dropped_nothing_is_missed(lived):
    lived.execute("DELETE FROM {s}.stripe_event_payloads")
    before = everything(lived)
    assert differences(lived, apply=True) == []
    assert everything(lived) == before


def test_links_made_by_hand_and_manual_entries_stay(lived):
    lived.execute("SELECT {s}.link_stripe_customer('user_by_hand', 'cus_by_hand')")
    assert differences(lived, apply=True) == []
    assert lived.value("SELECT user_id FROM {s}.stripe_customer_links WHERE source = 'manual'") == "user_by_hand"


@pytest.mark.parametrize("name, value", [("mode", "live"), ("scope", '{"products": ["prod_of_others"]}')])
def test_what_counted_when_it_came_survives_a_change_of_settings(lived, name, value):
    before = everything(lived)
    lived.execute("SELECT {s}.set_billing_setting(%s, %s, 'test')", (name, value))
    setting_entries = lived.value("SELECT count(*) FROM {s}.audit_logs WHERE action = 'setting_changed'")
    assert setting_entries == 1
    assert differences(lived, apply=True) == []
    after = everything(lived)
    for table in TABLES:
        if table != "audit_logs":
            assert after[table] == before[table]
    assert len(after["audit_logs"]) == len(before["audit_logs"]) + 1


# Credits.

CREDIT_TABLES = ("credit_accounts", "credit_grants", "credit_transactions", "credit_burns", "credit_holds",
                 "credit_requests")
TEAM = dataclasses.replace(PRO, id="price_team", metadata={"credits": "200", "trial_credits": "25"})
SOLO = dataclasses.replace(BASIC, id="price_solo", metadata={"credits": "30"})


def granted(database):
    """Of every grant what the events determine."""
    return {(row["user_id"], row["grant_key"]): {name: value for name, value in row.items() if name != "grant_id"}
            for row in database.rows(
                """SELECT user_id, grant_id, grant_key, amount - reversal_target AS due, category, source, series,
                          stripe_subscription_id, stripe_invoice_id, cycle_start, rollover, requires_subscription,
                          priority FROM {s}.credit_grants""")}


def credits_everything(database):
    return {table: sorted(map(str, database.rows(f"SELECT * FROM {{s}}.{table}")))
            for table in (*TABLES, *CREDIT_TABLES)}


@pytest.fixture
def credited(databases):
    """Two users with invoices, a trial, an upgrade, a refund, debits, holds, manual and voided grants."""
    database = databases("billing").grant_since_ever()
    now = int(time.time())
    for name, version in (("ada", NEW), ("bob", OLD)):
        life = Life(name, items=((TEAM, 1),), start=now - 50 * DAY, api_version=version)
        begun = life.subscribed(trial_days=7)
        database.process(life.customer_created(), begun, *life.first_invoice(), life.checkout_completed(f"user_{name}"))
        database.process({**begun, "id": f"evt_again_{name}"})  # told twice
        life.advance(days=7)
        database.process(life.activated())
        for _ in range(2):
            database.process(*life.renewed())
            life.advance(days=20)
    for number in range(3):
        database.value("SELECT {s}.grant_credits('user_ada', %s, idempotency_key => %s)", (10 + number, f"key_{number}"))
    database.value("SELECT {s}.grant_credits('user_carol', 10)")
    database.value("SELECT {s}.add_subscription_credits('cus_bob', 'in_by_hand', null, 70, 'by hand')")
    database.value("SELECT {s}.void_grant('user_ada', max(grant_id)) FROM {s}.credit_grants WHERE user_id = 'user_ada'")
    database.value("SELECT {s}.void_grant('user_bob', min(grant_id)) FROM {s}.credit_grants"
                   " WHERE user_id = 'user_bob' AND live")
    database.value("SELECT {s}.use_credits_validated('user_ada', 5)")
    database.value("SELECT {s}.hold_credits('user_ada', 3, '1 hour')")
    assert len(granted(database)) >= 8 and not database.unsound_credits()
    return database


def test_credits_that_are_there_are_left_alone(credited):
    before = credits_everything(credited)
    assert differences(credited) == []
    assert differences(credited, apply=True) == []
    credited.execute("DELETE FROM {s}.stripe_event_payloads")
    assert differences(credited, apply=True) == []
    after = credits_everything(credited)
    assert after == before


def lose_credits(database, user_id):
    for table in CREDIT_TABLES:
        database.execute(f"DELETE FROM {{s}}.{table} WHERE user_id = %s", (user_id,))


def test_grants_that_were_lost_are_granted_again(credited):
    lost = {key: row for key, row in granted(credited).items()
            if key[0] == "user_ada" and key[1] and not key[1].endswith(":manual")}
    assert {row["source"] for row in lost.values()} == {"invoice", "trial"}
    kept = {key: row for key, row in granted(credited).items() if key[0] != "user_ada"}
    lose_credits(credited, "user_ada")
    assert differences(credited) == [("credit_grants", "missing", False)] * len(lost)
    assert credited.rows("SELECT 1 FROM {s}.credit_grants WHERE user_id = 'user_ada'") == [], "a dry run grants nothing"
    assert differences(credited, apply=True) == [("credit_grants", "missing", True)] * len(lost)
    assert granted(credited) == {**lost, **kept}
    assert credited.unsound_credits() == []
    assert differences(credited) == []


def test_a_grant_by_hand_stands_for_the_invoice_in_a_rebuild_too(credited):
    invoice = credited.value("SELECT stripe_invoice_id FROM {s}.credit_grants WHERE user_id = 'user_ada' AND live"
                             " AND source = 'invoice' LIMIT 1")
    lose_credits(credited, "user_ada")
    credited.value("SELECT {s}.add_subscription_credits('cus_ada', %s, null, 70, 'by hand')", (invoice,))
    found = credited.rows("SELECT row_key ->> 'grant_key' AS key FROM {s}.rebuild_billing_state(true)")
    assert found and not [row for row in found if row["key"].startswith(invoice)]
    assert differences(credited) == []
    assert credited.unsound_credits() == []


def test_without_payloads_invoices_still_grant_what_is_missing(credited):
    credited.execute("DELETE FROM {s}.stripe_event_payloads")
    before = {row["source"] for key, row in granted(credited).items() if key[0] == "user_bob"}
    lose_credits(credited, "user_bob")
    assert {kind for kind in differences(credited, apply=True)} == {("credit_grants", "missing", True)}
    # The event that began the trial was the only one to tell of it; what a person granted nobody else knows.
    after = {row["source"] for key, row in granted(credited).items() if key[0] == "user_bob"}
    assert (before, after) == ({"invoice", "trial", "manual"}, {"invoice"})
    assert differences(credited) == []
    assert credited.unsound_credits() == []


def test_a_grant_that_no_event_accounts_for_stays(credited):
    """What was granted is a fact, whatever the price says by now."""
    credited.execute("""UPDATE {s}.credit_grants SET grant_key = 'in_gone:period', stripe_invoice_id = 'in_gone'
                         WHERE user_id = 'user_ada' AND source = 'trial'""")
    before = granted(credited)
    assert differences(credited, apply=True) == [("credit_grants", "missing", True)]  # the trial
    assert before.items() <= granted(credited).items()
    assert credited.unsound_credits() == []


def test_what_waits_for_a_link_that_its_object_does_not_name_yet_is_applied_first(database):
    """An event that was told whose it is while somebody held that customer: kept, and nothing done with it yet."""
    def told(number, kind, status):
        return event(f"evt_{number}", f"charge.dispute.{kind}", {
            "id": "dp_1", "object": "dispute", "amount": 900, "charge": "ch_1", "currency": "eur", "status": status,
            "reason": "general", "created": START, "metadata": {}, "evidence": {}}, START + number)

    database.process(told(1, "created", "needs_response"))
    database.execute("CREATE TABLE kept AS SELECT * FROM {s}.stripe_objects WHERE object_id = 'dp_1'")
    database.process(told(2, "updated", "under_review"))
    snapshot = "object, event_id, event_created, finality, origin, lifecycle, stripe_customer_id"
    database.execute(f"UPDATE {{s}}.stripe_objects SET ({snapshot}) = (SELECT {snapshot} FROM kept) WHERE object_id = 'dp_1'")
    database.execute("""INSERT INTO {s}.stripe_customer_links (stripe_customer_id) VALUES ('cus_ada');
                        UPDATE {s}.stripe_events SET waiting_for = 'link:cus_ada', stripe_customer_id = 'cus_ada',
                               next_retry_at = now() WHERE stripe_event_id = 'evt_2'""")
    assert database.value("SELECT stripe_customer_id IS NULL FROM {s}.stripe_objects WHERE object_id = 'dp_1'")
    assert differences(database, apply=True) == []
    assert database.value("SELECT object ->> 'status' FROM {s}.stripe_objects WHERE object_id = 'dp_1'") == "under_review"
