"""What the storm sends: made-up lives of many customers, or a history that pg_billing simulate has written."""
import dataclasses
import datetime
import json
import pathlib
import random

from harness.life import Life
from harness.objects import BASIC, DAY, NEW, OLD, PRO, PRO_YEARLY, SEATS
from harness.stripe import payload_of

START = 1_760_000_000
AS_OF = START + 100 * DAY


@dataclasses.dataclass
class History:
    made: dict  # event id -> payload, each once, in the order in which Stripe made them
    deliveries: list  # event ids in the order of delivery; some come more than once
    links: list  # (user id, customer id) that no event names
    truth: dict  # user id -> what is true at the end
    as_of: datetime.datetime
    whole_truth: bool  # the truth is a whole state, not some members of the subscriptions
    credits: list  # {user_id, credits}: what users must have been granted; empty when nobody knows


def live(number, rng):
    """One customer's life, at random. Returns it with the user's id, and whether an event names the user."""
    items = rng.choice([[(BASIC, 1)], [(PRO, rng.randint(1, 5))], [(PRO_YEARLY, 1)], [(PRO, 1), (SEATS, 3)]])
    # Half of the users are named by the checkout, some by the subscription or by the customer, some by nobody.
    user, named_by = f"user_{number}", rng.choice(["checkout"] * 4 + ["subscription", "customer", "customer", None])
    named = {"user_id": user}
    one = Life(f"storm{number}", api_version=rng.choice([OLD, NEW]), items=items,
               start=START + rng.randrange(5 * DAY), metadata=named if named_by == "subscription" else None)

    def pause():
        # Now and then everything falls into one second.
        one.advance(days=rng.choice([0, 0, 1, 3]), seconds=rng.choice([-1, 0, 5, 3600]))

    trial = rng.choice([0, 7, 14])
    beginning = [lambda: one.customer_created(metadata=named if named_by == "customer" else None),
                 lambda: one.subscribed(trial_days=trial), one.first_invoice]
    if named_by == "checkout":
        beginning.append(lambda: one.checkout_completed(user))
    for happening in beginning:
        happening()
    if trial:
        pause()
        one.activated()
    for _ in range(rng.randint(2, 7)):
        pause()
        happen(one, rng)
    if rng.random() < 0.2:
        if one.subscription["status"] != "canceled":
            pause()
            one.ended()
    if rng.random() < 0.1:
        one.customer_deleted()
    return one, user, named_by is not None


def happen(one, rng):
    """Something that can happen to a subscription as it stands."""
    if one.subscription["status"] == "past_due":
        rng.choice([one.recovered, one.recovered, one.ended])()
    elif one.subscription["status"] == "canceled":
        one.customer_updated(name=f"{one.name} {len(one.events)}")
    elif one.subscription["cancel_at_period_end"]:
        rng.choice([one.resumed, one.ended])()
    else:
        rng.choice([one.renewed, one.renewed, one.payment_failed, one.cancel_at_period_end,
                    lambda: one.price_changed(rng.choice([BASIC, PRO, PRO_YEARLY]), rng.randint(1, 9)),
                    lambda: one.scheduled(PRO_YEARLY), lambda: one.customer_updated(phone=str(rng.random()))])()


def made_up(seed, customers):
    rng = random.Random(f"{seed} history")
    lives, links, truth = [], [], {}
    for number in range(customers):
        one, user, is_named = live(number, rng)
        lives.append(one.events)
        if not is_named:
            links.append((user, one.customer_id))
        truth[user] = {one.subscription_id: {
            "stripe_status": one.subscription["status"],
            "cancel_at_period_end": one.subscription["cancel_at_period_end"],
            "items": [(item["price"]["id"], item["quantity"]) for item in one.subscription["items"]["data"]]}}
    order = interleaved(lives, rng)
    made = {event["id"]: payload_of(event) for event in order}
    as_of = datetime.datetime.fromtimestamp(AS_OF, datetime.timezone.utc)
    return History(made, disturbed(list(made), rng), links, truth, as_of, whole_truth=False, credits=[])


def interleaved(lives, rng):
    """All events in one row. Lives begin one after the other; some tens of them are under way at any moment."""
    row = []
    for number, events in enumerate(lives):
        # Sorted, so that those of one life keep their order.
        moments = sorted(number + rng.random() * 30 for _ in events)
        row.extend((moment, number, place) for place, moment in enumerate(moments))
    return [lives[number][place] for _, number, place in sorted(row)]


def disturbed(ids, rng):
    """As Stripe delivers: mostly in order, some late, some twice."""
    row = []
    for place, event_id in enumerate(ids):
        late = rng.choice([0] * 7 + [5, 20, 400])
        row.append((place + rng.random() * late, event_id))
        if rng.random() < 0.05:
            row.append((place + rng.random() * 500, event_id))
    return [event_id for _, event_id in sorted(row)]


def recorded(directory):
    """A history that `pg_billing simulate --out DIR` has written."""
    directory = pathlib.Path(directory)

    def lines(name):
        return [line for line in (directory / name).read_text().splitlines() if line]

    deliveries, made = [], {}
    for payload in lines("events.jsonl"):
        event_id = json.loads(payload)["id"]
        deliveries.append(event_id)
        made.setdefault(event_id, payload)
    told = [json.loads(line) for line in lines("truth.jsonl")]
    links = [(link["user_id"], link["stripe_customer_id"]) for link in map(json.loads, lines("links.jsonl"))]
    as_of = datetime.datetime.fromisoformat(told[0]["as_of"].replace("Z", "+00:00"))
    in_order = sorted(made, key=lambda event_id: json.loads(made[event_id])["created"])
    return History({event_id: made[event_id] for event_id in in_order}, deliveries, links,
                   {each["user_id"]: each["state"] for each in told}, as_of, whole_truth=True,
                   credits=[{name: each[name] for name in ("user_id", "credits")} for each in told])
