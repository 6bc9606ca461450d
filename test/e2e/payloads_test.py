"""Payloads recorded from Stripe: every event is accepted, every sequence ends in the right state, in any order."""
import base64
import json
import random

import psycopg2
import pytest

from harness.stripe import Sender, sign

UNFINISHED = "SELECT stripe_event_id, event_type, outcome, error FROM {s}.stripe_events WHERE outcome = 'failed'"


@pytest.fixture
def events(recorded):
    """Every recorded event under an id of its own: several of them share one."""
    made = []
    for number, path in enumerate(sorted((recorded / "events").glob("*.json"))):
        event = json.loads(path.read_text())
        made.append({**event, "id": f"evt_fresh_{number:03d}"})
    assert len(made) >= 71
    return made


def sequence(recorded, name):
    return [json.loads(path.read_text()) for path in sorted((recorded / "sequences" / name).glob("*.json"))]


# What each sequence must end in: the customer, an instant within what it tells of, and the state then.
ENDS = {
    "create_2020": ("cus_JyYHwsiDUpzWIv", "2021-08-20", "active", "small-monthly", "2021-09-04"),
    "create_clover": ("cus_TOnRzwk3w8KAot", "2025-11-20", "active", "small-monthly", "2025-12-10"),
    "swap_clover": ("cus_TOnQXxIJoBFbC5", "2026-03-01", "active", "small-annual", "2026-11-10"),
    "refunds_clover": ("cus_TOnRAKbkgAztzI", "2025-11-20", "no_subscription", None, None),
}


def check_end(database, name, user_id):
    _, as_of, state, price, period_end = ENDS[name]
    answer = database.state(user_id, as_of)
    assert (answer["state"], answer["price_id"]) == (state, price)
    assert answer["has_access"] is (state == "active")
    if period_end:
        assert answer["current_period_end"].startswith(period_end)
        # The same knowledge, judged long after the period that nobody renewed.
        late = database.state(user_id, "2030-01-01")
        assert (late["has_access"], late["reason"], late["stale"]) == (False, "renewal_not_confirmed", True)


def test_every_event_is_accepted(database, events):
    ids = [row[0] for row in database.process(*events)]
    assert ids == [event["id"] for event in events]
    assert database.rows(UNFINISHED) == []
    assert database.value("SELECT count(*) FROM {s}.stripe_events") == len(events)
    # The same once more: each is a duplicate, without effect.
    before = database.facts()
    assert set(database.outcomes(*events)) == {"duplicate"}
    assert database.facts() == before


def test_every_event_is_accepted_alone_and_once_its_customer_is_linked(database, events):
    for event in events:
        database.process(event)
    customers = [row["stripe_customer_id"] for row in
                 database.rows("SELECT stripe_customer_id FROM {s}.stripe_customer_links WHERE user_id IS NULL")]
    assert customers
    for number, customer in enumerate(customers):
        database.link(f"user_{number}", customer)
    # The recorded refunds and disputes are of charges that were not recorded.
    assert database.rows("SELECT stripe_event_id, event_type, outcome, error FROM {s}.stripe_events "
                         "WHERE NOT processed AND NOT (outcome = 'parked' AND waiting_for ~ '^(charge|payment_intent):'"
                         " AND object_type IN ('refund', 'dispute'))") == []


def test_one_batch_ends_as_single_calls_do(databases, events):
    together, alone = databases(), databases()
    together.process(*events)
    for event in events:
        alone.process(event)
    for each in (together, alone):
        for (customer,) in [tuple(row.values()) for row in each.rows(
                "SELECT stripe_customer_id FROM {s}.stripe_customer_links ORDER BY 1")]:
            each.link(f"user_of_{customer}", customer)
    assert together.facts() == alone.facts()


def test_every_event_is_accepted_over_http(database, worker, events, recorded):
    sender = Sender(worker.webhook, worker.secret)
    posted = events + [event for name in ENDS for event in sequence(recorded, name)]
    for event in posted:
        answer = sender.post(event)
        assert answer.status == 200, (event["type"], answer.body)
    assert database.rows(UNFINISHED) == []
    assert database.value("SELECT count(*) FROM {s}.stripe_events") == len(posted)
    for name in ENDS:
        database.link(f"user_{name}", ENDS[name][0])
        check_end(database, name, f"user_{name}")


