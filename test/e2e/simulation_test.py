"""Simulated histories through SQL and through HTTP: whatever the order, the database ends with the truth."""
import json
import os
import subprocess
import time

import pytest

from harness.worker import SECRET, binary

BATCH = 60
FEATURES = ("--near-duplicates", "0.05", "--duplicates", "0.1", "--drop", "0.1", "--bursts", "0.25", "--upgrades", "0.3")


def simulate(*arguments, secret=SECRET):
    environment = {**os.environ, "STRIPE_WEBHOOK_SECRET": secret}
    return subprocess.run([binary(), "simulate", *map(str, arguments)], cwd="/", env=environment, text=True,
                          capture_output=True, timeout=300)


class Run:
    """What a simulation has written."""

    def __init__(self, directory, *arguments):
        self.directory = directory
        self.result = simulate("--out", directory, *arguments)
        assert self.result.returncode == 0, self.result.stderr
        self.events = (directory / "events.jsonl").read_text().splitlines()
        self.truth = self._lines("truth.jsonl")
        self.links = self._lines("links.jsonl")
        self.summary = json.loads((directory / "summary.json").read_text())

    def _lines(self, name):
        return [json.loads(line) for line in (self.directory / name).read_text().splitlines()]


def deliver(database, run, connection=None):
    for first in range(0, len(run.events), BATCH):
        for event_id, outcome, error in database.process(*run.events[first:first + BATCH], connection=connection):
            assert outcome != "failed", (event_id, error)


def finish(database, run):
    """What a person would do at the end: link those whom no event names."""
    for link in run.links:
        database.link(link["user_id"], link["stripe_customer_id"])
    for _ in range(20):
        if not database.value("SELECT count(*) FROM {s}.stripe_events WHERE NOT processed"):
            return
        database.execute("UPDATE {s}.stripe_events SET next_retry_at = now() WHERE NOT processed")
        database.retry(1000)
    assert not database.rows("SELECT stripe_event_id, error FROM {s}.stripe_events WHERE NOT processed")


def compare_with_truth(database, run):
    """Returns how many users the database itself says it is not sure about."""
    unsure = set()
    rows = {row["stripe_subscription_id"]: row for row in database.rows("SELECT * FROM {s}.user_subscriptions")}
    for user in run.truth:
        state = database.state(user["user_id"], user["as_of"])
        told = {key: value for key, value in state.items() if key in user["state"]}
        if state["ambiguous"]:
            unsure.add(user["user_id"])
            continue
        assert told == user["state"], user["user_id"]
        for subscription in user["subscriptions"]:
            row = rows.pop(subscription["stripe_subscription_id"])
            assert row["user_id"] == user["user_id"]
            assert row["stripe_customer_id"] == subscription["stripe_customer_id"]
            assert row["status"] == subscription["status"]
            assert row["customer_deleted"] == subscription["customer_deleted"]
            assert row["metadata"] == subscription["object"]["metadata"]
            for name in ("event_created", "paid_through"):
                assert (row[name] and row[name].isoformat()) == subscription[name], (user["user_id"], name)
    assert {row["user_id"] for row in rows.values()} <= unsure, "rows that nobody has"
    return len(unsure)


def all_facts(database):
    facts = database.facts("stripe_events", "stripe_objects", "user_subscriptions", "billing_users")
    return facts | database.facts("stripe_customer_links", "audit_logs", ignore={"waiting_for"})


