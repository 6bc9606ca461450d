"""Alerts: each fires when its condition is true, by what events and payments say, and not before."""
import contextlib
import time
from decimal import Decimal

import psycopg2
import pytest

from harness.life import Life, event
from harness.objects import PRO

FIRING = "SELECT name FROM {s}.billing_alerts WHERE firing ORDER BY 1"
# Whatever the machine and the age of the cluster are.
OF_THE_SERVER = {"database_connections", "cache_hit_rate"}


def firing(database):
    return {row["name"] for row in database.rows(FIRING)} - OF_THE_SERVER


def alert(database, name):
    (row,) = database.rows("SELECT * FROM {s}.billing_alerts WHERE name = %s", (name,))
    return row


def events(database, number, ago="1 minute", first=0, outcome=None):
    """Events of products, received some time ago; Stripe sent them at once."""
    for place in range(first, first + number):
        database.process(event(f"evt_{place}", "product.updated", {"id": f"prod_{place}", "object": "product"}, int(time.time())))
    database.execute(f"""UPDATE {{s}}.stripe_events SET created_at = now() - interval '{ago}',
                                stripe_created = date_trunc('second', now() - interval '{ago}'), processed_at = now() - interval '{ago}'
                          WHERE split_part(stripe_event_id, '_', 2)::int >= {first}""")
    if outcome:
        database.execute(f"""UPDATE {{s}}.stripe_events SET outcome = '{outcome}', processed = false, error = 'a test', retry_count = 1,
                                    next_retry_at = now() + interval '1 day'
                              WHERE split_part(stripe_event_id, '_', 2)::int >= {first}""")


def payments(database, number, status="completed", ago="5 minutes", amount=1000, refunded=0, start=0):
    for place in range(start, start + number):
        database.execute(f"""INSERT INTO {{s}}.payments (user_id, payment_id, stripe_customer_id, status, amount, currency,
                                    amount_refunded, payment_created, livemode)
                             VALUES ('user', 'pi_{status}_{place}_{ago}', 'cus', '{status}', {amount}, 'eur', {refunded},
                                     now() - interval '{ago}', false)""")


def canceled(database, number, ago, start=0):
    for place in range(start, start + number):
        database.execute(f"""INSERT INTO {{s}}.audit_logs (user_id, fact, action, subject, actor, event_created)
                             VALUES ('user_{place}', 'canceled {place}', 'subscription_canceled', 'sub_{place}', 'stripe',
                                     now() - interval '{ago}')""")


def test_webhook_failures_of_5_minutes(database):
    events(database, 20)
    events(database, 1, first=20, outcome="failed")  # 1 of 21
    assert "webhook_failures" not in firing(database)
    events(database, 1, first=21, outcome="failed")  # 2 of 22
    assert {"webhook_failures", "webhook_failures_hourly"} <= firing(database)
    assert alert(database, "webhook_failures")["severity"] == "critical"
    database.execute("UPDATE {s}.stripe_events SET created_at = created_at - interval '6 minutes'")
    assert firing(database) == {"webhook_failures_hourly"}, "what was 7 minutes ago is not now"


def test_webhook_failures_of_an_hour(database):
    events(database, 120, ago="30 minutes")
    events(database, 1, ago="30 minutes", first=120, outcome="failed")
    assert firing(database) == set()
    events(database, 1, ago="30 minutes", first=121, outcome="failed")
    assert firing(database) == {"webhook_failures_hourly"}


def test_payment_errors_and_success_rate(database):
    payments(database, 99)
    payments(database, 1, "failed")
    assert firing(database) == set()  # 1 of 100
    payments(database, 1, "failed", start=1)
    assert firing(database) == {"payment_errors"}
    payments(database, 4, "failed", ago="2 hours")
    assert firing(database) == {"payment_errors", "payment_success_rate"}  # 99 of 105


def test_more_than_10_failed_payments_in_an_hour(database):
    payments(database, 1000, ago="3 hours")
    payments(database, 10, "failed", ago="50 minutes")
    assert firing(database) == set()
    payments(database, 1, "failed", ago="50 minutes", start=10)
    assert firing(database) == {"failed_payments"}


def test_refund_rate(database):
    payments(database, 95, ago="10 days")
    payments(database, 5, "refunded", ago="10 days", refunded=1000)
    assert firing(database) == set()
    payments(database, 1, "partially_refunded", ago="10 days", refunded=1)
    assert firing(database) == {"refund_rate"}


def test_a_spike_in_amounts(database):
    payments(database, 20, ago="10 days", amount=1000)
    payments(database, 3, ago="3 hours", amount=3000)
    assert firing(database) == set()
    payments(database, 1, ago="2 hours", amount=4000)
    assert firing(database) == {"payment_amount_spike"}


def test_a_spike_of_cancellations(database):
    canceled(database, 56, "10 days")  # 2 a day
    canceled(database, 6, "2 hours", start=56)
    assert firing(database) == set()
    canceled(database, 1, "2 hours", start=62)
    assert firing(database) == {"cancellation_spike"}


