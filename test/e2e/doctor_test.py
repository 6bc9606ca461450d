"""`pg_billing doctor`: each misconfiguration is planted, and exactly the check that names it fails.
`pg_billing webhook`: the worker's own endpoint, and no other."""
import json
import os
import subprocess

import pytest

from harness.simulated_stripe import SimulatedStripe
from harness.waiting import until
from harness.worker import SECRET, binary

VERSION = "2025-10-29.clover"


class Setup:
    """A worker, its database and its account, all as they have to be."""

    def __init__(self, database, stripe, worker):
        self.database, self.stripe, self.worker = database, stripe, worker
        self.environment = {**worker.environment, "STRIPE_PUBLISHABLE_KEY": "pk_test_1", "PG_BILLING_WEBHOOK_URL": worker.webhook}

    def run(self, *arguments):
        return subprocess.run([binary(), *arguments], env=self.environment, capture_output=True, text=True, timeout=60)

    def verdicts(self):
        """The checks that are not ok, by verdict."""
        done = self.run("doctor", "--json")
        report = json.loads(done.stdout)
        assert (done.returncode == 0) == (report["failed"] == 0), done.stderr
        for check in report["checks"]:
            assert check["message"] and (check["verdict"] in ("ok", "unknown") or (check["cause"] and check["command"])), check
        found = {}
        for check in report["checks"]:
            found.setdefault(check["verdict"], set()).add(check["check"])
        return found

    @property
    def endpoint(self):
        return next(one for one in self.stripe.get("webhook_endpoints")["data"] if one["url"] == self.worker.webhook)

    def plan(self, **plan):
        self.database.execute("SELECT {s}.upsert_plan(%s)", (json.dumps(plan),))


@pytest.fixture
def setup(database, workers):
    with SimulatedStripe() as stripe:
        worker = workers(database, environment=stripe.environment)
        made = Setup(database, stripe, worker)
        registered = made.run("webhook", "register")
        assert registered.returncode == 0, registered.stderr
        made.secret = registered.stdout.partition("STRIPE_WEBHOOK_SECRET=")[2].split()[0]
        keys = [price["lookup_key"] or price["id"] for price in stripe.everything("prices")]
        made.plan(id="all", prices=[{"lookup_key" if not key.startswith("price_") else "price_id": key} for key in keys], credits={"credits": "5"})
        yield made


def another_endpoint(setup, url):
    setup.stripe.post("webhook_endpoints", url=url, enabled_events=["*"], api_version=VERSION)


def fewer_events(setup):
    events = [event for event in setup.endpoint["enabled_events"] if event != "invoice.paid"]
    setup.stripe.post(f"webhook_endpoints/{setup.endpoint['id']}", enabled_events=events)


def another_version(setup):
    old = setup.endpoint
    setup.stripe.delete(f"webhook_endpoints/{old['id']}")
    setup.stripe.post("webhook_endpoints", url=old["url"], enabled_events=["*"], api_version="2020-08-27")


def an_unlinked_customer(setup):
    subscription = {"id": "sub_x", "object": "subscription", "customer": "cus_x", "status": "active", "items": {"object": "list", "data": []}}
    setup.database.process({"id": "evt_x", "object": "event", "type": "customer.subscription.created", "created": 1700000000, "livemode": False,
                            "api_version": VERSION, "data": {"object": subscription}})
    setup.database.execute("UPDATE {s}.stripe_events SET created_at = now() - interval '2 days'")


def a_late_retry(setup):
    invoice = {"id": "in_x", "object": "invoice", "customer": "cus_x", "status": "open", "attempt_count": 1, "created": 1700000000,
               "next_payment_attempt": 1700000000 + 20 * 86400}
    setup.database.execute("INSERT INTO {s}.stripe_objects (livemode, object_type, object_id, object, event_created) VALUES (false, 'invoice', 'in_x', %s, now())",
                           (json.dumps(invoice),))


