"""Any order, any duplication, eight sessions at once: the database ends the same as after a calm delivery."""
import contextlib
import random
import threading

import psycopg2

from harness import load

START = 1_795_000_000
CUSTOMERS = 24


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
    lock, failures, done = threading.Lock(), [], threading.Event()

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

    def retry(connection):
        while not done.is_set():
            try:
                database.rows("SELECT * FROM {s}.retry_stripe_events(50)", connection=connection)
            except psycopg2.errors.DeadlockDetected:
                pass

    senders = [threading.Thread(target=guarded, args=(send,)) for _ in range(8)]
    retrier = threading.Thread(target=guarded, args=(retry,))
    for thread in [*senders, retrier]:
        thread.start()
    for thread in senders:
        thread.join()
    done.set()
    retrier.join()
    assert not failures, failures[:5]
    settle(database)


def settle(database):
    """What was busy is due within a second: make it due now, until nothing is left."""
    for _ in range(20):
        if not database.value("SELECT count(*) FROM {s}.stripe_events WHERE NOT processed"):
            return
        database.execute("UPDATE {s}.stripe_events SET next_retry_at = now() WHERE NOT processed")
        database.retry(1000)


def test_every_delivery_of_the_same_events_ends_in_the_same_database(databases):
    lists = load.lives(CUSTOMERS, START)
    calm = databases()
    deliver_calmly(calm, lists)

    volatile = {"waiting_for"}
    expected = calm.facts("stripe_events", "stripe_objects", "user_subscriptions", "billing_users")
    links = calm.facts("stripe_customer_links", "audit_logs", ignore=volatile)
    for seed in (1, 2, 3):
        wild = databases()
        deliver_wildly(wild, lists, seed)
        got = wild.facts(*expected)
        for table, rows in expected.items():
            assert got[table] == rows, f"seed {seed}: {table} differs"
        assert wild.facts(*links, ignore=volatile) == links, f"seed {seed}"
        states = "SELECT user_id, state - 'cached_at' - 'expires_at' AS state FROM {s}.subscription_cache ORDER BY 1"
        assert wild.rows(states) == calm.rows(states), f"seed {seed}: the cache differs"
