"""Applications ask for things of Stripe while workers are killed and answers are lost: each has one effect."""
import collections
import contextlib
import random
import time

from harness.account import LOST, Account
from harness.waiting import until
from harness.worker import Worker

REQUESTS = 120
KILLS = 8


def test_each_request_has_one_effect_also_across_kill_9(database, workers):
    randomness = random.Random(11)
    with contextlib.closing(Account()) as account:
        account.delay = 0.05
        account.faults = [randomness.choice([None, None, LOST, 500, 429, 0]) for _ in range(REQUESTS)]
        role = database.create_role("billing_worker", "worker")
        # One that is killed, and one beside it that shares the queue.
        killed = Worker(database.url(role), environment=account.environment).start()
        workers(database, environment=account.environment)
        for number in range(REQUESTS):
            with contextlib.closing(database.connect()) as application:
                application.autocommit = False
                database.value("SELECT {s}.enqueue_stripe_request(%s, '/v1/coupons', jsonb_build_object('name', %s::text))",
                               (f"user{number % 7}", str(number)), connection=application)
                if number % 5:
                    application.commit()
            if number % (REQUESTS // KILLS) == REQUESTS // KILLS - 1:
                time.sleep(randomness.uniform(0, 0.4))
                killed.kill()
                killed.start(wait=False)

        def over():
            # What the dead had taken is handed out again when its lease ends, and what failed when its pause does: here at once.
            database.execute("UPDATE {s}.stripe_requests SET next_attempt_at = now()"
                             " WHERE status = 'pending' AND (sent_at IS NULL OR sent_at < now() - interval '20 seconds')")
            return not database.value("SELECT count(*) FROM {s}.stripe_requests WHERE finished_at IS NULL")

        until(over, "every request answered", timeout=90, pause=0.3)
        killed.stop()
    wanted = {str(number) for number in range(REQUESTS) if number % 5}
    assert collections.Counter(told["name"] for _, _, told in account.effects) == collections.Counter(wanted)
    assert database.rows("SELECT status, count(*) FROM {s}.stripe_requests GROUP BY 1") == [{"status": "succeeded", "count": len(wanted)}]
    assert database.value("SELECT max(attempts) FROM {s}.stripe_requests") > 1
