"""What the operator's page shows and does: every page, every form, and what becomes of them when something is wrong."""
import json
import threading
import time
from urllib.parse import quote

import pytest

from harness.life import Life, event, flat
from harness.operator_page import OperatorPage
from harness.stripe import post
from harness.waiting import until
from wire import event as small_event, logged

HOSTILE = '"><script>alert(1)</script><!-- \'&'


@pytest.fixture
def page(database):
    database.grant_since_ever()
    with OperatorPage(database) as running:
        running.sign_in()
        yield running


def subscriber(name, user=None, **options):
    life = Life(name, **options)
    events = flat([life.customer_created(), life.subscribed(), life.first_invoice()])
    return life, events + ([life.checkout_completed(user)] if user else [])


def test_every_page_says_what_to_do_where_there_is_nothing(page):
    for path, said in {"/": "No subscription brings in anything yet", "/events": "No event has come in yet",
                       "/events?type=invoice.paid": "No event is like that", "/parked": "No event waits for a user",
                       "/users": "Nothing has happened to any user yet", "/users?q=nobody": "Nobody is found by nobody",
                       "/user?id=nobody": "This user has no subscription", "/credits?user=nobody": "The ledger has no entry",
                       "/alerts": "Nothing checks alerts regularly",
                       "/link?customer=cus_new": "No event waits for this customer"}.items():
        answer = page.get(path)
        assert answer.status == 200 and said in answer.text, (path, answer.text)
        assert "All times are UTC" in answer.text
    for path in ("/event?id=evt_none", "/event", "/conflict?customer=cus_none"):
        assert page.get(path).status == 404
    for path in ("/user", "/credits", "/link"):
        assert page.get(path).status == 400


def test_the_overview_tells_health_revenue_and_alerts(database, page):
    _, events = subscriber("ada", "user_ada")
    assert set(database.outcomes(*events)) == {"processed"}
    database.outcomes(*subscriber("bob")[1])
    text = page.get("/").text
    assert "Webhooks ready" in text and "test mode" in text
    mrr = database.rows("SELECT mrr FROM {s}.metrics_mrr")[0]["mrr"]
    assert f"{mrr / 100:.2f} EUR now" in text
    assert f"0 of {len(events) + 4} failed within 7 days" in text
    database.execute("UPDATE {s}.stripe_events SET outcome = 'failed', processed = false, retry_count = 20"
                     " WHERE stripe_event_id = 'evt_ada_03'")
    text = page.get("/").text
    assert "events_given_up" in text and "mend the cause, then SELECT replay_stripe_event" in text
    assert "Given up 1 need a replay by hand" in text


def test_events_are_found_by_what_is_asked_for(database, page):
    database.process(*subscriber("ada", "user_ada")[1], *subscriber("bob")[1])

    def found(query):
        answer = page.get("/events?" + query)
        assert answer.status == 200, answer.text
        return {row["stripe_event_id"] for row in database.rows("SELECT stripe_event_id FROM {s}.stripe_events")
                if f'/event?id={row["stripe_event_id"]}"' in answer.body}

    everything = found("")
    assert len(everything) == 9
    assert found("type=invoice.paid") == {"evt_ada_03", "evt_bob_03"}
    assert found("type=customer.*") == {event_id for event_id in everything if event_id[-2:] in ("01", "02")}
    assert found("outcome=parked") == found("outcome=unprocessed") == {"evt_bob_02", "evt_bob_03", "evt_bob_04"}
    assert found("customer=cus_bob") == {event_id for event_id in everything if "bob" in event_id}
    assert found("user=user_ada") == {event_id for event_id in everything if "ada" in event_id}
    assert found("user=user_ada&type=invoice.paid") == {"evt_ada_03"}
    assert found("id=evt_bob_02") == {"evt_bob_02"}
    assert found("object=sub_ada") == {"evt_ada_02"}
    assert found("waiting=customer%3Acus_bob") == {"evt_bob_02", "evt_bob_03", "evt_bob_04"}
    assert found("from=2020-01-01T00:00") == everything and found("to=2020-01-01T00:00") == set()
    assert found("outcome=given_up") == set()
    wrong = page.get("/events?from=yesterday-ish")
    assert wrong.status == 400 and "invalid input syntax" in wrong.text and "22007" in wrong.text


