"""Credits under load: random operations of many sessions, each with its answer, and their replay by a naive account."""
import copy
import dataclasses
import datetime
import itertools
import json
import threading
import time

from .naive_account import Naive


def micros(instant):
    """A datetime as whole microseconds since 1970."""
    return None if instant is None else round(instant.timestamp() * 1_000_000)


def timestamp(milliseconds):
    if milliseconds is None:
        return None
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.timezone.utc)


@dataclasses.dataclass
class Done:
    """An operation that was answered: at which instant of the server's clock, while it still held the account."""
    kind: str
    user: str
    arguments: dict
    answer: dict
    at: int
    began: int


class Mix:
    """Random operations of several sessions on a few accounts; what they know of each other's they share."""

    CALLS = {
        "grant": "{s}.grant_credits(%(user)s, %(amount)s, priority => %(priority)s,"
                 " effective_at => %(starts)s, expires_at => %(ends)s, idempotency_key => %(key)s)",
        "use": "{s}.use_credits_validated(%(user)s, %(amount)s, mode => %(mode)s, idempotency_key => %(key)s)",
        "hold": "{s}.hold_credits(%(user)s, %(amount)s, '1 second', idempotency_key => %(key)s)",
        "capture": "{s}.capture_hold(%(user)s, %(hold)s, %(amount)s, %(key)s, jsonb_build_object('allow_more', %(more)s))",
        "release": "{s}.release_hold(%(user)s, %(hold)s)",
        "refund": "{s}.refund_credits(%(user)s, %(debit)s, %(amount)s, idempotency_key => %(key)s)",
        "void": "{s}.void_grant(%(user)s, %(lot)s)",
        "read": "{s}.get_credit_balance(%(user)s)",
        "state": "{s}.get_user_subscription_state(%(user)s) -> 'credits'",
        "expire": "to_jsonb({s}.expire_credits())",
        "batch": "(SELECT jsonb_agg(result ORDER BY ordinal) FROM {s}.use_credits_batch(%(requests)s))",
    }
    WEIGHTS = {"grant": 16, "use": 30, "hold": 12, "capture": 9, "release": 4, "refund": 10, "void": 1, "batch": 8,
               "read": 4, "state": 3, "expire": 3}
    NEEDS = {"capture": "hold", "release": "hold", "refund": "debit", "void": "lot"}
    MAKES = {"grant": ("lot", "grant_id"), "hold": ("hold", "hold_id"), "use": ("debit", "transaction_id"),
             "capture": ("debit", "transaction_id")}

    def __init__(self, users):
        self.users = users
        self.lock = threading.Lock()
        self.done = []
        self.known = {user: {"hold": [], "debit": [], "lot": []} for user in users}
        self.keys = itertools.count(1)

    def plan(self, rng, user=None, kinds=None):
        """(kind, arguments) of something to do."""
        user = user or rng.choice(self.users)
        weights = {kind: weight for kind, weight in self.WEIGHTS.items() if kinds is None or kind in kinds}
        kind = rng.choices(list(weights), list(weights.values()))[0]
        with self.lock:
            known = {what: rng.choice(ids[-30:]) if ids else None for what, ids in self.known[user].items()}
            key = f"k{next(self.keys)}"
        if kind in self.NEEDS and known[self.NEEDS[kind]] is None:
            kind = "grant"
        amount = rng.randint(1, 12)
        now = round(time.time() * 1000)
        starts = rng.choice([None] * 4 + [now + rng.randint(50, 400)])
        return kind, {
            "user": user, "key": key, "amount": rng.randint(1, 60) if kind == "grant" else amount,
            "priority": rng.choice([10, 50, 50, 90]), "starts": timestamp(starts),
            "ends": timestamp(rng.choice([None, (starts or now) + 10 * rng.randint(10, 90)])),
            "mode": rng.choice(["reject", "reject", "partial"]), "more": rng.random() < 0.5,
            **known,
            **({"amount": rng.choice([None, amount])} if kind in ("capture", "refund") else {}),
            **({"requests": json.dumps([
                {"user_id": rng.choice(self.users), "amount": rng.randint(1, 6), "idempotency_key": f"{key}.{item}",
                 "mode": rng.choice(["reject", "partial"])}
                for item in range(rng.randint(1, 6))])} if kind == "batch" else {})}

    def call(self, database, connection, kind, arguments):
        """Runs it; returns the operations that it was, unless somebody rolls back."""
        (row,) = database.rows(f"WITH x AS MATERIALIZED (SELECT {self.CALLS[kind]} AS answer) "
                               "SELECT x.answer, clock_timestamp() AS at, statement_timestamp() AS began FROM x",
                               arguments, connection)
        at, began = micros(row["at"]), micros(row["began"])
        if kind == "batch":
            requests = json.loads(arguments["requests"])
            assert len(row["answer"]) == len(requests)
            return [Done("use", one["user_id"], one, answer, at, began) for one, answer in zip(requests, row["answer"])]
        return [Done(kind, arguments["user"], arguments, row["answer"], at, began)]

    def remember(self, done):
        with self.lock:
            self.done += done
            for one in done:
                if one.kind in self.MAKES and one.answer["success"]:
                    what, name = self.MAKES[one.kind]
                    self.known[one.user][what].append(one.answer[name])


class Replay:
    """One account's operations again, by the naive one, in the order in which they held the account.

    With `asked_again` an operation's time is not that of its answer, which came later: then those that left rows are
    replayed in the order of these, the others not at all.
    """

    def __init__(self, database, user, done, asked_again=False):
        self.user = user
        self.naive = Naive()
        rows = {what: database.rows(f"SELECT * FROM {{s}}.credit_{what} WHERE user_id = %s ORDER BY 2", (user,))
                for what in ("transactions", "grants", "holds", "burns")}
        self.rows = rows
        self.entry_at = {row["transaction_id"]: micros(row["created_at"]) for row in rows["transactions"]}
        self.grant_at = {row["grant_id"]: micros(row["created_at"]) for row in rows["grants"]}
        self.hold_at = {row["hold_id"]: micros(row["created_at"]) for row in rows["holds"]}
        self.closed_at = {row["hold_id"]: micros(row["closed_at"]) for row in rows["holds"]}
        self.void_at = {row["grant_id"]: micros(row["created_at"]) for row in rows["transactions"]
                        if row["transaction_type"] == "adjustment"}
        done = [one for one in done if one.user == user and one.kind not in ("read", "state", "expire")]
        # Those of one batch have one instant, and stay in their order.
        self.done = self.by_rows(done) if asked_again else sorted(done, key=lambda one: one.at)

    def by_rows(self, done):
        done = [one for one in done if one.answer["success"] and one.kind != "release"]
        done += [Done("release", self.user, {"hold": id}, {"status": "released", "hold_id": id, "released": row["amount"]}, 0, 0)
                 for id, row in ((row["hold_id"], row) for row in self.rows["holds"]) if row["status"] == "released"]
        return sorted(done, key=lambda one: (self.instant(one), one.answer.get("transaction_id") or 0))

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

    def run(self, until):
        """Up to `until`, when what had lapsed by then was written down."""
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
                if all(one.answer.get(name, value) == value for name, value in told[-1].items()):
                    self.naive, last = trial, instant
                    break
            else:
                raise AssertionError(f"{one}: the naive account says {told}")
        self.naive.advance(max(last, micros(until)))

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
