"""What webhooks leave in doubt, settled by asking the (simulated) account."""
import contextlib
import itertools
import json
import subprocess
import threading
import time
import urllib.request

import pytest

from harness import objects
from harness.account import KEY, Account
from harness.life import Life, event
from harness.objects import PRO, PRO_YEARLY
from harness.stripe import Sender
from harness.waiting import until
from harness.worker import SECRET, binary, free_port

@pytest.fixture
def account():
    with contextlib.closing(Account()) as running:
        yield running


def settled(database, count=1):
    return database.value("SELECT count(*) FROM {s}.stripe_refetches WHERE settled_at IS NOT NULL") >= count


def two_of_one_second(life):
    """Two changes of one second that do not say what they changed: nobody can tell which was the last."""
    one, other = dict(life.subscription), dict(life.subscription)
    one["metadata"], other["metadata"] = {"user_id": life.name, "note": "one"}, {"user_id": life.name, "note": "other"}
    return [event(f"evt_{life.name}_{note}", "customer.subscription.updated", snapshot, life.clock)
            for note, snapshot in (("x", one), ("y", other))]


def test_what_is_ambiguous_is_settled(any_database, workers, account):
    database, life = any_database, Life("ada", items=((PRO, 1),), start=int(time.time()) - 60)
    worker = workers(database, environment=account.environment)
    sender = Sender(worker.webhook, worker.secret)
    for made in (life.customer_created(metadata={"user_id": "ada"}), life.subscribed()):
        sender.post(made)
    account.objects["/v1/subscriptions/sub_ada"] = {**life.subscription, "metadata": {"user_id": "ada", "note": "one"}}
    account.faults = [500, 0, 429]
    for made in two_of_one_second(life):
        sender.post(made)
    until(lambda: settled(database), "fetched and stored")
    row = database.rows("SELECT ambiguous, object -> 'metadata' ->> 'note' AS note, event_id FROM {s}.stripe_objects"
                        " WHERE object_type = 'subscription'")[0]
    assert (row["ambiguous"], row["note"]) == (False, "one") and row["event_id"].startswith("fetch_")
    assert not database.state("ada")["ambiguous"] and database.state("ada")["has_access"]
    _, headers = account.requests[-1]
    assert headers["Authorization"] == f"Bearer {KEY}" and headers["Stripe-Version"]
    # What happens afterwards wins; what happened before does not come back.
    life.clock = int(time.time()) + 5
    sender.post(life.update(cancel_at_period_end=True))
    assert database.state("ada")["cancel_at_period_end"]
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []
    assert KEY not in worker.text()
    assert worker.metrics()['pg_billing_stripe_fetches_total{outcome="processed"}'] == 1


def test_any_order_of_events_and_fetches_gives_the_same(databases):
    """A fetch is one more event: the rule of order does not care when it comes."""
    life = Life("ada", items=((PRO, 1),))
    told = [life.customer_created(metadata={"user_id": "ada"}), life.subscribed()]
    pair = two_of_one_second(life)
    fetched = event("fetch_0000000000000000001", "customer.subscription.updated", {**life.subscription, "metadata": {"user_id": "ada", "note": "one"}}, life.clock + 1)
    life.clock += 2
    after = life.update(quantity=3)
    database = databases()
    found = set()
    for order in itertools.permutations([*told, *pair, fetched]):
        for made in (*order, after) if order[0] is told[0] else order:
            database.process(made)
        row = database.rows("SELECT event_id, ambiguous FROM {s}.stripe_objects WHERE object_type = 'subscription'")[0]
        found.add((order[0] is told[0], row["event_id"], row["ambiguous"]))
        database.execute("TRUNCATE {s}.stripe_events, {s}.stripe_event_payloads, {s}.stripe_objects, {s}.stripe_customer_links,"
                         " {s}.billing_users, {s}.user_subscriptions, {s}.subscription_cache, {s}.audit_logs, {s}.stripe_refetches")
    assert found == {(True, after["id"], False), (False, fetched["id"], False)}


def test_a_fetch_of_the_same_second_settles_nothing_and_the_next_one_does(database, workers, account):
    life = Life("ada", items=((PRO, 1),), start=int(time.time()) - 60)
    workers(database, environment=account.environment)
    database.process(life.customer_created(metadata={"user_id": "ada"}), life.subscribed())
    account.objects["/v1/subscriptions/sub_ada"] = {**life.subscription, "metadata": {"user_id": "ada", "note": "third"}}
    account.clock = life.clock + 2  # less the time that it takes, and one: the second in question
    database.process(*two_of_one_second(life))
    until(lambda: len(account.requests) >= 1)
    until(lambda: database.value("SELECT count(*) FROM {s}.stripe_events WHERE stripe_event_id LIKE 'fetch_%%'") >= 1)
    assert database.value("SELECT ambiguous FROM {s}.stripe_objects WHERE object_type = 'subscription'")
    account.clock = None
    until(lambda: settled(database))
    assert database.value("SELECT object -> 'metadata' ->> 'note' FROM {s}.stripe_objects WHERE object_type = 'subscription'") == "third"