def test_a_long_list_of_events_comes_in_pages(database, page):
    database.process(*(small_event(number) for number in range(120)))
    seen, path = [], "/events?type=customer.updated"
    for rows in (50, 50, 20):
        body = page.get(path).body
        here = [part.partition('"')[0] for part in body.split('/event?id=')[1:]]
        assert len(here) == rows and not set(here) & set(seen)
        seen += here
        older = body.partition(">Older events<")[0].rpartition('href="')[2].partition('"')[0]
        path = older.replace("&amp;", "&")
    assert len(seen) == 120 and "Older events" not in body


def test_a_payload_is_shown_without_what_is_personal(database, page):
    ada, events = subscriber("ada", "user_ada")
    intent = {"id": "pi_1", "object": "payment_intent", "customer": "cus_ada", "amount": 2900, "currency": "eur",
              "client_secret": "pi_1_secret_hush", "receipt_email": "ada@example.com", "status": "succeeded",
              "shipping": {"name": "Ada Lovelace", "address": {"line1": "12 Lane"}}, "created": ada.clock,
              "metadata": {"item_id": "course_7", "note": "her mother pays"}, "livemode": False}
    database.process(*events, event("evt_pi", "payment_intent.succeeded", intent, ada.clock))
    answer = page.get("/event?id=evt_pi")
    for hidden in ("hush", "ada@example.com", "Lovelace", "12 Lane", "her mother"):
        assert hidden not in answer.body
    assert '"item_id": "course_7"' in answer.text and '"amount": 2900' in answer.text
    assert "ada@example.com" not in "".join(page.get(path).body for path in ("/events", "/user?id=user_ada", "/parked"))


def test_a_replay_is_done_once_with_its_reason(database, page):
    database.process(*subscriber("ada", "user_ada")[1])
    database.execute("UPDATE {s}.stripe_events SET outcome = 'failed', error = 'a lock', processed = false,"
                     " retry_count = 20 WHERE stripe_event_id = 'evt_ada_03'")
    page_of_event = page.get("/event?id=evt_ada_03")
    assert "given up" in page_of_event.text and "a lock" in page_of_event.text
    nothing = page.change("/event?id=evt_ada_03", "/event/replay", id="evt_ada_03", reason="  ")
    assert nothing.status == 400 and "does not say a reason" in nothing.text
    done = page.change("/event?id=evt_ada_03", "/event/replay", id="evt_ada_03", reason=f"ticket 7 {HOSTILE}")
    assert "The event was applied again: processed." in done.text and "<script>alert" not in done.body
    assert "applied again" not in page.get("/event?id=evt_ada_03").text
    kept = database.rows("SELECT actor, reason FROM {s}.audit_logs WHERE action = 'event_replayed'")
    assert kept == [{"actor": "billing_operator", "reason": f"ticket 7 {HOSTILE}"}]
    assert logged(page.worker, "operator_change", role="billing_operator", path="/event/replay")


def test_a_parked_customer_is_linked(database, page):
    database.process(*subscriber("bob")[1])
    assert "cus_bob" in page.get("/parked").text
    form = page.get("/link?customer=cus_bob")
    assert "evt_bob_02" in form.text
    done = page.change("/link?customer=cus_bob", "/link", customer="cus_bob", user="user_bob", reason="ticket 4711")
    assert "cus_bob is linked to user_bob; 3 waiting events took effect." in done.text and "has access" in done.text
    assert "No event waits for a user" in page.get("/parked").text
    assert "linked already" in page.get("/link?customer=cus_bob").text
    kept = database.rows("SELECT actor, reason FROM {s}.audit_logs WHERE action = 'customer_linked'")
    assert {"actor": "billing_operator", "reason": "ticket 4711"} in kept
    again = page.change("/", "/link", customer="cus_bob", user="user_eve", reason="mistaken")
    assert again.status == 409 and "cus_bob is already linked to user_bob" in again.text
    assert "never moves between users silently" in again.text and "23505" in again.text


@pytest.mark.parametrize("user, said", [("user_ada", "cus_ada stays with user_ada."), ("user_zoe", "cus_ada has moved to user_zoe.")])
def test_a_conflict_is_settled(database, page, user, said):
    ada, events = subscriber("ada", "user_ada")
    database.process(*events, ada.checkout_completed("user_zoe"))
    assert "user_zoe" in page.get("/parked").text
    assert "user_zoe" in page.get("/conflict?customer=cus_ada").text
    done = page.change("/conflict?customer=cus_ada", "/conflict", customer="cus_ada", user=user, reason="asked her")
    assert said in done.text and "No customer is claimed by two users." in done.text


