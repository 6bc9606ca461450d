"""Events: the envelope, and the life of one customer as the events that Stripe would send about it."""
import copy
import time

from . import objects
from .objects import DAY, MONTH, NEW, PRO


def event(event_id, event_type, data_object, created, api_version=NEW, *, previous=None, livemode=False,
          account=None):
    envelope = {
        "id": event_id, "object": "event", "api_version": api_version, "created": created,
        "data": {"object": copy.deepcopy(data_object)}, "livemode": livemode, "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None}, "type": event_type,
    }
    if previous is not None:
        envelope["data"]["previous_attributes"] = previous
    if account:
        envelope["account"] = account
    return envelope


def previous_attributes(before, after):
    """What changed, as it was: objects member by member, arrays whole."""
    result = {}
    for key in [*after, *(key for key in before if key not in after)]:
        old, new = before.get(key), after.get(key)
        if old != new:
            result[key] = previous_attributes(old, new) if isinstance(old, dict) and isinstance(new, dict) else old
    return copy.deepcopy(result)


class Life:
    """One customer with one subscription. Each method is something that happens: it returns the event, or the list
    of events, that Stripe sends about it. Time passes by a second with each event, and by advance()."""

    def __init__(self, name, *, api_version=NEW, items=((PRO, 1),), start=None, metadata=None, livemode=False,
                 test_clock=None):
        self.name = name
        self.api_version = api_version
        self.items = list(items)
        self.clock = int(time.time()) - 120 if start is None else start
        self.livemode = livemode
        self.metadata = metadata or {}  # of the subscription
        self.test_clock = test_clock
        self.customer_id = f"cus_{name}"
        self.subscription_id = f"sub_{name}"
        self.customer = None
        self.subscription = None
        self.period = None
        self.invoices = 0
        self.events = []

    # The machinery.

    def advance(self, **spans):
        """advance(days=3, seconds=5)"""
        self.clock += spans.get("days", 0) * DAY + spans.get("seconds", 0)
        return self

    def emit(self, event_type, data_object, previous=None):
        data_object = {**data_object, "livemode": self.livemode} if "livemode" in data_object else data_object
        made = event(f"evt_{self.name}_{len(self.events) + 1:02d}", event_type, data_object, self.clock,
                     self.api_version, previous=previous, livemode=self.livemode)
        self.events.append(made)
        self.clock += 1
        return made

    def update(self, event_type="customer.subscription.updated", *, period=None, **changes):
        """Changes members of the subscription."""
        before = copy.deepcopy(self.subscription)
        self.subscription.update(copy.deepcopy(changes))
        if period:
            self.period = period
            objects.set_period(self.subscription, period, self.api_version)
        return self.emit(event_type, self.subscription, previous_attributes(before, self.subscription))

    def invoice_event(self, event_type, *, paid, reason, attempts=1, free=False):
        made = objects.invoice(f"in_{self.name}_{self.invoices}", self.subscription, self.clock, self.period,
                               self.api_version, reason=reason, paid=paid, attempts=attempts, free=free)
        if self.test_clock:
            made["test_clock"] = self.test_clock
        return self.emit(event_type, made)

    def paid_events(self, reason, free=False):
        """Both events that Stripe sends about one payment."""
        return [self.invoice_event(kind, paid=True, reason=reason, free=free)
                for kind in ("invoice.paid", "invoice.payment_succeeded")]

    # What happens.

    def customer_created(self, metadata=None):
        self.customer = objects.customer(self.customer_id, self.clock, self.api_version,
                                         email=f"{self.name}@example.org", name=self.name.title(), metadata=metadata)
        self.customer["test_clock"] = self.test_clock
        return self.emit("customer.created", self.customer)

    def customer_updated(self, **changes):
        before = copy.deepcopy(self.customer)
        self.customer.update(copy.deepcopy(changes))
        return self.emit("customer.updated", self.customer, previous_attributes(before, self.customer))

    def customer_deleted(self):
        return self.emit("customer.deleted", self.customer)

    def subscribed(self, status="active", trial_days=0, period=None):
        """The subscription starts, in a trial when `trial_days` is given; without its invoice."""
        trial = (self.clock, self.clock + trial_days * DAY) if trial_days else None
        self.period = period or trial or (self.clock, self.clock + MONTH)
        self.invoices += 1
        self.subscription = objects.subscription(
            self.subscription_id, self.customer_id, self.items, self.clock, self.period, self.api_version,
            status="trialing" if trial else status, trial=trial, metadata=self.metadata,
            latest_invoice=f"in_{self.name}_{self.invoices}")
        if self.test_clock:
            self.subscription["test_clock"] = self.test_clock
        return self.emit("customer.subscription.created", self.subscription)

    def first_invoice(self):
        return self.paid_events("subscription_create", free=self.subscription["status"] == "trialing")

    def checkout_completed(self, user_id, metadata=None):
        price, quantity = self.items[0]
        session = objects.checkout_session(
            f"cs_test_{self.name}", self.customer_id, self.subscription_id, self.clock, price.unit_amount * quantity,
            price.currency, user_id=user_id, email=f"{self.name}@example.org", metadata=metadata)
        return self.emit("checkout.session.completed", session)

    def clock_moved(self, status="ready"):
        """The test clock shows the time of this life now."""
        made = objects.test_clock(self.test_clock, self.clock, status)
        return self.emit(f"test_helpers.test_clock.{status}", made)

    def trial_will_end(self):
        return self.emit("customer.subscription.trial_will_end", self.subscription)

    def new_period(self, length=MONTH):
        """The next period, from the end of the last one or, when that is still to come, from now."""
        start = min(self.period[1], self.clock)
        self.invoices += 1
        return (start, start + length)

    def activated(self):
        """The trial is over and paid for."""
        period = self.new_period()
        return [self.update(status="active", trial_end=period[0], period=period,
                            latest_invoice=f"in_{self.name}_{self.invoices}"),
                *self.paid_events("subscription_cycle")]

    def renewed(self):
        period = self.new_period()
        return [self.update(period=period, latest_invoice=f"in_{self.name}_{self.invoices}"),
                *self.paid_events("subscription_cycle")]

    def payment_failed(self):
        """The period rolls over and its payment is declined."""
        period = self.new_period()
        changed = self.update(status="past_due", period=period, latest_invoice=f"in_{self.name}_{self.invoices}")
        return [changed, self.invoice_event("invoice.payment_failed", paid=False, reason="subscription_cycle")]

    def recovered(self):
        return [*[self.invoice_event(kind, paid=True, reason="subscription_cycle", attempts=2)
                  for kind in ("invoice.paid", "invoice.payment_succeeded")],
                self.update(status="active")]

    def cancel_at_period_end(self):
        return self.update(cancel_at_period_end=True, cancel_at=self.period[1], canceled_at=self.clock)

    def resumed(self):
        return self.update(cancel_at_period_end=False, cancel_at=None, canceled_at=None)

    def price_changed(self, price, quantity=1):
        self.items = [(price, quantity)]
        made = objects.subscription(self.subscription_id, self.customer_id, self.items,
                                    self.subscription["created"], self.period, self.api_version)
        return self.update(items=made["items"], plan=made["plan"], quantity=made["quantity"])

    def scheduled(self, price, quantity=1):
        """A change of price from the next period on."""
        schedule_id = f"sub_sched_{self.name}"
        current, quantity_now = self.items[0]
        made = objects.schedule(
            schedule_id, self.subscription, self.clock,
            [(current, quantity_now, *self.period), (price, quantity, self.period[1], self.period[1] + MONTH)],
            self.period)
        return [self.emit("subscription_schedule.created", made), self.update(schedule=schedule_id)]

    def ended(self):
        """The end, whatever led to it."""
        requested = self.subscription["canceled_at"] or self.clock
        return self.update("customer.subscription.deleted", status="canceled", ended_at=self.clock,
                           canceled_at=requested)


def flat(happenings):
    """One list of events from events and lists of events."""
    result = []
    for happening in happenings:
        result.extend(happening if isinstance(happening, list) else [happening])
    return result