@pytest.mark.parametrize("name", ENDS)
def test_sequence_ends_in_the_right_state(any_database, recorded, name):
    database, customer, events = any_database, ENDS[name][0], sequence(recorded, name)
    for event in events:
        assert database.outcomes(event)[0] in ("processed", "parked")
    # Nobody has said whose customer that is: no access to anybody, and the reason in words.
    if name != "refunds_clover":
        waiting = database.rows("SELECT error, retry_count FROM {s}.stripe_events WHERE outcome = 'parked'")
        assert waiting and all(customer in row["error"] and "link_stripe_customer" in row["error"] and
                               row["retry_count"] >= 1 for row in waiting)
    assert database.state("user_1")["state"] == "no_subscription"
    database.link("user_1", customer)
    assert database.rows("SELECT * FROM {s}.stripe_events WHERE NOT processed") == []
    check_end(database, name, "user_1")


@pytest.mark.parametrize("name", ENDS)
def test_sequence_ends_the_same_in_any_order(databases, recorded, name):
    """Also with the link anywhere between the events, each event sent twice, and in any batching."""
    customer, events = ENDS[name][0], sequence(recorded, name)
    calm = databases()
    calm.process(*events)
    calm.link("user_1", customer)
    expected = calm.facts(ignore={"waiting_for"})
    for seed in range(4):
        dice = random.Random(seed)
        database = databases()
        deck = events + events
        dice.shuffle(deck)
        moment = dice.randrange(len(deck))
        while deck:
            count = dice.randint(1, 4)
            database.process(*deck[:count])
            del deck[:count]
            if len(deck) <= moment:
                database.link("user_1", customer)
        database.link("user_1", customer)
        database.retry()  # what waited for a payment or a price is due by then
        assert database.facts(ignore={"waiting_for"}) == expected, f"seed {seed}"
        check_end(database, name, "user_1")


def test_refunds_are_in_the_mirror(database, recorded):
    database.process(*sequence(recorded, "refunds_clover"))
    refunds = database.rows("SELECT * FROM {s}.stripe_refunds")
    assert len(refunds) == 2
    assert database.value("SELECT count(*) FROM {s}.stripe_payment_intents") == 1


def test_signature_vectors_inside_the_database(database, recorded):
    """Each vector's verdict, through receive_stripe_webhook. Its clock is the real one, so the vectors whose verdict
    is about age are left to the unit tests, which set the clock."""
    vectors = [json.loads(line) for line in (recorded / "signatures.jsonl").read_text().splitlines()]
    assert len(vectors) >= 40
    payload = base64.b64decode(vectors[0]["payload_b64"]).decode()
    with pytest.raises(psycopg2.Error) as caught:
        database.value("SELECT {s}.receive_stripe_webhook(%s, %s)", (payload, sign(payload, vectors[0]["secret"])))
    assert "billing_webhook_secrets" in str(caught.value), "without a secret nothing is accepted"
    for secret in {vector["secret"] for vector in vectors if vector["secret"].strip()}:
        database.execute("INSERT INTO {s}.billing_webhook_secrets VALUES (%s, %s)", (secret[-8:], secret))
    refused = 0
    for vector in vectors:
        if vector["expect"] == "ok":
            continue
        payload = base64.b64decode(vector["payload_b64"]).decode()
        with pytest.raises(psycopg2.Error) as caught:
            database.value("SELECT {s}.receive_stripe_webhook(%s, %s)", (payload, vector["header"]))
        assert caught.value.pgcode == "PT400" and caught.value.diag.message_hint, vector["name"]
        assert vector["secret"] not in str(caught.value)
        refused += 1
    assert refused > 20
    assert database.value("SELECT count(*) FROM {s}.stripe_events") == 0
    database.value("SELECT {s}.receive_stripe_webhook(%s, %s)", (payload, sign(payload, vectors[0]["secret"])))
    assert database.value("SELECT count(*) FROM {s}.stripe_events") == 1
