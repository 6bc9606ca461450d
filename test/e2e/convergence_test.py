"""Any order, any duplication, eight sessions at once: the database ends the same as after a calm delivery."""
import contextlib
import random
import threading

import psycopg2

from harness import load

START = 1_795_000_000
HISTORIES = 200
ORDERS = 5


def deliver_calmly(database, lists):
    for events in lists:
        for event in events:
            database.process(event)
    database.retry(1000)


def deliver_wildly(database, lists, seed):
    """Every event at least once, shuffled over sessions, in batches of 1 to 12; another session retries."""
    rng = random.Random(seed)
    stream = [event for events in lists for event in events]
    stream += rng.sample(stream, len(stream) // 3)
    rng.shuffle(stream)
    batches = []
    while stream:
        size = rng.randint(1, 12)
        batches.append(stream[:size])
        stream = stream[size:]
    lock, failures, run_again, done = threading.Lock(), [], [], threading.Event()

    def guarded(work):
        try:
            with contextlib.closing(database.connect()) as connection:
                connection.autocommit = True
                work(connection)
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    def send(connection):
        while True:
            with lock:
                if not batches:
                    return
                batch = batches.pop()
            for _, outcome, error in process_until_stored(batch, connection):
                if outcome not in ("processed", "duplicate", "parked"):
                    failures.append((outcome, error))

    def process_until_stored(batch, connection):
        """As the worker does: what is the system's fault is run again."""
        while True:
            try:
                return database.process(*batch, connection=connection)
            except psycopg2.Error as error:
                if error.pgcode[:2] != "40":
                    raise
                run_again.append(error.pgcode)

    def retry(connection):
        while not done.is_set():
            try:
                database.rows("SELECT * FROM {s}.retry_stripe_events(50)", connection=connection)
            except psycopg2.Error as error:
                if error.pgcode[:2] != "40":
                    raise
                run_again.append(error.pgcode)

    senders = [threading.Thread(target=guarded, args=(send,)) for _ in range(8)]
    retrier = threading.Thread(target=guarded, args=(retry,))
    for thread in [*senders, retrier]:
        thread.start()
    for thread in senders:
        thread.join()
    done.set()
    retrier.join()
    assert not failures, failures[:5]
    assert "40P01" not in run_again, "deadlock"
    settle(database)
    return len(run_again)


def settle(database):
    """What was busy is due within a second: make it due now, until nothing is left."""
    for _ in range(20):
        if not database.value("SELECT count(*) FROM {s}.stripe_events WHERE NOT processed"):
            return
        database.execute("UPDATE {s}.stripe_events SET next_retry_at = now() WHERE NOT processed")
        database.retry(1000)


def test_every_delivery_of_the_same_events_ends_in_the_same_database(databases):
    lists = load.lives(HISTORIES, START)
    calm = databases().grant_since_ever()
    deliver_calmly(calm, lists)
    # What an event waited for while it was busy is forgotten with its next outcome, or was never written.
    expected = calm.facts(ignore={"waiting_for"})
    states = "SELECT user_id, state - 'cached_at' - 'expires_at' AS state FROM {s}.subscription_cache ORDER BY 1"
    # A trial's credits, a period's, and the next one's for two: each ends the former.
    assert calm.rows("SELECT DISTINCT sum(amount)::int AS granted, sum(remaining)::int AS left FROM {s}.credit_grants"
                     " GROUP BY user_id") == [{"granted": 305, "left": 200}]
    run_again = 0
    for order in range(ORDERS):
        wild = databases().grant_since_ever()
        run_again += deliver_wildly(wild, lists, seed=order)
        got = wild.facts(ignore={"waiting_for"})
        for table, rows in expected.items():
            assert got[table] == rows, f"order {order}: {table} differs"
        assert wild.rows(states) == calm.rows(states), f"order {order}: the cache differs"
        assert wild.unsound_credits() == []
    print(f"{HISTORIES} histories x {ORDERS} orders, 8 sessions: 0 divergent, 0 deadlocks, {run_again} calls run again")
