"""Many customers' events at once, each sent until it is acknowledged: Stripe's retries, without the waiting."""
import dataclasses
import threading
import time

from .life import Life, flat
from .objects import NEW, OLD, PRO
from .stripe import Sender

CREDITED = dataclasses.replace(PRO, id="price_credited", metadata={"credits": "100", "trial_credits": "5"})


def lives(count, start):
    """The events of `count` customers, each list in Stripe's order; half in each API shape."""
    result = []
    for number in range(count):
        one = Life(f"load{number}", api_version=(OLD, NEW)[number % 2], start=start, items=((CREDITED, 1),))
        result.append(flat([
            one.customer_created(), one.subscribed(trial_days=7), one.first_invoice(),
            one.checkout_completed(f"user_{number}"), one.activated(), one.price_changed(CREDITED, 2),
            one.payment_failed(), one.recovered(), one.cancel_at_period_end() if number % 3 else one.ended()]))
    return result


class Load:
    """Posts lists of events from several threads; an event that is not answered with 200 is sent again."""

    def __init__(self, worker, event_lists, threads=8):
        self.worker = worker
        self.queues = list(event_lists)
        self.total = sum(map(len, self.queues))
        self.lock = threading.Lock()
        self.acknowledged = set()
        self.refusals = {}
        self.deadline = time.monotonic() + 120
        self.failure = None
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def _run(self):
        sender = Sender(self.worker.webhook, self.worker.secret, timeout=10)
        try:
            while True:
                with self.lock:
                    if not self.queues:
                        return
                    events = self.queues.pop()
                for event in events:
                    self._send(sender, event)
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error
        finally:
            sender.close()

    def _send(self, sender, event):
        while True:
            if time.monotonic() > self.deadline:
                raise TimeoutError(f"{event['id']} was never acknowledged")
            try:
                status = sender.post(event).status
            except OSError as error:
                status = type(error).__name__
            if status == 200:
                with self.lock:
                    self.acknowledged.add(event["id"])
                return
            with self.lock:
                self.refusals[status] = self.refusals.get(status, 0) + 1
            time.sleep(0.02)

    def wait_for(self, share):
        """Returns once this share of all events is acknowledged, so that a fault strikes in the middle."""
        while len(self.acknowledged) < share * self.total and self.failure is None:
            time.sleep(0.001)
        assert len(self.acknowledged) < self.total, "too late: everything is acknowledged"

    def finish(self):
        for thread in self.threads:
            thread.join()
        if self.failure:
            raise self.failure
        assert len(self.acknowledged) == self.total
