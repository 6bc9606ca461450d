"""Events of real subscriptions, as many as are asked for, one JSON document a line.

    python3 -m bench.events COUNT > FILE

Each customer is created, subscribes, pays, gives a telephone number, is renewed and cancels: nine events of 2.9 kB on
average, with bodies as Stripe's current API version has them. Customers live side by side, so that of any few dozen
events in a row hardly two are of one customer. Every name contains g000, of which bench/load makes other customers.
No checkouts are among them: stripe-sync-engine asks Stripe about each one's line items, and here is no Stripe."""
import json
import sys
import time

from harness.life import Life, flat
from harness.objects import DAY, NEW

PREFIX = "g000"
SIDE_BY_SIDE = 96  # more than there are connections
STEPS = 9
NOTES = {"signed_up_from": "pricing page", "campaign": "spring-newsletter", "locale": "en-IE"}  # an application's own metadata


def life_of(number, start):
    name = f"{PREFIX}c{number:07d}"
    user = {"user_id": f"user_{name}"}
    life = Life(name, api_version=NEW, start=start, metadata={**user, **NOTES})
    flat([life.customer_created(metadata=user), life.subscribed(), life.first_invoice(), life.customer_updated(phone="+353 1 496 0000"),
          life.advance(days=31).renewed(), life.advance(days=1).cancel_at_period_end()])
    assert len(life.events) == STEPS
    return life.events


def lines(count, now=None):
    """The events as text, one a line."""
    start = int(now or time.time()) - 33 * DAY
    number = written = 0
    while written < count:
        lives = []
        for _ in range(SIDE_BY_SIDE):
            lives.append(life_of(number, start + number // 4))  # four new customers a second
            number += 1
        for step in zip(*lives):
            for event in step[:count - written]:
                yield json.dumps(event)
                written += 1


def sample():
    """The events of one customer, as text."""
    return [json.dumps(event) for event in life_of(0, int(time.time()) - 33 * DAY)]


def write(path, count):
    """The file of so many events; the mean size in bytes."""
    size = 0
    with open(path, "w") as file:
        for line in lines(count):
            size += len(line)
            file.write(line + "\n")
    return size / count


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for text in lines(int(sys.argv[1])):
        print(text)
