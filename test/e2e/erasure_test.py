"""Users are erased in the middle of histories: nothing tells who they were, what they paid stays, and nobody else notices."""
import dataclasses
import re

import pytest

from guest_payers_test import guest_charge, guest_intent
from harness.history import Run, deliver, finish
from harness.life import Life, event, flat
from harness.objects import BASIC, NEW, OLD, PRO

START = 1_785_000_000
CREDITED = dataclasses.replace(PRO, id="price_credited", metadata={"credits": "100", "trial_credits": "5"})
# What Stripe tells of Ada; her ids ("cus_ada", "evt_ada_01" ...) tell nothing.
PERSONAL = re.compile(r"ada@example|Ada|\+44 ada|card_of_ada")
TABLES = """SELECT c.relname AS name FROM pg_class c
             WHERE c.relnamespace = '{s}'::regnamespace AND c.relkind = 'r' ORDER BY 1"""


def dump(database):
    """Every line of every table."""
    return [f"{table['name']}: {row['line']}" for table in database.rows(TABLES)
            for row in database.rows(f"SELECT x::text AS line FROM {{s}}.\"{table['name']}\" x")]


def traces(database, personal=PERSONAL):
    return [line for line in dump(database) if personal.search(line)]


def of_others(database, own=re.compile(r"ada|u_1815|billing_erasure_key|erased_trials")):
    return sorted(line for line in dump(database) if not own.search(line))


def erase(database, user_id="u_1815"):
    return database.value("SELECT {s}.erase_user(%s, 'asked for')", (user_id,))


def differences(database):
    return [(row["table_name"], row["row_key"], row["difference"], row["stored"], row["rebuilt"])
            for row in database.rows("SELECT * FROM {s}.rebuild_billing_state()")]


def whole_life(name, user_id, version):
    """Somebody with a trial, a change of plan, a charge, and updates within one second that undo each other."""
    own = name.title()
    one = Life(name, api_version=version, start=START, items=((CREDITED, 1),),
               metadata={"user_id": user_id, "title": f"Countess {own}"})
    events = [one.customer_created({"user_id": user_id, "born": own}), one.subscribed(trial_days=7), one.first_invoice(),
              one.checkout_completed(user_id, {"note": f"for {own}"}), one.advance(days=7).activated()]
    for title in (f"Countess {own}", own, f"Countess {own}"):
        one.clock -= 1
        events.append(one.customer_updated(name=title, phone=f"+44 {name}", balance=len(title)))
    charge = {**guest_charge(), "id": f"ch_{name}", "payment_intent": f"pi_{name}", "customer": one.customer_id,
              "billing_details": {"name": own, "address": {"line1": f"12 {own} Street"}}, "created": one.clock,
              "payment_method_details": {"type": "card", "card": {"last4": own, "fingerprint": f"card_of_{name}"}}}
    events += [one.emit("charge.succeeded", charge), one.price_changed(BASIC), one.advance(days=40).payment_failed(),
               one.recovered(), one.ended()]
    guest = {"receipt_email": f"{name}@example.org", "created": one.clock}
    events += [one.emit("payment_intent.succeeded", guest_intent(id=f"pi_g{name}", latest_charge=f"ch_g{name}", metadata={
                   "user_id": user_id, "item_id": "book"}, **guest)),
               one.emit("charge.succeeded", guest_charge(id=f"ch_g{name}", payment_intent=f"pi_g{name}", **guest))]
    return flat(events)


@pytest.fixture(params=[OLD, NEW])
def lives(request):
    return {name: whole_life(name, user_id, request.param)
            for name, user_id in (("ada", "u_1815"), ("bob", "user_bob"), ("eve", "user_eve"))}


@pytest.fixture(params=["in order", "reversed"])
def order(request):
    return (lambda events: events) if request.param == "in order" else (lambda events: events[::-1])


def process(database, events):
    for first in range(0, len(events), 7):
        database.process(*events[first:first + 7])
    while database.value("SELECT count(*) FROM {s}.stripe_events WHERE NOT processed"
                         " AND waiting_for ~ '^(link|user|credits|lock):'"):
        database.execute("UPDATE {s}.stripe_events SET next_retry_at = now() WHERE NOT processed")
        database.retry()


