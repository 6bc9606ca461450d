"""docs/openapi.json is what the API does: every status it lists is answered, nothing else is, and bodies have its shapes."""
import concurrent.futures
import json
import pathlib

import pytest

from api_access_test import stock
from harness.front_end import ORIGIN, FrontEnd, Shop, open_shop, token
from harness.life import Life

DOCUMENT = json.loads((pathlib.Path(__file__).resolve().parents[2] / "docs/openapi.json").read_text())
PATHS = DOCUMENT["paths"]
EVIL = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
TYPES = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list}


def check(value, schema, where="body"):
    """As far as our document goes."""
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if value is None:
        assert schema.get("nullable"), f"{where} is null"
        return
    kind = TYPES[schema["type"]]
    assert isinstance(value, kind) and not (kind is int and isinstance(value, bool)), f"{where} is {value!r}, not {schema['type']}"
    assert value in schema.get("enum", [value]), f"{where} is {value!r}"
    for name in schema.get("required", []):
        assert name in value, f"{where} has no {name}"
    for name, member in schema.get("properties", {}).items():
        if kind is dict and name in value:
            check(value[name], member, f"{where}.{name}")
    for number, element in enumerate(value if kind is list else []):
        check(element, schema["items"], f"{where}[{number}]")


class Recorder:
    """Asks, and holds every answer against the document."""

    def __init__(self):
        self.seen = set()

    def ask(self, front_end, method, path, body=None, **options):
        answer = front_end.ask(method, path.lstrip("/"), body, **options)
        name = "/" + path.lstrip("/").partition("?")[0]
        operation = PATHS[name][method.lower()]
        assert str(answer.status) in operation["responses"], f"{method} {path}: {answer.status} {answer.text}"
        self.seen.add((name, method.lower(), str(answer.status)))
        content = operation["responses"][str(answer.status)].get("content")
        if content is None:
            assert answer.text == "" and "content-type" not in answer.headers
        else:
            assert answer.headers["content-type"] == "application/json"
            check(answer.json, content["application/json"]["schema"])
            if answer.status >= 400:
                known = DOCUMENT["components"]["schemas"]["Error"]["properties"]["error"]["properties"]
                assert set(answer.json["error"]) <= set(known)
        return answer


def operations(method):
    return [path for path, item in PATHS.items() if method in item]


@pytest.fixture
def subscribed(database):
    """Users with a subscription each, which the shop has too."""
    stock(database)

    def make(shop, *users):
        for user in users:
            life = Life(user, metadata={"user_id": user})
            assert set(database.outcomes(life.customer_created(metadata={"user_id": user}), life.subscribed())) == {"processed"}
            shop.put("subscriptions", life.subscription)
    return make


def asked_by_users(record, front_end):
    answer = record.ask(front_end, "POST", "/checkout", {"plan": "pro", "cycle": "monthly", "success_url": "/thanks"}, user="ada", headers={"Origin": ORIGIN}).json
    record.ask(front_end, "GET", f"/subscription?session_id={answer['session_id']}", user="ada")
    record.ask(front_end, "GET", "/subscription?session_id=cs_test_none", user="ada")
    record.ask(front_end, "POST", "/portal", {"return_url": f"{ORIGIN}/account"}, user="ada")
    record.ask(front_end, "POST", "/checkout", {"plan": "pro", "cycle": "monthly"}, user="sue")
    for path in ("/subscription", "/credits", "/invoices", "/payments", "/authorize", "/authorize?deny=403", "/authorize?feature=none", "/authorize?feature=export"):
        for user in ("nobody", "sue"):
            record.ask(front_end, "GET", path, user=user)
    for path in ("/credits", "/invoices", "/payments"):
        record.ask(front_end, "GET", f"{path}?limit=0", user="ada")
    for path in ("/prices", "/config"):
        record.ask(front_end, "GET", path)
    record.ask(front_end, "POST", "/cancel", {"feedback": "unused"}, user="sue")
    record.ask(front_end, "POST", "/resume", user="sue")
    record.ask(front_end, "POST", "/change", {"quantity": 2}, user="sue")


