"""The Prometheus rules and the Grafana board, tried by promtool and by a Prometheus that scrapes a worker."""
import contextlib
import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request

import pytest

from harness.stripe import Sender
from harness.life import Life
from harness.worker import ROOT, free_port

RULES = ROOT / "monitoring" / "prometheus-rules.yml"
BOARD = ROOT / "monitoring" / "grafana-dashboard.json"
pytestmark = pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool here")


def expressions():
    """Of every panel of the board, with the interval that Grafana puts in."""
    panels = json.loads(BOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    return [target["expr"].replace("$__rate_interval", "10s") for panel in panels for target in panel["targets"]]


def promtool(*arguments):
    run = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stdout + run.stderr


def test_promtool_finds_no_fault_with_the_rules():
    promtool("check", "rules", RULES)
    promtool("test", "rules", "test/monitoring/rules_test.yml")


@contextlib.contextmanager
def prometheus(directory, worker):
    """A Prometheus that scrapes the worker each second."""
    port = free_port()
    (directory / "prometheus.yml").write_text(f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{RULES}"]
scrape_configs: [{{job_name: billing, static_configs: [{{targets: ["127.0.0.1:{worker.port}"]}}]}}]
""")
    promtool("check", "config", directory / "prometheus.yml")
    with open(directory / "log", "wb") as log:
        process = subprocess.Popen(["prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data",
                                    f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        yield lambda path, **query: ask(port, path, query)
    finally:
        process.terminate()
        process.wait(30)


def ask(port, path, query):
    url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read())["data"]
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error


def eventually(condition, seconds=40):
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(urllib.error.URLError, AssertionError):
            if (found := condition()):
                return found
        assert time.monotonic() < deadline, condition()
        time.sleep(0.3)


def test_a_prometheus_that_scrapes_the_worker_understands_all_of_it(tmp_path, database, worker):
    ada = Life("ada", start=int(time.time()))
    Sender(worker.webhook, worker.secret).post(ada.customer_created())
    database.execute("""UPDATE {s}.stripe_events SET outcome = 'failed', processed = false, retry_count = 1,
                               next_retry_at = now() + interval '1 day';
                        SELECT {s}.set_billing_alert('cache_hit_rate', enabled => false);
                        SELECT {s}.check_billing_alerts()""")
    with prometheus(tmp_path, worker) as ask_for:
        def alerts():
            groups = ask_for("rules")["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            if not rules or any(rule["health"] != "ok" for rule in rules):
                return None
            return {(rule["name"], alert["labels"].get("name")) for rule in rules for alert in rule["alerts"]
                    if alert["state"] == "firing"}

        expected = {("PgBillingAlertCritical", "webhook_failures"), ("PgBillingAlertWarning", "webhook_failures_hourly")}
        assert eventually(lambda: expected <= (alerts() or set()) and alerts()) == expected
        # Each expression of the board is answered, and each name in it is known.
        families = set(re.findall(r"^# TYPE (\S+)", worker.get("/metrics")[1], re.M))
        for expression in expressions():
            ask_for("query", query=expression)
            for name in re.findall(r"\b(?:pg_billing|process)_\w+", expression):
                assert re.sub("_(bucket|sum|count)$", "", name) in families, name
        assert eventually(lambda: ask_for("query", query="sum(pg_billing_ready)")["result"])[0]["value"][1] == "1"
