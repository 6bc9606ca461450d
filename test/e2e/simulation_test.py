"""pg_billing simulate as a command: what it writes, posts and refuses. Its histories at length: history_truth_test.py."""
import os
import subprocess
import time

import pytest

from harness.history import Run, compare_with_truth, deliver, finish, simulate
from harness.worker import SECRET, binary


def true_or_flagged(database, run):
    _, wrong = compare_with_truth(database, run)
    assert wrong == {}


def test_live_mode_and_another_time(databases, tmp_path):
    run = Run(tmp_path, "--seed", 3, "--customers", 15, "--livemode", "--start", "2024-02-29", "--months", 14)
    assert run.summary["start"] == "2024-02-29T00:00:00+00:00"
    database = databases("billing").grant_since_ever()
    database.execute("SELECT {s}.set_billing_setting('mode', 'live', 'simulated')")
    deliver(database, run)
    finish(database, run)
    true_or_flagged(database, run)
    assert database.value("SELECT bool_and(livemode) FROM {s}.user_subscriptions")


def test_posted_to_a_worker(worker, database, tmp_path):
    database.grant_since_ever()
    run = Run(tmp_path, "--seed", 4, "--customers", 15, "--order", "shuffled", "--duplicates", "0.1",
              "--post", worker.webhook, "--connections", 4)
    report = dict(line.split(" ", 1) for line in run.result.stdout.splitlines())
    delivered = str(run.summary["delivered"])
    assert report["sent"] == report["acknowledged"] == delivered == str(len(run.events))
    assert report["retried"] == report["given_up"] == "0"
    assert "p99" in report["latency_ms"]
    finish(database, run)
    assert database.value("SELECT count(*) FROM {s}.stripe_events") == run.summary["events"]
    true_or_flagged(database, run)


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
