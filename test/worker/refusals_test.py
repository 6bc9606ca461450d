"""Which requests become events: paths, methods, signatures, text. Each refusal says why, and what to do."""
import time

from harness.stripe import sign
from harness.waiting import until
from wire import Wire, event, logged, request, stored


def post(worker, body, **options):
    with Wire(worker) as wire:
        return wire.send(request(body, options.pop("secret", worker.secret), **options)).answer()


def test_paths_match_exactly(database, workers):
    worker = workers(database, environment={"PG_BILLING_WEBHOOK_PATHS": "/stripe/webhook,/api/hooks/"})
    assert post(worker, event(1)).status == 200
    assert post(worker, event(2), path="/api/hooks/").status == 200
    assert post(worker, event(3), path="/stripe/webhook?source=stripe").status == 200
    for path in ("/", "/stripe", "/stripe/webhook/", "/stripe//webhook", "/Stripe/webhook", "/api/hooks",
                 "/stripe%2Fwebhook", "/stripe/webhook/../webhook", "/stripe/webhook#", "*", "http://x/stripe/webhook"):
        answer = post(worker, event(4), path=path)
        assert (answer.status, answer.reason) == (404, "not_found"), path
        assert "PG_BILLING_WEBHOOK_PATHS" in answer.json()["error"]["next_step"]
    assert stored(database) == {"evt_1", "evt_2", "evt_3"}
    rows = database.rows("SELECT stripe_event_id AS id, endpoint FROM {s}.stripe_events")
    assert {row["id"]: row["endpoint"] for row in rows} == {"evt_1": "/stripe/webhook", "evt_2": "/api/hooks/",
                                                            "evt_3": "/stripe/webhook"}


def read_to_the_end(wire):
    while wire._more():
        pass
    return wire.buffer


