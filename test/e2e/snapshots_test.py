"""Snapshots in the mirror, and what is read back of them, are what the event said."""
import json
import time

from harness.life import Life, event
from harness.stripe import payload_of

SAME = """SELECT o.object = (p.payload::jsonb #> '{data,object}') AND o.object::text = (p.payload::jsonb #> '{data,object}')::text
            FROM {s}.stripe_objects o JOIN {s}.stripe_event_payloads p ON p.stripe_event_id = o.event_id WHERE o.object_id = %s"""
NUMBERS = [0, -1, 1, 42, 2**31, 2**53 + 1, 2**63 - 1, -2**63, 2**64 - 1, 0.5, -0.25, 1.5, 1e-7, 1234567.125, 1e20]


def test_any_value_comes_as_it_was(database):
    product = {"id": "prod_any", "object": "product", "name": "Zwölf \u2028 \"Äpfel\" \\ / \t 🍏", "": "empty key", "numbers": NUMBERS,
               "empty": [{}, [], "", None, True, False], "nested": {"a": {"b": {"c": [[[1]], {"d": [None]}]}}},
               "keys": {str(number) * (number % 5 + 1): number for number in range(100)}, "long": "x" * 5000}
    assert database.outcomes(event("evt_any", "product.updated", product, int(time.time()))) == ["processed"]
    assert database.value(SAME, ("prod_any",)) is True


def test_numbers_that_no_double_holds_exactly_stay_numbers(database):
    text = payload_of(event("evt_big", "product.updated", {"id": "prod_big", "object": "product", "big": "BIG"}, int(time.time())))
    database.process(text.replace('"BIG"', "123456789012345678901234567890"))
    assert float(database.value("SELECT object ->> 'big' FROM {s}.stripe_objects WHERE object_id = 'prod_big'")) == 123456789012345678901234567890.0


def test_the_metadata_of_a_subscription_is_read_back_as_it_was(database):
    metadata = {"user_id": "ann", "note": "Grüße ☂", "json": json.dumps({"a": [1, 2.5]})}
    life = Life("ann", metadata=metadata)
    database.process(life.customer_created(metadata={"user_id": "ann"}), life.subscribed(), *life.first_invoice())
    assert database.value("SELECT metadata FROM {s}.user_subscriptions WHERE user_id = 'ann'") == metadata


def test_credits_of_any_size_leave_the_stored_state_whole(database):
    """They are put into the stored jsonb where it lies: what stands behind them must be found as before."""
    life = Life("ann", metadata={"user_id": "ann"})
    database.process(life.customer_created(metadata={"user_id": "ann"}), life.subscribed(), *life.first_invoice())
    plain = database.value("SELECT state - 'credits' - 'can_use_credits' FROM {s}.subscription_cache WHERE user_id = 'ann'")
    balance = 0
    for digits in range(1, 17):
        database.execute("SELECT {s}.grant_credits('ann', %s)", (10 ** (digits - 1),))
        balance += 10 ** (digits - 1)
        told = database.rows("SELECT s AS state, s = s::text::jsonb AS whole FROM {s}.get_user_subscription_state('ann') s")[0]
        assert told["whole"] and told["state"]["cached"]
        assert told["state"].pop("credits") == {"balance": balance, "held": 0, "available": balance}
        assert told["state"].pop("can_use_credits") is True
        assert told["state"] == plain