def test_latency_processing_time_and_silence(database):
    events(database, 20)
    database.execute("UPDATE {s}.stripe_events SET stripe_created = created_at - interval '5 seconds'")
    assert firing(database) == set()
    database.execute("UPDATE {s}.stripe_events SET stripe_created = created_at - interval '6 seconds'")
    assert firing(database) == {"webhook_latency"}
    database.execute("UPDATE {s}.stripe_events SET stripe_created = created_at, processed_at = created_at + interval '11 seconds'")
    assert firing(database) == {"webhook_processing"}
    database.execute("UPDATE {s}.stripe_events SET created_at = now() - interval '59 minutes'")
    assert firing(database) == set()
    database.execute("UPDATE {s}.stripe_events SET created_at = now() - interval '61 minutes'")
    assert firing(database) == {"webhook_silence"}


def test_nothing_fires_where_nothing_has_happened_yet(database):
    assert firing(database) == set()
    assert {row["value"] for row in database.rows("SELECT value FROM {s}.billing_alerts WHERE comparison = '<'")} <= {None} | {
        alert(database, "cache_hit_rate")["value"]}


def test_what_waits_for_a_person(database):
    ada, bob = (Life(name, start=int(time.time())) for name in ("ada", "bob"))
    database.process(ada.customer_created(), ada.subscribed())
    assert firing(database) == set()
    database.execute("UPDATE {s}.stripe_events SET created_at = now() - interval '61 minutes'")
    assert firing(database) == {"customers_unlinked", "webhook_silence"}
    database.link("user_ada", "cus_ada")
    assert firing(database) == {"webhook_silence"}
    database.process(bob.customer_created(), bob.subscribed(), bob.checkout_completed("user_bob"))
    database.process(bob.checkout_completed("user_eve"))
    assert firing(database) == {"link_conflicts"}


def test_retries_that_nobody_makes_and_that_are_used_up(database):
    events(database, 1, ago="2 hours", outcome="failed")
    events(database, 200, first=1)
    assert firing(database) == set()
    database.execute("UPDATE {s}.stripe_events SET next_retry_at = now() - interval '301 seconds' WHERE NOT processed")
    assert firing(database) == {"retry_overdue"}
    database.execute("UPDATE {s}.stripe_events SET retry_count = 10 WHERE NOT processed")
    assert firing(database) == {"events_given_up"}


def test_what_waits_for_a_price_or_a_user(database):
    ada = Life("ada", items=((PRO, 1),))
    database.link("user_ada", "cus_ada")
    database.process(ada.subscribed())
    database.execute("""UPDATE {s}.stripe_events SET processed = false, outcome = 'parked', waiting_for = 'price:price_1',
                               retry_count = 1, next_retry_at = now() + interval '1 day', created_at = now() - interval '59 minutes'""")
    assert firing(database) == set()
    database.execute("UPDATE {s}.stripe_events SET created_at = now() - interval '61 minutes'")
    assert firing(database) == {"events_waiting", "webhook_silence"}


def test_money_of_nobody_what_is_ambiguous_and_the_other_mode(database):
    charge = {"id": "ch_1", "object": "charge", "amount": 500, "currency": "eur", "status": "succeeded", "paid": True,
              "customer": "cus_nobody", "payment_intent": "pi_1", "created": int(time.time()) - 4000, "metadata": {}}
    database.process(event("evt_1", "charge.succeeded", charge, int(time.time()) - 4000))
    assert firing(database) == {"unlinked_money", "webhook_latency"}
    database.execute("DELETE FROM {s}.stripe_events")
    database.link("user_1", "cus_nobody")
    database.execute("UPDATE {s}.stripe_objects SET ambiguous = true")
    assert "ambiguous_objects" in firing(database)
    database.execute("UPDATE {s}.stripe_objects SET ambiguous = false")
    database.process(event("evt_3", "product.updated", {"id": "prod_2", "object": "product", "items": {"has_more": True}},
                           int(time.time())))
    assert firing(database) == set()  # wanted, and not asked for yet
    database.execute("SELECT {s}.postpone_stripe_refetch('', false, 'product', 'prod_2', 'api_error')")
    assert firing(database) == {"stripe_api_errors"}
    database.execute("DELETE FROM {s}.stripe_refetches")
    database.execute("SELECT {s}.enqueue_stripe_request(NULL, '/v1/coupons')")
    assert firing(database) == set()
    database.execute("SELECT {s}.hold_stripe_requests('restored')")
    assert firing(database) == {"stripe_requests_waiting"}
    database.execute("DELETE FROM {s}.stripe_requests")
    database.process(event("evt_2", "product.updated", {"id": "prod_1", "object": "product"}, int(time.time()), livemode=True))
    assert firing(database) == {"events_of_other_mode"}


def test_the_cache_the_connections_and_the_housekeeping(database):
    database.execute("SELECT {s}.clear_expired_subscription_cache()")
    assert firing(database) == set()
    database.execute("UPDATE {s}.subscription_cache_cleanups SET cleaned_at = now() - interval '61 minutes'")
    assert firing(database) == {"maintenance_overdue"}
    # What the server has is what it has: the threshold is brought to it.
    used = alert(database, "database_connections")["value"]
    assert 0 < used < 1
    database.execute("SELECT {s}.set_billing_alert('database_connections', %s)", (used / 2,))
    assert alert(database, "database_connections")["firing"]


