"""A burst of webhooks while the worker is killed again and again: each notification is written once, and delivered at
least once, always as the same message."""
import collections
import json
import random
import threading
import time

from harness.life import Life, flat
from harness.receiver import Receiver
from harness.stripe import Sender
from harness.worker import Worker

USERS = 60
KILLS = 8


def lives():
    events, expected = [], set()
    for number in range(USERS):
        name = f"user{number}"
        life = Life(name, start=int(time.time()) - 60)
        events.append(flat([life.customer_created(),
                            life.subscribed(), life.checkout_completed(name), life.first_invoice(),
                            life.cancel_at_period_end(), life.ended()]))
        expected |= {(name, kind) for kind in ("access_gained", "payment_confirmed", "access_ending", "access_lost")}
    return events, expected


def send(worker, events, failures):
    """Each until it is acknowledged, as Stripe does."""
    sender = Sender(worker.webhook, worker.secret, timeout=5)
    for event in events:
        for _ in range(400):
            try:
                if sender.post(event).status == 200:
                    break
            except OSError:
                pass
            time.sleep(0.05)
        else:
            failures.append(event["id"])
    sender.close()


def test_a_burst_gives_each_notification_once_also_across_kill_9(database, workers):
    randomness = random.Random(7)
    events, expected = lives()
    failures = []
    with Receiver(delay=0.05) as receiver:
        environment = receiver.environment(PG_BILLING_NOTIFY_TIMEOUT="1s")
        database.execute("SELECT {s}.set_billing_setting('notify_since', '2020-01-01T00:00:00Z', 'tests')")
        role = database.create_role("billing_worker", "worker")
        # One that is killed, and one beside it that shares the queue.
        killed = Worker(database.url(role), environment=environment).start()
        workers(database, environment=environment)
        senders = [threading.Thread(target=send, args=(killed, flat(part), failures))
                   for part in (events[index::6] for index in range(6))]
        for sender in senders:
            sender.start()
        for _ in range(KILLS):
            time.sleep(randomness.uniform(0.3, 1.0))
            killed.kill()
            killed.start()
        for sender in senders:
            sender.join()
        assert failures == []
        # What the dead had taken is handed out again when their leases end: here at once.
        deadline = time.monotonic() + 60
        while database.value("SELECT count(*) FROM {s}.billing_notifications WHERE status = 'pending'"):
            assert time.monotonic() < deadline
            database.execute("UPDATE {s}.billing_notifications SET next_attempt_at = now()"
                             " WHERE status = 'pending' AND lease_until < now() + interval '44 seconds'")
            time.sleep(0.2)
        killed.stop()
        rows = database.rows("SELECT user_id, notification_id, kind, attempts FROM {s}.billing_notifications")
        written = collections.Counter((row["user_id"], row["kind"]) for row in rows)
        assert written == collections.Counter(expected)
        counts = receiver.counts()
        assert set(counts) == {row["notification_id"] for row in rows}
        bodies = collections.defaultdict(set)
        for message in receiver.messages():
            assert message["valid"] == [True]
            bodies[message["id"]].add(message["body"])
        assert all(len(each) == 1 for each in bodies.values())
        # Twice only what was under way when somebody was killed.
        again = sum(counts.values()) - len(counts)
        assert again <= sum(row["attempts"] - 1 for row in rows)
        print(f"\n{len(rows)} notifications, {again} delivered again after {KILLS} kills")
        assert json.loads(next(iter(bodies.values())).copy().pop())["data"]["user_id"].startswith("user")
