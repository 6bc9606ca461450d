"""Stripe's part in the storm: delivers, waits for 200, and delivers again what was not acknowledged."""
import collections
import heapq
import itertools
import random
import threading
import time

from harness.stripe import Sender

TIMEOUT = 3.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 3.0


class Deliveries:
    """Every delivery has a time of its own in `seconds`, and waits for its share of the faults; one that fails comes
    again later, and others go on meanwhile, so the order at the other end is any. Each try is signed anew."""

    def __init__(self, history, urls, secret, seconds, threads=12):
        self.history = history
        self.urls = urls
        self.secret = secret
        self.lock = threading.Condition()
        self.numbers = itertools.count()
        began = time.monotonic()
        total = len(history.deliveries)
        self.fresh = collections.deque((began + seconds * place / total, place / total, event_id)
                                       for place, event_id in enumerate(history.deliveries))
        self.share = 1.0  # what share of the deliveries may be begun by now
        self.failed = []  # a heap: (when to try again, a number, event id, tries)
        self.open = total  # deliveries that are not acknowledged
        self.posts = 0
        self.acknowledged = collections.Counter()
        self.refused = collections.Counter()
        self.last_words = {}  # of refusals: status -> body
        self.failure = None
        self.stopping = False
        self.threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(threads)]
        for thread in self.threads:
            thread.start()

    def _run(self, number):
        rng = random.Random(number)
        senders = [Sender(url, self.secret, timeout=TIMEOUT) for url in self.urls]
        try:
            while (delivery := self._next()) is not None:
                self._deliver(rng, rng.choice(senders), *delivery)
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error
        finally:
            for sender in senders:
                sender.close()

    def _next(self):
        """(event id, how often it was tried) as soon as one is due; None when there is none left."""
        with self.lock:
            while not self.stopping and self.open:
                now = time.monotonic()
                if self.failed and self.failed[0][0] <= now:
                    return heapq.heappop(self.failed)[2:]
                if self.fresh and self.fresh[0][0] <= now and self.fresh[0][1] <= self.share:
                    return self.fresh.popleft()[2], 0
                self.lock.wait(0.05)
            return None

    def _deliver(self, rng, sender, event_id, tries):
        body = ""
        try:
            answer = sender.post(self.history.made[event_id])
            status, body = str(answer.status), answer.body
        except OSError as error:
            status = type(error).__name__
        with self.lock:
            self.posts += 1
            if status == "200":
                self.acknowledged[event_id] += 1
                self.open -= 1
                return
            self.refused[status] += 1
            self.last_words[status] = body
            pause = min(FIRST_PAUSE * 2 ** tries, LONGEST_PAUSE) * rng.uniform(0.5, 1.0)
            heapq.heappush(self.failed, (time.monotonic() + pause, next(self.numbers), event_id, tries + 1))

    def finish(self, timeout):
        """Waits until everything is acknowledged; returns whether it is."""
        deadline = time.monotonic() + timeout
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self.failure:
            raise self.failure
        return not self.open

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join(2 * TIMEOUT)


class Operator(threading.Thread):
    """Links the customers that no event names, spread over the storm, each until the database has taken it."""

    def __init__(self, stage, links, seconds):
        super().__init__(daemon=True)
        self.stage = stage
        self.links = links
        self.seconds = seconds
        self.done = 0
        self.start()

    def run(self):
        pause = self.seconds / (len(self.links) + 1)
        for user, customer in self.links:
            time.sleep(pause)
            while not self.stage.attempt("SELECT {s}.link_stripe_customer(%s, %s)", (user, customer)):
                time.sleep(0.2)
            self.done += 1
