"""/healthz, /readyz and /metrics."""
import json
import re
import time

import pytest

from harness.life import Life, flat
from harness.stripe import Sender, post
from harness.waiting import until
from harness.worker import Worker
from wire import event, logged

SAMPLE = re.compile(r'([a-z_]+)(\{[a-z]+="[^"\\]*"\})? (\S+)')


def parsed(text):
    """{family: (type, [(name, labels, value)])}; fails on what Prometheus would not read."""
    families, current = {}, None
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split()[2]
            assert current not in families, f"{current} appears twice"
            assert len(line.split(maxsplit=3)) == 4
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name == current and kind in ("counter", "gauge", "histogram")
            families[name] = (kind, [])
        else:
            match = SAMPLE.fullmatch(line)
            assert match and match[1].startswith(current), line
            families[current][1].append((match[1], match[2] or "", float(match[3])))
    return families


def test_metrics_are_what_prometheus_reads(database, worker):
    sender = Sender(worker.webhook, worker.secret)
    for number in range(5):
        assert sender.post(event(number)).status == 200
    assert sender.post(event(0)).status == 200
    assert sender.post(event(9), signature="t=1,v1=0").status == 400
    families = parsed(worker.get("/metrics")[1])
    for name, (kind, samples) in families.items():
        # Prometheus' own name for what every process has.
        assert name.startswith("pg_billing_") or name == "process_resident_memory_bytes"
        assert (kind == "counter") == name.endswith("_total")
        assert len({sample[:2] for sample in samples}) == len(samples)
        if kind != "histogram":
            continue
        buckets = [value for sample, _, value in samples if sample == f"{name}_bucket"]
        assert buckets == sorted(buckets) and samples[len(buckets) - 1][1] == '{le="+Inf"}'
        assert buckets[-1] == next(value for sample, _, value in samples if sample == f"{name}_count")
        assert any(sample == f"{name}_sum" for sample, _, _ in samples)

    def value(name, labels=""):
        return next(number for sample, found, number in families[name][1] if found == labels)

    assert value("pg_billing_webhooks_received_total") == 7
    assert value("pg_billing_webhooks_acknowledged_total") == 6
    assert value("pg_billing_webhooks_duplicates_total") == 1
    assert value("pg_billing_webhooks_rejected_total", '{reason="mismatch"}') == 1
    assert value("pg_billing_events_total", '{outcome="processed"}') \
        + value("pg_billing_events_total", '{outcome="ignored"}') == 5
    assert value("pg_billing_queue_events") == value("pg_billing_queue_bytes") == 0
    assert value("pg_billing_ready") == 1 and value("pg_billing_database_connections") == 2
    assert value("pg_billing_start_time_seconds") == pytest.approx(time.time(), abs=60)
    assert families["pg_billing_build_info"][1][0][1].startswith('{version="')
    for name in ("pg_billing_oldest_unprocessed_seconds", "pg_billing_unprocessed_events", "pg_billing_parked_events",
                 "pg_billing_cache_hits_total", "pg_billing_cache_misses_total", "pg_billing_request_seconds",
                 "pg_billing_batch_seconds", "pg_billing_batch_size"):
        assert name in families


def test_parked_events_show_at_the_next_scrape_and_leave_when_linked(database, worker):
    bob = Life("bob")
    for made in flat([bob.customer_created(), bob.subscribed()]):
        assert post(worker.webhook, made, worker.secret).json()["outcome"] in ("parked", "processed")
    numbers = worker.metrics()
    assert numbers['pg_billing_parked_events{reason="customer_link"}'] >= 1
    assert numbers["pg_billing_oldest_unprocessed_seconds"] >= 0 and numbers["pg_billing_unprocessed_events"] >= 1
    (line,) = until(lambda: logged(worker, "stripe_webhook_parked")[:1], "it is logged")
    assert "cus_bob has no user; run SELECT" in line["error"] and "link_stripe_customer" in line["error"]
    database.link("user_bob", "cus_bob")
    until(lambda: worker.metrics()["pg_billing_unprocessed_events"] == 0, "nothing is waiting")


def test_due_events_are_retried_by_the_worker(database, worker):
    """What an operator makes due by hand is processed within seconds, and logged."""
    bob = Life("bob")
    post(worker.webhook, bob.subscribed(), worker.secret)
    database.link("user_bob", "cus_bob")
    database.execute("UPDATE {s}.stripe_events SET processed = false, retry_count = 0, next_retry_at = NULL")
    until(lambda: database.value("SELECT bool_and(processed) FROM {s}.stripe_events"), "it is processed")
    until(lambda: logged(worker, "stripe_webhook_handled_successfully", retry=True), "it is logged")
    assert worker.metrics()['pg_billing_retried_events_total{outcome="processed"}'] >= 1


