"""After the storm: what was acknowledged is there once, and everything is as after a calm delivery."""
import collections
import json
import time

from harness.database import Database
from harness.history import rows_of, untrue_credits

# As Database.facts() hides it; what an event waited for last depends on who came first.
HIDDEN = sorted(Database.VOLATILE | {"waiting_for"})
TABLES = {
    "stripe_events": "stripe_event_id",
    "stripe_event_payloads": "stripe_event_id, stripe_created",
    "stripe_objects": "stripe_account, livemode, object_type, object_id",
    "stripe_customer_links": "stripe_customer_id",
    "billing_users": "user_id",
    "user_subscriptions": "user_id, stripe_subscription_id",
    "audit_logs": "user_id, fact",
    "awaited_subscriptions": "user_id, stripe_subscription_id",
    "trial_usage": "user_id, stripe_subscription_id",
    "payments": "user_id, payment_id",
    "enrollments": "user_id, item_id, payment_id",
    "credit_grants": "user_id, grant_key",
}
# Of a state: when it was stored, and whether.
TIMES = {"cached", "cached_at", "expires_at"}
UNPROCESSED = "SELECT stripe_event_id FROM {s}.stripe_events WHERE NOT processed"
EXAMPLES = 5


class Verdict:
    def __init__(self):
        self.lost = []
        self.doubled = []
        self.differing = []
        self.ambiguous = 0
        self.credits = 0  # granted by invoices and trials
        self.forced = 0  # events that only an early retry has settled

    def clean(self):
        return not (self.lost or self.doubled or self.differing)


def deliver_calmly(cluster, history):
    """A database that gets each event once, in Stripe's order, from one session."""
    database = Database(cluster).grant_since_ever()
    for user, customer in history.links:
        database.link(user, customer)
    ids = list(history.made)
    for first in range(0, len(ids), 50):
        database.process(*(history.made[event_id] for event_id in ids[first:first + 50]))
    before = None
    while (now := unprocessed(database)) != before:
        before = now
        retry_all(database)
    return database


def unprocessed(database):
    return {row["stripe_event_id"] for row in database.rows(UNPROCESSED)}


def retry_all(database):
    database.execute("UPDATE {s}.stripe_events SET next_retry_at = now() WHERE NOT processed")
    while database.retry(1000):
        pass


def settle(stage, calm, verdict, timeout):
    """Waits until the workers have retried what the calm run has processed; what then is left is made due."""
    stage.database._connection = None  # the storm has ended it
    expected = unprocessed(calm)
    deadline = time.monotonic() + timeout
    while (left := unprocessed(stage.database) - expected) and time.monotonic() < deadline:
        time.sleep(0.2)
    verdict.forced = len(left)
    for _ in range(20):
        if not unprocessed(stage.database) - expected:
            break
        retry_all(stage.database)


def rows_by_key(database, table):
    """{key: digest of what must be equal}: whole rows of a long run would not fit into memory."""
    columns = TABLES[table]
    rows = database.rows(f"""SELECT jsonb_build_array({columns})::text AS key,
                                    md5((to_jsonb(t) - %s::text[])::text) AS digest FROM {rows_of(table)} AS t""",
                         (HIDDEN,))
    return collections.Counter((row["key"], row["digest"]) for row in rows)


def show(database, table, key):
    rows = database.rows(f"""SELECT to_jsonb(t) - %s::text[] AS row FROM {rows_of(table)} AS t
                              WHERE jsonb_build_array({TABLES[table]}) = %s::jsonb""", (HIDDEN, key))
    return [row["row"] for row in rows]


def difference(got, expected):
    """The members in which two rows differ, to be read by people."""
    if len(got) != 1 or len(expected) != 1:
        return f"{len(got)} rows, {len(expected)} after the calm run"
    one, other = got[0], expected[0]
    return ", ".join(f"{name}: {str(one.get(name))[:300]} <> {str(other.get(name))[:300]}"
                     for name in sorted({*one, *other}) if one.get(name) != other.get(name))


