"""Notifications, from Stripe's events to an application's webhook handler: each once, signed, through failures."""
import base64
import ssl
import subprocess
import time

import pytest

from harness import objects
from harness.life import Life, flat
from harness.receiver import SECRET, Receiver, verify
from harness.waiting import until

OTHER_SECRET = "whsec_" + base64.b64encode(b"another key of thirty-two bytes!").decode()


def told(database, user_id=None):
    return [(row["kind"], row["status"]) for row in database.rows(
        "SELECT kind, status FROM {s}.billing_notifications WHERE %s IS NULL OR user_id = %s ORDER BY created_at,"
        " (payload ->> 'sequence')::bigint NULLS LAST, dedupe_key", (user_id, user_id))]


def pending(database):
    return database.value("SELECT count(*) FROM {s}.billing_notifications WHERE status = 'pending'")


def a_life(database, name="ada", start=None):
    """From subscribing to the end, with everything that there is to tell of: (events, kinds)."""
    life = Life(name, start=start or int(time.time()) - 60)
    charge = {"id": f"ch_{name}", "object": "charge", "amount": 2900, "amount_captured": 2900, "amount_refunded": 0,
              "captured": True, "created": life.clock, "currency": "eur", "customer": life.customer_id, "invoice": None,
              "livemode": False, "metadata": {}, "paid": True, "payment_intent": None, "refunded": False,
              "status": "succeeded"}
    refund = {"id": f"re_{name}", "object": "refund", "amount": 900, "charge": f"ch_{name}", "created": life.clock,
              "currency": "eur", "payment_intent": None, "reason": None, "status": "succeeded", "metadata": {}}
    dispute = {"id": f"dp_{name}", "object": "dispute", "amount": 2900, "charge": f"ch_{name}", "created": life.clock,
               "currency": "eur", "payment_intent": None, "reason": "fraudulent", "status": "needs_response",
               "metadata": {}}
    events = flat([
        life.customer_created(), life.subscribed(trial_days=2), life.checkout_completed(name), life.trial_will_end(),
        life.activated(), life.price_changed(objects.PRO_YEARLY), life.payment_failed(), life.recovered(),
        life.cancel_at_period_end(), life.emit("charge.succeeded", charge), life.emit("refund.created", refund),
        life.emit("charge.dispute.created", dispute),
        life.emit("charge.dispute.closed", {**dispute, "status": "won"}), life.ended()])
    return events, ["access_gained", "access_changed", "access_ending", "access_lost", "dispute_closed",
                    "dispute_opened", "payment_confirmed", "payment_confirmed", "payment_confirmed", "payment_failed",
                    "refund_issued", "trial_ending"]


@pytest.fixture
def receiver():
    with Receiver() as running:
        yield running


def since_ever(database):
    database.execute("SELECT {s}.set_billing_setting('notify_since', '2020-01-01T00:00:00Z', 'tests')")
    return database


def test_every_kind_arrives_once_and_signed(any_database, workers, receiver):
    database = since_ever(any_database)
    database.execute("SELECT {s}.set_billing_setting('credits_low_thresholds', '10', 'tests')")
    worker = workers(database, environment=receiver.environment())
    events, kinds = a_life(database)
    for event in events:
        assert "failed" not in database.outcomes(event, event)
    database.execute("SELECT {s}.grant_credits('ada', 50)")
    database.execute("SELECT {s}.use_credits_validated('ada', 45)")
    kinds = sorted([*kinds, "credits_low"])
    messages = receiver.wait_for(len(kinds))
    until(lambda: pending(database) == 0, "all are finished")
    assert sorted(message["type"] for message in messages) == kinds
    assert set(receiver.counts().values()) == {1}
    assert all(message["valid"] == [True] and message["path"] == "/hooks?a=b" for message in messages)
    assert all(message["data"]["user_id"] == "ada" and message["data"]["livemode"] is False for message in messages)
    low = next(message for message in messages if message["type"] == "credits_low")
    assert (low["data"]["threshold"], low["data"]["balance"]) == (10, 5)
    access = [message for message in messages if message["type"].startswith("access_")]
    access.sort(key=lambda message: message["data"]["sequence"])
    assert [message["type"] for message in access] == ["access_gained", "access_changed", "access_ending", "access_lost"]
    assert access[1]["data"]["before"]["price_id"] == "price_pro_monthly"
    metrics = worker.metrics()
    assert metrics['pg_billing_notification_deliveries_total{result="delivered"}'] == len(kinds)
    until(lambda: worker.metrics()["pg_billing_notifications_pending"] == 0, "the figure follows")
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()") == []