def test_webhooks_are_posted(worker):
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post", "BREW"):
        with Wire(worker) as wire:
            wire.send(f"{method} /stripe/webhook HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            head = read_to_the_end(wire).partition(b"\r\n\r\n")[0].decode().split("\r\n")
            assert head[0].split()[1] == "405" and "Allow: POST" in head, method


def test_pages_are_read_only(worker):
    for path in ("/healthz", "/readyz", "/metrics"):
        with Wire(worker) as wire:
            wire.send(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            answer = wire.answer()
            assert (answer.status, answer.reason) == (405, "method_not_allowed")
            assert answer.headers["allow"] == "GET, HEAD"
            wire.send(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            data = read_to_the_end(wire)
            assert data.startswith(b"HTTP/1.1 200 OK\r\n") and data.endswith(b"\r\n\r\n")


def test_every_signature_verdict(database, worker):
    body = event("signed")
    right = sign(body, worker.secret)
    now = int(time.time())
    digest = right.partition("v1=")[2]
    cases = {
        "missing_header": [""],
        "header_too_long": [right + ",v2=" + "a" * 4100],
        "malformed_timestamp": ["v1=" + digest, f"t=x,v1={digest}", f"t={now},t={now},v1={digest}", "nonsense"],
        "no_v1_signature": [f"t={now}", f"t={now},v0={digest}"],
        "too_many_signatures": [f"t={now}" + ",v1=00" * 17],
        "outside_tolerance": [sign(body, worker.secret, now - 310), sign(body, worker.secret, now + 310)],
        "mismatch": [sign(body, "whsec_other"), sign(body + " ", worker.secret), f"t={now},v1=" + "0" * 64],
    }
    for reason, headers in cases.items():
        for header in headers:
            answer = post(worker, body, signature=header)
            assert (answer.status, answer.reason) == (400, reason), header
            error = answer.json()["error"]
            assert error["message"] and error["next_step"]
        lines = until(lambda: len(found := logged(worker, "stripe_webhook_invalid_signature", reason=reason))
                      == len(headers) and found, "each is logged")
        assert lines[0]["endpoint"] == "/stripe/webhook" and lines[0]["remote"] == "127.0.0.1"
    assert post(worker, "", signature=right).reason == "empty_body"
    assert stored(database) == set()
    metrics = worker.metrics()
    for reason, headers in cases.items():
        assert metrics[f'pg_billing_webhooks_rejected_total{{reason="{reason}"}}'] == len(headers)
    # Just inside the tolerance, and signed twice while a secret is rolled.
    assert post(worker, event("old"), signature=sign(event("old"), worker.secret, now - 290)).status == 200
    twice = f"t={now},v1={'0' * 64},v1={sign(body, worker.secret, now).partition('v1=')[2]}"
    assert post(worker, body, signature=twice).status == 200


def test_a_mismatch_tells_what_usually_causes_it(database, workers):
    worker = workers(database, environment={"STRIPE_WEBHOOK_SECRET": "whsec_one,whsec_two,whsec_three"})
    error = post(worker, event(1), secret="whsec_of_the_cli").json()["error"]
    assert "3 secrets were tried" in error["message"] and "stripe listen" in error["message"]
    assert "Dashboard" in error["message"]
    for secret in ("whsec_one", "whsec_two", "whsec_three"):
        assert post(worker, event(secret), secret=secret).status == 200


def test_each_path_has_its_own_secrets(database, workers):
    worker = workers(database, environment={
        "PG_BILLING_WEBHOOK_PATHS": "/a,/b=SECRET_OF_B,/c/=SECRETS_OF_C", "STRIPE_WEBHOOK_SECRET": "whsec_a",
        "SECRET_OF_B": "whsec_b", "SECRETS_OF_C": "whsec_c,whsec_d"})
    allowed = {"/a": ["whsec_a"], "/b": ["whsec_b"], "/c/": ["whsec_c", "whsec_d"]}
    for path, secrets in allowed.items():
        for secret in ("whsec_a", "whsec_b", "whsec_c", "whsec_d"):
            answer = post(worker, event(f"{path[1]}{secret[-1]}"), path=path, secret=secret)
            assert answer.status == (200 if secret in secrets else 400)
    assert database.rows("SELECT DISTINCT endpoint FROM {s}.stripe_events ORDER BY 1") \
        == [{"endpoint": "/a"}, {"endpoint": "/b"}, {"endpoint": "/c/"}]


DAMAGES = [
    (b"\xff", "invalid_utf8"), (b"\xc3", "invalid_utf8"), (b"\xc0\xaf", "invalid_utf8"), (b"\x80", "invalid_utf8"),
    (b"\xed\xa0\x80", "invalid_utf8"), (b"\xf4\x90\x80\x80", "invalid_utf8"), (b"\xe2\x82", "invalid_utf8"),
    (b"\0", "nul_byte"),
]


def test_signed_text_that_cannot_be_stored_is_refused(database, worker):
    for damage, reason in DAMAGES:
        answer = post(worker, event("text", name="?").encode().replace(b"?", damage))
        assert (answer.status, answer.reason) == (400, reason), damage
    assert until(lambda: logged(worker, "stripe_webhook_rejected", reason=reason), "it is logged")
    assert stored(database) == set()


def test_any_valid_text_is_kept_byte_for_byte(database, worker):
    body = event("text", name="?").replace("?", "Zoë ☃ 漢字 😀 \x7f \u2028 \\u2603") + "\r\n\t "
    assert post(worker, body).status == 200
    assert database.value("SELECT payload FROM {s}.stripe_event_payloads") == body


def test_what_is_signed_but_no_event_is_kept_and_acknowledged(database, worker):
    bodies = ["not json", "[]", "{}", "null", '{"id":"evt_1"', '{"a":' * 100 + "1" + "}" * 100]
    for body in bodies:
        answer = post(worker, body)
        assert (answer.status, answer.json()) == (200, {"received": True, "outcome": "failed"}), body
        assert post(worker, body).json()["outcome"] == "duplicate"
    lines = until(lambda: len(found := logged(worker, "stripe_webhook_failed")) == len(bodies) and found,
                  "all are logged")
    assert stored(database) == {line["stripe_event_id"] for line in lines} and all(line["error"] for line in lines)
