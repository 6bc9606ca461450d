"""Who may call the API from where, what is refused, and how; the paths that front ends call already."""
import os
import subprocess

import pytest

from harness.front_end import JWT_SECRET, KEY, ORIGIN, FrontEnd, Shop, open_shop
from harness.objects import BASIC, NEW, PRO, PRO_YEARLY, product
from harness.life import event
from harness.waiting import until
from harness.worker import binary
from wire import Wire, logged

NAMES = {"authorize": "GET", "cancel": "POST", "change": "POST", "checkout": "POST", "config": "GET", "credits": "GET",
         "invoices": "GET", "payments": "GET", "portal": "POST", "prices": "GET", "resume": "POST", "subscription": "GET"}
OPEN = {"config", "prices"}


def stock(database):
    """A plan at two prices, and a course."""
    course = {**BASIC.json(NEW), "id": "price_course", "type": "one_time", "recurring": None, "product": "prod_course", "lookup_key": None}
    outcomes = database.outcomes(*(event(f"evt_stock_{number}", kind, thing, created=1700000000) for number, (kind, thing) in enumerate([
        ("product.created", product("prod_pro", "Pro")), ("price.created", PRO.json(NEW)), ("price.created", PRO_YEARLY.json(NEW)),
        ("product.created", product("prod_course", "A course", metadata={"item_id": "course_1"})), ("price.created", course)])))
    assert set(outcomes) == {"processed"}
    database.execute("""SELECT {s}.upsert_plan('{"id": "pro", "trial_days": 14, "features": {"export": true}, "prices":
        [{"price_id": "price_pro_monthly", "cycle": "monthly"}, {"price_id": "price_pro_yearly", "cycle": "yearly"}]}')""")


@pytest.fixture
def front_end(database):
    stock(database)
    with open_shop(database) as running:
        yield running


def test_there_is_no_api_without_keys(worker):
    for name in NAMES:
        assert worker.get(f"/billing/{name}")[0] == 404


@pytest.mark.parametrize("settings, said", [
    ({"PG_BILLING_JWT_SECRET": "short"}, "fewer than 32 characters"),
    ({"PG_BILLING_JWT_SECRET": f"{JWT_SECRET},short"}, "fewer than 32 characters"),
    ({"PG_BILLING_JWT_JWKS": "/nowhere/jwks.json"}, "cannot read /nowhere/jwks.json"),
    ({"PG_BILLING_JWT_JWKS": "/etc/hostname"}, "not a JWK Set"),
    ({"PG_BILLING_JWT_JWKS": "http://id.example.com/jwks"}, "is not an https URL"),
    ({"PG_BILLING_JWT_JWKS": "ftp://id.example.com/jwks"}, "is not an https URL"),
    ({"PG_BILLING_ORIGINS": "*"}, "is not an origin"),
    ({"PG_BILLING_ORIGINS": "https://app.example.com/app"}, "is not an origin"),
    ({"PG_BILLING_ORIGINS": "https://user@app.example.com"}, "is not an origin"),
    ({"PG_BILLING_ORIGINS": ORIGIN, "PG_BILLING_SUCCESS_URL": "https://evil.example/"}, "leads to none of PG_BILLING_ORIGINS"),
    ({"PG_BILLING_API_PREFIX": "billing"}, "which is not a path"),
    ({"PG_BILLING_API_PREFIX": "/billing?x"}, "which is not a path"),
    ({"PG_BILLING_API_ALIASES": "/a/b"}, "does not say what"),
    ({"PG_BILLING_API_ALIASES": "/a/b=everything"}, "does not say what"),
    ({"PG_BILLING_API_ALIASES": "/billing/portal=checkout"}, "stands for something else already"),
    ({"PG_BILLING_API_ALIASES": "/stripe/webhook=checkout"}, "PG_BILLING_WEBHOOK_PATHS has it, too"),
    ({"PG_BILLING_API_ALIASES": "/metrics=checkout"}, "the worker answers it itself"),
])
def test_settings_that_cannot_be_used_are_refused(settings, said):
    result = subprocess.run(
        [binary(), "serve"], capture_output=True, text=True, timeout=20,
        env={"PATH": os.environ["PATH"], "STRIPE_WEBHOOK_SECRET": "whsec_given", "PG_BILLING_LISTEN": "127.0.0.1:0",
             "PG_BILLING_JWT_SECRET": JWT_SECRET, **settings})
    assert result.returncode == 2 and said in result.stderr and "\nhint: " in result.stderr, result.stderr
    assert JWT_SECRET not in result.stderr