def test_events_are_told_of_within_a_moment_of_their_commit(database, workers, receiver):
    """The wake-up, not the look once a second; and the look, where no wake-up is sent."""
    workers(database, environment=receiver.environment())
    database.execute("SELECT {s}.upsert_plan('{\"id\": \"pro\"}')")
    took = []
    for number in range(8):
        began = time.monotonic()
        database.execute("SELECT {s}.grant_access(%s, 'pro')", (f"user_{number}",))
        receiver.wait_for(number + 1)
        took.append(time.monotonic() - began)
    assert sorted(took)[4] < 0.3, took
    database.execute("SELECT {s}.set_billing_setting('notify_wake_up', 'off', 'tests')")
    database.execute("SELECT {s}.grant_access('quiet', 'pro')")
    receiver.wait_for(9, timeout=4)


def test_what_fails_is_tried_again_as_the_same_message(database, workers):
    answers = {"ada": [500, (302, {"location": "http://127.0.0.1:1/"}), (503, {"retry-after": "1"}), 204]}

    def status(message):
        return answers.get(message["data"]["user_id"], [200]).pop(0) if message["data"]["user_id"] in answers else 200

    with Receiver(status=status) as receiver:
        worker = workers(database, environment=receiver.environment())
        database.execute("SELECT {s}.upsert_plan('{\"id\": \"pro\"}')")
        database.execute("SELECT {s}.grant_access('ada', 'pro'), {s}.grant_access('bob', 'pro')")
        for _ in range(3):
            number = len(receiver.messages())
            until(lambda: database.value("SELECT error FROM {s}.billing_notifications WHERE user_id = 'ada'"), "a failure")
            database.execute("UPDATE {s}.billing_notifications SET next_attempt_at = now() WHERE user_id = 'ada'"
                             " AND lease_until IS NULL")
            until(lambda: len(receiver.messages()) > number, "another try", 5)
        until(lambda: pending(database) == 0, "delivered at last")
        messages = [message for message in receiver.messages() if message["data"]["user_id"] == "ada"]
        assert len(messages) == 4 and len({(message["id"], message["body"]) for message in messages}) == 1
        assert len([message for message in receiver.messages() if message["data"]["user_id"] == "bob"]) == 1
        assert worker.metrics()['pg_billing_notification_deliveries_total{result="failed"}'] == 3
        errors = [line.get("error") for line in worker.log_lines() if line.get("event") == "notification_failed"]
        assert errors == ["status 500", "status 302: redirects are not followed", "status 503"]


def test_a_receiver_that_wants_no_more_is_left_alone_until_a_reload(database, workers):
    with Receiver(status=410) as receiver:
        worker = workers(database, environment=receiver.environment())
        database.execute("SELECT {s}.upsert_plan('{\"id\": \"pro\"}')")
        database.execute("SELECT {s}.grant_access('ada', 'pro')")
        receiver.wait_for(1)
        until(lambda: worker.metrics()["pg_billing_notifications_stopped"] == 1, "stopped")
        database.execute("SELECT {s}.grant_access('bob', 'pro')")
        time.sleep(1.5)
        assert len(receiver.messages()) == 1 and pending(database) == 2
        receiver.status = 200
        worker.hangup()
        database.execute("UPDATE {s}.billing_notifications SET next_attempt_at = now()")
        until(lambda: pending(database) == 0, "both delivered after the reload")


def test_a_slow_receiver_costs_a_try_and_nothing_else(database, workers):
    with Receiver(delay=2) as receiver:
        worker = workers(database, environment=receiver.environment(PG_BILLING_NOTIFY_TIMEOUT="300ms"))
        database.execute("SELECT {s}.upsert_plan('{\"id\": \"pro\"}')")
        database.execute("SELECT {s}.grant_access('ada', 'pro')")
        until(lambda: database.value("SELECT error FROM {s}.billing_notifications"), "a failure")
        assert "timed out" in database.value("SELECT error FROM {s}.billing_notifications")
        assert worker.get("/readyz")[0] == 200


