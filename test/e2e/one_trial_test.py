"""One plan with one trial per person and 402 for everybody else (examples/one_trial.sql), through HTTP and SQL."""
import contextlib
import itertools
import json
import time

import psycopg2
import pytest

from harness import objects
from harness.examples import Backend, run_example
from harness.life import Life, event, flat
from harness.objects import DAY, NEW, OLD
from harness.stripe import Sender

NOW = int(time.time())
MEMBERSHIP = objects.Price("price_1membership", 4990, "prod_membership", "Membership, monthly", currency="brl",
                           lookup_key="membership_monthly")
SOMETHING_ELSE = objects.Price("price_1mug", 900, "prod_mug", "A mug every month", currency="brl")


class Club(Backend):
    """What the back end does, in the roles that the example made for it."""

    def state(self, person, at=None):
        return self.asks("SELECT get_user_subscription_state(%s, to_timestamp(%s))", person, at)

    def trial(self, person):
        return self.asks("SELECT is_trial_eligible(%s)", person)["reason"]

    def request(self, person, path="/reports"):
        """An end user's request, up to the gate: None when it passes, else the code and why."""
        with contextlib.closing(self.database.connect(user="membership_user", autocommit=False)) as connection:
            claims = json.dumps({"sub": person} if person else {"role": "anonymous"})
            self.database.execute("SELECT set_config('request.jwt.claims', %s, true), set_config('request.path', %s, true)",
                                  (claims, path), connection)
            try:
                self.database.execute("SELECT membership.admit()", None, connection)
            except psycopg2.Error as error:
                return error.pgcode, json.loads(error.diag.message_detail)["reason"]
        return None

    def checkout(self, person, name=None, price=MEMBERSHIP, **options):
        """Creates a checkout session as the example says, and lets it be completed: the life that begins, and its events."""
        wanted = self.asks("SELECT membership.checkout(%s)", person)
        assert wanted["mode"] == "subscription" and wanted["client_reference_id"] == person
        data = wanted["subscription_data"]
        life = Life(name or person.removeprefix("user_"), items=((price, 1),), metadata=data["metadata"],
                    **{"start": NOW - 600, **options})
        return life, flat([life.customer_created(), life.subscribed(trial_days=data.get("trial_period_days", 0)),
                           life.first_invoice(), life.checkout_completed(wanted["client_reference_id"])])


@pytest.fixture
def club(database, worker):
    run_example(database, "one_trial", administrator=True)
    club = Club(database, worker)
    with contextlib.closing(club.application):
        yield club
    # What is stored is what the events say, whatever their order was.
    assert database.rows("SELECT table_name, row_key, difference FROM {s}.rebuild_billing_state(false)") == []


# Success criterion 1: the webhook test passes.
def test_a_test_webhook_is_answered_stored_and_processed(club, worker):
    told = event("evt_test", "product.created", objects.product("prod_membership", "Membership"), NOW)
    answer = club.sender.post(told)
    assert (answer.status, answer.json()["outcome"]) == (200, "processed")
    assert club.database.rows("SELECT event_type, processed, error FROM stripe_events") == [
        {"event_type": "product.created", "processed": True, "error": None}]
    assert Sender(worker.webhook, "whsec_of_somebody_else").post({**told, "id": "evt_forged"}).status == 400
    assert club.database.value("SELECT count(*) FROM stripe_events") == 1


# Success criterion 2: end-to-end checkout works.
@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_checkout_with_its_trial(club, version):
    assert club.request("user_ada") == ("PT402", "no_subscription") and club.trial("user_ada") == "eligible"
    assert club.asks("SELECT membership.checkout('user_ada')")["subscription_data"]["trial_period_days"] == 7
    life, events = club.checkout("user_ada", api_version=version)
    club.happens(events)
    state = club.state("user_ada")
    assert (state["state"], state["plan"], state["has_access"]) == ("trialing", "membership", True)
    assert club.request("user_ada") is None
    # Customer linked to user.
    assert club.database.rows("SELECT user_id FROM stripe_customer_links WHERE stripe_customer_id = 'cus_ada'") == [
        {"user_id": "user_ada"}]
    # Trial marked as used, and nothing more to buy.
    (row,) = club.database.rows("SELECT stripe_subscription_id, extract(epoch FROM trial_end - trial_start)::int AS seconds"
                                "  FROM trial_usage WHERE user_id = 'user_ada'")
    assert row == {"stripe_subscription_id": "sub_ada", "seconds": 7 * DAY}
    assert club.trial("user_ada") == "trial_used"
    assert club.asks("SELECT membership.checkout('user_ada')") is None