# Paths that front ends of real shops call, and what they mean.
CALLED = [
    ("/subscription/*", "POST", "/subscription/checkout", "checkout"), ("/subscription/*", "POST", "/subscription/portal", "portal"),
    ("/subscription/*", "GET", "/subscription/prices", "prices"),
    ("/api/v1/billing/*", "POST", "/api/v1/billing/checkout", "checkout"), ("/api/v1/billing/*", "GET", "/api/v1/billing/subscription", "subscription"),
    ("/api/v1/billing/*", "POST", "/api/v1/billing/portal", "portal"), ("/api/v1/billing/*", "POST", "/api/v1/billing/cancel", "cancel"),
    ("/stripe/checkout/session=checkout", "POST", "/stripe/checkout/session", "checkout"),
    ("/stripe/subscription/state=subscription", "GET", "/stripe/subscription/state", "subscription"),
    ("/api/subscriptions/checkout/=checkout", "POST", "/api/subscriptions/checkout/", "checkout"),
    ("/api/subscriptions/status/=subscription", "GET", "/api/subscriptions/status/", "subscription"),
    ("/api/subscriptions/portal/=portal", "POST", "/api/subscriptions/portal/", "portal"),
    ("/api/subscriptions/config/=config", "GET", "/api/subscriptions/config/", "config"),
]


def test_front_ends_keep_their_paths(database):
    stock(database)
    aliases = ",".join(sorted({alias for alias, *_ in CALLED}))
    with open_shop(database, environment={"PG_BILLING_API_ALIASES": aliases}) as front_end:
        for number, (_, method, path, name) in enumerate(CALLED):
            user = f"user_{number}"
            answer = front_end.ask(method, path, {"plan_name": "pro", "billing_cycle": "monthly"} if name == "checkout" else None, user=user)
            expected = {"portal": 409, "cancel": 409}.get(name, 200)
            assert answer.status == expected, (path, answer.text)
            until(lambda: logged(front_end.worker, "api_request", action=name), "it is said")
            if name == "checkout":
                assert answer.json["checkout_url"] == answer.json["url"]
        # As one of them does it: its own names and addresses.
        answer = front_end.post("/stripe/checkout/session", {
            "price_id": "price_pro_yearly", "success_url": f"{ORIGIN}/success", "cancel_url": f"{ORIGIN}/cancel"}, user="eve")
        assert answer.status == 200
        assert front_end.shop.asked("/v1/checkout/sessions")[-1]["success_url"] == f"{ORIGIN}/success"
        # Webhooks have their own path all the same.
        assert front_end.ask("POST", "/stripe/webhook", {}).json["error"]["reason"] == "missing_header"


def test_another_prefix(database):
    with FrontEnd(database, environment={"PG_BILLING_API_PREFIX": "/"}) as front_end:
        assert front_end.get("/subscription").status == 200
        assert front_end.get("/billing/subscription").status == 404


def test_everything_needs_a_token_but_what_is_for_everybody(front_end):
    for name, method in NAMES.items():
        for path in (f"/billing/{name}", f"/billing/{name}/"):
            answer = front_end.ask(method, path)
            assert answer.status == (200 if name in OPEN else 401), path
            assert answer.headers["cache-control"] == "no-store"
        other = front_end.ask("DELETE", name, user="ada")
        assert other.told == (405, "method_not_allowed") and other.headers["allow"].startswith(method)
        if method == "GET" and name not in OPEN:
            assert front_end.ask("HEAD", name, user="ada").text == ""
    for path in ("/billing", "/billing/", "/billing/nothing", "/billing//checkout", "/BILLING/checkout", "/billing/checkout/x"):
        assert front_end.get(path).status == 404


