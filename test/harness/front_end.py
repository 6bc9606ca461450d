"""An application's front end as the API sees it, the tokens that its users have, and an account at Stripe to sell in."""
import base64
import contextlib
import hashlib
import hmac
import http.client
import http.server
import itertools
import json
import threading
import time
import urllib.parse

from .worker import Worker

KEY = "sk_test_0123456789abcdef"
JWT_SECRET = "the-secret-of-this-test-0123456789abcdef"
ORIGIN = "https://app.example.com"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign_token(claims, secret=JWT_SECRET, **header):
    head = {"alg": "HS256", "typ": "JWT", **header}
    text = b64(json.dumps(head).encode()) + "." + b64(json.dumps(claims).encode())
    return text + "." + b64(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest())


def token(user, **claims):
    return sign_token({"sub": user, "exp": int(time.time()) + 600, **claims})


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.text = response.read().decode()

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def code(self):
        return self.json["error"]["code"]

    @property
    def told(self):
        return self.status, self.code


def ask(port, method, path, body=None, *, user=None, bearer=None, headers=None, timeout=30):
    """One request; `body` becomes JSON unless it is text."""
    sent = dict(headers or {})
    if user is not None:
        bearer = token(user)
    if bearer is not None:
        sent["Authorization"] = f"Bearer {bearer}"
    data = body
    if body is not None and not isinstance(body, (str, bytes)):
        data = json.dumps(body)
        sent.setdefault("Content-Type", "application/json")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, data, sent)
        return Answer(connection.getresponse())
    finally:
        connection.close()


class Shop(http.server.ThreadingHTTPServer):
    """What the API asks of Stripe: customers, checkouts, portals; objects by path; and refusals, when told so."""

    def __init__(self):
        self.objects = {}
        self.faults = []    # (status, error) to answer with first; status 0: hangs up
        self.requests = []  # (method, path, parameters, headers)
        self.answers = {}   # by idempotency key
        self.numbers = itertools.count(1)
        self.lock = threading.RLock()
        super().__init__(("127.0.0.1", 0), Teller)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    @property
    def environment(self):
        return {"STRIPE_SECRET_KEY": KEY, "STRIPE_API_BASE": f"http://127.0.0.1:{self.server_address[1]}", "STRIPE_API_RATE": "500"}

    def asked(self, path):
        """The parameters of every POST to a path, in order."""
        return [parameters for method, asked, parameters, _ in self.requests if (method, asked) == ("POST", path)]

    def sessions(self):
        return [one for path, one in self.objects.items() if path.startswith("/v1/checkout/sessions/")]

    def put(self, kind, thing):
        self.objects[f"/v1/{kind}/{thing['id']}"] = thing
        return thing

    def post(self, path, parameters):
        number = next(self.numbers)
        if path == "/v1/customers":
            return self.put("customers", {"id": f"cus_{number}", "object": "customer", "created": int(time.time()), "livemode": False,
                                          "email": parameters.get("email"), "metadata": {"user_id": parameters["metadata[user_id]"]}})
        if path == "/v1/checkout/sessions":
            return self.put("checkout/sessions", {
                "id": f"cs_test_{number}", "object": "checkout.session", "livemode": False, "mode": parameters["mode"],
                "status": "open", "payment_status": "unpaid", "url": f"https://checkout.example/{number}",
                "created": int(time.time()), "expires_at": int(time.time()) + 86400, "customer": parameters["customer"],
                "client_reference_id": parameters.get("client_reference_id"),
                "metadata": {"user_id": parameters["metadata[user_id]"]}, "subscription": None, "payment_intent": None})
        if path == "/v1/billing_portal/sessions":
            return {"id": f"bps_{number}", "object": "billing_portal.session", "url": f"https://portal.example/{number}"}
        if path.endswith("/expire"):
            session = self.objects.get(path.removesuffix("/expire"))
            if session is None or session["status"] != "open":
                return None
            session["status"] = "expired"
            return session
        if path in self.objects:
            thing = self.objects[path]
            for name, value in parameters.items():
                thing[name] = {"true": True, "false": False}.get(value, value)
            return thing
        return None


class Teller(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        server = self.server
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        parameters = dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
        path = self.path.partition("?")[0]
        key = self.headers.get("Idempotency-Key")
        with server.lock:
            server.requests.append((self.command, path, parameters, dict(self.headers)))
            status, body = server.faults.pop(0) if server.faults else (200, None)
            if status == 200 and key in server.answers:
                body = server.answers[key]
            elif status == 200:
                body = server.objects.get(path) if self.command == "GET" else server.post(path, parameters)
                if body is None:
                    status = 404 if self.command == "GET" else 400
                    body = {"type": "invalid_request_error", "message": "No such thing, or not open",
                            **({"code": "resource_missing"} if self.command == "GET" else {})}
                elif key:
                    server.answers[key] = body
        if status == 0:
            self.close_connection = True
            return
        data = json.dumps(body if status == 200 else {"error": body}).encode()
        self.send_response_only(status)
        self.send_header("Date", self.date_time_string(time.time()))
        self.send_header("Content-Type", "application/json")
        self.send_header("Request-Id", f"req_{len(server.requests)}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


class FrontEnd:
    """A worker whose API sells what a shop has."""

    def __init__(self, database, shop=None, *, environment=None, **options):
        self.database = database
        self.shop = shop
        role = database.create_role("billing_worker", "worker")
        self.worker = Worker(database.url(role), environment={
            "PG_BILLING_JWT_SECRET": JWT_SECRET, "PG_BILLING_ORIGINS": f"{ORIGIN},http://localhost:5173",
            "STRIPE_PUBLISHABLE_KEY": "pk_test_1", **(shop.environment if shop else {}), **(environment or {})}, **options)

    def __enter__(self):
        self.worker.start()
        return self

    def __exit__(self, *_):
        self.worker.stop()

    def ask(self, method, name, body=None, **options):
        """A path of its own, or the name of one of the API's."""
        path = name if name.startswith("/") else f"/billing/{name}"
        return ask(self.worker.port, method, path, body, **options)

    def post(self, name, body=None, user="ada", **options):
        return self.ask("POST", name, body, user=user, **options)

    def get(self, name, user="ada", **options):
        return self.ask("GET", name, user=user, **options)


@contextlib.contextmanager
def open_shop(database, **options):
    with Shop() as shop, FrontEnd(database, shop, **options) as front_end:
        yield front_end
