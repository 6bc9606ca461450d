"""Credits under concurrency: exact at the limit, and the same as a naive account that does one thing after the other."""
import contextlib
import copy
import json
import os
import random
import threading
import time

import pytest

from harness.credits import Mix, Naive, micros

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


class Replay:
    """One account's operations again, by the naive one, in the order in which they held the account."""

    def __init__(self, database, user, done):
        self.user = user
        self.naive = Naive()
        # Those of one batch have one instant, and stay in their order.
        self.done = sorted((one for one in done if one.user == user and one.kind not in ("read", "state", "expire")),
                           key=lambda one: one.at)
        rows = {what: database.rows(f"SELECT * FROM {{s}}.credit_{what} WHERE user_id = %s ORDER BY 2", (user,))
                for what in ("transactions", "grants", "holds", "burns")}
        self.rows = rows
        self.entry_at = {row["transaction_id"]: micros(row["created_at"]) for row in rows["transactions"]}
        self.grant_at = {row["grant_id"]: micros(row["created_at"]) for row in rows["grants"]}
        self.hold_at = {row["hold_id"]: micros(row["created_at"]) for row in rows["holds"]}
        self.closed_at = {row["hold_id"]: micros(row["closed_at"]) for row in rows["holds"]}
        self.void_at = {row["grant_id"]: micros(row["created_at"]) for row in rows["transactions"]
                        if row["transaction_type"] == "adjustment"}

    def instant(self, one):
        """When it took place, if a row tells."""
        answer = one.answer
        if one.kind == "grant":
            return self.grant_at[answer["grant_id"]]
        if answer["status"] == "held":
            return self.hold_at[answer["hold_id"]]
        if answer["status"] == "released":
            return self.closed_at[answer["hold_id"]]
        if answer["status"] == "voided":
            return self.void_at.get(answer["grant_id"])
        return self.entry_at[answer["transaction_id"]] if answer["success"] and "transaction_id" in answer else None

    def run(self):
        last = 0
        for one in self.done:
            at = self.instant(one)
            # Otherwise between what was before it and its answer: what time alone did meanwhile may have come before it.
            first = max(last, one.began)
            instants = [at] if at else [first, *sorted(t for t, _, _ in self.naive.due() if first < t <= one.at), one.at]
            told = []
            for instant in instants:
                trial = self.naive if len(instants) == 1 else copy.deepcopy(self.naive)
                told.append(self.repeat(trial, instant, one))
                if all(one.answer.get(name) == value for name, value in told[-1].items()):
                    self.naive, last = trial, instant
                    break
            else:
                raise AssertionError(f"{one}: the naive account says {told}")
        self.naive.advance(round(time.time() * 1_000_000))

    @staticmethod
    def repeat(naive, instant, one):
        a = one.arguments
        answer = {
            "grant": lambda: naive.grant(instant, a["amount"], a["priority"], micros(a["starts"]), micros(a["ends"])),
            "use": lambda: naive.use(instant, a["amount"], a["mode"]),
            "hold": lambda: naive.hold(instant, a["amount"], 1_000_000),
            "capture": lambda: naive.capture(instant, a["hold"], a["amount"], a["more"]),
            "release": lambda: naive.release(instant, a["hold"]),
            "refund": lambda: naive.refund(instant, a["debit"], a["amount"]),
            "void": lambda: naive.void(instant, a["lot"]),
        }[one.kind]()
        return answer | naive.state()

    def compare(self):
        """Ledger, grants and holds, row by row."""
        burns = {}
        for row in self.rows["burns"]:
            burns.setdefault(row["transaction_id"], []).append((row["position"], row["grant_id"], abs(row["amount"])))
        found = [(row["transaction_type"], row["amount"], row["balance_after"], micros(row["effective_at"]), row["grant_id"],
                  [burn[1:] for burn in sorted(burns.get(row["transaction_id"], []))]) for row in self.rows["transactions"]]
        for number, (mine, theirs) in enumerate(zip(self.naive.entries, found), 1):
            assert mine == theirs, f"{self.user} entry {number}"
        assert len(found) == len(self.naive.entries)
        names = ("amount", "remaining", "held", "spent", "lapsed", "reversed", "started", "voided")
        for row in self.rows["grants"]:
            lot = self.naive.lots[row["grant_id"]]
            assert {name: row[name] for name in names} == {name: getattr(lot, name) for name in names}, row
        for row in self.rows["holds"]:
            hold = self.naive.holds[row["hold_id"]]
            assert (row["amount"], row["status"], row["captured"], micros(row["closed_at"])) == \
                (hold.amount, hold.status, hold.captured, hold.ended_at)


def test_random_mixes_end_as_a_naive_account_does(database):
    life = Life(database)
    life.run(SECONDS)
    for one in life.mix.done:
        if one.kind in ("read", "state"):
            assert 0 <= one.answer["available"] <= one.answer["balance"] - one.answer["held"]
    sound(database)
    time.sleep(1.1)  # everything short-lived is over
    database.execute("SELECT {s}.expire_credits(100000)")
    sound(database)
    now = round(time.time() * 1_000_000)
    counts = {}
    for user in USERS:
        replay = Replay(database, user, life.mix.done)
        replay.run()
        replay.compare()
        for entry in replay.naive.entries:
            counts[entry[0]] = counts.get(entry[0], 0) + 1
        # Any past instant, also those at which something happens.
        instants = random.sample(sorted(replay.entry_at.values()), 10) + [random.randint(life.mix.done[0].at, now) for _ in range(10)]
        for instant in instants:
            then = database.value("SELECT {s}.get_credit_balance(%s, 'epoch'::timestamptz + %s * interval '1 microsecond')",
                                  (user, instant))
            assert then == replay.naive.state_at(instant), (user, instant)
        assert database.value("SELECT {s}.get_credit_balance(%s)", (user,)) == replay.naive.state()
    statuses = {one.answer["status"] for one in life.mix.done if one.kind not in ("read", "state", "expire")}
    assert set(counts) == {"allocation", "usage", "refund", "expiry", "adjustment"}
    print(f"{len(life.mix.done)} operations by {SESSIONS} sessions, {life.undone} transactions undone, {life.again} asked again: "
          f"{counts} {sorted(statuses)}")