def refused_to_everybody(record, front_end):
    for method in ("get", "post"):
        for path in operations(method):
            if "security" not in PATHS[path][method]:
                record.ask(front_end, method.upper(), path)
            if path != "/authorize":
                record.ask(front_end, method.upper(), path, user="ada", headers=EVIL)
    for path in operations("options"):
        record.ask(front_end, "OPTIONS", path, headers={**EVIL, "Origin": ORIGIN})
        record.ask(front_end, "OPTIONS", path, headers=EVIL)
        record.ask(front_end, "OPTIONS", path)
    for path in operations("post"):
        record.ask(front_end, "POST", path, " " * 70000, user="ada")
        record.ask(front_end, "POST", path, "x=y", user="ada")
        record.ask(front_end, "POST", path, "{", user="ada", headers={"Content-Type": "application/json"})
        if path != "/checkout":
            record.ask(front_end, "POST", path, {"plan": "pro", "cycle": "monthly"}, user="nobody")
    for name, item in PATHS.items():
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"):
            if method.lower() not in item:
                assert front_end.ask(method, name.lstrip("/"), user="ada").told == (405, "method_not_allowed")


def stripe_refuses(record, front_end):
    for status in (402, 401):
        for number, path in enumerate(operations("post")):
            user = f"poor{status}{number}" if path in ("/cancel", "/resume", "/change") else "ada"
            # What a request in the outbox meets is tried again while our key is refused.
            if (path in ("/cancel", "/resume", "/change") if status == 401 else path == "/portal"):
                continue
            front_end.shop.faults = [(status, {"type": "card_error" if status == 402 else "invalid_request_error", "code": "card_declined", "message": "no"})]
            if path == "/resume":
                front_end.database.execute("UPDATE {s}.user_subscriptions SET cancel_at_period_end = true WHERE user_id = %s", (user,))
            record.ask(front_end, "POST", path, {"plan": "pro", "cycle": "yearly"} if path in ("/checkout", "/change") else {}, user=user)
            front_end.shop.faults = []


def too_often(record, front_end):
    front_end.database.execute("INSERT INTO {s}.api_calls (user_id, action, calls) SELECT 'often', a, array_fill(now(), ARRAY[1000])"
                               " FROM unnest(ARRAY['checkout', 'portal', 'change', 'session']) a")
    bodies = {"/checkout": {"plan": "pro", "cycle": "monthly"}, "/change": {"quantity": 2}}
    for path in operations("post"):
        record.ask(front_end, "POST", path, bodies.get(path), user="often")
    record.ask(front_end, "GET", "/subscription?session_id=cs_test_1", user="often")
    bearer = token("always")
    for path in operations("get"):
        # What a user may ask comes back every second: asking once more may be answered.
        while "security" not in PATHS[path]["get"] and record.ask(front_end, "GET", path, bearer=bearer).status != 429:
            pass


def nothing_answers(record, front_end, plain):
    bodies = {"/checkout": {"plan": "pro", "cycle": "monthly"}, "/change": {"quantity": 2}}
    for path in operations("post"):
        assert record.ask(plain, "POST", path, bodies.get(path), user="ada").code == "stripe_not_configured"
    for function in ("api_subscription(text)", "api_credits(text, int, text)", "api_invoices(text, int, text)", "api_payments(text, int, text)",
                     "api_prices()", "api_authorize(text, text)"):
        front_end.database.execute(f"REVOKE EXECUTE ON FUNCTION {{s}}.{function} FROM billing_worker")
    for path in operations("get"):
        if path != "/config":
            record.ask(plain, "GET", path, user="ada")


def stripe_says_nothing(record, front_end):
    front_end.shop.faults = [(500, {"type": "api_error", "message": "busy"})] * 1000
    front_end.database.execute("UPDATE {s}.user_subscriptions SET cancel_at_period_end = true WHERE user_id = 'late_resume'")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(record.ask, front_end, "POST", f"/{name}", {"quantity": 2} if name == "change" else None, user=f"late_{name}", timeout=60)
                     for name in ("cancel", "resume", "change")]:
            assert done.result().json["status"] == "pending"
    front_end.shop.faults = []


def test_the_document_is_what_the_api_does(database, subscribed):
    record = Recorder()
    with Shop() as shop:
        subscribed(shop, "sue", *(f"poor402{number}" for number in range(5)), "late_cancel", "late_resume", "late_change")
        with FrontEnd(database, shop) as front_end, FrontEnd(database) as plain:
            asked_by_users(record, front_end)
            refused_to_everybody(record, front_end)
            stripe_refuses(record, front_end)
            too_often(record, front_end)
            stripe_says_nothing(record, front_end)
            nothing_answers(record, front_end, plain)
    documented = {(path, method, status) for path, item in PATHS.items() for method, operation in item.items() for status in operation["responses"]}
    assert documented - record.seen == set()


def test_every_path_of_the_document_is_one_of_the_api_and_no_other(database):
    with open_shop(database) as front_end:
        for name in PATHS:
            assert front_end.ask("OPTIONS", name.lstrip("/")).status == 204
        for name in ("refund", "customer", "customers", "webhook", "sync", "health", "metrics", "admin"):
            assert front_end.get(name).status == 404