# Success criterion 3: access control functions.
def test_402_for_whoever_has_no_subscription(club):
    club.happens(club.checkout("user_ada")[1])
    assert club.request("user_ada") is None
    assert club.request("user_bob") == ("PT402", "no_subscription")
    assert club.request(None) == ("PT402", "no_subscription")
    for path in ("/login", *(f"/subscriptions/{what}" for what in ("checkout", "status", "portal", "config"))):
        assert club.request("user_bob", path) is None and club.request(None, path) is None
    assert club.request("user_bob", "/login/../reports") == ("PT402", "no_subscription")
    # What somebody may ask about himself.
    with contextlib.closing(club.database.connect(user="membership_user", autocommit=False)) as connection:
        club.database.execute("""SET LOCAL "request.jwt.claims" = '{"sub": "user_ada"}'""", None, connection)
        assert club.database.value("SELECT my_subscription_state() ->> 'state'", None, connection) == "trialing"


@pytest.mark.parametrize("status, reason", [
    ("incomplete", "payment_incomplete"), ("incomplete_expired", "incomplete_expired"), ("unpaid", "payment_failed"),
    ("paused", "subscription_paused"), ("canceled", "subscription_ended"), ("of_next_year", "unknown_status")])
def test_402_for_a_subscription_that_gives_no_access(club, status, reason):
    life, events = club.checkout("user_ada")
    club.happens(events)
    assert club.request("user_ada") is None
    ended = {"ended_at": life.clock} if status == "canceled" else {}
    club.happens(life.update(status=status, **ended))
    assert club.request("user_ada") == ("PT402", reason)


def test_402_for_a_subscription_to_something_else(club):
    club.happens(club.checkout("user_ada", price=SOMETHING_ELSE)[1])
    assert club.request("user_ada") == ("PT402", "unmapped_price")


# A method that takes days: a voucher, a bank debit.
@pytest.mark.parametrize("version", [OLD, NEW])
def test_402_until_a_delayed_payment_arrives(club, version):
    # Has had a trial, so has to pay now.
    life, events = club.checkout("user_ada", api_version=version, start=NOW - 50 * DAY)
    club.happens(events, life.ended())
    assert "trial_period_days" not in club.asks("SELECT membership.checkout('user_ada')")["subscription_data"]
    again = Life("ada_again", items=((MEMBERSHIP, 1),), metadata={"user_id": "user_ada"}, start=NOW - 600, api_version=version)
    created = again.subscribed(status="incomplete")
    session = {**objects.checkout_session("cs_again", "cus_ada_again", "sub_ada_again", again.clock, 4990, "brl",
                                          user_id="user_ada"), "payment_status": "unpaid"}
    club.happens(again.customer_created(), created, again.emit("checkout.session.completed", session))
    assert club.request("user_ada") == ("PT402", "payment_incomplete")
    assert club.state("user_ada")["next_step"] == "complete_payment"
    # Not bought twice meanwhile.
    assert club.asks("SELECT membership.checkout('user_ada')") is None
    club.happens(again.emit("checkout.session.async_payment_succeeded", {**session, "payment_status": "paid"}),
                 again.paid_events("subscription_create"), again.update(status="active"))
    assert club.request("user_ada") is None


def test_a_delayed_payment_that_never_comes_leaves_the_trial(club):
    """The first payment never succeeded: that was no subscription, and uses up nothing."""
    life = Life("ada", items=((MEMBERSHIP, 1),), metadata={"user_id": "user_ada"}, start=NOW - 5 * DAY)
    created = life.subscribed(status="incomplete")
    session = {**objects.checkout_session("cs_ada", "cus_ada", "sub_ada", life.clock, 4990, "brl", user_id="user_ada"),
               "payment_status": "unpaid"}
    club.happens(created, life.emit("checkout.session.completed", session))
    assert club.request("user_ada") == ("PT402", "payment_incomplete")
    club.happens(life.emit("checkout.session.async_payment_failed", session), life.update(status="incomplete_expired"))
    assert club.request("user_ada") == ("PT402", "incomplete_expired")
    assert club.trial("user_ada") == "eligible"
    assert club.asks("SELECT membership.checkout('user_ada')")["subscription_data"]["trial_period_days"] == 7