def judge(stage, calm, history, acknowledged, verdict):
    wild = stage.database
    stored = collections.Counter(row["stripe_event_id"]
                                 for row in wild.rows("SELECT stripe_event_id FROM {s}.stripe_events"))
    verdict.lost = [event_id for event_id in acknowledged if event_id not in stored]
    verdict.doubled = [event_id for event_id, times in stored.items() if times > 1]
    for table in TABLES:
        compare_table(wild, calm, table, verdict)
    compare_states(wild, calm, history, verdict)
    compare_credits(wild, history, verdict)
    for row in wild.rows("SELECT * FROM {s}.rebuild_billing_state()"):
        verdict.differing.append(f"rebuild_billing_state: {json.dumps(row, default=str)[:1000]}")
    for row in wild.rows("SELECT * FROM {s}.verify_credit_ledger()"):
        verdict.differing.append(f"verify_credit_ledger: {json.dumps(row, default=str)[:1000]}")


def compare_table(wild, calm, table, verdict):
    got, expected = rows_by_key(wild, table), rows_by_key(calm, table)
    keys = {key for key, _ in (got - expected) + (expected - got)}
    counts = collections.Counter(key for key, _ in got.elements())
    known = {key for key, _ in expected}
    for number, key in enumerate(sorted(keys)):
        # An effect that the calm run does not have is a doubled one.
        extra = counts[key] > 1 or (table in ("audit_logs", "credit_grants", "payments", "enrollments") and key not in known)
        kind = verdict.doubled if extra else verdict.differing
        told = difference(show(wild, table, key), show(calm, table, key)) if number < EXAMPLES else ""
        kind.append(f"{table} {key}: {told}")


def compare_states(wild, calm, history, verdict):
    """Each user's state at one instant, in both databases and in truth; and what the cache tells at this moment."""
    for user, truth in history.truth.items():
        got, expected = wild.state(user, history.as_of), calm.state(user, history.as_of)
        # What there was at a past instant follows from when each grant was written down.
        for state in (got, expected):
            state.pop("credits", None)
        if got != expected:
            verdict.differing.append(f"state of {user}: {difference([got], [expected])}")
        elif got["ambiguous"]:
            verdict.ambiguous += 1
        elif wrong := untrue(got, truth, history.whole_truth):
            verdict.differing.append(f"truth of {user}: {wrong}")
    stale = wild.rows("""SELECT user_id, cached, fresh FROM {s}.billing_users,
                                {s}.get_user_subscription_state(user_id) AS cached,
                                {s}.get_user_subscription_state(user_id, statement_timestamp()) AS fresh
                          WHERE cached - %s::text[] <> fresh - %s::text[]""", (sorted(TIMES), sorted(TIMES)))
    for row in stale:
        verdict.differing.append(f"cache of {row['user_id']}: {difference([row['cached']], [row['fresh']])}")


def compare_credits(wild, history, verdict):
    """What invoices and trials have granted, and what they must have."""
    verdict.credits = wild.value(
        "SELECT coalesce(sum(amount), 0)::bigint FROM {s}.credit_grants WHERE source IN ('invoice', 'trial')")
    if not history.credits:
        return
    ambiguous = {user["user_id"] for user in history.credits if wild.state(user["user_id"], history.as_of)["ambiguous"]}
    for user, found in untrue_credits(wild, history.credits).items():
        if user not in ambiguous:
            verdict.differing.append(f"credits of {user}: {str(found)[:1000]}")


def untrue(state, truth, whole):
    """What is not as it is in truth, or "". The truth does not tell everything that a state has."""
    if whole:
        truth = {name: value for name, value in truth.items() if name not in TIMES}
        found = {name: state.get(name) for name in truth}
        return difference([found], [truth])
    found = {one["stripe_subscription_id"]: {
        "stripe_status": one["stripe_status"], "cancel_at_period_end": one["cancel_at_period_end"],
        "items": [(item["price_id"], item["quantity"]) for item in one["items"]]} for one in state["subscriptions"]}
    return difference([found], [truth])