@pytest.mark.parametrize("seed", [1, 2])
def test_every_order_ends_with_the_truth(databases, tmp_path, seed):
    orders = {"stripe": (), "reversed": (), "shuffled": (), "window": ("--window", "100")}
    expected, users, flagged = None, 0, 0
    for name, more in orders.items():
        order = "shuffled" if name == "window" else name
        run = Run(tmp_path / name, "--seed", seed, "--customers", 25, *FEATURES, "--order", order, *more)
        database = databases()
        deliver(database, run)
        finish(database, run)
        flagged += compare_with_truth(database, run)
        users += len(run.truth)
        facts = all_facts(database)
        expected = expected or facts
        for table, rows in expected.items():
            assert facts[table] == rows, f"{table} differs after the order {name}"
        outcomes = {row["outcome"]: row["n"] for row in database.rows(
            "SELECT outcome, count(*) AS n FROM {s}.stripe_events GROUP BY outcome")}
        assert set(outcomes) == {"processed", "ignored"}
        assert sum(outcomes.values()) == run.summary["events"]
        assert outcomes["ignored"] == len({event["id"] for event in map(json.loads, run.events) if event["livemode"]})
        database.drop()
    assert flagged <= users * 0.1, f"{flagged} of {users} users flagged"


def test_live_mode_and_another_time(databases, tmp_path):
    run = Run(tmp_path, "--seed", 3, "--customers", 15, "--livemode", "--start", "2024-02-29", "--months", 14)
    assert run.summary["start"] == "2024-02-29T00:00:00+00:00"
    database = databases("billing")
    database.execute("SELECT {s}.set_billing_setting('mode', 'live', 'simulated')")
    deliver(database, run)
    finish(database, run)
    compare_with_truth(database, run)
    assert database.value("SELECT bool_and(livemode) FROM {s}.user_subscriptions")


def test_posted_to_a_worker(worker, database, tmp_path):
    run = Run(tmp_path, "--seed", 4, "--customers", 15, "--order", "shuffled", "--duplicates", "0.1",
              "--post", worker.webhook, "--connections", 4)
    report = dict(line.split(" ", 1) for line in run.result.stdout.splitlines())
    delivered = str(run.summary["delivered"])
    assert report["sent"] == report["acknowledged"] == delivered == str(len(run.events))
    assert report["retried"] == report["given_up"] == "0"
    assert "p99" in report["latency_ms"]
    finish(database, run)
    assert database.value("SELECT count(*) FROM {s}.stripe_events") == run.summary["events"]
    compare_with_truth(database, run)


def test_what_is_not_acknowledged_is_sent_again(workers, database, tmp_path):
    """The worker refuses everything at first: its secret is another one."""
    worker = workers(database)
    refused = simulate("--customers", 1, "--post", worker.webhook, "--give-up", 0, "--out", tmp_path,
                       secret="whsec_another")
    assert refused.returncode == 1
    report = dict(line.rsplit(" ", 1) for line in refused.stdout.splitlines())
    assert report["acknowledged"] == "0"
    assert report["given_up"] == report["failed: status 400"]
    assert not database.value("SELECT count(*) FROM {s}.stripe_events")

    port = worker.port
    worker.kill()
    command = [binary(), "simulate", "--customers", "5", "--post", f"http://127.0.0.1:{port}/stripe/webhook"]
    environment = {**os.environ, "STRIPE_WEBHOOK_SECRET": SECRET}
    with subprocess.Popen(command, cwd="/", text=True, stdout=subprocess.PIPE, env=environment) as sender:
        time.sleep(0.3)
        worker.start()
        report = dict(line.strip().rsplit(" ", 1) for line in sender.stdout)
    assert int(report["retried"]) >= 1
    assert report["given_up"] == "0"
    assert int(report["acknowledged"]) == database.value("SELECT count(*) FROM {s}.stripe_events")


@pytest.mark.parametrize("arguments, message", [
    (("--post", "http://192.0.2.1/stripe/webhook"), "another machine"),
    (("--post", "https://127.0.0.1/"), "http://"),
    (("--customers", "many", "--out", "-"), "not a number"),
    ((), "nowhere to put the events"),
])
def test_refusals_say_what_to_do(arguments, message):
    result = simulate(*arguments)
    assert result.returncode == 2 and message in result.stderr and "hint:" in result.stderr


def test_standard_output_and_help(tmp_path):
    run = Run(tmp_path, "--customers", 3)
    piped = simulate("-", "--customers", 3)
    assert piped.stdout.splitlines() == run.events
    text = simulate("--help").stdout
    for flag in ("--seed", "--order", "--post", "--out"):
        assert flag in text
