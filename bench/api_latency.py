#!/usr/bin/python3
"""How long the HTTP API takes: reading a user's state, and what it adds to Stripe's own time when a checkout is made.

    bench/api_latency.py [--users 200] [--reads 5000]

A PostgreSQL with durable settings, a worker and a simulated Stripe run on this machine, beside one client. Times are
in milliseconds, of one request at a time over kept connections; the ratios are what carries over to other machines."""
import argparse
import http.client
import json
import pathlib
import statistics
import sys
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "test"))

from harness.cluster import Cluster  # noqa: E402
from harness.database import Database  # noqa: E402
from harness.front_end import JWT_SECRET, ORIGIN, token  # noqa: E402
from harness.simulated_stripe import KEY, SimulatedStripe, form  # noqa: E402
from harness.stripe import Sender  # noqa: E402
from harness.life import Life, event, flat  # noqa: E402
from harness.worker import Worker  # noqa: E402


class Line:
    """One kept connection; `times` has what each request took, in milliseconds."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address, timeout=30)
        self.times = []

    def ask(self, method, path, body=None, headers=None, wanted=(200, 201)):
        began = time.perf_counter()
        self.connection.request(method, path, body, headers or {})
        answer = self.connection.getresponse()
        text = answer.read()
        self.times.append((time.perf_counter() - began) * 1000)
        assert answer.status in wanted, (answer.status, text)
        return json.loads(text) if text[:1] in (b"{", b"[") else text


def spread(times):
    ordered = sorted(times)
    return statistics.median(ordered), ordered[int(len(ordered) * 0.95)], ordered[int(len(ordered) * 0.99)]


def stripe_alone(stripe, price, users):
    """What the API asks of Stripe for a checkout, asked by the client itself: a customer, then a session."""
    customers, sessions = Line(stripe.address), Line(stripe.address)
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/x-www-form-urlencoded"}
    for number in range(users):
        customer = customers.ask("POST", "/v1/customers", urllib.parse.urlencode(form({"email": f"u{number}@example.org"})), headers)
        body = form({"mode": "subscription", "customer": customer["id"], "line_items": [{"price": price, "quantity": 1}],
                     "success_url": ORIGIN + "/thanks", "cancel_url": ORIGIN})
        sessions.ask("POST", "/v1/checkout/sessions", urllib.parse.urlencode(body), headers)
    return customers.times, sessions.times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--reads", type=int, default=5000)
    options = parser.parse_args()
    with Cluster(fsync=True) as cluster, SimulatedStripe() as stripe:
        database = Database(cluster)
        sold = stripe.price("pro")
        price = sold["id"]
        role = database.create_role("billing_worker", "worker")
        environment = {**stripe.environment, "PG_BILLING_JWT_SECRET": JWT_SECRET, "PG_BILLING_ORIGINS": ORIGIN, "PG_BILLING_LOG_LEVEL": "warning"}
        with Worker(database.url(role), environment=environment) as worker:
            sender = Sender(worker.webhook, worker.secret)
            sender.post(event("evt_price", "price.created", sold, int(time.time())))
            for number in range(options.users):
                life = Life(f"reader{number}")
                for told in flat([life.customer_created(metadata={"user_id": life.name}), life.subscribed()]):
                    sender.post(told)
            address = f"127.0.0.1:{worker.port}"
            floor, state, checkout = Line(address), Line(address), Line(address)
            tokens = [token(f"reader{number}") for number in range(options.users)]
            for number in range(options.reads):
                floor.ask("GET", "/healthz")
                state.ask("GET", "/billing/subscription", headers={"Authorization": f"Bearer {tokens[number % options.users]}"})
            customers, sessions = stripe_alone(stripe, price, options.users)
            for number in range(options.users):
                database.link(f"known{number}", stripe.post("customers", email=f"k{number}@example.org")["id"])
            known = Line(address)
            buyers = [(known, f"known{number}") for number in range(options.users)] + [
                (checkout, f"buyer{number}") for number in range(options.users)]
            for line, buyer in buyers:
                body = json.dumps({"price": price, "success_url": ORIGIN + "/thanks", "cancel_url": ORIGIN})
                line.ask("POST", "/billing/checkout", body, {"Authorization": f"Bearer {token(buyer)}", "Content-Type": "application/json"})
        both = [one + other for one, other in zip(customers, sessions)]
        rows = {"GET /healthz, the floor": floor.times, "GET subscription": state.times,
                "a session, Stripe alone": sessions, "POST checkout": known.times,
                "customer and session, Stripe alone": both, "POST checkout of a new customer": checkout.times}
        print(f"{'':36}{'p50':>9}{'p95':>9}{'p99':>9}   ms")
        for name, times in rows.items():
            print(f"{name:36}" + "".join(f"{value:9.2f}" for value in spread(times)))
        print(f"GET subscription is {spread(state.times)[0] / spread(floor.times)[0]:.1f} times the floor; "
              f"a checkout takes Stripe's own time and {spread(known.times)[0] - spread(sessions)[0]:.1f} ms, "
              f"one of a new customer {spread(checkout.times)[0] - spread(both)[0]:.1f} ms")


if __name__ == "__main__":
    main()