def test_pages_of_other_origins_may_not_ask(front_end):
    for origin in (ORIGIN, "http://localhost:5173"):
        may = front_end.ask("OPTIONS", "checkout", headers={"Origin": origin, "Access-Control-Request-Method": "POST",
                                                           "Access-Control-Request-Headers": "authorization,content-type"})
        assert (may.status, may.text, "content-length" in may.headers) == (204, "", False)
        assert may.headers["access-control-allow-origin"] == origin and may.headers["vary"] == "Origin"
        assert may.headers["access-control-allow-methods"] == "POST" and "authorization" in may.headers["access-control-allow-headers"].lower()
        assert "access-control-allow-credentials" not in may.headers
        answer = front_end.get("subscription", headers={"Origin": origin})
        assert answer.status == 200 and answer.headers["access-control-allow-origin"] == origin
        # Also what is refused is readable there.
        refused = front_end.ask("GET", "subscription", headers={"Origin": origin})
        assert refused.status == 401 and refused.headers["access-control-allow-origin"] == origin
    for origin in ("https://evil.example", "https://app.example.com.evil.example", "http://app.example.com", "https://app.example.com:8443",
                   "null", "https://APP.example.com", "https://app.example.com/"):
        for method, name in (("OPTIONS", "checkout"), ("POST", "checkout"), ("GET", "subscription"), ("GET", "prices")):
            answer = front_end.ask(method, name, user="ada", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
            assert answer.told == (403, "origin_not_allowed"), origin
            assert "access-control-allow-origin" not in answer.headers
    # A proxy's question carries what a page sent to somebody else.
    assert front_end.get("authorize", headers={"Origin": "https://evil.example"}).status == 402
    assert not front_end.shop.requests


@pytest.mark.parametrize("name, body, status, code, param", [
    ("checkout", "{", 422, "invalid_request", None), ("checkout", "[]", 422, "invalid_request", None),
    ("checkout", '"x"', 422, "invalid_request", None), ("checkout", b"\xff", 422, "invalid_request", None),
    ("checkout", "[" * 5000, 422, "invalid_request", None), ("checkout", "{" + " " * 70000, 413, "body_too_large", None),
    ("checkout", None, 422, "invalid_request", "price"), ("checkout", {}, 422, "invalid_request", "price"),
    ("checkout", {"price": "price_pro_monthly", "plan": "pro"}, 422, "invalid_request", "price"),
    ("checkout", {"price": 7}, 422, "invalid_request", "price"), ("checkout", {"price_id": ""}, 422, "invalid_request", "price_id"),
    ("checkout", {"price": "x" * 256}, 422, "invalid_request", "price"), ("checkout", {"price": "p\u0000"}, 422, "unknown_price", "price"),
    ("checkout", {"price": "price_none"}, 422, "unknown_price", "price"), ("checkout", {"plan": "none"}, 422, "unknown_plan", "plan"),
    ("checkout", {"plan": "pro"}, 422, "unknown_plan", "plan"), ("checkout", {"plan": "pro", "cycle": "weekly"}, 422, "unknown_plan", "plan"),
    ("checkout", {"price": "price_pro_monthly", "mode": "setup"}, 422, "invalid_request", "mode"),
    ("checkout", {"price": "price_pro_monthly", "mode": "payment"}, 422, "wrong_mode", "mode"),
    ("checkout", {"price": "price_course", "mode": "subscription"}, 422, "wrong_mode", "mode"),
    *[("checkout", {"price": "price_pro_monthly", "quantity": quantity}, 422, "invalid_request", "quantity")
      for quantity in (0, -1, 1.5, "2", 1e30, 1000001, True, [1])],
    ("checkout", {"price": "price_pro_monthly", "trial": "yes"}, 422, "invalid_request", "trial"),
    *[("checkout", {"price": "price_pro_monthly", "success_url": url}, 422, "url_not_allowed", "success_url")
      for url in ("https://evil.example/", "//evil.example/", "https://app.example.com@evil.example/", "https://app.example.com.evil.example",
                  "https:\\\\app.example.com", "/\\evil.example", "javascript:alert(1)", "http://app.example.com/", "https://app.example.com:444/",
                  "https://app.example.com\r\nX: y", " https://app.example.com", "", "data:text/html,x")],
    ("checkout", {"price": "price_pro_monthly", "cancel_url": 5}, 422, "invalid_request", "cancel_url"),
    ("portal", {"return_url": "https://evil.example/"}, 422, "url_not_allowed", "return_url"), ("portal", {}, 409, "no_customer", None),
    ("cancel", {}, 409, "no_subscription", None), ("resume", {}, 409, "no_subscription", None),
    ("cancel", {"at_period_end": "no"}, 422, "invalid_request", "at_period_end"), ("cancel", {"feedback": "rude"}, 422, "invalid_request", None),
    ("change", {}, 422, "invalid_request", "plan"), ("change", {"plan": "pro", "cycle": "yearly"}, 409, "no_subscription", None),
    ("change", {"price": "price_course"}, 422, "wrong_mode", "price"), ("change", {"price": "price_none"}, 422, "unknown_price", "price"),
    ("change", {"plan": "pro", "apply_when": "never"}, 422, "invalid_request", "apply_when"),
    ("change", {"quantity": 0}, 422, "invalid_request", "quantity"), ("change", {"plan": "pro", "price": "x"}, 422, "invalid_request", "price"),
])
def test_misuse(shared_front_end, name, body, status, code, param):
    headers = {"Content-Type": "application/json"}
    answer = shared_front_end.post(name, body, user=f"misuse_{abs(hash(str(body)))}", headers=headers)
    assert answer.told == (status, code), answer.text
    error = answer.json["error"]
    assert error.get("param") == param and error["message"] and set(error) <= {"code", "message", "hint", "param", "state", "next_step", "reason"}


@pytest.fixture(scope="module")
def shared_front_end(cluster):
    from harness.database import Database
    database = Database(cluster)
    stock(database)
    with open_shop(database) as running:
        yield running
        assert not running.shop.requests
    database.drop()


@pytest.mark.parametrize("path, param", [
    *[(f"{name}?limit={limit}", "limit") for name in ("credits", "invoices", "payments") for limit in ("0", "101", "x", "1.5", "-1", "1e2")],
    *[(f"{name}?starting_after=nothing", "starting_after") for name in ("credits", "invoices", "payments")],
])
def test_pages_that_do_not_exist(shared_front_end, path, param):
    answer = shared_front_end.get(path)
    assert answer.told == (422, "invalid_request") and answer.json["error"]["param"] == param


def test_other_bodies_than_json(shared_front_end):
    for kind in ("application/x-www-form-urlencoded", "text/plain", ""):
        answer = shared_front_end.post("checkout", '{"price": "price_pro_monthly"}', headers={"Content-Type": kind})
        assert answer.told == (415, "unsupported_media_type")


def test_it_is_counted_apart_from_webhooks(front_end):
    before = front_end.worker.metrics()
    front_end.get("subscription")
    front_end.ask("GET", "subscription")
    front_end.post("checkout", " " * 70000)
    now = front_end.worker.metrics()
    assert {status: now.get(f'pg_billing_api_requests_total{{status="{status}"}}') for status in (200, 401, 413)} == {200: 1, 401: 1, 413: 1}
    assert {name: value for name, value in now.items() if "webhooks" in name} == {name: value for name, value in before.items() if "webhooks" in name}
    assert not logged(front_end.worker, "stripe_webhook_rejected")


def test_requests_that_could_be_read_in_two_ways(shared_front_end):
    for fields in ("Authorization: Bearer a\r\nAuthorization: Bearer b", f"Origin: {ORIGIN}\r\nOrigin: https://evil.example"):
        with Wire(shared_front_end.worker) as wire:
            wire.send(f"GET /billing/subscription HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n")
            assert wire.answer().status == 400


def test_users_have_limits(database):
    stock(database)
    with Shop() as shop, FrontEnd(database, shop) as one, FrontEnd(database, shop) as other:
        # Ten checkouts a minute, whichever worker is asked, and whatever becomes of them.
        answers = [(one, other)[number % 2].post("checkout", {"price": "price_none"}).status for number in range(10)]
        assert answers == [422] * 10
        for front_end in (one, other):
            answer = front_end.post("checkout", {"plan": "pro", "cycle": "monthly"})
            assert answer.told == (429, "too_many_requests") and 1 <= int(answer.headers["retry-after"]) <= 60
        assert one.post("checkout", {"plan": "pro", "cycle": "monthly"}, user="bob").status == 200
        assert [one.post("portal").status for _ in range(31)] == [409] * 30 + [429]
        assert [other.post("cancel").status for _ in range(31)] == [409] * 30 + [429]
        # Who only reads is let through for longer, then is not.
        reads = [one.get("authorize", user="eve").status for _ in range(320)]
        assert reads[:300] == [402] * 300 and reads[-1] == 429
        assert one.get("authorize", user="fay").status == 402


@pytest.mark.parametrize("fault, status, code", [
    ((402, {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds", "message": "Your card was declined."}), 402, "card_declined"),
    ((400, {"type": "invalid_request_error", "code": "resource_missing", "param": "line_items[0][price]", "message": "No such price"}), 422, "resource_missing"),
    ((400, {"type": "invalid_request_error", "message": "Something else"}), 422, "stripe_refused"),
    ((401, {"type": "invalid_request_error", "message": "Invalid API Key provided: sk_test_*******cdef"}), 502, "stripe_error"),
    ((403, {"type": "invalid_request_error", "message": "The provided key does not have the required permissions"}), 502, "stripe_error"),
    ((500, {"type": "api_error", "message": "oops"}), 502, "stripe_error"),
    ((429, {"type": "invalid_request_error", "code": "rate_limit", "message": "slow down"}), 503, "stripe_busy"),
    ((0, {}), 503, "stripe_unreachable"),
])
def test_what_stripe_refuses(front_end, fault, status, code):
    front_end.database.link("ada", "cus_ada")
    front_end.shop.faults = [fault] * (1 if 400 <= fault[0] < 429 else 50)
    answer = front_end.post("checkout", {"plan": "pro", "cycle": "monthly"}, timeout=60)
    assert answer.told == (status, code), answer.text
    error = answer.json["error"]
    if fault[0]:
        assert error["request_id"].startswith("req_")
    assert "API Key" not in answer.text and (status < 500 or "retry-after" in answer.headers or status == 502)
    [said] = until(lambda: logged(front_end.worker, "stripe_request_refused"), "it is said")
    assert said["action"] == "checkout" and said["status"] == fault[0] and KEY not in front_end.worker.text()
    # What was refused for good is another request the next time; what nobody knows is the same.
    front_end.shop.faults = []
    keys = {headers["Idempotency-Key"] for _, path, _, headers in front_end.shop.requests if path == "/v1/checkout/sessions"}
    assert len(keys) == 1
    assert front_end.post("checkout", {"plan": "pro", "cycle": "monthly"}).status == 200
    again = front_end.shop.requests[-1][3]["Idempotency-Key"]
    assert (again in keys) == (status >= 500 and fault[0] not in (401, 403))


def test_without_a_key_nothing_is_sold_and_everything_is_shown(database):
    stock(database)
    with FrontEnd(database) as front_end:
        for name in ("checkout", "portal", "cancel", "resume"):
            assert front_end.post(name, {"plan": "pro", "cycle": "monthly"}).told == (503, "stripe_not_configured")
        assert front_end.get("subscription").json["state"] == "no_subscription"
        assert front_end.ask("GET", "config").json == {"publishable_key": "pk_test_1", "publishableKey": "pk_test_1", "mode": "test"}
        assert [price["id"] for price in front_end.ask("GET", "prices").json["prices"]] == ["price_pro_monthly", "price_pro_yearly"]


def test_without_origins_nobody_is_sent_anywhere(database):
    stock(database)
    with open_shop(database, environment={"PG_BILLING_ORIGINS": ""}) as front_end:
        assert front_end.post("checkout", {"plan": "pro", "cycle": "monthly"}).told == (503, "origins_not_configured")


def test_a_database_that_is_away(database):
    with FrontEnd(database) as front_end:
        assert front_end.get("subscription").status == 200
        # Connections that were ended meanwhile are replaced.
        database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        assert front_end.get("subscription").status == 200
        database.execute("REVOKE EXECUTE ON FUNCTION {s}.api_subscription(text) FROM billing_worker")
        answer = front_end.get("subscription")
        assert answer.told == (503, "unavailable") and "permission" not in answer.text
        until(lambda: logged(front_end.worker, "api_database", reason="42501"), "it is said")
