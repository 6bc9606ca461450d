"""The simulated Stripe account as a server: `pg_billing simulate --serve`, called as an application calls Stripe."""
import http.client
import json
import os
import re
import subprocess
import urllib.parse

from harness.worker import binary, free_port

KEY = "sk_test_0123456789abcdef"


def form(values, prefix=""):
    """Nested values as Stripe's libraries encode them."""
    pairs = []
    for name, value in values.items():
        name = f"{prefix}[{name}]" if prefix else name
        if isinstance(value, dict):
            pairs += form(value, name)
        elif isinstance(value, (list, tuple)):
            pairs += form(dict(enumerate(value)), name)
        else:
            pairs.append((name, {True: "true", False: "false", None: ""}[value] if value is None or isinstance(value, bool) else value))
    return pairs


class Refused(Exception):
    def __init__(self, status, body, headers):
        super().__init__(f"{status}: {body}")
        self.status, self.headers = status, headers
        self.error = body["error"] if isinstance(body, dict) else {"message": body}


class SimulatedStripe:
    """`arguments` are further flags of simulate. Lives until the end of the with block."""

    def __init__(self, *arguments, post=None, secret=None, key=KEY, customers=0):
        self.address = f"127.0.0.1:{free_port()}"
        self.key = key
        self.command = [binary(), "simulate", "--serve", self.address, "--customers", str(customers), "--end", "now",
                        *(["--post", post] if post else []), *arguments]
        self.variables = {"STRIPE_WEBHOOK_SECRET": secret} if secret else {}

    def __enter__(self):
        self.process = subprocess.Popen(self.command, env={**self.variables, "PATH": os.environ["PATH"]}, text=True,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            if "the history has ended" in line:
                return self
        raise RuntimeError(f"the account is not served: {lines}")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.process.stderr.close()

    @property
    def url(self):
        return f"http://{self.address}"

    @property
    def environment(self):
        """What a worker is started with to use it."""
        return {"STRIPE_SECRET_KEY": self.key, "STRIPE_API_BASE": self.url, "STRIPE_API_RATE": "500"}

    def request(self, method, path, body="", headers=None, timeout=30):
        """(status, headers, text); OSError or HTTPException when the connection breaks."""
        connection = http.client.HTTPConnection(self.address, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def call(self, method, path, values=None, key=None, timeout=30):
        """(object, headers) of an API call. Raises Refused."""
        encoded = urllib.parse.urlencode(form(values or {}))
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/x-www-form-urlencoded"}
        if key:
            headers["Idempotency-Key"] = key
        path = f"/v1/{path}" + (f"?{encoded}" if encoded and method == "GET" else "")
        status, fields, text = self.request(method, path, encoded if method != "GET" else "", headers, timeout)
        if status >= 400:
            raise Refused(status, json.loads(text), fields)
        return json.loads(text), fields

    def get(self, path, **values):
        return self.call("GET", path, values)[0]

    def post(self, path, values=None, key=None, **more):
        return self.call("POST", path, {**(values or {}), **more}, key)[0]

    def delete(self, path, **values):
        return self.call("DELETE", path, values)[0]

    def everything(self, path, limit=100, **values):
        """All pages of a list."""
        found, page = [], {"has_more": True}
        while page["has_more"]:
            page = self.get(path, limit=limit, **values, **({"starting_after": found[-1]["id"]} if found else {}))
            found += page["data"]
        return found

    def steer(self, what, **values):
        """What the simulation has beside Stripe's API: webhooks, clock, faults, cards, account, entitlements."""
        status, _, text = self.request("POST", f"/_simulation/{what}", urllib.parse.urlencode(form(values)))
        assert status == 200, text
        return json.loads(text)

    def state(self):
        return json.loads(self.request("GET", "/_simulation")[2])

    # What people do.

    def price(self, lookup_key):
        return self.get("prices", lookup_keys=[lookup_key])["data"][0]

    def checkout(self, price, **more):
        values = {"mode": "subscription", "line_items": [{"price": price["id"] if isinstance(price, dict) else price, "quantity": 1}],
                  "success_url": "https://shop.example/thanks?session_id={CHECKOUT_SESSION_ID}",
                  "cancel_url": "https://shop.example/cancel", **more}
        return self.post("checkout/sessions", values)

    def submit(self, url, **fields):
        """Sends a page's form. Returns where it leads to, or the page's alert."""
        status, headers, text = self.request("POST", urllib.parse.urlsplit(url).path, urllib.parse.urlencode(fields),
                                             {"Content-Type": "application/x-www-form-urlencoded"})
        return headers["Location"] if status == 303 else re.search('role="alert">([^<]*)', text)[1]

    def pay(self, session, **fields):
        """As the payer does on the hosted page. Returns the address that the browser is sent to."""
        return self.submit(session["url"], action="pay", email="payer@example.org", **fields)