def test_thin_events_and_lists_cut_short(database, workers, account):
    life = Life("ada", items=((PRO, 1), (PRO_YEARLY, 2)), start=int(time.time()) - 60)
    worker = workers(database, environment=account.environment)
    made = life.subscribed()
    whole = json.loads(json.dumps(life.subscription))
    whole["items"]["url"] = "/v1/subscription_items?subscription=sub_ada"
    cut = json.loads(json.dumps(whole))
    cut["items"].update(data=whole["items"]["data"][:1], has_more=True)
    account.objects["/v1/subscriptions/sub_ada"] = cut
    account.objects["/v1/subscription_items?subscription=sub_ada&limit=100"] = {"object": "list", "has_more": False, "data": whole["items"]["data"]}
    customer = objects.customer("cus_ada", life.clock, life.api_version, email="ada@example.org", name="Ada", metadata={"user_id": "ada"})
    account.objects["/v1/customers/cus_ada"] = customer
    made["data"]["object"] = cut
    thin = {"id": "evt_thin", "object": "v2.core.event", "type": "v1.customer.updated", "livemode": False,
            "created": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(life.clock)),
            "related_object": {"id": "cus_ada", "type": "customer", "url": "/v1/customers/cus_ada"}}
    sender = Sender(worker.webhook, worker.secret)
    assert {sender.post(one).status for one in (made, thin)} == {200}
    assert database.value("SELECT count(*) FROM {s}.stripe_refetches WHERE reason IN ('thin', 'truncated')") == 2
    until(lambda: settled(database, 2))
    items = database.value("SELECT jsonb_array_length(object -> 'items' -> 'data') FROM {s}.stripe_objects WHERE object_type = 'subscription'")
    assert items == 2 and database.state("ada")["has_access"]
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []


def test_a_renewal_that_nobody_tells_of_is_asked_for(database, workers, account):
    now = int(time.time())
    life = Life("ada", items=((PRO, 1),), start=now - 31 * 86400)
    database.process(life.customer_created(metadata={"user_id": "ada"}),
                     life.subscribed(period=(now - 30 * 86400, now - 3 * 3600)))
    assert database.state("ada")["stale"]
    objects.set_period(life.subscription, (now - 3 * 3600, now + 27 * 86400), life.api_version)
    account.objects["/v1/subscriptions/sub_ada"] = life.subscription
    worker = workers(database, environment=account.environment)
    until(lambda: settled(database))
    state = database.state("ada")
    assert not state["stale"] and state["has_access"]
    # Once: it is not asked for again until hours later.
    assert database.value("SELECT {s}.request_stale_refetches()") == 0
    assert [line["reason"] for line in worker.log_lines() if line.get("event") == "stripe_object_fetched"] == ["stale"]


def test_what_cannot_be_fetched_stays_flagged_and_is_tried_later(database, workers, account):
    """A key of another account finds nothing: that must delete nothing."""
    life = Life("ada", items=((PRO, 1),), start=int(time.time()) - 60)
    database.process(life.customer_created(metadata={"user_id": "ada"}), life.subscribed(), *two_of_one_second(life))
    worker = workers(database, environment=account.environment)
    until(lambda: database.value("SELECT error IS NOT NULL FROM {s}.stripe_refetches"))
    row = database.rows("SELECT error, attempts, settled_at, next_attempt_at > now() AS later FROM {s}.stripe_refetches")[0]
    assert row["error"] == "resource_missing: No such object (req_test)" and row["later"] and row["settled_at"] is None
    assert database.state("ada")["has_access"] and database.state("ada")["ambiguous"]
    assert worker.metrics()['pg_billing_stripe_fetches_total{outcome="failed"}'] >= 1
    # However often it has failed: a key that is corrected tomorrow finds it.
    database.execute("UPDATE {s}.stripe_refetches SET attempts = 2000000000")
    database.execute("SELECT {s}.postpone_stripe_refetch('', false, 'subscription', 'sub_ada', 'again')")
    assert database.value("SELECT next_attempt_at BETWEEN now() + '23 hours' AND now() + '1 day' FROM {s}.stripe_refetches")


