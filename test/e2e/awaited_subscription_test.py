"""A checkout that was completed for a subscription that nobody has told of yet: no second one is offered until it comes,
whatever comes first."""
import itertools
import json

import pytest

from harness import objects
from harness.life import Life, event

START = 1_795_000_000


def bought(name="ada", **changes):
    """A customer whose checkout is completed, and the subscription that it bought."""
    life = Life(name, start=START)
    created, subscribed = life.customer_created(), life.subscribed()
    completed = life.checkout_completed(f"user_{name}")
    completed["data"]["object"].update(changes)
    return life, created, subscribed, completed


def offer(database, user_id="user_ada"):
    """As the cache has it, and as it is computed: the same."""
    state = database.state(user_id)
    fresh = database.state(user_id, database.value("SELECT statement_timestamp()"))
    assert state == fresh | {name: state[name] for name in ("cached", "cached_at", "expires_at")}
    return state["state"], state["reason"], state["next_step"], state["can_purchase"], state["has_access"]


AWAITED = ("no_subscription", "subscription_awaited", "refetch_subscription", False, False)
NOTHING = ("no_subscription", "no_subscription", "subscribe", True, False)
ACTIVE = ("active", "active", None, False, True)


def awaited(database):
    return database.rows("SELECT user_id, stripe_subscription_id FROM {s}.awaited_subscriptions")


def test_no_second_subscription_is_offered_while_the_first_is_awaited(database):
    life, created, subscribed, completed = bought()
    database.process(created, completed)
    assert offer(database) == AWAITED
    why = database.value("SELECT {s}.explain_user('user_ada')")
    assert why["next_step"] == "refetch_subscription"
    assert any("cs_test_ada" in line and "sub_ada" in line and "customer.subscription.created" in line
               for line in why["why"]), why["why"]
    trial = database.value("SELECT {s}.is_trial_eligible('user_ada')")
    assert (trial["eligible"], trial["reason"]) == (False, "subscription_awaited")
    database.process(subscribed)
    assert offer(database) == ACTIVE
    assert awaited(database) == []
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []


def test_every_order_ends_alike(database):
    for number, order in enumerate(itertools.permutations(range(4))):
        life, created, subscribed, completed = bought(f"order{number}")
        ended = life.ended()
        told = [created, subscribed, completed, ended]
        for place in order:
            database.process(told[place])
        assert offer(database, f"user_order{number}")[1:4] == ("subscription_ended", "subscribe", True), order
    assert awaited(database) == []


def test_who_had_one_before_waits_for_the_new_one(database):
    life, created, subscribed, completed = bought()
    database.process(created, subscribed, completed, life.ended())
    again = event("evt_again", "checkout.session.completed",
                  objects.checkout_session("cs_again", life.customer_id, "sub_again", life.clock, 2900, "eur",
                                           user_id="user_ada"), life.clock)
    database.process(again)
    assert offer(database) == ("expired", "subscription_awaited", "refetch_subscription", False, False)
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []


def test_a_subscription_that_runs_says_what_to_do_first(database):
    life, created, subscribed, completed = bought()
    database.process(created, subscribed, completed, *life.payment_failed())
    again = event("evt_again", "checkout.session.completed",
                  objects.checkout_session("cs_again", life.customer_id, "sub_again", life.clock, 2900, "eur",
                                           user_id="user_ada"), life.clock)
    before = offer(database)
    database.process(again)
    assert offer(database) == before and before[3] is False


@pytest.mark.parametrize("changes", [{"status": "open"}, {"status": "expired"}, {"mode": "payment"},
                                     {"subscription": None}, {"mode": "setup"}])
def test_what_bought_no_subscription_is_not_waited_for(database, changes):
    life, created, subscribed, completed = bought(**changes)
    database.process(created, completed)
    assert offer(database) == NOTHING
    assert awaited(database) == []


def test_the_link_may_come_last(database):
    life, created, subscribed, completed = bought(client_reference_id=None, metadata={})
    database.process(created, completed)
    assert offer(database) == NOTHING
    database.link("user_ada", life.customer_id)
    assert offer(database) == AWAITED
    database.process(subscribed)
    assert offer(database) == ACTIVE


def test_a_deleted_customer_awaits_nothing(database):
    for number, first in enumerate(("deleted", "completed")):
        life, created, subscribed, completed = bought(f"gone{number}")
        deleted = life.customer_deleted()
        database.process(created, *((deleted, completed) if first == "deleted" else (completed, deleted)))
        assert offer(database, f"user_gone{number}") == NOTHING
    assert awaited(database) == []
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []


def test_a_subscription_whose_events_wait_for_a_lock_is_awaited_still(database):
    """Its event is stored, but it is not the user's yet."""
    life, created, subscribed, completed = bought()
    database.process(created, completed)
    with database.connect() as application:
        application.cursor().execute("SELECT FROM billing_users WHERE user_id = 'user_ada' FOR UPDATE")
        assert database.outcomes(subscribed) == ["parked"]
        assert offer(database) == AWAITED
        application.rollback()
    database.execute("UPDATE {s}.stripe_events SET next_retry_at = now() WHERE NOT processed")
    database.retry()
    assert offer(database) == ACTIVE


def test_of_other_peoples_subscriptions_nothing_will_be_told(database):
    database.execute("SELECT {s}.set_billing_setting('scope', %s, 'tests')",
                     (json.dumps({"products": ["prod_ours"], "metadata": {"app": "shop"}}),))
    life, created, subscribed, completed = bought("theirs")
    assert database.outcomes(created, completed, subscribed) == ["processed", "processed", "ignored"]
    assert offer(database, "user_theirs") == NOTHING
    life, created, subscribed, completed = bought("ours", metadata={"app": "shop"})
    database.process(created, completed)
    assert offer(database, "user_ours") == AWAITED


def test_what_was_lost_is_rebuilt(database):
    life, created, subscribed, completed = bought()
    database.process(created, completed)
    database.execute("DELETE FROM {s}.awaited_subscriptions")
    found = database.rows("SELECT table_name, difference, repaired FROM {s}.rebuild_billing_state(apply => true)")
    assert [tuple(row.values()) for row in found] == [("awaited_subscriptions", "missing", True)]
    assert offer(database) == AWAITED
