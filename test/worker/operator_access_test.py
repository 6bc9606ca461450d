"""Who gets in to the operator's page, and what keeps others out."""
import http.client
import os
import ssl
import subprocess

import pytest

from harness.operator_page import TOKEN, OperatorPage
from harness.waiting import until
from harness.worker import Worker, binary, free_port
from wire import logged

PAGES = ["/", "/events", "/parked", "/users", "/alerts", "/event?id=evt_1", "/user?id=user_1", "/credits?user=user_1",
         "/link?customer=cus_1", "/conflict?customer=cus_1"]


@pytest.fixture
def page(database):
    with OperatorPage(database) as running:
        yield running


def test_there_is_no_page_without_a_token(database, worker):
    assert not logged(worker, "listening", setting="PG_BILLING_OPERATOR_LISTEN")
    assert worker.get("/events")[0] == 404 and worker.get("/sign-in")[0] == 404


@pytest.mark.parametrize("settings, said", [
    ({"PG_BILLING_OPERATOR_TOKEN": "short"}, "fewer than 24 characters"),
    ({"PG_BILLING_OPERATOR_TOKEN": f"{TOKEN}, {TOKEN}"}, "fewer than 24 characters, or others than"),
    ({"PG_BILLING_OPERATOR_TOKEN": TOKEN, "PG_BILLING_OPERATOR_DATABASE_URL": ""},
     "is set without PG_BILLING_OPERATOR_DATABASE_URL"),
    ({"PG_BILLING_OPERATOR_TOKEN": TOKEN, "PG_BILLING_OPERATOR_DATABASE_URL": "postgres:/x"},
     "PG_BILLING_OPERATOR_DATABASE_URL is not a connection string"),
    ({"PG_BILLING_OPERATOR_LISTEN": "0.0.0.0:0"}, "other machines reach, and there is no TLS"),
    ({"PG_BILLING_OPERATOR_LISTEN": "nowhere"}, "PG_BILLING_OPERATOR_LISTEN holds"),
    ({"PG_BILLING_OPERATOR_HOSTS": "https://ops.example.com"}, "is not a host name"),
])
def test_settings_that_cannot_be_used_are_refused(settings, said):
    result = subprocess.run(
        [binary(), "serve"], capture_output=True, text=True, timeout=20,
        env={"PATH": os.environ["PATH"], "STRIPE_WEBHOOK_SECRET": "whsec_given", "PG_BILLING_LISTEN": "127.0.0.1:0",
             "PG_BILLING_OPERATOR_TOKEN": TOKEN, "PG_BILLING_OPERATOR_DATABASE_URL": "postgresql://x@localhost/x",
             "PG_BILLING_OPERATOR_LISTEN": "127.0.0.1:0", **settings})
    assert result.returncode == 2 and said in result.stderr and "\nhint: " in result.stderr, result.stderr
    assert TOKEN not in result.stderr


@pytest.mark.parametrize("path", PAGES)
def test_nobody_sees_a_page_without_signing_in(page, path):
    answer = page.get(path)
    assert answer.status == 303 and answer.headers["location"].startswith("/sign-in")
    assert answer.body == ""


def test_signing_in_and_out(page):
    wanted = page.get("/events?type=invoice.paid")
    assert wanted.headers["location"] == "/sign-in?next=%2Fevents%3Ftype%3Dinvoice.paid"
    form = page.get(wanted.headers["location"])
    assert form.status == 200 and 'value="/events?type=invoice.paid"' in form.body
    wrong = page.post("/sign-in", {"token": TOKEN + "x"})
    assert wrong.status == 403 and "not one of this page's tokens" in wrong.text and "set-cookie" not in wrong.headers
    right = page.post("/sign-in", {"token": TOKEN, "next": "/events?type=invoice.paid"})
    assert right.headers["location"] == "/events?type=invoice.paid"
    cookie = right.headers["set-cookie"]
    assert "; HttpOnly; SameSite=Strict; Max-Age=43200" in cookie and TOKEN not in cookie and "Path=/" in cookie
    page.cookie = cookie.partition(";")[0]
    overview = page.get("/")
    assert overview.status == 200 and "Acts as role billing_operator" in overview.text
    assert page.post("/sign-out", {"key": overview.key}).status == 303
    assert page.get("/").status == 303


@pytest.mark.parametrize("place", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)",
                                   "/a\r\nSet-Cookie: x=y"])
def test_signing_in_leads_nowhere_else(page, place):
    answer = page.post("/sign-in", {"token": TOKEN, "next": place})
    assert answer.status == 303 and answer.headers["location"] == "/"


def test_programs_bring_their_token_along(page):
    assert page.bearer("GET", "/alerts").status == 200
    assert page.bearer("GET", "/alerts", token=TOKEN[:-1]).status == 401
    assert page.ask("GET", "/alerts", headers={"Authorization": f"Basic {TOKEN}"}).status == 401
    # A cookie that nobody gave out is none.
    assert page.get("/alerts", Cookie=f"pg_billing_{page.port}={TOKEN}").status == 303


def test_ten_wrong_tokens_a_minute_are_enough(page):
    page.sign_in()
    cookie, page.cookie = page.cookie, None
    answers = [page.post("/sign-in", {"token": f"wrong{number}"}).status for number in range(11)]
    assert answers == [403] * 10 + [429]
    assert page.post("/sign-in", {"token": TOKEN}).status == 429
    assert page.bearer("GET", "/").status == 429
    # Whoever is in stays in.
    page.cookie = cookie
    assert page.get("/").status == 200


