"""What pg_billing simulate has written: delivered to a database, and compared with the truth beside it."""
import collections
import json
import os
import subprocess

from .database import Database
from .worker import SECRET, binary

BATCH = 60
TABLES = {
    "stripe_events": "stripe_event_id",
    "stripe_objects": "stripe_account, livemode, object_type, object_id",
    "stripe_customer_links": "stripe_customer_id",
    "billing_users": "user_id",
    "user_subscriptions": "user_id, stripe_subscription_id",
    "awaited_subscriptions": "user_id, stripe_subscription_id",
    "trial_usage": "user_id, stripe_subscription_id",
    "audit_logs": "user_id, fact",
    "credit_grants": "user_id, grant_key",
    "payments": "user_id, payment_id",
    "enrollments": "user_id, item_id, payment_id",
}
# Of a grant what is due in the end. How much of it was granted at first and then taken back or added, when, and its place
# among the others depend on what was known when it was written down; whose trial it was, on whose event came first.
GRANTS_DUE = """(SELECT user_id, regexp_replace(grant_key, ':more:[0-9]+$', '') AS grant_key,
                        sum(amount - reversal_target) AS due, category, source, stripe_invoice_id, priority,
                        requires_subscription, rollover,
                        CASE WHEN grant_key <> 'trial' THEN stripe_subscription_id END AS stripe_subscription_id
                   FROM {s}.credit_grants
                  GROUP BY user_id, 2, category, source, stripe_invoice_id, priority, requires_subscription, rollover, 10
                 HAVING sum(amount - reversal_target) > 0)"""
BY_EVENTS = """(SELECT * FROM {s}.audit_logs
                 WHERE action NOT IN ('setting_changed', 'event_replayed', 'billing_state_rebuilt'))"""
ROWS = {"credit_grants": GRANTS_DUE, "audit_logs": BY_EVENTS}
# What an event waited for last depends on who came first.
HIDDEN = sorted(Database.VOLATILE | {"waiting_for"})


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
    deliver_events(database, run.events, connection)


def deliver_events(database, events, connection=None):
    for first in range(0, len(events), BATCH):
        for event_id, outcome, error in database.process(*events[first:first + BATCH], connection=connection):
            assert outcome != "failed", (event_id, error)


def settle(database):
    """What waits for its next try is made due now, until nothing is left."""
    for _ in range(20):
        if not database.value("SELECT count(*) FROM {s}.stripe_events WHERE NOT processed"):
            return
        database.execute("UPDATE {s}.stripe_events SET next_retry_at = now() WHERE NOT processed")
        database.retry(1000)
    assert not database.rows("SELECT stripe_event_id, error FROM {s}.stripe_events WHERE NOT processed")


def finish(database, run):
    """What a person would do at the end: link those whom no event names."""
    for link in run.links:
        database.link(link["user_id"], link["stripe_customer_id"])
    settle(database)


def compare_with_truth(database, run):
    """Returns the users that the database itself is not sure about, and what is wrong about others: {user: what}."""
    flagged, wrong = set(), {}
    rows = {row["stripe_subscription_id"]: row for row in database.rows("SELECT * FROM {s}.user_subscriptions")}
    for user in run.truth:
        state = database.state(user["user_id"], user["as_of"])
        if state["ambiguous"]:
            flagged.add(user["user_id"])
        elif found := untrue(user, state, rows):
            wrong[user["user_id"]] = found
    for user_id, found in untrue_credits(database, run.truth).items():
        if user_id not in flagged:
            wrong.setdefault(user_id, []).extend(found)
    known = {one["stripe_subscription_id"] for user in run.truth for one in user["subscriptions"]}
    for subscription_id in rows.keys() - known:
        wrong[rows[subscription_id]["user_id"]] = f"{subscription_id}, which nobody has"
    return flagged, wrong


def untrue_credits(database, truth):
    """Whose grants are not those that must exist: {user: [(invoice or trial, granted, true)]}. Of upgrades, and of
    invoices whose credits the truth does not tell, nothing is said."""
    granted = collections.defaultdict(dict)
    for row in database.rows("""SELECT user_id, coalesce(stripe_invoice_id, grant_key) AS source, sum(amount) AS amount
                                  FROM {s}.credit_grants WHERE source IN ('invoice', 'trial') GROUP BY 1, 2"""):
        granted[row["user_id"]][row["source"]] = int(row["amount"])
    wrong = {}
    for user in truth:
        got, due = granted.pop(user["user_id"], {}), user["credits"]
        found = [(source, got.get(source, 0), due.get(source, 0)) for source in sorted({*got, *due})
                 if due.get(source, 0) is not None and got.get(source, 0) != due.get(source, 0)]
        if found:
            wrong[user["user_id"]] = found
    return wrong | {user_id: [("nobody's", sources, {})] for user_id, sources in granted.items()}


def untrue(user, state, rows):
    """What is told of a user and is not so: [(where, told, true)]."""
    found = [(name, state.get(name), value) for name, value in user["state"].items() if state.get(name) != value]
    for subscription in user["subscriptions"]:
        row = rows.get(subscription["stripe_subscription_id"])
        if row is None:
            found.append((subscription["stripe_subscription_id"], None, subscription["status"]))
            continue
        told = {**row, **{name: row[name] and row[name].isoformat() for name in ("event_created", "paid_through")}}
        true = {"user_id": user["user_id"], "metadata": subscription["object"]["metadata"],
                **{name: subscription[name] for name in ("stripe_customer_id", "status", "customer_deleted",
                                                         "event_created", "paid_through")}}
        found += [(f"{subscription['stripe_subscription_id']} {name}", told[name], value)
                  for name, value in true.items() if told[name] != value]
    return found


def fingerprints(database):
    """{table: how often each (key, digest of what has to be equal)}: whole rows of many would not fit into memory."""
    return {table: collections.Counter((row["key"], row["digest"]) for row in database.rows(
                f"""SELECT jsonb_build_array({key})::text AS key, md5((to_jsonb(t) - %s::text[])::text) AS digest
                      FROM {rows_of(table)} AS t""", (HIDDEN,)))
            for table, key in TABLES.items()}


def rows_of(table):
    return ROWS.get(table, f"{{s}}.{table}")


def divergent_rows(one, other):
    """Keys of the rows in which two databases differ: {(table, key)}."""
    return {(table, key) for table, rows in one.items()
            for key, _ in (rows - other[table]) + (other[table] - rows)}
