"""Simulated histories in several orders of delivery: every order ends with the same rows, and with the truth wherever the
database does not say itself that it is not sure; a rebuild finds nothing to change.

  PG_BILLING_HISTORY_CUSTOMERS=1000 PG_BILLING_HISTORY_SEEDS=5 python3 -m pytest … -s test/e2e/history_truth_test.py
"""
import collections
import json
import os

import pytest

from harness.history import Run, compare_with_truth, deliver, divergent_rows, fingerprints, finish

CUSTOMERS = int(os.environ.get("PG_BILLING_HISTORY_CUSTOMERS", "75"))
SEEDS = [int(seed) for seed in os.environ.get("PG_BILLING_HISTORY_SEEDS", "1,2").split(",")]
FEATURES = ("--near-duplicates", "0.05", "--duplicates", "0.1", "--drop", "0.1", "--bursts", "0.25", "--upgrades", "0.3")
ORDERS = {"stripe": ("--order", "stripe"), "reversed": ("--order", "reversed"), "shuffled": ("--order", "shuffled"),
          "among 100": ("--order", "shuffled", "--window", "100")}
FLAGGED_AT_MOST = 0.1  # of all users: a flag on everything would make every answer right


@pytest.mark.parametrize("seed", SEEDS)
def test_every_order_ends_with_the_truth(databases, tmp_path, seed):
    expected, seen, wrong, divergent, repairs, unsound = None, collections.Counter(), [], [], [], []
    for name, arguments in ORDERS.items():
        run = Run(tmp_path / name, "--seed", seed, "--customers", CUSTOMERS, *FEATURES, *arguments)
        database = databases().grant_since_ever()
        deliver(database, run)
        finish(database, run)
        check_outcomes(database, run)
        flagged, untrue = compare_with_truth(database, run)
        found = fingerprints(database)
        expected = expected or found
        divergent += [(name, *row) for row in sorted(divergent_rows(expected, found))]
        wrong += [(name, user, what) for user, what in untrue.items()]
        unsound += [(name, row["account"], row["invariant"]) for row in database.unsound_credits()]
        seen["credits"] += database.value(
            "SELECT coalesce(sum(amount), 0)::bigint FROM {s}.credit_grants WHERE source IN ('invoice', 'trial')")
        repairs += [(name, row["table_name"], row["row_key"])
                    for row in database.rows("SELECT * FROM {s}.rebuild_billing_state()")]
        seen.update({"users x orders": len(run.truth), "flagged": len(flagged), "events": run.summary["events"],
                     "deliveries": len(run.events)})
        database.drop()
    figures = {**seen, "orders": len(ORDERS), "divergent rows": len(divergent), "wrong without a flag": len(wrong),
               "found by a rebuild": len(repairs), "unsound accounts": len(unsound),
               "flagged %": round(100 * seen["flagged"] / seen["users x orders"], 2)}
    print(f"\nseed {seed}: " + ", ".join(f"{name} {number}" for name, number in figures.items()))
    assert (divergent[:5], wrong[:5], repairs[:5], unsound[:5]) == ([], [], [], [])
    assert seen["flagged"] <= seen["users x orders"] * FLAGGED_AT_MOST


def check_outcomes(database, run):
    """Everything is processed, but what is of live mode in a test-mode database."""
    outcomes = {row["outcome"]: row["n"] for row in database.rows(
        "SELECT outcome, count(*) AS n FROM {s}.stripe_events GROUP BY outcome")}
    live = {event["id"] for event in map(json.loads, run.events) if event["livemode"]}
    assert outcomes == {"processed": run.summary["events"] - len(live), **({"ignored": len(live)} if live else {})}