def test_several_tokens_and_the_end_of_one(database, tmp_path):
    other = "another-token-0123456789abcdef"
    settings = tmp_path / "worker.conf"
    settings.write_text(f"PG_BILLING_OPERATOR_TOKEN={TOKEN},{other}\n")
    settings.chmod(0o600)
    with OperatorPage(database, environment={"PG_BILLING_OPERATOR_TOKEN": ""},
                      arguments=["--config", str(settings)]) as page:
        page.sign_in()
        old = page.cookie
        page.sign_in(other)
        settings.write_text(f"PG_BILLING_OPERATOR_TOKEN={other}\n")
        page.worker.hangup()
        until(lambda: logged(page.worker, "reloaded"), "the settings are read again")
        assert page.get("/").status == 200
        page.cookie = old
        assert page.get("/").status == 303
        settings.write_text("")
        page.worker.hangup()
        until(lambda: logged(page.worker, "reload_failed"), "the page cannot be switched off meanwhile")


@pytest.mark.parametrize("host, status", [
    ("localhost:9000", 303), ("127.0.0.1", 303), ("[::1]:8481", 303), ("ops.example.com", 303),
    ("evil.example", 421), ("127.0.0.1.evil.example:8481", 421), ("192.0.2.1", 421), ("", 421)])
def test_only_names_of_its_own_are_answered(database, host, status):
    with OperatorPage(database, environment={"PG_BILLING_OPERATOR_HOSTS": "ops.example.com"}) as page:
        assert page.get("/", Host=host).status == status
        assert page.get("/style.css", Host=host).status == (200 if status == 303 else status)


def test_forms_must_be_of_this_page(page):
    page.sign_in()
    key = page.get("/").key
    forms = {"id": "evt_1", "reason": "why", "key": key}
    assert page.post("/event/replay", {**forms, "key": "0" * 64}).status == 403
    assert page.post("/event/replay", {"id": "evt_1", "reason": "why"}).status == 403
    for site in ("cross-site", "same-site", "none"):
        assert page.post("/event/replay", forms, Sec_Fetch_Site=site).status == 403
    assert page.post("/event/replay", forms, Origin="https://evil.example").status == 403
    assert page.post("/event/replay", forms, Origin="null").status == 403
    # It gets as far as the database, which knows no such event.
    assert page.post("/event/replay", forms, Origin=page.url).status == 404
    assert page.post("/event/replay", forms, Sec_Fetch_Site="same-origin", Origin="null").status == 404
    # The key of another sign-in is none.
    page.sign_in()
    assert page.post("/event/replay", forms, Sec_Fetch_Site="same-origin").status == 403


def test_every_answer_keeps_itself_to_itself(page):
    page.sign_in()
    for path in [*PAGES, "/nowhere", "/style.css", "/script.js", "/icon.svg", "/sign-in"]:
        headers = page.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"


def test_requests_that_are_none_are_answered(page):
    assert page.ask("POST", "/sign-in", b"x" * 70000).status == 413
    assert page.ask("GET", "/", headers={"X": "x" * 20000}).status == 431
    assert page.ask("DELETE", "/").status == 405
    page.sign_in()
    assert page.get("/nowhere").status == 404
    head = page.ask("HEAD", "/users")
    assert head.status == 200 and head.body == ""


def test_no_secret_gets_into_the_log_or_a_page(database):
    with OperatorPage(database, environment={"PG_BILLING_LOG_LEVEL": "debug"}) as page:
        page.sign_in()
        page.post("/sign-in", {"token": "wrong-but-still-nobodys-business"})
        page.bearer("GET", "/")
        pages = "".join(page.get(path).body for path in PAGES)
        secret = page.cookie.partition("=")[2]
        text = page.worker.text()
        assert logged(page.worker, "operator_signed_in") and logged(page.worker, "operator_refused")
    for hidden in (TOKEN, secret, "nobodys-business"):
        assert hidden not in text and hidden not in pages


def test_tls_makes_cookies_secure(database, tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    port = free_port()
    worker = Worker(database.url(database.create_role("billing_worker", "worker")), environment={
        "PG_BILLING_TLS_CERT": str(certificate), "PG_BILLING_TLS_KEY": str(key), "PG_BILLING_OPERATOR_TOKEN": TOKEN,
        "PG_BILLING_OPERATOR_DATABASE_URL": database.url(database.create_role("billing_operator", "admin")),
        "PG_BILLING_OPERATOR_LISTEN": f"0.0.0.0:{port}"})
    worker.start(wait=False)
    try:
        until(lambda: logged(worker, "listening", setting="PG_BILLING_OPERATOR_LISTEN"), "it listens")
        connection = http.client.HTTPSConnection("localhost", port, timeout=10,
                                                 context=ssl.create_default_context(cafile=str(certificate)))
        connection.request("POST", "/sign-in", f"token={TOKEN}")
        answer = connection.getresponse()
        assert answer.status == 303
        cookie = answer.getheader("Set-Cookie")
        assert cookie.startswith("__Host-") and cookie.endswith("; Secure")
    finally:
        worker.stop()
