"""Credits under concurrency: exact at the limit, and the same as a naive account that does one thing after the other."""
import contextlib
import json
import os
import random
import threading
import time

import pytest

from harness.credits import Mix, Replay

SESSIONS = 16
SECONDS = float(os.environ.get("PG_BILLING_CREDITS_SECONDS", "3"))
USERS = [f"user_{name}" for name in ("ada", "bob", "cy", "dan", "eve")]


def in_sessions(database, work, count=SESSIONS):
    """work(number, connection) in each of several sessions at once; any error is the test's."""
    failures = []

    def guarded(number):
        try:
            with contextlib.closing(database.connect()) as connection:
                work(number, connection)
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[:5]


def sound(database):
    assert database.rows("SELECT * FROM {s}.verify_credit_ledger()") == []


DEBIT = {
    "use": "SELECT {s}.use_credits_validated('ada', 7) ->> 'status' = 'charged'",
    "batch": "SELECT count(*) FILTER (WHERE result ->> 'status' = 'charged') FROM {s}.use_credits_batch("
             """'[{"user_id": "bob", "amount": 1}, {"user_id": "ada", "amount": 7}, {"user_id": "zoe", "amount": 1}]')""",
    "hold": "SELECT {s}.hold_credits('ada', 7) ->> 'status' = 'held'",
    "statement": "SELECT count(*) FILTER (WHERE u ->> 'status' = 'charged') FROM generate_series(1, 3) n,"
                 " {s}.use_credits_validated('ada', 7 + 0 * n) u",
}


@pytest.mark.parametrize("how", DEBIT)
def test_exactly_as_many_as_the_balance_allows(database, how):
    """16 sessions, together twice as many debits as there is credit for."""
    balance, each = 1000, 20
    for amount, priority in ((400, 50), (350, 10), (250, 50)):
        database.execute("SELECT {s}.grant_credits('ada', %s, priority => %s)", (amount, priority))
    succeeded = []

    def debit(_, connection):
        for _ in range(each):
            succeeded.append(int(database.value(DEBIT[how], connection=connection)))

    in_sessions(database, debit)
    assert sum(succeeded) == balance // 7
    left = database.value("SELECT {s}.get_credit_balance('ada')")
    assert left["available"] == balance % 7 and left["held"] == (balance - balance % 7 if how == "hold" else 0)
    sound(database)


def test_one_key_is_one_debit_however_many_ask(database):
    database.execute("SELECT {s}.grant_credits('ada', 1000)")
    answers = [set() for _ in range(40)]

    def ask(number, connection):
        for key in random.Random(number).sample(range(40), 40):
            answer = database.value("SELECT {s}.use_credits_validated('ada', %s, idempotency_key => %s)::text",
                                    (key + 1, f"k{key}"), connection)
            answers[key].add(answer)

    in_sessions(database, ask)
    assert [len(one) for one in answers] == [1] * 40
    assert database.value("SELECT {s}.get_credit_balance('ada') ->> 'balance'") == str(1000 - sum(range(1, 41)))
    sound(database)


class Life:
    """The mix, run by all sessions for some time: alone, in transactions, some of them undone, some asked again."""

    def __init__(self, database):
        self.database = database
        self.mix = Mix(USERS)
        self.undone = self.again = 0

    def run(self, seconds):
        end = time.monotonic() + seconds
        for user in USERS:
            database = self.database
            self.mix.remember(self.mix.call(database, database.connection, *self.mix.plan(random, user, {"grant"})))

        def work(number, connection):
            rng = random.Random(number)
            while time.monotonic() < end:
                if rng.random() < 0.1:
                    self.in_a_transaction(rng, connection)
                else:
                    kind, arguments = self.mix.plan(rng)
                    done = self.mix.call(self.database, connection, kind, arguments)
                    self.mix.remember(done)
                    if rng.random() < 0.1 and kind in ("grant", "use", "hold", "capture", "refund") and done[0].answer["success"]:
                        (again,) = self.mix.call(self.database, connection, kind, arguments)
                        assert json.dumps(again.answer) == json.dumps(done[0].answer)
                        self.again += 1

        in_sessions(self.database, work)

    def in_a_transaction(self, rng, connection):
        user = rng.choice(USERS)
        connection.autocommit = False
        done = []
        for _ in range(rng.randint(1, 3)):
            done += self.mix.call(self.database, connection,
                                  *self.mix.plan(rng, user, {"grant", "use", "hold", "release", "refund"}))
        if rng.random() < 0.5:
            connection.rollback()
            self.undone += 1
        else:
            connection.commit()
            self.mix.remember(done)
        connection.autocommit = True


