"""An account behind Stripe's API whose objects, clock and faults a test sets one by one. What behaves as a whole account
does is `pg_billing simulate --serve`."""
import contextlib
import http.server
import json
import threading
import time
import urllib.parse

KEY = "sk_test_0123456789abcdef"
LOST = "lost"  # a fault: the effect takes place, and its answer never comes


class Account(http.server.ThreadingHTTPServer):
    """Objects by path, as Stripe's API would answer them, by a clock of its own. A write has its effect once for each
    Idempotency-Key: `effects` has them, in order."""

    def __init__(self):
        self.objects = {}
        self.answers = {}      # (method, path): function of the parameters -> (status, body)
        self.faults = []       # statuses to answer with first; 0: no answer, LOST: none but an effect
        self.requests = []
        self.effects = []      # (method, path, parameters)
        self.clock = None      # seconds; None: now
        self.delay = 0         # seconds that each answer takes
        self.keys = {}
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()

    @property
    def environment(self):
        return {"STRIPE_SECRET_KEY": KEY, "STRIPE_API_BASE": f"http://127.0.0.1:{self.server_address[1]}", "STRIPE_API_RATE": "500"}

    def write(self, method, path, parameters, key):
        with self.lock:
            if key in self.keys:
                return self.keys[key]
            answer = self.answers.get((method, path), self.default)(parameters)
            if answer[0] < 400:
                self.effects.append((method, path, parameters))
            self.keys[key] = answer
            return answer

    def default(self, parameters):
        return 200, {"id": "thing_1", "object": "thing", **parameters}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(lambda: self.read())

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        parameters = dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
        self.answer(lambda: self.server.write(self.command, self.path, parameters, self.headers["Idempotency-Key"]))

    do_DELETE = do_POST

    def read(self):
        found = self.server.objects.get(self.path)
        if found is not None:
            return 200, found
        return 404, {"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "No such object"}}

    def answer(self, find):
        account = self.server
        with account.lock:
            account.requests.append((self.path, dict(self.headers)))
            fault = account.faults.pop(0) if account.faults else None
        if fault == LOST:
            find()
        time.sleep(account.delay)
        if fault in (0, LOST):
            self.close_connection = True
            return
        status, answer = (fault, {"error": {"type": "api_error", "message": "injected"}}) if fault else find()
        body = json.dumps(answer).encode()
        self.send_response_only(status)
        self.send_header("Date", self.date_time_string(account.clock or time.time()))
        self.send_header("Content-Type", "application/json")
        self.send_header("Request-Id", "req_test")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # who asked may have died
            self.wfile.write(body)

    def log_message(self, *_):
        pass