def check(database):
    assert traces(database) == []
    assert database.unsound_credits() == []
    assert differences(database) == []


def test_a_life_that_is_over_is_erased_and_told_again(any_database, lives, order):
    database = any_database.grant_since_ever()
    process(database, order(lives["ada"]))
    half = len(lives["bob"]) // 2
    process(database, order(lives["bob"])[:half] + order(lives["eve"]))
    amounts = "SELECT user_id, amount, balance_after FROM {s}.credit_transactions ORDER BY user_id, transaction_id"
    paid = "SELECT payment_id, status, amount FROM {s}.payments WHERE user_id = 'u_1815' ORDER BY 1"
    grants, payments, others = database.rows(amounts), database.rows(paid), of_others(database)
    assert {row["payment_id"] for row in payments} == {"pi_ada", "pi_gada"}
    assert traces(database)
    assert erase(database)["status"] == "erased"
    check(database)
    assert of_others(database) == others
    assert database.rows(amounts) == grants
    assert database.rows(paid) == payments
    assert database.state("u_1815")["state"] == "expired"
    erased = [line for line in dump(database) if "evt_ada" in line or "cus_ada" in line]
    # Stripe sends it all again, and goes on with others.
    assert {outcome for _, outcome, _ in database.process(*lives["ada"])} == {"duplicate"}
    process(database, order(lives["bob"])[half:])
    check(database)
    again = [line for line in dump(database) if "evt_ada" in line or "cus_ada" in line]
    assert [line for line in again if not line.startswith("stripe_events:")] == \
        [line for line in erased if not line.startswith("stripe_events:")]


def test_what_comes_after_the_erasure_brings_nothing_back(databases, lives, order):
    """However much was known when the user was erased, in the end the rows are those of having known all."""
    known = {}
    for count in (1, 3, len(lives["ada"])):
        database = databases().grant_since_ever()
        first = [one for one in lives["ada"] if one["type"] in ("customer.created", "payment_intent.succeeded")]
        first += [one for one in lives["ada"] if one["type"] in ("customer.updated", "charge.succeeded")]
        first = first[:count] if count < len(lives["ada"]) else lives["ada"]
        database.process(*first)
        assert erase(database)["status"] == "erased"
        process(database, order([one for one in lives["ada"] if one not in first]))
        # Payments of a guest were somebody else's until they were told of: they are erased by another call.
        if traces(database):
            assert all("gada" in line for line in traces(database)), traces(database)
            assert erase(database)["status"] == "erased"
        check(database)
        known[count] = database.facts("stripe_objects", "user_subscriptions", "payments", "enrollments", "trial_usage",
                                      ignore={"erased_at"})
        database.drop()
    assert known[1] == known[3] == known[len(lives["ada"])]


def test_simulated_users_are_erased(database, tmp_path):
    run = Run(tmp_path, "--seed", 7, "--customers", 40, "--near-duplicates", "0.05", "--duplicates", "0.1", "--bursts", "0.3",
              "--order", "shuffled")
    deliver(database, run)
    finish(database, run)
    before = {row["user_id"]: row["n"] for row in database.rows(
        "SELECT user_id, sum(amount) AS n FROM {s}.credit_transactions GROUP BY 1")}
    answers = {row["user_id"]: erase(database, row["user_id"])
               for row in database.rows("SELECT user_id FROM {s}.billing_users ORDER BY 1")}
    erased = [user for user, answer in answers.items() if answer["success"]]
    assert len(erased) > 8
    assert {answer["reason"] for answer in answers.values() if not answer["success"]} == {"subscription_running"}
    assert differences(database) == []
    assert database.unsound_credits() == []
    assert before == {row["user_id"]: row["n"] for row in database.rows(
        "SELECT user_id, sum(amount) AS n FROM {s}.credit_transactions GROUP BY 1")}
    customers = [row["id"] for row in database.rows("SELECT stripe_customer_id AS id FROM {s}.stripe_customer_links"
                                                    " WHERE erased_at IS NOT NULL")]
    assert [line for line in traces(database, re.compile(r"@example|last4\W+\d")) if any(
        re.search(rf"\b{customer}\b", line) for customer in customers)] == []
