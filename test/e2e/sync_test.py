"""pg_billing sync: an account whose webhooks were never seen comes into the database whole; killed at any moment, with
live webhooks arriving meanwhile.

  PG_BILLING_SYNC_OBJECTS=100000 python3 -m pytest … -s test/e2e/sync_test.py -k "whole or killed"
"""
import contextlib
import http.server
import json
import os
import signal
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import pytest

from harness import objects
from harness.history import settle
from harness.life import Life
from harness.waiting import until
from harness.worker import SECRET, binary, free_port

KEY = "sk_test_0123456789abcdef"
OBJECTS = int(os.environ.get("PG_BILLING_SYNC_OBJECTS", "3000"))
# Of a simulated customer in six months, about.
OBJECTS_EACH = 17
EVENTS_EACH = 60
LISTS = {"product": "products", "price": "prices", "customer": "customers", "subscription": "subscriptions?status=all",
         "subscription_schedule": "subscription_schedules", "invoice": "invoices", "payment_intent": "payment_intents",
         "charge": "charges", "invoice_payment": "invoice_payments", "refund": "refunds", "dispute": "disputes",
         "credit_note": "credit_notes", "checkout.session": "checkout/sessions"}


class Simulation:
    """A simulated account whose API is served; what it posts goes to `post`, or nowhere."""

    def __init__(self, directory, *arguments, post=None):
        self.address = f"127.0.0.1:{free_port()}"
        command = [binary(), "simulate", "--serve", self.address, "--out", directory, "--noise", "0", "--end", "now",
                   *map(str, arguments), *(["--post", post] if post else [])]
        self.process = subprocess.Popen(command, env={"STRIPE_WEBHOOK_SECRET": SECRET}, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        assert "serving" in self.process.stderr.readline()
        self.directory = directory

    def ended(self):
        assert any("the history has ended" in line for line in self.process.stderr)
        self.truth = [json.loads(line) for line in (self.directory / "truth.jsonl").read_text().splitlines()]
        self.links = [json.loads(line) for line in (self.directory / "links.jsonl").read_text().splitlines()]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    @property
    def environment(self):
        return {"STRIPE_SECRET_KEY": KEY, "STRIPE_API_BASE": f"http://{self.address}", "STRIPE_API_RATE": "1000"}

    def get(self, path):
        """Again where the simulated API breaks off, as it does now and then."""
        question = urllib.request.Request(f"http://{self.address}/v1/{path}", headers={"Authorization": f"Bearer {KEY}"})
        return until(lambda: answer_to(question), "an answer")

    def all(self, path):
        path += "&limit=100" if "?" in path else "?limit=100"
        after, found = "", []
        while True:
            page = self.get(path + after)
            found += page["data"]
            if not page["has_more"]:
                return found
            after = "&starting_after=" + page["data"][-1]["id"]


def answer_to(question):
    try:
        with urllib.request.urlopen(question, timeout=10) as answer:
            return json.load(answer)
    except OSError:
        return None


@pytest.fixture
def simulations(tmp_path):
    running = []

    def start(*arguments, **options):
        running.append(Simulation(tmp_path / f"account_{len(running)}", *arguments, **options))
        return running[-1]
    yield start
    for one in running:
        one.close()


def command(database, environment, *arguments):
    return [binary(), "sync", *arguments], {"PATH": os.environ["PATH"], "DATABASE_URL": database.url(), **environment}


def sync(database, environment, *arguments, code=0, timeout=200):
    words, variables = command(database, environment, *arguments)
    run = subprocess.run(words, env=variables, capture_output=True, text=True, timeout=timeout)
    assert run.returncode == code, run.stdout + run.stderr
    assert KEY not in run.stdout + run.stderr
    return run


def report_of(run):
    return json.loads(run.stdout)


def differences(database, simulation):
    """What the mirror has otherwise than the account, and whose state is not as it is."""
    found = []
    for object_type, path in LISTS.items():
        stored = {row["object_id"]: row for row in database.rows(
            "SELECT object_id, object, event_id FROM {s}.stripe_objects WHERE object_type = %s AND object IS NOT NULL"
            " AND (object_type = 'subscription' OR NOT deleted)", (object_type,))}
        true = {one["id"]: one for one in simulation.all(path)}
        if object_type == "price":
            true |= {one["id"]: one for one in simulation.all("prices?active=false")}
        found += [(object_type, key) for key in sorted(true.keys() | stored.keys())
                  if key not in true or key not in stored or not same(stored[key], true[key])]
    for user in simulation.truth:
        state = timeless(database.state(user["user_id"], user["as_of"]))
        found += [(user["user_id"], name, state.get(name), value) for name, value in timeless(user["state"]).items()
                  if state.get(name) != value and not state["ambiguous"]]
    return found


def same(row, true):
    """What a webhook has told last is in the shape of the webhooks' version, not in the API's."""
    if row["event_id"].startswith("fetch_"):
        return row["object"] == true
    return all(row["object"].get(name) == true.get(name) for name in ("id", "status", "created", "metadata", "amount", "customer"))


def timeless(state):
    """Older versions do not tell when an item's period began, and so that of the subscription."""
    state = json.loads(json.dumps(state))
    for one in [state, *(state.get("subscriptions") or [])]:
        one.pop("current_period_start", None)
        for item in one.get("items") or []:
            item.pop("current_period_start", None)
    return state


def everything(database):
    """What follows from the account, without what tells when and by whom it was learned. Where a charge alone tells of a
    refund, it is of the time when it last did."""
    return {table: database.rows(f"SELECT to_jsonb(t) - '{{updated_at,event_id,event_created,computed_at,expires_at,valid_from,state,generation,origin,created_at,refunded_at,ended_at}}'::text[] AS row FROM {{s}}.{table} t ORDER BY 1")
            for table in ("user_subscriptions", "payments", "enrollments", "trial_usage", "stripe_customer_links", "credit_grants",
                          "credit_imported_sources", "billing_notifications")}


def changes(before, after):
    """[(table, column, was, is)]"""
    found = [(table, "rows", len(rows), len(after[table])) for table, rows in before.items() if len(rows) != len(after[table])]
    return found or [(table, name, old["row"][name], new["row"][name]) for table, rows in before.items()
                     for old, new in zip(rows, after[table]) for name in old["row"] if old["row"][name] != new["row"][name]]


def finish(database, simulation):
    """What a person would do at the end: link those whom nothing names, or nothing any more, as they were deleted."""
    unlinked = {row["id"] for row in database.rows(
        "SELECT stripe_customer_id AS id FROM {s}.stripe_customer_links WHERE user_id IS NULL"
        " UNION SELECT object_id FROM {s}.stripe_objects o WHERE object_type = 'customer'"
        " AND NOT EXISTS (SELECT FROM {s}.stripe_customer_links WHERE stripe_customer_id = o.object_id)")}
    for user in simulation.truth:
        for customer in set(user["customers"]) & unlinked:
            database.link(user["user_id"], customer)
    settle(database)


def test_a_whole_account_is_read(database, simulations):
    simulation = simulations("--customers", OBJECTS // OBJECTS_EACH, "--upgrades", "0", "--api-faults", "0.02")
    simulation.ended()
    began = time.monotonic()
    listed = sum(len(simulation.all(path)) for path in LISTS.values())
    listing = listed / (time.monotonic() - began)
    run = sync(database, simulation.environment, "--json", timeout=3000)
    report = report_of(run)
    read = sum(counts["objects"] for counts in report["types"].values())
    print(f"\n{read} objects, {report['objects_a_second']} a second: {report['objects_a_second'] / listing:.2f} of reading the lists alone, one after the other")
    assert report["status"] == "complete" and report["unread"] == []
    assert {row["status"] for row in database.rows("SELECT outcome AS status FROM {s}.stripe_sync_runs")} == {"complete"}
    unlinked = report["links"]["unlinked"]
    assert unlinked >= len(simulation.links) and all(one["reason"] for one in report["links"]["unlinked_customers"])
    finish(database, simulation)
    assert differences(database, simulation)[:5] == []
    assert database.value("SELECT count(*) FROM {s}.billing_notifications") == 0
    assert database.value("SELECT count(*) FROM {s}.credit_grants") == 0
    if OBJECTS <= 10000:
        assert database.rows("SELECT table_name, row_key, difference FROM {s}.rebuild_billing_state()") == []
    before = everything(database)
    again = report_of(sync(database, simulation.environment, "--json", timeout=3000))
    assert again["run_id"] == 2 and changes(before, everything(database)) == []


class Mailbox(http.server.ThreadingHTTPServer):
    """Takes webhooks and loses them, until there is a worker to pass them on to."""

    def __init__(self):
        self.worker = None
        self.lost = 0
        super().__init__(("127.0.0.1", 0), PassOn)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/"


class PassOn(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        worker, status = self.server.worker, 200
        if worker is None:
            self.server.lost += 1
        else:
            question = urllib.request.Request(worker, body, {"Stripe-Signature": self.headers["Stripe-Signature"], "Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(question, timeout=20) as answer:
                    status = answer.status
            except urllib.error.HTTPError as error:
                status = error.code
            except OSError:
                status = 503
        self.send_response_only(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def test_killed_three_times_while_live_webhooks_arrive(database, workers, simulations):
    mailbox = Mailbox()
    customers = OBJECTS // OBJECTS_EACH
    simulation = simulations("--customers", customers, "--upgrades", "0", "--rate", "800", "--connections", "4", post=mailbox.url)
    try:
        until(lambda: mailbox.lost > 0.8 * EVENTS_EACH * customers, "webhooks are lost", 3000)
        mailbox.worker = workers(database, environment=simulation.environment).webhook
        time.sleep(1)  # what was on its way into the void
        words, variables = command(database, {**simulation.environment, "STRIPE_API_RATE": "15"}, "--json")
        kept = 0
        for _ in range(3):
            with subprocess.Popen(words, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
                until(lambda kept=kept: (database.value("SELECT sum(objects) FROM {s}.stripe_sync_slices") or 0) > kept + OBJECTS // 30, "it reads", 600)
                run.send_signal(signal.SIGKILL)
            kept = database.value("SELECT sum(objects) FROM {s}.stripe_sync_slices")
        assert database.value("SELECT outcome IS NULL FROM {s}.stripe_sync_runs")
        report = report_of(sync(database, simulation.environment, "--json", timeout=3000))
        assert (report["run_id"], report["status"]) == (1, "complete")
        simulation.ended()
        assert database.value("SELECT count(*) FROM {s}.stripe_events WHERE endpoint IS NULL OR endpoint <> 'sync'") > 100
        # What is stale by the server's clock is not so by the account's, which was behind it until now.
        until(lambda: database.value("SELECT count(*) FROM {s}.stripe_refetches WHERE settled_at IS NULL AND reason <> 'stale'") == 0,
              "what is in doubt is settled", 600)
        finish(database, simulation)
        assert differences(database, simulation)[:5] == []
        if OBJECTS <= 10000:
            assert database.rows("SELECT table_name, row_key, difference FROM {s}.rebuild_billing_state()") == []
    finally:
        mailbox.shutdown()
        mailbox.server_close()


class Account(http.server.ThreadingHTTPServer):
    """Lists of objects by type, all on one page."""

    def __init__(self):
        self.lists = {}
        self.refusals = {}  # path -> (status, error)
        super().__init__(("127.0.0.1", 0), ListHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()

    @property
    def environment(self):
        return {"STRIPE_SECRET_KEY": KEY, "STRIPE_API_BASE": f"http://127.0.0.1:{self.server_address[1]}", "STRIPE_API_RATE": "500"}


class ListHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        status, answer = 200, {"object": "list", "has_more": False, "data": self.server.lists.get(url.path, [])}
        if "active=false" in url.query:
            answer["data"] = []
        if url.path in self.server.refusals:
            status, error = self.server.refusals[url.path]
            answer = {"error": error}
        body = json.dumps(answer).encode()
        self.send_response_only(status)
        self.send_header("Date", self.date_time_string(time.time()))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def account():
    with contextlib.closing(Account()) as running:
        yield running


def paying(name, age):
    """The events of a customer with an invoice paid so many seconds ago, which grants 100 credits a month."""
    life = Life(name, items=((objects.PRO, 1),), start=int(time.time()) - age)
    return [life.customer_created(metadata={"user_id": name}), life.subscribed(), *life.first_invoice()]


def latest(events):
    found = {}
    for one in events:
        found[one["data"]["object"]["id"]] = one["data"]["object"]
    return list(found.values())


def fill(account, *told):
    by_type = {}
    for one in latest([one for events in told for one in events]):
        by_type.setdefault(one["object"], []).append(one)
    for object_type, path in LISTS.items():
        account.lists["/v1/" + path.partition("?")[0]] = by_type.get(object_type, [])


def granted(database):
    return {row["user_id"]: int(row["amount"]) for row in database.rows("SELECT user_id, sum(amount) AS amount FROM {s}.credit_grants GROUP BY 1")}


@pytest.mark.parametrize("grants, expected", [((), {}), (("--grants", "current-period"), {"ada": 100})])
def test_what_was_paid_before_grants_what_is_asked_for(databases, account, grants, expected):
    database = databases().grant_since_ever()
    price = {**objects.PRO.json(objects.NEW), "metadata": {"credits": "100"}}
    ada, old = paying("ada", 3600), paying("old", 90 * 86400)
    fill(account, ada, old)
    account.lists["/v1/prices"] = [price]
    sync(database, account.environment, *grants)
    assert granted(database) == expected
    # The webhooks come after all.
    for one in ada + old:
        database.process(one)
    sync(database, account.environment)
    assert granted(database) == expected
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []
    assert database.value("SELECT count(*) FROM {s}.billing_notifications") == 0


def test_what_cannot_be_read_is_said_and_read_the_next_time(database, account):
    told = paying("ada", 3600)
    fill(account, told)
    account.refusals["/v1/disputes"] = (403, {"type": "invalid_request_error", "code": "more_permissions_required", "message": "The key may not read disputes"})
    run = sync(database, account.environment, code=1)
    assert "dispute cannot be read: more_permissions_required: The key may not read disputes" in run.stderr
    assert "run pg_billing sync again" in run.stdout
    account.refusals.clear()
    run = sync(database, account.environment)
    assert "going on with the import" in run.stderr and database.state("ada")["has_access"]


@pytest.mark.parametrize("environment, arguments, code, message", [
    ({"STRIPE_SECRET_KEY": ""}, (), 2, "STRIPE_SECRET_KEY is not set"),
    ({"STRIPE_SECRET_KEY": "sk_live_0123456789"}, (), 2, "STRIPE_SECRET_KEY is a live key, STRIPE_LIVE_MODE says false"),
    ({"STRIPE_SECRET_KEY": "sk_live_0123456789", "STRIPE_LIVE_MODE": "true"}, (), 2, "the key is of live mode, billing.mode of this database is test"),
    ({}, ("--grants", "all"), 2, "not none or current-period"),
    ({}, ("--parallel", "0"), 2, "not from 1 to 32"),
    ({}, ("--grant", "none"), 2, "unknown argument"),
    ({"DATABASE_URL": "postgresql://127.0.0.1:1/nowhere"}, (), 1, "connect"),
])
def test_misuse_is_refused(database, account, environment, arguments, code, message):
    run = sync(database, {**account.environment, **environment}, *arguments, code=code)
    assert message in run.stderr and "hint: " in run.stderr
    assert database.value("SELECT count(*) FROM {s}.stripe_sync_runs") == 0


def test_a_wrong_key_is_refused(database, account):
    account.refusals["/v1/products"] = (401, {"type": "invalid_request_error", "message": "Invalid API Key provided"})
    run = sync(database, account.environment, code=2)
    assert "Stripe does not take the key in STRIPE_SECRET_KEY: Invalid API Key provided" in run.stderr