def test_a_trial_that_ends_without_a_payment(club):
    """The charge after the trial is declined: grace for a week, then 402, without anything that happens in between."""
    ada, first = club.checkout("user_ada", start=NOW - 9 * DAY)
    bob, second = club.checkout("user_bob", start=NOW - 20 * DAY)
    club.happens(first, second)
    for life in (ada, bob):
        life.clock = life.period[1] + 1
        club.happens(life.payment_failed())
    assert club.request("user_ada") is None and club.state("user_ada")["next_step"] == "update_payment_method"
    assert club.request("user_bob") == ("PT402", "past_due_grace_over")
    club.happens(bob.recovered())
    assert club.request("user_bob") is None


# Success criterion 4: the customer portal works. Its sessions are made at Stripe; what was changed there comes back.
@pytest.mark.parametrize("version", [OLD, NEW])
def test_changes_in_the_portal_come_back(club, version):
    life, events = club.checkout("user_ada", api_version=version)
    club.happens(events, life.cancel_at_period_end())
    state = club.state("user_ada")
    assert (state["state"], state["cancel_at_period_end"], state["renews_at"]) == ("canceled", True, None)
    assert club.request("user_ada") is None
    club.happens(life.resumed())
    state = club.state("user_ada")
    assert (state["state"], state["cancel_at_period_end"], state["ends_at"]) == ("trialing", False, None)
    club.happens(life.customer_updated(email="ada@new.example"), life.ended())
    assert club.request("user_ada") == ("PT402", "subscription_ended")
    assert club.database.value("SELECT object ->> 'email' FROM stripe_objects WHERE object_id = 'cus_ada'") == "ada@new.example"


# Success criterion 5, and the flow of a subscription's status from the first day to the last.
@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize("backwards", [False, True], ids=["in order", "each step backwards"])
def test_the_status_from_the_first_day_to_the_last(club, version, backwards):
    life, events = club.checkout("user_ada", api_version=version, start=NOW - 100 * DAY)

    def step(happened, state, access):
        told = flat([happened])
        club.happens(told[::-1] if backwards else told)
        found = club.state("user_ada", life.clock)
        assert (found["state"], found["has_access"]) == (state, access)
        # The same as at Stripe, whatever came in between.
        stripe = life.subscription
        assert (found["stripe_status"], found["cancel_at_period_end"]) == (stripe["status"], stripe["cancel_at_period_end"])
        assert found["stripe_customer_id"] == stripe["customer"] and found["stripe_subscription_id"] == stripe["id"]
        ends = club.database.value("SELECT extract(epoch FROM current_period_end)::bigint FROM user_subscriptions")
        assert ends == life.period[1]
        return found

    assert club.state("user_ada")["state"] == "no_subscription"
    trial = step(events, "trialing", True)
    assert trial["trial_end"] == trial["renews_at"]
    step(life.advance(days=4).trial_will_end(), "trialing", True)
    step(life.advance(days=3).activated(), "active", True)
    step(life.advance(days=30).renewed(), "active", True)
    ending = step(life.advance(days=10).cancel_at_period_end(), "canceled", True)
    assert (ending["ends_at"], ending["renews_at"]) == (ending["access_until"], None)
    step(life.advance(days=20).ended(), "expired", False)
    assert club.request("user_ada") == ("PT402", "subscription_ended")
    assert club.trial("user_ada") == "trial_used"


# Key concept: trial eligibility. Neither who has tried nor who has subscribed, even if that is canceled.
def test_no_second_trial_after_a_canceled_one(club):
    life, events = club.checkout("user_ada")
    club.happens(events, life.ended())
    assert club.request("user_ada") == ("PT402", "subscription_ended") and club.trial("user_ada") == "trial_used"
    # With another customer at Stripe, the first one deleted, it is the same person.
    club.happens(life.customer_deleted())
    assert club.trial("user_ada") == "trial_used"
    again, events = club.checkout("user_ada", "ada_again")
    assert again.subscription["status"] == "active"
    club.happens(events)
    assert club.request("user_ada") is None
    assert len(club.database.rows("SELECT * FROM trial_usage")) == 1


