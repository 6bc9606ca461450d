"""Credits under load: random operations by many sessions with their answers, and a naive account to check them against."""
import dataclasses
import datetime
import itertools
import json
import threading
import time
import types

MICROSECOND = 1_000_000


def micros(instant):
    """A datetime as whole microseconds since 1970."""
    return None if instant is None else round(instant.timestamp() * MICROSECOND)


class Naive:
    """One account, one credit operation after the other, written down as simply as it can be."""

    HOLD_ENDS, LOT_STARTS, LOT_ENDS = range(3)

    def __init__(self):
        self.lots, self.holds, self.debits, self.entries = {}, {}, {}, []
        self.live, self.open = {}, {}  # of lots and holds, those to which something can still happen

    # What can be seen of it.

    def state(self):
        balance = sum(lot.remaining for lot in self.live.values())
        held = sum(lot.held for lot in self.live.values())
        return {"balance": balance, "held": held, "available": balance - held, "debt": 0}

    def state_at(self, instant):
        """The state at a past instant, as the ledger and the holds tell it."""
        balance = sum(amount for _, amount, _, at, _, _ in self.entries if at <= instant)
        held = sum(hold.amount for hold in self.holds.values() if hold.made_at <= instant < hold.ended_at)
        return {"balance": balance, "held": held, "available": balance - held, "debt": 0}

    # Time.

    def due(self):
        """Everything that time alone will do, as (instant, kind, id)."""
        moments = [(hold.ended_at, self.HOLD_ENDS, id) for id, hold in self.open.items()]
        for id, lot in self.live.items():
            if not lot.started:
                moments.append((lot.effective_at, self.LOT_STARTS, id))
            elif lot.remaining > lot.held and lot.expires_at:
                moments.append((max(lot.expires_at, lot.effective_at), self.LOT_ENDS, id))
        return moments

    def advance(self, now):
        while self.due() and min(self.due())[0] <= now:
            at, kind, id = min(self.due())
            if kind == self.HOLD_ENDS:
                self.end_hold(id, "expired", at)
            elif kind == self.LOT_STARTS:
                self.start(self.lots[id])
            self.settle(at)

    def settle(self, at):
        """What is over keeps nothing that is not held."""
        for id in sorted(self.live):
            lot = self.live[id]
            amount = lot.remaining - lot.held
            if lot.started and amount and (lot.voided or (lot.expires_at and lot.expires_at <= at)):
                lot.remaining -= amount
                lot.lapsed += amount
                self.write("expiry", -amount, max(at, lot.effective_at), lot.id)
            if lot.voided and not lot.started or lot.started and not lot.remaining:
                del self.live[id]

    def write(self, kind, amount, at, lot=None, burns=()):
        self.entries.append((kind, amount, self.state()["balance"], at, lot, list(burns)))
        return len(self.entries)

    # Operations, at an instant. They return what the function answers, as far as the naive can tell.

    def start(self, lot):
        lot.started, lot.remaining = True, lot.amount
        self.write("allocation", lot.amount, lot.effective_at, lot.id)

    def grant(self, now, amount, priority, effective_at, expires_at):
        self.advance(now)
        id = len(self.lots) + 1
        self.lots[id] = self.live[id] = lot = types.SimpleNamespace(
            id=id, amount=amount, remaining=0, held=0, spent=0, lapsed=0, reversed=0, started=False, voided=False,
            priority=priority, effective_at=effective_at or now, expires_at=expires_at)
        number = len(self.entries) + 1
        self.advance(now)
        return {"grant_id": id, "amount": amount, "status": "granted" if lot.started else "scheduled",
                "transaction_id": number if lot.started else None}

    def choose(self, amount):
        """One credit after the other, from the lot that is best at that moment."""
        burns = {}
        for _ in range(amount):
            usable = [lot for lot in self.live.values()
                      if lot.started and lot.remaining - lot.held > burns.get(lot.id, 0)]
            best = min(usable, key=lambda lot: (lot.priority, lot.expires_at or float("inf"), lot.id))
            burns[best.id] = burns.get(best.id, 0) + 1
        return burns

    def spend(self, burns):
        for id, amount in burns.items():
            self.lots[id].remaining -= amount
            self.lots[id].spent += amount

    def charge(self, now, burns):
        number = self.write("usage", -sum(burns.values()), now, burns=burns.items())
        self.debits[number] = [[id, amount] for id, amount in reversed(burns.items())]
        self.settle(now)
        return number

    def use(self, now, amount, mode):
        self.advance(now)
        available = self.state()["available"]
        taken = min(amount, available) if mode == "partial" else amount
        if taken == 0 or taken > available:
            return {"status": "insufficient_credits"}
        burns = self.choose(taken)
        self.spend(burns)
        return {"status": "charged" if taken == amount else "partial", "charged": taken, "burns": as_json(burns),
                "transaction_id": self.charge(now, burns)}

    def hold(self, now, amount, lasts):
        self.advance(now)
        if amount > self.state()["available"]:
            return {"status": "insufficient_credits"}
        burns = self.choose(amount)
        for id, part in burns.items():
            self.lots[id].held += part
        number = len(self.holds) + 1
        self.holds[number] = self.open[number] = types.SimpleNamespace(
            amount=amount, burns=burns, status="open", captured=0, made_at=now, ended_at=now + lasts)
        return {"status": "held", "hold_id": number, "amount": amount, "reserved": as_json(burns)}

    def end_hold(self, number, status, at):
        hold = self.open.pop(number)
        hold.status, hold.ended_at = status, at
        for id, part in hold.burns.items():
            self.lots[id].held -= part

    def capture(self, now, number, amount, allow_more):
        self.advance(now)
        hold = self.holds[number]
        if hold.status != "open":
            return {"status": f"hold_{hold.status}"}
        amount = amount or hold.amount
        more = max(amount - hold.amount, 0)
        if more and not allow_more:
            return {"status": "exceeds_hold"}
        if more > self.state()["available"]:
            return {"status": "insufficient_credits"}
        self.end_hold(number, "captured", now)
        burns, left = {}, amount - more
        for id, part in hold.burns.items():
            if left:
                burns[id] = min(part, left)
                left -= burns[id]
        self.spend(burns)
        extra = self.choose(more)
        self.spend(extra)
        for id, part in extra.items():
            burns[id] = burns.get(id, 0) + part
        hold.captured = amount
        return {"status": "captured", "charged": amount, "released": max(hold.amount - amount, 0),
                "burns": as_json(burns), "transaction_id": self.charge(now, burns)}

    def release(self, now, number):
        self.advance(now)
        hold = self.holds[number]
        if hold.status != "open":
            return {"status": f"hold_{hold.status}"}
        self.end_hold(number, "released", now)
        self.settle(now)
        return {"status": "released", "released": hold.amount}

    def refund(self, now, number, amount):
        self.advance(now)
        left = self.debits[number]
        refundable = sum(part for _, part in left)
        if refundable == 0:
            return {"status": "already_refunded"}
        if (amount or 0) > refundable:
            return {"status": "exceeds_debit", "refundable": refundable}
        amount = rest = amount or refundable
        burns = {}
        for one in left:
            part = min(one[1], rest)
            one[1] -= part
            rest -= part
            if part:
                burns[one[0]] = part
        for id, part in burns.items():
            lot = self.live[id] = self.lots[id]
            lot.remaining += part
            lot.spent -= part
        entry = self.write("refund", amount, now, burns=burns.items())
        self.settle(now)
        return {"status": "refunded", "refunded": amount, "refundable": refundable - amount, "restored": as_json(burns),
                "lapsed": -sum(one[1] for one in self.entries[entry:]), "transaction_id": entry}

    def void(self, now, id):
        self.advance(now)
        lot = self.lots[id]
        if lot.voided:
            return {"status": "exists", "taken": 0}
        lot.voided = True
        taken = lot.remaining - lot.held
        if taken:
            lot.remaining -= taken
            lot.reversed += taken
            self.write("adjustment", -taken, now, id)
        self.settle(now)
        return {"status": "voided", "taken": taken}


def as_json(burns):
    return [{"grant_id": id, "amount": amount} for id, amount in burns.items()]


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
                {"user_id": rng.choice(self.users), "amount": rng.randint(1, 6), "mode": rng.choice(["reject", "partial"])}
                for _ in range(rng.randint(1, 6))])} if kind == "batch" else {})}

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


def timestamp(milliseconds):
    if milliseconds is None:
        return None
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.timezone.utc)