def test_ready_says_which_extension_and_mode(worker):
    status, body = worker.get("/readyz")
    body = json.loads(body)
    assert status == 200 and body["ready"] is True and body["mode"] == "test"
    assert body["extension_version"].startswith("0.1.") and body["version"]
    assert worker.get("/healthz")[0] == 200


@pytest.fixture
def start():
    """Starts a worker without waiting for it to be ready."""
    started = []

    def run(database, kind="worker", role="billing_worker", **environment):
        made = Worker(database.url(database.create_role(role, kind)), environment=environment)
        started.append(made)
        made.start(wait=False)
        until(lambda: made.get("/healthz")[0] == 200, "it is alive")
        return made

    yield run
    for made in started:
        made.stop()


def check_unready(worker, reason, hint):
    def problem():
        status, body = worker.get("/readyz")
        assert status == 503
        error = json.loads(body)["error"]
        return error["reason"] != "connecting" and error

    error = until(problem, f"it says {reason}")
    assert error["reason"] == reason and hint in error["next_step"] and error["message"]
    answer = post(worker.webhook, event("early"), worker.secret)
    assert (answer.status, answer.json()["error"]["reason"]) == (503, reason)
    assert int(answer.headers["Retry-After"]) > 0
    assert worker.get("/healthz")[0] == 200
    assert logged(worker, "not_ready", reason=reason)
    assert worker.metrics()["pg_billing_ready"] == 0


def test_not_ready_without_the_extension(databases, start):
    check_unready(start(databases(None), kind=None), "extension_missing", "CREATE EXTENSION")


def test_not_ready_without_the_right_to_call_it(database, start):
    worker = start(database, kind=None, role="billing_nobody")
    check_unready(worker, "permission_denied", "grant_billing_role('billing_nobody', 'worker')")
    # It comes right by itself once somebody does what it says.
    database.create_role("billing_nobody", "worker")
    worker.wait_until_ready()
    assert post(worker.webhook, event("later"), worker.secret).status == 200


def test_not_ready_with_another_version(database, start):
    database.execute("UPDATE pg_extension SET extversion = '0.2.0' WHERE extname = 'pg_billing'")
    check_unready(start(database), "extension_version", "ALTER EXTENSION pg_billing UPDATE")


def test_not_ready_where_nothing_can_be_written(database, start):
    database.create_role("billing_reader_only", "worker")
    database.execute("ALTER ROLE billing_reader_only SET default_transaction_read_only = on")
    check_unready(start(database, role="billing_reader_only"), "read_only", "default_transaction_read_only")


def test_not_ready_when_commits_could_be_lost(database, start):
    database.create_role("billing_async", "worker")
    database.execute("ALTER ROLE billing_async SET synchronous_commit = off")
    check_unready(start(database, role="billing_async"), "synchronous_commit_off", "ALTER ROLE billing_async")


def test_not_ready_at_another_isolation_level(database, start):
    database.create_role("billing_strict", "worker")
    database.execute("ALTER ROLE billing_strict SET default_transaction_isolation = 'serializable'")
    check_unready(start(database, role="billing_strict"), "isolation_level", "read committed")


def test_not_ready_when_the_schema_is_another_one(databases, start):
    worker = start(databases("billing"), PG_BILLING_SCHEMA="public")
    check_unready(worker, "schema_mismatch", "PG_BILLING_SCHEMA")


def test_the_schema_may_be_said(databases, workers):
    database = databases("billing")
    for environment in ({}, {"PG_BILLING_SCHEMA": "billing"}):
        worker = workers(database, environment=environment)
        assert post(worker.webhook, event("found"), worker.secret).status == 200
        worker.stop()


def test_not_ready_on_a_standby(cluster, database, start):
    standby = cluster.create_standby()
    cluster.wait_for_replay(standby)
    role = database.create_role("billing_worker", "worker")
    cluster.wait_for_replay(standby)
    with_standby = Worker(standby.url(database.name, role))
    with_standby.start(wait=False)
    try:
        until(lambda: with_standby.get("/healthz")[0] == 200, "it is alive")
        check_unready(with_standby, "in_recovery", "primary")
    finally:
        with_standby.stop()
        standby.destroy()
        cluster.standbys.remove(standby)


def test_a_change_of_mode_shows(database, worker):
    database.execute("SELECT {s}.set_billing_setting('mode', 'live', 'test')")
    until(lambda: worker.get("/readyz")[0] == 503, "it is noticed")
    error = json.loads(worker.get("/readyz")[1])["error"]
    assert error["reason"] == "mode_mismatch" and "STRIPE_LIVE_MODE" in error["next_step"]
    assert logged(worker, "not_ready", reason="mode_mismatch")
    database.execute("SELECT {s}.set_billing_setting('mode', 'test', 'test')")
    worker.wait_until_ready()