PLANTED = {
    "settings": lambda s: s.environment.update(STRIPE_LIVE_MODE="true"),
    "database": lambda s: s.environment.update(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none"),
    "versions": lambda s: s.database.execute("UPDATE pg_extension SET extversion = '0.1.99' WHERE extname = 'pg_billing'"),
    "mode": lambda s: s.database.execute("SELECT {s}.set_billing_setting('mode', 'live', 'planted')"),
    "key": lambda s: s.environment.update(STRIPE_SECRET_KEY=""),
    "account": lambda s: s.stripe.steer("account", charges_enabled=False),
    "clock": lambda s: s.stripe.steer("clock", seconds=600),
    "endpoint": lambda s: s.stripe.post(f"webhook_endpoints/{s.endpoint['id']}", disabled=True),
    "endpoint_events": fewer_events,
    "endpoint_version": another_version,
    "endpoint_single": lambda s: another_endpoint(s, s.worker.webhook),
    "webhook_secret": lambda s: s.environment.update(STRIPE_WEBHOOK_SECRET="whsec_another"),
    "plan_prices": lambda s: s.plan(id="gone", prices=[{"price_id": "price_gone"}], credits={"credits": "5"}),
    "portal": lambda s: s.stripe.post(f"billing_portal/configurations/{s.stripe.get('billing_portal/configurations')['data'][0]['id']}", active=False),
    "grace": a_late_retry,
    "parked": an_unlinked_customer,
}
WARNED = {
    "publishable_key": lambda s: s.environment.update(STRIPE_PUBLISHABLE_KEY=""),
    "endpoint_single": lambda s: another_endpoint(s, "https://old.example/hook"),
    "prices_without_plan": lambda s: s.stripe.post("prices", currency="eur", unit_amount=100, recurring={"interval": "month"}, product_data={"name": "x"}),
    "plan_credits": lambda s: s.plan(id="bare", prices=[]),
}


def test_nothing_is_wrong(setup):
    found = setup.verdicts()
    assert "failed" not in found and "unknown" not in found and found["warning"] == {"maintenance"}
    assert setup.run("doctor").stdout.endswith("nothing failed\n")


@pytest.mark.parametrize("check", PLANTED)
def test_what_is_planted_is_found(setup, check):
    PLANTED[check](setup)
    assert setup.verdicts()["failed"] == {check}


@pytest.mark.parametrize("check", WARNED)
def test_what_may_be_wrong_is_told(setup, check):
    WARNED[check](setup)
    found = setup.verdicts()
    assert found["warning"] == {check, "maintenance"} and "failed" not in found


def test_jobs_of_pg_cron_that_are_missing(cluster, setup):
    """pg_cron lives in one database of the cluster; here its table is enough."""
    setup.database.execute("CREATE SCHEMA cron")
    setup.database.execute("CREATE TABLE cron.job (jobname text, active boolean, database text)")
    assert setup.verdicts()["failed"] == {"maintenance"}
    setup.database.execute("INSERT INTO cron.job SELECT jobname, true, current_database() FROM {s}.maintenance_jobs()")
    assert "warning" not in setup.verdicts()


def test_no_secret_is_told(setup):
    for plant in ("webhook_secret", "account"):
        PLANTED[plant](setup)
    done = setup.run("doctor")
    for secret in (SECRET, setup.secret, setup.environment["STRIPE_SECRET_KEY"], "whsec_another"):
        assert secret not in done.stdout + done.stderr


def test_the_own_endpoint_is_switched_and_no_other(setup):
    another_endpoint(setup, "https://other.example/hook")
    assert "secret" in setup.run("webhook", "register").stdout
    assert len(setup.stripe.get("webhook_endpoints")["data"]) == 2
    assert setup.run("webhook", "disable").returncode == 0
    assert {one["url"]: one["status"] for one in setup.stripe.get("webhook_endpoints")["data"]} == {
        setup.worker.webhook: "disabled", "https://other.example/hook": "enabled"}
    # What happened meanwhile was never sent, and is made good.
    setup.stripe.pay(setup.stripe.checkout(setup.stripe.price("pro"), client_reference_id="ada"))
    assert not setup.database.state("ada")["has_access"]
    enabled = setup.run("webhook", "enable", "--since", "1h")
    assert enabled.returncode == 0 and "missing" in enabled.stdout, enabled.stderr
    assert setup.endpoint["status"] == "enabled"
    until(lambda: setup.database.state("ada")["state"] == "active")


def test_an_endpoint_that_somebody_else_made_is_adopted_only_when_asked(setup):
    setup.stripe.post(f"webhook_endpoints/{setup.endpoint['id']}", metadata="")
    refused = setup.run("webhook", "register")
    assert refused.returncode == 2 and "--adopt" in refused.stderr
    assert setup.run("webhook", "disable").returncode == 2
    assert setup.run("webhook", "register", "--adopt").returncode == 0
    assert setup.endpoint["metadata"] == {"pg_billing": setup.worker.webhook} and len(setup.stripe.get("webhook_endpoints")["data"]) == 1


def test_a_secret_is_rotated_without_a_gap(setup, tmp_path):
    old = setup.endpoint
    rotated = setup.run("webhook", "rotate", "--secret-file", str(tmp_path / "secret"))
    secret = (tmp_path / "secret").read_text().strip().partition("=")[2]
    assert rotated.returncode == 0 and secret not in rotated.stdout
    assert os.stat(tmp_path / "secret").st_mode & 0o777 == 0o600
    too_early = setup.run("webhook", "rotate", "--finish")
    assert too_early.returncode == 2 and "newest" in too_early.stderr
    setup.environment["STRIPE_WEBHOOK_SECRET"] = f"{secret},{setup.secret}"
    assert f"deleted {old['id']}" in setup.run("webhook", "rotate", "--finish").stdout
    assert [one["id"] for one in setup.stripe.get("webhook_endpoints")["data"]] != [old["id"]]
    assert setup.run("webhook", "rotate", "--finish").returncode == 0
    assert len(setup.stripe.get("webhook_endpoints")["data"]) == 1


def test_webhooks_arrive_with_the_registered_secret(database, workers):
    """As on the first day: registered, its secret put into the settings, and a payer's checkout."""
    with SimulatedStripe() as stripe:
        worker = workers(database, environment=stripe.environment)
        setup = Setup(database, stripe, worker)
        secret = setup.run("webhook", "register").stdout.partition("STRIPE_WEBHOOK_SECRET=")[2].split()[0]
        worker.stop()
        worker.environment["STRIPE_WEBHOOK_SECRET"] = secret
        worker.start()
        stripe.pay(stripe.checkout(stripe.price("pro"), client_reference_id="ada"))
        until(lambda: stripe.state()["undelivered"] == 0)
        until(lambda: database.state("ada")["state"] == "active")