def test_a_users_whole_story(database, page):
    plan = {"id": "pro", "prices": [{"price_id": "price_pro_monthly", "cycle": "monthly"}],
            "features": {"messages": {"limit": 1234, "window": "month"}}}
    database.execute("SELECT {s}.upsert_plan(%s, 'tests')", (json.dumps(plan),))
    ada, events = subscriber("ada", "user_ada")
    database.process(*events)
    answer = page.get("/user?id=user_ada")
    assert answer.status == 200, answer.text
    for said in ("user_ada has access", "sub_ada", "cus_ada", "subscription_activated", "messages yes 1,234", "All events of this user"):
        assert said in answer.text, said
    assert "/user?id=user_ada" in page.get("/users?q=user_ada").body
    assert "/user?id=user_ada" in page.get("/users?q=cus_ada").body
    database.execute("SELECT {s}.rename_user('user_ada', 'user_lovelace', 'married')")
    assert "the user is now user_lovelace" in page.get("/user?id=user_ada").text
    assert "former id (renamed)" in page.get("/users?q=user_ada").text
    database.process(ada.ended())
    database.execute("SELECT {s}.erase_user('user_lovelace', 'asked for')")
    assert "Who this user is was erased at 2" in page.get("/user?id=user_lovelace").text


def test_users_are_found_by_their_address(database, page):
    database.execute("SELECT {s}.get_or_create_stripe_customer('user_ada', 'Ada@example.com')")
    assert "/user?id=user_ada" in page.get("/users?q=ada%40example.com").body
    bob = Life("bob")
    database.process(bob.customer_created(), bob.checkout_completed("user_bob"))
    email = database.value("SELECT object->>'email' FROM {s}.stripe_objects WHERE object_type = 'customer'")
    if email:
        assert "/user?id=user_bob" in page.get("/users?q=" + email.replace("@", "%40")).body


def test_a_statement_of_credits_comes_in_pages(database, page):
    database.execute("SELECT {s}.grant_credits('user_ada', 1000, reason => 'a gift')")
    for number in range(70):
        database.execute("SELECT {s}.use_credits_validated('user_ada', 1, %s)", (f"page {number}",))
    first = page.get("/credits?user=user_ada")
    assert "Available 930" in first.text and "page 69 " in first.text and "page 20 " in first.text and "page 19 " not in first.text
    second = page.get("/credits?user=user_ada&before=22")
    assert "page 19 " in second.text and "a gift" in second.text and "page 20 " not in second.text


def test_values_of_others_are_never_markup(database, page):
    name = f"evil{HOSTILE}"
    life = Life(name, metadata={"note": HOSTILE})
    database.process(life.customer_created({"note": "</pre>" + HOSTILE}), life.subscribed(),
                     life.checkout_completed(f"user_{HOSTILE}"), *subscriber(f"bob{HOSTILE}")[1])
    paths = ["/", "/events", "/parked", "/users", "/alerts", "/events?type=" + quote(HOSTILE),
             "/user?id=" + quote(f"user_{HOSTILE}"), "/users?q=" + quote(HOSTILE), "/event?id=" + quote(f"evt_{name}_01"),
             "/event?id=" + quote(HOSTILE), "/credits?user=" + quote(HOSTILE), "/link?customer=" + quote(f"cus_bob{HOSTILE}"),
             "/nowhere" + quote(HOSTILE), "/link?customer=" + quote(HOSTILE)]
    for path in paths:
        answer = page.get(path)
        assert answer.status in (200, 404), (path, answer.text)
        assert "<script>alert" not in answer.body and "<!-- " not in answer.body
        assert answer.body.count("<script") == 1
    assert f"user_{HOSTILE}" in page.get("/user?id=" + quote(f"user_{HOSTILE}")).text
    refused = page.change("/", "/link", customer=HOSTILE, user=HOSTILE, reason=HOSTILE)
    assert refused.status == 400 and "<script>alert" not in refused.body
    # Bytes that are no text, and a NUL, are as if nothing had been asked.
    assert page.get("/events?id=%ff").status == 200 and page.get("/user?id=a%00b").status == 400


def test_looking_changes_nothing(database, page):
    ada, events = subscriber("ada", "user_ada")
    database.process(*events, *subscriber("bob")[1], ada.checkout_completed("user_zoe"))
    before = database.facts()
    for path in ("/", "/events", "/event?id=evt_bob_02", "/event/replay?id=evt_bob_02&reason=x", "/parked",
                 "/link?customer=cus_bob&user=user_bob&reason=x", "/conflict?customer=cus_ada&user=user_zoe&reason=x",
                 "/users?q=user_ada", "/user?id=user_ada", "/credits?user=user_ada", "/alerts", "/sign-out"):
        page.get(path)
    assert database.facts() == before
    assert page.get("/").status == 200