def test_random_mixes_end_as_a_naive_account_does(database):
    life = Life(database)
    life.run(SECONDS)
    for one in life.mix.done:
        if one.kind in ("read", "state"):
            assert 0 <= one.answer["available"] <= one.answer["balance"] - one.answer["held"]
    sound(database)
    time.sleep(1.1)  # everything short-lived is over
    tidied = database.value("SELECT clock_timestamp()")
    database.execute("SELECT {s}.expire_credits(100000)")
    sound(database)
    now = round(time.time() * 1_000_000)
    counts = {}
    for user in USERS:
        replay = Replay(database, user, life.mix.done)
        replay.run(tidied)
        replay.compare()
        for entry in replay.naive.entries:
            counts[entry[0]] = counts.get(entry[0], 0) + 1
        # Any past instant, also those at which something happens.
        instants = random.sample(sorted(replay.entry_at.values()), 10) + [random.randint(life.mix.done[0].at, now) for _ in range(10)]
        for instant in instants:
            then = database.value("SELECT {s}.get_credit_balance(%s, 'epoch'::timestamptz + %s * interval '1 microsecond')",
                                  (user, instant))
            assert then == replay.naive.state_at(instant), (user, instant)
        state = replay.naive.state()
        assert database.value("SELECT {s}.get_credit_balance(%s)", (user,)) == state
        del state["debt"]
        assert database.value("SELECT {s}.get_user_subscription_state(%s) -> 'credits'", (user,)) == state
    statuses = {one.answer["status"] for one in life.mix.done if one.kind not in ("read", "state", "expire")}
    assert set(counts) == {"allocation", "usage", "refund", "expiry", "adjustment"}
    print(f"{len(life.mix.done)} operations by {SESSIONS} sessions, {life.undone} transactions undone, {life.again} asked again: "
          f"{counts} {sorted(statuses)}")


@pytest.mark.parametrize("level", ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"))
def test_debits_of_one_transaction_follow_each_other_also_around_savepoints(database, level):
    for user in ("ada", "bob"):
        for priority in (10, 50):
            database.execute("SELECT {s}.grant_credits(%s, 10, priority => %s)", (user, priority))
    debit = "SELECT {s}.use_credits_validated(%s, %s)"
    with contextlib.closing(database.connect()) as connection:
        connection.autocommit = False
        database.execute(f"SET TRANSACTION ISOLATION LEVEL {level}", connection=connection)
        for user, amount in (("ada", 4), ("bob", 3), ("ada", 4)):
            assert database.value(debit, (user, amount), connection=connection)["success"]
        database.execute("SAVEPOINT undone", connection=connection)
        assert database.value(debit, ("ada", 5), connection=connection)["available"] == 7
        assert database.value(debit, ("bob", 9), connection=connection)["available"] == 8
        database.execute("ROLLBACK TO undone", connection=connection)
        assert database.value(debit, ("ada", 5), connection=connection)["available"] == 7
        answers = database.rows("SELECT {s}.use_credits_validated(u, 2) AS answer FROM unnest(ARRAY['ada', 'bob', 'ada']) u",
                                connection=connection)
        assert [row["answer"]["available"] for row in answers] == [5, 15, 3]
        connection.commit()
    assert database.rows("SELECT balance FROM {s}.credit_accounts ORDER BY user_id") == [{"balance": 3}, {"balance": 15}]
    sound(database)


def test_who_waited_for_a_debit_sees_what_it_left(database):
    """Without the queue in front of the row: a batch takes the row's lock alone."""
    database.execute("SELECT {s}.grant_credits('ada', 10)")
    batch = """SELECT result FROM {s}.use_credits_batch('[{"user_id": "ada", "amount": 7}]')"""
    with contextlib.closing(database.connect()) as first:
        first.autocommit = False
        assert database.value(batch, connection=first)["success"]
        answers = []

        def debit():
            with contextlib.closing(database.connect()) as second:
                answers.append(database.value("SELECT {s}.use_credits_validated('ada', 7)", connection=second))

        thread = threading.Thread(target=debit)
        thread.start()
        deadline = time.monotonic() + 20
        while not database.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        first.commit()
        thread.join()
    assert answers[0]["reason"] == "balance_too_low" and answers[0]["balance"] == 3
    sound(database)
