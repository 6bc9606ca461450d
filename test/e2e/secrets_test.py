"""No secret appears where somebody could read it: logs, answers, tables, process titles, SQL text."""
import json
import os
import pathlib
import subprocess
import time
import urllib.error
import urllib.request

from harness.cluster import program
from harness.simulated_stripe import SimulatedStripe
from harness.stripe import Sender
from harness.waiting import until
from harness.worker import SECRET, binary

PUBLISHABLE = "pk_test_0123456789abcdef"
TOKEN = "operator-token-0123456789abcdef"
SHARED = "jwt-secret-0123456789abcdef0123456789abcdef"
NOTIFY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
PASSWORD = "database-password-0123456789"


def everything_in(database):
    """The database as text, statistics and statements included."""
    dump = subprocess.run([program("pg_dump"), "--data-only", database.name], capture_output=True, text=True, check=True,
                          env={**os.environ, **database.cluster.environment()}).stdout
    return dump + json.dumps(database.rows("SELECT query, application_name FROM pg_stat_activity"), default=str)


def test_no_secret_is_left_anywhere(database, workers):
    stripe = SimulatedStripe(secret=SECRET)
    role = database.create_role("billing_worker", "worker")
    admin = database.create_role("billing_admin", "admin")
    database.execute(f"ALTER ROLE \"{role}\" PASSWORD '{PASSWORD}'")
    worker = workers(database, environment={
        **stripe.environment, "STRIPE_PUBLISHABLE_KEY": PUBLISHABLE, "PG_BILLING_OPERATOR_TOKEN": TOKEN, "PGPASSWORD": PASSWORD,
        "PG_BILLING_OPERATOR_DATABASE_URL": database.url(admin), "PG_BILLING_OPERATOR_LISTEN": "127.0.0.1:0", "PG_BILLING_JWT_SECRET": SHARED,
        "PG_BILLING_NOTIFY_SECRET": NOTIFY, "PG_BILLING_NOTIFY_URL": "http://127.0.0.1:1/", "PG_BILLING_LOG_LEVEL": "debug"})
    stripe.command += ["--post", worker.webhook]
    with stripe:
        titles = " ".join(path.read_bytes().decode(errors="replace") for path in pathlib.Path("/proc").glob("[0-9]*/cmdline") if readable(path))
        database.value("SELECT {s}.get_or_create_stripe_customer('ada', 'ada@example.org')")
        customer = until(lambda: database.value("SELECT {s}.get_or_create_stripe_customer('ada', NULL)")["stripe_customer_id"], "a customer")
        stripe.pay(stripe.checkout(stripe.price("pro"), customer=customer))
        until(lambda: database.state("ada")["has_access"], "paid")
        # What fails says more than what succeeds.
        stripe.steer("faults", kind="error", times=3)
        database.value("SELECT {s}.enqueue_stripe_request('ada', '/v1/nothing')")
        database.value("SELECT {s}.cancel_subscription('ada')")
        Sender(worker.webhook, "whsec_of_somebody_else_0123456789").post({"id": "evt_forged", "object": "event", "type": "x", "created": int(time.time()), "data": {"object": {}}})
        for path in ("/readyz", "/metrics", "/billing/config", "/billing/subscription"):
            try:
                worker_says = urllib.request.urlopen(urllib.request.Request(worker.url + path, headers={"Authorization": "Bearer a.b.c"}), timeout=10).read().decode()
            except urllib.error.HTTPError as error:
                worker_says = error.read().decode()
            titles += worker_says.replace(PUBLISHABLE, "") if path == "/billing/config" else worker_says
        until(lambda: not database.value("SELECT count(*) FROM {s}.stripe_requests WHERE finished_at IS NULL"), "requests performed")
        wrong = subprocess.run([binary(), "sync"], capture_output=True, text=True, timeout=60, env={
            "DATABASE_URL": database.url(role), "STRIPE_SECRET_KEY": "sk_test_of_nobody_0123456789", "STRIPE_API_BASE": "http://127.0.0.1:9", "STRIPE_WEBHOOK_SECRET": SECRET})
        assert wrong.returncode != 0
        said = {"tables": everything_in(database), "worker's log": worker.text(), "server's log": database.cluster.log(),
                "titles and answers": titles, "errors": wrong.stdout + wrong.stderr}
        if "PASSWORD" in said["server's log"]:
            said["server's log"] = said["server's log"].replace(f"PASSWORD '{PASSWORD}'", "")  # what this test itself said
    for where, text in said.items():
        for secret in (stripe.key, SECRET, SECRET[6:], TOKEN, SHARED, NOTIFY, NOTIFY[6:], PASSWORD, "sk_test_of_nobody_0123456789"):
            assert secret not in text, (where, secret)


def readable(path):
    try:
        return bool(path.read_bytes())
    except OSError:
        return False
