"""What is kept for how long: payloads by the month, dropped whole, while events come; ids are kept for ever."""
import contextlib
import datetime
import os
import threading
import time

import psycopg2
import pytest

from harness import objects
from harness.life import Life, event

NOW = datetime.datetime.now(datetime.timezone.utc)
# For the whole: PG_BILLING_RETENTION_EVENTS=1000000
EVENTS = int(os.environ.get("PG_BILLING_RETENTION_EVENTS", "6000"))


def month(offset):
    """The first second of a month, counted from this one."""
    number = NOW.year * 12 + NOW.month - 1 + offset
    return datetime.datetime(number // 12, number % 12 + 1, 1, tzinfo=datetime.timezone.utc)


def partition(offset):
    return f"stripe_event_payloads_{month(offset):%Y_%m}"


def product_event(number, offset, prefix="evt"):
    return event(f"{prefix}_{offset}_{number}", "product.updated", objects.product(f"prod_{number}", "One"),
                 int(month(offset).timestamp()) + number % 2_000_000)


def apply(database, **options):
    rows = database.rows("SELECT * FROM {s}.apply_retention(%s)", (psycopg2.extras.Json(options),))
    return [(row["class"], row["action"], row["subject"], row["amount"]) for row in rows]


def keep(database, name, value):
    database.execute("SELECT {s}.set_billing_setting(%s, %s, 'tests')", (f"{name}_retention", value))


def where_payloads_are(database):
    rows = database.rows("SELECT p.tableoid::regclass::text AS place, count(*) FROM {s}.stripe_event_payloads p GROUP BY 1")
    return {row["place"].rpartition(".")[2].strip('"'): row["count"] for row in rows}


def test_months_are_made_ahead_and_events_go_to_theirs(any_database):
    made = apply(any_database)
    assert made == [("payloads", "partition_created", partition(offset), 0) for offset in range(3, -1, -1)]
    assert apply(any_database) == []
    any_database.process(product_event(1, 0), product_event(1, 1), product_event(1, 7), product_event(1, -5))
    assert where_payloads_are(any_database) == {partition(0): 1, partition(1): 1, "stripe_event_payloads_default": 2}
    # What strayed gets a month of its own, but for what lies far ahead.
    assert apply(any_database) == [("payloads", "partition_created", partition(-5), 1)]
    assert where_payloads_are(any_database) == {partition(0): 1, partition(1): 1, partition(-5): 1,
                                                "stripe_event_payloads_default": 1}


def test_what_was_there_before_is_moved_and_can_be_replayed(database):
    life = Life("ada")
    database.process(life.customer_created(), life.subscribed(), life.checkout_completed("user_ada"))
    before = database.facts()
    assert ("payloads", "partition_created", partition(0), 3) in apply(database)
    assert where_payloads_are(database) == {partition(0): 3}
    assert database.value("SELECT {s}.replay_stripe_event('evt_ada_02')")["outcome"] == "processed"
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []
    assert database.facts() == before


def test_more_than_is_moved_at_once_stays_where_it_is(database):
    database.process(*(product_event(number, 0) for number in range(20)))
    done = apply(database, move_rows=19)
    assert ("payloads", "left_in_default", partition(0), None) in done
    assert [subject for _, action, subject, _ in done if action == "partition_created"] == [
        partition(offset) for offset in (3, 2, 1)]
    assert where_payloads_are(database) == {"stripe_event_payloads_default": 20}
    assert apply(database, move_rows=20) == [("payloads", "partition_created", partition(0), 20)]


def test_what_is_old_is_dropped_and_its_ids_are_duplicates_still(database):
    keep(database, "payload", "forever")
    old = [product_event(number, -14) for number in range(50)]
    life = Life("ada", start=int(month(-14).timestamp()))
    told = [life.customer_created(), life.subscribed(), life.checkout_completed("user_ada"), *life.first_invoice()]
    database.process(*old, *told)
    apply(database)
    assert where_payloads_are(database) == {partition(-14): 55}
    state, before = database.state("user_ada"), database.facts()
    keep(database, "payload", "365 days")
    assert [row[:3] for row in apply(database)] == [("payloads", "partition_dropped", partition(-14))]
    assert where_payloads_are(database) == {}
    assert database.value("SELECT count(*) FROM pg_class WHERE relname = %s", (partition(-14),)) == 0
    assert set(database.outcomes(*old, *told)) == {"duplicate"}
    assert where_payloads_are(database) == {}
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []
    assert database.facts() == before and database.state("user_ada")["reason"] == state["reason"]


def test_what_is_old_leaves_the_default_partition_in_parts(database):
    database.process(*(product_event(number, -14) for number in range(30)), product_event(1, -1))
    assert ("payloads", "deleted", "stripe_event_payloads_default", 20) in apply(database, max_rows=20)
    assert ("payloads", "deleted", "stripe_event_payloads_default", 10) in apply(database, max_rows=20)
    assert where_payloads_are(database) == {partition(-1): 1}


def test_what_is_parked_keeps_its_payload(database):
    keep(database, "payload", "1 day")
    life = Life("ada", start=int(time.time()) - 80 * 86400)
    assert database.outcomes(life.subscribed()) == ["parked"]
    apply(database)
    database.link("user_ada", life.customer_id)
    assert database.state("user_ada")["stripe_status"] == "active"


def test_event_ids_that_operators_archive_come_back_harmlessly(database):
    """Their own rule: DELETE FROM stripe_events WHERE processed ... 90 days; with the payloads gone as well."""
    database.grant_since_ever()
    price = objects.Price("price_credits", 2900, "prod_credits", "Credits", metadata={"credits": "100"})
    life = Life("ada", items=((price, 1),))
    told = [life.customer_created(), life.subscribed(trial_days=3), life.checkout_completed("user_ada"),
            *life.first_invoice(), *life.advance(days=3).activated(), life.cancel_at_period_end(), life.ended()]
    paid = {"id": "pi_course", "object": "payment_intent", "customer": life.customer_id, "amount": 500, "currency": "eur",
            "amount_received": 500, "status": "succeeded", "created": life.clock, "livemode": False,
            "metadata": {"item_id": "course_1"}}
    told.append(event("evt_course", "payment_intent.succeeded", paid, life.clock))
    database.process(*told)
    tables = ("stripe_objects", "stripe_customer_links", "user_subscriptions", "awaited_subscriptions", "trial_usage",
              "audit_logs", "credit_grants", "payments", "enrollments")
    before = database.facts(*tables)
    balance = database.value("SELECT {s}.get_credit_balance('user_ada')")
    assert database.value("SELECT count(*) FROM {s}.enrollments") == 1
    for with_payloads in (False, True):
        database.execute("UPDATE {s}.stripe_events SET created_at = now() - interval '91 days'")
        assert database.execute("DELETE FROM {s}.stripe_events WHERE processed"
                                " AND created_at < now() - interval '90 days'") == len(told)
        if with_payloads:
            database.execute("DELETE FROM {s}.stripe_event_payloads")
        assert set(database.outcomes(*told)) == {"processed"}
        assert database.facts(*tables) == before
        assert database.value("SELECT {s}.get_credit_balance('user_ada')") == balance
        assert database.unsound_credits() == []
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []


def test_who_paid_is_forgotten_and_what_was_paid_is_not(database):
    seconds = int(time.time()) - 8 * 365 * 86400
    charge = {"id": "ch_1", "object": "charge", "customer": "cus_ada", "payment_intent": "pi_1", "amount": 500,
              "amount_captured": 500, "amount_refunded": 0, "captured": True, "paid": True, "status": "succeeded",
              "currency": "eur", "created": seconds, "livemode": False, "receipt_email": "ada@example.org",
              "billing_details": {"email": "ada@example.org", "name": "Ada"}, "metadata": {"item_id": "course_1"}}
    young = charge | {"id": "ch_2", "payment_intent": "pi_2", "created": int(time.time()) - 86400}
    database.link("user_ada", "cus_ada")
    database.process(event("evt_1", "charge.succeeded", charge, seconds),
                     event("evt_2", "charge.succeeded", young, young["created"]))
    before = database.facts("enrollments")
    payments = {row["payment_id"]: row for row in database.facts("payments")["payments"]}
    # The payload that tells of it goes first: a rebuild would bring back what it says.
    assert ("payloads", "deleted", "stripe_event_payloads_default", 1) in apply(database)
    assert apply(database) == [("payments", "redacted", "payments", 1)]
    after = {row["payment_id"]: row for row in database.facts("payments")["payments"]}
    assert after == payments | {"pi_1": payments["pi_1"] | {"customer_email": None}}
    assert database.facts("enrollments") == before
    assert "ada@" not in database.value("SELECT object::text FROM {s}.stripe_objects WHERE object_id = 'ch_1'")
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []
    assert apply(database) == []


def test_audit_logs_are_kept_unless_told_otherwise(database):
    life = Life("ada", start=int(month(-14).timestamp()))
    database.process(life.customer_created(), life.subscribed(), life.checkout_completed("user_ada"))
    database.execute("UPDATE {s}.audit_logs SET created_at = now() - interval '3 years'")
    count = database.value("SELECT count(*) FROM {s}.audit_logs WHERE user_id = 'user_ada'")
    apply(database)
    assert database.value("SELECT count(*) FROM {s}.audit_logs WHERE user_id = 'user_ada'") == count
    keep(database, "audit", "400 days")
    assert ("logs", "deleted", "audit_logs", count) in apply(database)
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []


def test_what_was_told_is_kept_for_a_time(database):
    life = Life("ada", start=int(time.time()) + 10)  # of what was before the installation nothing is told
    database.process(life.customer_created(), life.subscribed(), life.checkout_completed("user_ada"))
    count = database.execute("UPDATE {s}.billing_notifications SET status = 'delivered',"
                             " finished_at = now() - interval '59 days'")
    keep(database, "log", "1 day")
    apply(database)
    assert database.value("SELECT count(*) FROM {s}.billing_notifications") == count > 0
    database.execute("UPDATE {s}.billing_notifications SET finished_at = now() - interval '61 days'")
    assert apply(database) == [("logs", "deleted", "billing_notifications", count)]


def test_partitions_are_the_owners_alone(database):
    role = database.create_role("billing_nobody")
    database.execute(f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {role}; ")
    try:
        apply(database)
        assert database.value("SELECT bool_or(has_table_privilege(%s, c.oid, 'SELECT')) FROM pg_class c"
                              " WHERE c.relname LIKE 'stripe_event_payloads%%'", (role,)) is False
    finally:
        database.execute(f"ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM {role}")


def test_whoever_reads_for_long_puts_it_off_and_stalls_nobody(database):
    reader = database.connect()
    reader.autocommit = False
    reader.cursor().execute("SELECT count(*) FROM stripe_event_payloads")
    slowest = 0
    done = []
    thread = threading.Thread(target=lambda: done.extend(run_alone(database)))
    thread.start()
    number = 0
    while thread.is_alive():
        number += 1
        began = time.monotonic()
        assert database.outcomes(product_event(number, 0)) == ["processed"]
        slowest = max(slowest, time.monotonic() - began)
    thread.join()
    assert done == [("payloads", "postponed", "stripe_event_payloads is in use: the next run tries again", None)]
    assert number > 20 and slowest < 1
    reader.rollback()
    assert ("payloads", "partition_created", partition(1), 0) in apply(database)


def run_alone(database):
    with contextlib.closing(database.connect()) as connection:
        connection.autocommit = True
        rows = database.rows("SELECT * FROM {s}.apply_retention()", connection=connection)
        return [(row["class"], row["action"], row["subject"], row["amount"]) for row in rows]


def test_retention_while_events_come(database):
    """Old months filled, strays moved and months dropped under a stream of events: nothing is lost, doubled or long
    delayed."""
    months, batch = list(range(-16, 1)), 200
    keep(database, "payload", "forever")
    database.process(*(product_event(0, offset, "evt_first") for offset in months))
    actions = apply(database)
    for first in range(0, EVENTS, batch):
        database.process(*(product_event(number, months[number % len(months)])
                           for number in range(first, min(first + batch, EVENTS))))
    strays = [product_event(number, -17 - number % 3, "evt_stray") for number in range(180)]
    database.process(*strays)
    counts = {"all": EVENTS + len(months) + len(strays)}
    stop, slowest, failed = threading.Event(), [0.0], []

    def send(name):
        with contextlib.closing(database.connect()) as connection:
            connection.autocommit = True
            number = 0
            while not stop.is_set():
                number += 1
                began = time.monotonic()
                new = [product_event(number, offset, name) for offset in (0, 1, -3)]
                try:
                    told = database.process(*new, connection=connection)
                except psycopg2.errors.SerializationFailure:  # as the worker does: again
                    told = database.process(*new, connection=connection)
                failed.extend(one for one in told if one[1] != "processed")
                slowest[0] = max(slowest[0], time.monotonic() - began)
            counts[name] = 3 * number

    threads = [threading.Thread(target=send, args=(name,)) for name in ("evt_a", "evt_b")]
    for thread in threads:
        thread.start()
    try:
        for retention in ("forever", "forever", "365 days", "365 days"):
            keep(database, "payload", retention)
            actions += apply(database, months_ahead=4)
            time.sleep(0.5)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    created = {subject for _, action, subject, _ in actions if action == "partition_created"}
    dropped = {subject for _, action, subject, _ in actions if action == "partition_dropped"}
    assert {partition(-19), partition(-16), partition(4)} <= created
    assert {partition(-19), partition(-16)} <= dropped < created
    total = sum(counts.values())
    assert database.value("SELECT count(*) FROM {s}.stripe_events") == total
    assert not [one for one in failed if one[1] != "parked"], failed[:3]
    old = sum(partition(months[number % len(months)]) in dropped for number in range(EVENTS))
    old += len(strays) + sum(partition(offset) in dropped for offset in months)
    assert database.value("SELECT count(*) FROM {s}.stripe_event_payloads") == total - old
    print(f"{EVENTS} events, {len(created)} partitions made, {len(dropped)} dropped, slowest call {slowest[0]:.3f} s,"
          f" {len(failed)} put off")
    for first in range(0, EVENTS, batch):
        again = database.outcomes(*(product_event(number, months[number % len(months)])
                                    for number in range(first, min(first + batch, EVENTS))))
        assert set(again) == {"duplicate"}
    assert database.value("SELECT count(*) FROM {s}.stripe_events") == total