def test_a_deleted_customer_is_known_as_deleted(database, workers, account):
    life = Life("ada", items=((PRO, 1),), start=int(time.time()) - 60)
    database.process(life.customer_created(metadata={"user_id": "ada"}), life.subscribed())
    assert database.state("ada")["has_access"]
    account.objects["/v1/customers/cus_ada"] = {"id": "cus_ada", "object": "customer", "deleted": True}
    thin = {"id": "evt_thin", "object": "v2.core.event", "type": "v1.customer.deleted_elsewhere", "livemode": False,
            "created": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
            "related_object": {"id": "cus_ada", "type": "customer", "url": "/v1/customers/cus_ada"}}
    database.process(thin)
    workers(database, environment=account.environment)
    until(lambda: settled(database))
    assert not database.state("ada")["has_access"]


def test_without_a_key_it_stays_flagged(database, worker):
    life = Life("ada", items=((PRO, 1),), start=int(time.time()) - 60)
    database.process(life.customer_created(metadata={"user_id": "ada"}), life.subscribed(), *two_of_one_second(life))
    time.sleep(5)
    assert database.state("ada")["ambiguous"] and not settled(database)


def test_what_events_wait_for_is_fetched(database, workers, account):
    """The events of a customer and of a price were lost; what was told later waits for both."""
    life = Life("ada", items=((PRO, 1),), start=int(time.time()) - 60)
    account.objects["/v1/customers/cus_ada"] = life.customer_created(metadata={"user_id": "ada"})["data"]["object"]
    database.process(life.subscribed())
    assert not database.state("ada")["has_access"]
    database.execute("UPDATE {s}.stripe_events SET created_at = now() - interval '31 seconds'")
    workers(database, environment=account.environment)
    until(lambda: settled(database), "fetched and stored")
    assert until(lambda: database.state("ada")["has_access"], "what waited took effect")
    assert database.rows("SELECT user_id, source FROM {s}.stripe_customer_links") == [{"user_id": "ada", "source": "customer_metadata"}]
    assert database.value("SELECT {s}.request_missing_refetches()") == 0


def test_a_whole_account_settles_what_its_events_leave_open(database, workers):
    """Events that are lost, in bursts of one second: in the end what was in doubt is as the account has it, whose API
    answers with 429, 500 and broken connections now and then."""
    api = f"127.0.0.1:{free_port()}"
    worker = workers(database, environment={"STRIPE_SECRET_KEY": KEY, "STRIPE_API_BASE": f"http://{api}", "STRIPE_API_RATE": "500"})
    command = [binary(), "simulate", "--serve", api, "--post", worker.webhook, "--customers", "30", "--end", "now", "--noise", "0",
               "--bursts", "0.6", "--drop", "0.2", "--lose", "--api-faults", "0.2"]
    with subprocess.Popen(command, env={"STRIPE_WEBHOOK_SECRET": SECRET}, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as simulation:
        try:
            assert any("the history has ended" in line for line in simulation.stderr)
            database.value("SELECT {s}.request_stale_refetches()")
            until(lambda: database.value("SELECT count(*) FROM {s}.stripe_refetches WHERE settled_at IS NULL") == 0, "all is settled", 90)
            wanted = database.rows("SELECT object_type, object_id, reason FROM {s}.stripe_refetches")
            assert {"ambiguous", "stale"} <= {row["reason"] for row in wanted}
            for row in wanted:
                if row["object_type"] != "subscription":
                    continue
                question = urllib.request.Request(f"http://{api}/v1/subscriptions/{row['object_id']}", headers={"Authorization": f"Bearer {KEY}"})
                truth = until(lambda question=question: answer_to(question), "an answer")
                stored = database.value("SELECT object FROM {s}.stripe_objects WHERE object_type = 'subscription' AND object_id = %s", (row["object_id"],))
                assert stored == truth
            assert database.value("SELECT count(*) FROM {s}.stripe_objects WHERE ambiguous") == 0
            assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []
        finally:
            simulation.terminate()


def answer_to(question):
    """None where the simulated API breaks off, as it does now and then."""
    try:
        with urllib.request.urlopen(question, timeout=10) as answer:
            return json.load(answer)
    except OSError:
        return None


@pytest.mark.parametrize("base, message", [("http://api.example.com", "plain http to another machine"), ("ftp://x", "not an http or https URL")])
def test_the_key_goes_nowhere_else(base, message):
    run = subprocess.run([binary(), "serve"], env={"STRIPE_WEBHOOK_SECRET": "whsec_x", "STRIPE_SECRET_KEY": KEY, "STRIPE_API_BASE": base},
                         capture_output=True, text=True, timeout=20)
    assert run.returncode == 2 and message in run.stderr and KEY not in run.stderr