def test_two_secrets_sign_while_one_is_replaced(database, workers):
    with Receiver(SECRET, OTHER_SECRET) as receiver:
        workers(database, environment=receiver.environment())
        database.execute("SELECT {s}.upsert_plan('{\"id\": \"pro\"}')")
        database.execute("SELECT {s}.grant_access('ada', 'pro')")
        message = receiver.wait_for(1)[0]
        assert message["valid"] == [True, True] and len(message["signatures"]) == 2


def test_tls_is_checked(database, workers, tmp_path):
    """A certificate that nobody trusts is refused; one that PG_BILLING_NOTIFY_CA names is taken."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key", "-out", tmp_path / "cert"],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with Receiver(tls=context) as receiver:
        worker = workers(database, environment=receiver.environment())
        database.execute("SELECT {s}.upsert_plan('{\"id\": \"pro\"}')")
        database.execute("SELECT {s}.grant_access('ada', 'pro')")
        until(lambda: database.value("SELECT error FROM {s}.billing_notifications"), "a failure")
        assert "TLS handshake" in database.value("SELECT error FROM {s}.billing_notifications")
        worker.stop()
        assert receiver.messages() == []
        workers(database, environment=receiver.environment(PG_BILLING_NOTIFY_CA=str(tmp_path / "cert")))
        database.execute("UPDATE {s}.billing_notifications SET next_attempt_at = now()")
        assert receiver.wait_for(1)[0]["valid"] == [True]


@pytest.mark.parametrize("environment, hint", [
    ({"PG_BILLING_NOTIFY_URL": "https://app.example.com/"}, "PG_BILLING_NOTIFY_SECRET"),
    ({"PG_BILLING_NOTIFY_URL": "http://app.example.com/", "PG_BILLING_NOTIFY_SECRET": SECRET}, "plain http"),
    ({"PG_BILLING_NOTIFY_URL": "ftp://app.example.com/", "PG_BILLING_NOTIFY_SECRET": SECRET}, "not an http or https"),
    ({"PG_BILLING_NOTIFY_URL": "https://me:pw@app.example.com/", "PG_BILLING_NOTIFY_SECRET": SECRET}, "not an http"),
    ({"PG_BILLING_NOTIFY_URL": "https://app.example.com/", "PG_BILLING_NOTIFY_SECRET": "whsec_c2hvcnQ="}, "24 to 64"),
    ({"PG_BILLING_NOTIFY_URL": "https://app.example.com/", "PG_BILLING_NOTIFY_SECRET": "secret"}, "24 to 64"),
    ({"PG_BILLING_NOTIFY_URL": "https://app.example.com/", "PG_BILLING_NOTIFY_SECRET": SECRET,
      "PG_BILLING_NOTIFY_CA": "/nowhere"}, "PG_BILLING_NOTIFY_CA")])
def test_what_cannot_be_used_is_refused_at_the_start(database, environment, hint):
    from harness.worker import Worker
    worker = Worker(database.url(), environment=environment).start(wait=False)
    assert worker.process.wait(10) == 2
    assert hint in worker.text() and "whsec_MDEy" not in worker.text()
    worker.stop()


def test_a_signature_of_another_library_is_verified():
    """The example of the specification's own libraries."""
    headers = {"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
               "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}
    assert verify(headers, b'{"test": 2432232314}', "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", now=1614265330)
    assert not verify(headers, b'{"test": 2432232315}', "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", now=1614265330)


def test_time_alone_is_told_by_the_worker(database, workers, receiver):
    database.execute("SELECT {s}.upsert_plan('{\"id\": \"pro\"}')")
    workers(database, environment=receiver.environment())
    database.execute("SELECT {s}.grant_access('ada', 'pro', now() + interval '2 seconds')")
    messages = receiver.wait_for(2)
    assert [message["type"] for message in messages] == ["access_gained", "access_lost"]
    assert messages[1]["data"]["sequence"] == 2


def test_roles_claim_and_finish_only_where_they_should(database):
    database.execute("SELECT {s}.upsert_plan('{\"id\": \"pro\"}')")
    database.execute("SELECT {s}.grant_access('ada', 'pro')")
    for kind, allowed in {"worker": True, "app": True, "reader": False, "user": False}.items():
        connection = database.connect(database.create_role(f"notified_{kind}", kind))
        for statement in ("SELECT {s}.claim_billing_notifications()",
                          "SELECT {s}.finish_billing_notification('ada', 'x', false)"):
            if allowed:
                database.execute(statement, connection=connection)
            else:
                with pytest.raises(Exception, match="permission denied"):
                    database.execute(statement, connection=connection)
        connection.close()