def test_programs_get_the_functions_answer(database, page):
    database.process(*subscriber("bob")[1])
    page.cookie = None
    done = page.bearer("POST", "/link", {"customer": "cus_bob", "user": "user_bob", "reason": "a script"})
    assert done.status == 200 and '"events_applied":3' in done.body.replace(" ", "")
    refused = page.bearer("POST", "/event/replay", {"id": "evt_none", "reason": "a script"})
    assert refused.status == 404 and '"reason":"P0002"' in refused.body and "there is no event" in refused.body


@pytest.mark.parametrize("kind", [None, "worker", "reader"])
def test_a_role_without_the_rights_is_told(database, kind):
    if kind:
        database.create_role(f"lesser_{kind}", kind)
    with OperatorPage(database, role=f"lesser_{kind}") as page:
        page.sign_in()
        answer = page.get("/events")
        assert answer.status == 403 and f"lesser_{kind} may not do what operators do" in answer.text
        assert f"grant_billing_role('lesser_{kind}', 'admin')" in answer.text
        # The worker's own health shows all the same.
        assert "Webhooks ready" in page.get("/").text


def test_the_page_in_a_schema_of_its_own(databases):
    database = databases("odd Schema")
    database.process(*subscriber("ada", "user_ada")[1])
    with OperatorPage(database) as page:
        page.sign_in()
        for path in ("/", "/events", "/parked", "/users", "/alerts", "/user?id=user_ada", "/credits?user=user_ada",
                     "/event?id=evt_ada_02"):
            assert page.get(path).status == 200, path


def test_without_the_database_the_page_says_so(database):
    with OperatorPage(database, environment={"PG_BILLING_OPERATOR_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x"}) as page:
        page.sign_in()
        answer = page.get("/events")
        assert answer.status == 503 and "the database is not reached" in answer.text
        assert "PG_BILLING_OPERATOR_DATABASE_URL" in answer.text


def test_a_connection_that_the_server_ended_is_made_anew(database, page):
    assert page.get("/events").status == 200
    database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_billing operator'")
    assert page.get("/events").status == 200


def test_slow_pages_delay_no_webhook_and_end_in_time(database, page):
    """A lock that every page of alerts waits for: ten seconds for each, and webhooks go on as if nothing were."""
    blocker = database.connect()
    blocker.autocommit = False
    database.execute("LOCK TABLE {s}.billing_alert_thresholds IN ACCESS EXCLUSIVE MODE", connection=blocker)
    answers = []
    askers = [threading.Thread(target=lambda: answers.append(page.get("/alerts"))) for _ in range(5)]
    began = time.monotonic()
    for asker in askers:
        asker.start()
    until(lambda: database.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_billing operator'"
                                 " AND wait_event_type = 'Lock'") == 3, "three pages wait, which is all there may be")
    slowest = 0
    for number in range(30):
        sent = time.monotonic()
        assert post(page.worker.webhook, small_event(number), page.worker.secret).status == 200
        slowest = max(slowest, time.monotonic() - sent)
    assert slowest < 2
    for asker in askers:
        asker.join()
    assert time.monotonic() - began < 25
    assert {answer.status for answer in answers} <= {503, 504} and 504 in {answer.status for answer in answers}
    assert any("longer than 10 seconds" in answer.text for answer in answers)
    blocker.rollback()
    assert page.get("/alerts").status == 200


def test_what_was_asked_for_is_answered_before_the_worker_ends(database, page):
    blocker = database.connect()
    blocker.autocommit = False
    database.execute("LOCK TABLE {s}.billing_alert_thresholds IN ACCESS EXCLUSIVE MODE", connection=blocker)
    answers = []
    asker = threading.Thread(target=lambda: answers.append(page.get("/alerts")))
    asker.start()
    until(lambda: database.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_billing operator'"
                                 " AND wait_event_type = 'Lock'"), "the page waits")
    page.worker.process.terminate()
    until(lambda: logged(page.worker, "draining"), "the worker drains")
    time.sleep(0.5)
    assert page.worker.running()
    blocker.rollback()
    asker.join()
    assert answers[0].status == 200
    assert page.worker.process.wait(10) == 0
