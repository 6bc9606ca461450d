"""The log: one JSON line for each event and each refusal, and nothing in it that must stay secret."""
import datetime
import os
import pathlib
import subprocess
import time

from harness.life import Life, flat
from harness.stripe import Sender, post, sign
from harness.waiting import until
from harness.worker import Worker, binary
from wire import Wire, event, logged, request


def test_each_event_has_one_line_with_its_outcome_and_activity(database, worker):
    ada, bob = Life("ada"), Life("bob")
    sender = Sender(worker.webhook, worker.secret)
    events = flat([ada.customer_created(), ada.checkout_completed("user_ada"), ada.subscribed(), ada.first_invoice(),
                   ada.ended(), bob.subscribed()])
    for made in events:
        assert sender.post(made).status == 200
    sender.post(events[0])
    sender.post("no event")

    def lines():
        found = [line for line in worker.log_lines() if line["event"].startswith("stripe_webhook")]
        return found if len(found) == len(events) + 2 else None

    lines = until(lines, "one line each")
    by_event = {}
    for line in lines:
        by_event.setdefault(line["stripe_event_id"], []).append(line)
    for made in events:
        line = by_event[made["id"]][0]
        row = database.rows("SELECT outcome FROM {s}.stripe_events WHERE stripe_event_id = %s", (made["id"],))[0]
        assert (line["event_type"], line["endpoint"]) == (made["type"], "/stripe/webhook")
        assert line["outcome"] in (row["outcome"], "parked")
        assert line["signature"] == "stripe_webhook_verified" and 0 < line["latency_ms"] < 15000
        assert datetime.datetime.strptime(line["time"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp() > time.time() - 600
        name = "parked" if line["outcome"] == "parked" else "handled_successfully"
        assert line["event"] == f"stripe_webhook_{name}"
    activities = {line.get("activity") for line in lines}
    assert {"subscription_activated", "payment_succeeded", "subscription_ended"} <= activities
    assert [line["event"] for line in by_event[events[0]["id"]]] \
        == ["stripe_webhook_handled_successfully", "stripe_webhook_duplicate"]
    assert "activity" not in by_event[events[0]["id"]][1]
    assert "run SELECT link_stripe_customer" in by_event[events[-1]["id"]][0]["error"]
    (failed,) = [line for line in lines if line["event"] == "stripe_webhook_failed"]
    assert failed["stripe_event_id"].startswith("unidentified_") and failed["error"] and failed["level"] == "warning"


def test_what_takes_effect_later_has_its_line_then(database, worker):
    """Parked for want of a link: each says what it did once the link comes, with another event or by hand."""
    with_checkout, by_hand = Life("checkout"), Life("hand")
    sender = Sender(worker.webhook, worker.secret)

    def activities(event_id):
        return [(line["outcome"], line.get("activity"), line.get("retry", False), line["event_type"])
                for line in worker.log_lines() if line.get("stripe_event_id") == event_id]

    def settled(event_id):
        found = activities(event_id)
        return found if len(found) == 2 else None

    made = with_checkout.subscribed()
    assert sender.post(made).status == 200
    assert sender.post(with_checkout.checkout_completed("user_checkout")).status == 200
    assert until(lambda: settled(made["id"]), "it has taken effect") == [
        ("parked", None, False, "customer.subscription.created"),
        ("processed", "subscription_activated", True, "customer.subscription.created")]
    assert worker.metrics()['pg_billing_retried_events_total{outcome="processed"}'] == 1

    # The database is asked to wait for somebody's transaction, so the worker's next pass applies it.
    database.link("user_hand", by_hand.customer_id)
    made = by_hand.subscribed()
    with database.connect() as application:
        application.cursor().execute("SELECT FROM billing_users WHERE user_id = 'user_hand' FOR UPDATE")
        assert sender.post(made).status == 200
        application.rollback()
    found = until(lambda: activities(made["id"])[-1][0] == "processed" and activities(made["id"]), "it has taken effect")
    assert found[0] == ("parked", None, False, "customer.subscription.created")
    assert found[-1] == ("processed", "subscription_activated", True, "customer.subscription.created")
    assert all(outcome == "parked" and activity is None for outcome, activity, _, _ in found[:-1])


def test_levels(database, workers, tmp_path):
    path = tmp_path / "worker.conf"
    path.write_text("PG_BILLING_LOG_LEVEL=debug\n")
    worker = workers(database, arguments=["--config", str(path)])
    post(worker.webhook, event("loud"), worker.secret)
    assert until(lambda: logged(worker, "stripe_webhook_verified", stripe_event_id="evt_loud"), "it is logged")
    path.write_text("PG_BILLING_LOG_LEVEL=error\n")
    worker.hangup()
    time.sleep(0.3)  # that it was reloaded is not logged any more
    post(worker.webhook, event("quiet"), worker.secret)
    post(worker.webhook, event("bad"), "whsec_other")
    time.sleep(0.2)
    assert "evt_quiet" not in worker.text() and "mismatch" not in worker.text()


def test_nothing_secret_is_ever_logged(database):
    """Every kind of trouble at once, at the most talkative level."""
    role = database.create_role("billing_worker", "worker")
    secret = "whsec_very_secret_0123456789"
    worker = Worker(database.url(role) + "&password=very_secret_password", secret=secret, environment={
        "PG_BILLING_LOG_LEVEL": "debug", "STRIPE_SECRET_KEY": "sk_test_very_secret_key",
        "PG_BILLING_HEADER_TIMEOUT": "300ms"})
    hidden = [secret, "very_secret_password", "sk_test_very_secret_key", "private@example.org", "BODYMARK"]
    with worker:
        headers = []
        for body in (event(1, email="private@example.org", note="BODYMARK"), "BODYMARK not json", '["BODYMARK"]',
                     event(2, data="BODYMARK" * 300), '{"id": "x", "object": {"BODYMARK": []}}'):
            headers.append(sign(body, secret))
            with Wire(worker) as wire:
                assert wire.send(request(body, secret, signature=headers[-1])).answer().status == 200
            with Wire(worker) as wire:
                wire.send(request(body + " BODYMARK", secret, signature=headers[-1]))
                assert wire.answer().status == 400
        for junk in ("BODYMARK\n\n", "POST /stripe/webhook HTTP/1.1\r\nBODYMARK: BODYMARK\r\n x\r\n\r\n",
                     "POST /stripe/webhook HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nCookie: BODYMARK\r\n\r\nBOD"):
            with Wire(worker) as wire:
                wire.send(junk).finish().answer()
        text = worker.text() + worker.get("/metrics")[1] + worker.get("/readyz")[1]
        command = pathlib.Path(f"/proc/{worker.pid}/cmdline").read_text()
    for word in hidden:
        assert word not in text + command, word
    for header in headers:
        assert header not in text and header.partition("v1=")[2] not in text
    assert "mismatch" in text and "stripe_webhook_failed" in text


def test_an_unreachable_server_does_not_bring_the_password_out():
    worker = Worker("postgresql://somebody:very_secret@127.0.0.1:1/db").start(wait=False)
    try:
        (line,) = until(lambda: logged(worker, "database_unavailable")[:1], "it is logged")
        assert "127.0.0.1" in line["error"] and line["next_step"]
        answer = post(worker.webhook, event(1), worker.secret)
        assert answer.status == 503
        assert "very_secret" not in worker.text() + answer.body + worker.get("/readyz")[1]
    finally:
        worker.stop()


def test_a_log_that_nobody_reads_stops_nothing(database):
    """Standard error is a full pipe: webhooks go on, and what was not written is counted."""
    role = database.create_role("billing_worker", "worker")
    worker = Worker(database.url(role))
    reading, writing = os.pipe()
    worker.process = subprocess.Popen([binary(), "serve"], env=worker.environment, stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=writing)
    os.close(writing)
    try:
        worker.wait_until_ready()
        sender = Sender(worker.webhook, worker.secret)
        for number in range(50):
            assert sender.post(event(number)).status == 200
        with Wire(worker) as wire:
            for _ in range(4000):
                wire.send("GET /%s HTTP/1.1\r\nHost: h\r\n\r\n" % ("x" * 150)).answer()
        assert sender.post(event("after")).status == 200
        assert worker.metrics()["pg_billing_log_lines_dropped_total"] > 0
    finally:
        os.close(reading)
        worker.stop()