def test_a_low_hit_rate(database):
    for number in range(50):
        database.state(f"nobody_{number}")  # nobody has stored it, and reading does not
    # The counters are of the whole server and all that has run on it: the threshold is brought to them.
    value, sample = (alert(database, "cache_hit_rate")[name] for name in ("value", "sample"))
    assert value < 1 and sample >= 50
    database.execute("SELECT {s}.set_billing_alert('cache_hit_rate', %s, minimum => %s)", (value + Decimal("0.01"), sample))
    assert alert(database, "cache_hit_rate")["firing"]
    database.execute("SELECT {s}.set_billing_alert('cache_hit_rate', %s, minimum => %s)", (value / 2, sample))
    assert not alert(database, "cache_hit_rate")["firing"]


def test_thresholds_are_edited_and_audited(database):
    events(database, 9)
    events(database, 1, first=9, outcome="failed")
    assert firing(database) == {"webhook_failures", "webhook_failures_hourly"}
    database.execute("SELECT {s}.set_billing_alert('webhook_failures', 0.2, reason => 'a noisy endpoint')")
    database.execute("SELECT {s}.set_billing_alert('webhook_failures_hourly', minimum => 11)")
    assert firing(database) == set()
    row = alert(database, "webhook_failures")
    assert (row["threshold"], row["value"]) == (Decimal("0.2"), Decimal("0.1"))
    database.execute("SELECT {s}.set_billing_alert('webhook_failures')")
    assert firing(database) == {"webhook_failures"}
    database.execute("SELECT {s}.set_billing_alert('webhook_failures', enabled => false)")
    assert firing(database) == set()
    assert database.rows("SELECT subject, reason, details FROM {s}.audit_logs WHERE action = 'alert_changed' ORDER BY created_at")[0] == {
        "subject": "webhook_failures", "reason": "a noisy endpoint",
        "details": {"threshold": 0.2, "minimum": None, "enabled": True}}
    for arguments in ("'no_such'", "NULL", "'webhook_failures', -1", "'webhook_failures', 'NaN'",
                      "'webhook_failures', minimum => -1"):
        with pytest.raises(psycopg2.Error) as caught:
            database.execute(f"SELECT {{s}}.set_billing_alert({arguments})")
        assert caught.value.pgcode == "22023" and caught.value.diag.message_hint


def test_since_is_when_it_was_first_seen(database):
    # The cache is counted for the whole server, and so are the reads of other tests.
    database.execute("SELECT {s}.set_billing_alert('cache_hit_rate', enabled => false)")
    events(database, 1, outcome="failed")
    assert alert(database, "webhook_failures")["since"] is not None
    began = database.rows("SELECT name, firing FROM {s}.check_billing_alerts()")
    assert began == [{"name": "webhook_failures", "firing": True}, {"name": "webhook_failures_hourly", "firing": True}]
    first = alert(database, "webhook_failures")["since"]
    time.sleep(0.01)
    assert database.rows("SELECT name FROM {s}.check_billing_alerts()") == []
    assert alert(database, "webhook_failures")["since"] == first
    database.execute("DELETE FROM {s}.stripe_events")
    assert {row["name"] for row in database.rows("SELECT name FROM {s}.check_billing_alerts() WHERE NOT firing")} == {
        "webhook_failures", "webhook_failures_hourly"}
    row = alert(database, "webhook_failures")
    assert row["since"] is None and not row["firing"] and row["last_resolved_at"] > first
    events(database, 1, first=1, outcome="failed")
    database.execute("SELECT {s}.check_billing_alerts()")
    assert alert(database, "webhook_failures")["since"] > row["last_resolved_at"]


def test_a_reader_reads_them_and_only_an_admin_sets_them(database):
    reader = database.create_role("some_reader", "reader")
    with contextlib.closing(database.connect(user=reader)) as connection:
        assert len(database.rows("SELECT * FROM {s}.billing_alerts", None, connection)) > 20
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            database.execute("SELECT {s}.set_billing_alert('webhook_failures', 0)", None, connection)
    admin = database.create_role("some_admin", "admin")
    with contextlib.closing(database.connect(user=admin)) as connection:
        database.execute("SELECT {s}.set_billing_alert('webhook_failures', 0)", None, connection)
        assert database.value("SELECT actor FROM {s}.audit_logs WHERE action = 'alert_changed'") == admin


def test_alerts_are_in_the_workers_metrics(database, worker):
    events(database, 1, outcome="failed")
    database.execute("SELECT {s}.check_billing_alerts()")
    deadline = time.monotonic() + 15
    while 'pg_billing_alert_firing{name="webhook_failures",severity="critical"} 1' not in (text := worker.get("/metrics")[1]):
        assert time.monotonic() < deadline, text
        time.sleep(0.2)
    assert 'pg_billing_alert_firing{name="refund_rate",severity="warning"} 0' in text
    assert "process_resident_memory_bytes " in text and "pg_billing_alert_check_age_seconds " in text