def test_no_trial_after_a_paid_subscription(club):
    life = Life("ada", items=((MEMBERSHIP, 1),), metadata={"user_id": "user_ada"}, start=NOW - 400 * DAY)
    club.happens(life.subscribed(), life.first_invoice(), life.advance(days=20).ended())
    assert club.database.rows("SELECT * FROM trial_usage") == []
    assert club.trial("user_ada") == "had_subscription"
    assert "trial_period_days" not in club.asks("SELECT membership.checkout('user_ada')")["subscription_data"]
    assert club.asks("SELECT is_trial_eligible('user_bob')") == {
        "user_id": "user_bob", "eligible": True, "reason": "eligible", "next_step": "start_trial", "days": 7}


def test_access_as_a_present_is_no_trial(club):
    assert club.asks("SELECT grant_access('user_ada', 'membership', now() + interval '1 month', 'a friend')")["success"]
    assert club.request("user_ada") is None
    assert club.asks("SELECT membership.checkout('user_ada')")["subscription_data"]["trial_period_days"] == 7
    club.asks("SELECT revoke_access('user_ada', 'membership', 'not any more')")
    assert club.request("user_ada") == ("PT402", "no_subscription") and club.trial("user_ada") == "eligible"


def test_two_checkouts_at_once_are_two_trials_of_one_person_and_the_last(club):
    """Both were opened before any webhook came. What is recorded is what Stripe tells; the next one is refused."""
    (first, one), (second, other) = club.checkout("user_ada", "ada_here"), club.checkout("user_ada", "ada_there")
    assert [life.subscription["status"] for life in (first, second)] == ["trialing", "trialing"]
    club.happens(*itertools.chain(*zip(one, other)))
    assert len(club.database.rows("SELECT * FROM trial_usage WHERE user_id = 'user_ada'")) == 2
    club.happens(first.ended(), second.ended())
    assert club.trial("user_ada") == "trial_used"
    assert "trial_period_days" not in club.asks("SELECT membership.checkout('user_ada')")["subscription_data"]


@pytest.mark.parametrize("last", range(4))
def test_the_trial_is_used_whichever_event_comes_first(club, last):
    life, (customer, created, *invoices, session) = club.checkout("user_ada", start=NOW - 9 * DAY)
    told = [created, life.advance(days=7).update(status="active", trial_start=None, trial_end=None), session, customer]
    told = told[last:] + told[:last]
    for number, one in enumerate(told, 1):
        club.happens(one)
        known = created in told[:number]
        assert not known or club.trial("user_ada") == "trial_used"
    (row,) = club.database.rows("SELECT extract(epoch FROM trial_start)::bigint AS start FROM trial_usage")
    assert row["start"] == created["data"]["object"]["trial_start"]


# Key concept: customers are linked to users; without the link there is no access.
def test_without_the_link_there_is_no_access(club):
    life = Life("ada", items=((MEMBERSHIP, 1),), start=NOW - 600)
    club.happens(life.customer_created(), life.subscribed(trial_days=7), life.first_invoice())
    assert club.request("user_ada") == ("PT402", "no_subscription")
    explained = json.dumps(club.asks("SELECT explain_user('user_ada')"))
    assert "cus_ada has no user" in explained
    assert club.trial("user_ada") == "eligible"
    assert club.asks("SELECT link_stripe_customer('user_ada', 'cus_ada')")["status"] == "linked"
    assert club.request("user_ada") is None and club.trial("user_ada") == "trial_used"


def test_links_that_were_forgotten_are_found(club):
    """The customer's metadata tells the user: fix_customer_links() needs nothing more."""
    life = Life("ada", items=((MEMBERSHIP, 1),), start=NOW - 600)
    club.happens(life.subscribed(trial_days=7), life.first_invoice())
    assert club.request("user_ada") == ("PT402", "no_subscription")
    club.happens(life.customer_created(metadata={"user_id": "user_ada"}))
    fixed = club.database.value("SELECT fix_customer_links()")
    assert fixed["unlinked"] == 0
    assert club.request("user_ada") is None
