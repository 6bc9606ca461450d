"""Simulated histories in several orders of delivery: of payments, refunds and disputes the same is told in each; of access
never two contradicting things, and last what is so."""
import collections

import pytest

from harness.history import Run, deliver, finish

FEATURES = ("--near-duplicates", "0.05", "--duplicates", "0.1", "--drop", "0.1", "--bursts", "0.25", "--upgrades", "0.3")
ORDERS = {"stripe": ("--order", "stripe"), "reversed": ("--order", "reversed"), "shuffled": ("--order", "shuffled")}
SAME_SET = ("payment_confirmed", "refund_issued", "dispute_opened", "dispute_closed")


def told(database, kinds):
    return {(row["user_id"], row["dedupe_key"]) for row in database.rows(
        "SELECT user_id, dedupe_key FROM {s}.billing_notifications WHERE kind = ANY (%s)", (list(kinds),))}


def contradictions(database):
    """Users to whom gaining and losing did not take turns, or whose last word is not what is so."""
    steps = collections.defaultdict(list)
    for row in database.rows("SELECT user_id, kind FROM {s}.billing_notifications WHERE kind LIKE 'access%%'"
                             " ORDER BY user_id, (payload ->> 'sequence')::bigint", ()):
        steps[row["user_id"]].append(row["kind"])
    wrong = {}
    for user_id, kinds in steps.items():
        access = False
        for kind in kinds:
            if (kind == "access_gained") == access:
                wrong[user_id] = kinds
            access = kind != "access_lost"
        if access != database.state(user_id)["has_access"]:
            wrong[user_id] = (kinds, database.state(user_id)["reason"])
    return wrong


@pytest.mark.parametrize("seed", [3])
def test_every_order_tells_the_same(databases, tmp_path, seed):
    sets, seen = {}, collections.Counter()
    for name, arguments in ORDERS.items():
        run = Run(tmp_path / name, "--seed", seed, "--customers", 60, *FEATURES, *arguments)
        database = databases()
        database.execute("SELECT {s}.set_billing_setting('notify_since', '2000-01-01T00:00:00Z', 'tests')")
        # Old histories: what time makes of them would be told at once.
        database.execute("SELECT {s}.set_billing_setting('renewal_slack', '36500 days', 'tests')")
        deliver(database, run)
        finish(database, run)
        assert contradictions(database) == {}
        sets[name] = told(database, SAME_SET)
        for row in database.rows("SELECT kind, count(*) AS n FROM {s}.billing_notifications GROUP BY kind"):
            seen[row["kind"]] += row["n"]
        before = told(database, seen)
        database.execute("SELECT {s}.replay_stripe_event(stripe_event_id) FROM {s}.stripe_events"
                         " WHERE outcome = 'processed' ORDER BY random() LIMIT 200")
        assert told(database, seen) == before
        database.drop()
    print(f"\nseed {seed}: {dict(seen)}")
    assert {name: sorted(found ^ sets["stripe"])[:5] for name, found in sets.items()} == {name: [] for name in ORDERS}
    assert all(seen[kind] for kind in (*SAME_SET, "access_gained", "access_lost", "payment_failed"))
