"""Credits under load: random operations by many sessions with their answers, and a naive account to check them against."""
import dataclasses
import random
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
        self.history = [(0, self.state())]  # (instant, state from then on)

    # What can be seen of it.

    def free(self, lot):
        return lot.remaining - lot.held

    def state(self):
        balance = sum(lot.remaining for lot in self.lots.values())
        held = sum(lot.held for lot in self.lots.values())
        return {"balance": balance, "held": held, "available": balance - held, "debt": 0}

    def state_at(self, instant):
        return [state for at, state in self.history if at <= instant][-1]

    # Time.

    def due(self):
        """Everything that time alone will do, as (instant, kind, id)."""
        moments = [(hold.expires_at, self.HOLD_ENDS, id) for id, hold in self.holds.items() if hold.status == "open"]
        for id, lot in self.lots.items():
            if not lot.started and not lot.voided:
                moments.append((lot.effective_at, self.LOT_STARTS, id))
            if lot.started and self.free(lot) and lot.expires_at:
                moments.append((max(lot.expires_at, lot.effective_at), self.LOT_ENDS, id))
        return moments

    def advance(self, now):
        while True:
            moment = min(self.due(), default=None)
            if moment is None or moment[0] > now:
                return
            at, kind, id = moment
            if kind == self.HOLD_ENDS:
                self.end_hold(self.holds[id], "expired")
            elif kind == self.LOT_STARTS:
                self.start(self.lots[id])
            self.settle(at)

    def settle(self, at):
        for lot in self.lots.values():
            over = lot.voided or (lot.expires_at is not None and lot.expires_at <= at)
            if lot.started and over and self.free(lot):
                amount = self.free(lot)
                lot.remaining -= amount
                lot.lapsed += amount
                self.write("expiry", -amount, max(at, lot.effective_at), lot.id)
        self.history.append((at, self.state()))

    def write(self, kind, amount, at, lot=None, burns=()):
        self.entries.append((kind, amount, self.state()["balance"], at, lot, list(burns)))
        return len(self.entries)

    # Operations, at an instant. They return what the function answers, as far as the naive can tell.

    def start(self, lot):
        lot.started, lot.remaining = True, lot.amount
        return self.write("allocation", lot.amount, lot.effective_at, lot.id)

    def grant(self, now, amount, priority, effective_at, expires_at):
        self.advance(now)
        id = len(self.lots) + 1
        self.lots[id] = lot = types.SimpleNamespace(
            id=id, amount=amount, remaining=0, held=0, spent=0, lapsed=0, reversed=0, started=False, voided=False,
            priority=priority, effective_at=effective_at or now, expires_at=expires_at)
        before = len(self.entries)
        self.advance(now)
        return {"grant_id": id, "amount": amount, "status": "granted" if lot.started else "scheduled",
                "transaction_id": before + 1 if lot.started else None}

    def take(self, amount):
        """Which lots: one credit after the other from the lot that is best at that moment."""
        burns = {}
        for _ in range(amount):
            usable = [lot for lot in self.lots.values() if lot.started and self.free(lot) > burns.get(lot.id, 0)]
            best = min(usable, key=lambda lot: (lot.priority, lot.expires_at or float("inf"), lot.id))
            burns[best.id] = burns.get(best.id, 0) + 1
        return list(burns.items())

    def spend(self, now, burns):
        for id, amount in burns:
            self.lots[id].remaining -= amount
            self.lots[id].spent += amount
        number = self.write("usage", -sum(amount for _, amount in burns), now, burns=burns)
        self.debits[number] = [[id, amount] for id, amount in reversed(burns)]
        self.settle(now)
        return number

    def use(self, now, amount, partial):
        self.advance(now)
        taken = min(amount, self.state()["available"]) if partial else amount
        if taken == 0 or taken > self.state()["available"]:
            return {"status": "insufficient_credits"}
        burns = self.take(taken)
        return {"status": "charged" if taken == amount else "partial", "charged": taken, "burns": as_json(burns),
                "transaction_id": self.spend(now, burns)}

    def hold(self, now, amount, expires_in):
        self.advance(now)
        if amount > self.state()["available"]:
            return {"status": "insufficient_credits"}
        burns = self.take(amount)
        for id, part in burns:
            self.lots[id].held += part
        number = len(self.holds) + 1
        self.holds[number] = types.SimpleNamespace(amount=amount, burns=burns, status="open", captured=0,
                                                   expires_at=now + expires_in)
        self.settle(now)
        return {"status": "held", "hold_id": number, "amount": amount, "reserved": as_json(burns)}

    def end_hold(self, hold, status):
        hold.status = status
        for id, part in hold.burns:
            self.lots[id].held -= part

    def capture(self, now, number, amount, allow_more):
        self.advance(now)
        hold = self.holds[number]
        if hold.status != "open":
            return {"status": f"hold_{hold.status}"}
        amount = amount or hold.amount
        if amount > hold.amount and not allow_more:
            return {"status": "exceeds_hold"}
        if amount - hold.amount > self.state()["available"]:
            return {"status": "insufficient_credits"}
        self.end_hold(hold, "captured")
        burns, left = {}, min(amount, hold.amount)
        for id, part in hold.burns:
            if min(part, left):
                burns[id] = min(part, left)
                self.lots[id].held += burns[id]  # out of reach of what follows
            left -= burns.get(id, 0)
        over = [lot for lot in self.lots.values() if lot.expires_at and lot.expires_at <= now]
        for lot in over:
            lot.started = False  # what the hold kept from lapsing is not for what exceeds it
        for id, part in self.take(max(amount - hold.amount, 0)):
            burns[id] = burns.get(id, 0) + part
        for lot in over:
            lot.started = True
        for id, part in hold.burns:
            self.lots[id].held -= min(part, burns.get(id, 0))
        hold.captured = amount
        return {"status": "captured", "charged": amount, "released": max(hold.amount - amount, 0),
                "burns": as_json(burns.items()), "transaction_id": self.spend(now, list(burns.items()))}

    def release(self, now, number):
        self.advance(now)
        hold = self.holds[number]
        if hold.status == "captured":
            return {"status": "hold_captured"}
        if hold.status != "open":
            return {"status": f"hold_{hold.status}", "released": 0}
        self.end_hold(hold, "released")
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
        amount = amount or refundable
        burns, rest = [], amount
        for one in left:
            part = min(one[1], rest)
            if part:
                burns.append((one[0], part))
            one[1] -= part
            rest -= part
        for id, part in burns:
            self.lots[id].remaining += part
            self.lots[id].spent -= part
        entry = self.write("refund", amount, now, burns=burns)
        before = len(self.entries)
        self.settle(now)
        return {"status": "refunded", "refunded": amount, "refundable": refundable - amount, "restored": as_json(burns),
                "lapsed": -sum(entry[1] for entry in self.entries[before:]), "transaction_id": entry}

    def void(self, now, id):
        self.advance(now)
        lot = self.lots[id]
        if lot.voided:
            return {"status": "exists", "taken": 0}
        lot.voided = True
        taken = self.free(lot)
        if taken:
            lot.remaining -= taken
            lot.reversed += taken
            self.write("adjustment", -taken, now, id)
        self.settle(now)
        return {"status": "voided", "taken": taken}


def as_json(burns):
    return [{"grant_id": id, "amount": amount} for id, amount in burns]


@dataclasses.dataclass
class Done:
    """An operation that was answered: when by the server's clock, while it still held the account."""
    kind: str
    user: str
    arguments: dict
    answer: dict
    at: int
    began: int
    key: str = None


class Mix:
    """Random operations on a few accounts. Each session has one of its own; what they know they share."""

    STATEMENTS = {
        "grant": "SELECT {s}.grant_credits(%(user)s, %(amount)s, priority => %(priority)s, effective_at => clock_timestamp()"
                 " + %(starts)s * interval '1 ms', expires_at => clock_timestamp() + %(ends)s * interval '1 ms',"
                 " idempotency_key => %(key)s)",
        "use": "SELECT {s}.use_credits_validated(%(user)s, %(amount)s, mode => %(mode)s, idempotency_key => %(key)s)",
        "hold": "SELECT {s}.hold_credits(%(user)s, %(amount)s, '1 second', idempotency_key => %(key)s)",
        "capture": "SELECT {s}.capture_hold(%(user)s, %(hold)s, %(amount)s, %(key)s, %(options)s)",
        "release": "SELECT {s}.release_hold(%(user)s, %(hold)s)",
        "refund": "SELECT {s}.refund_credits(%(user)s, %(debit)s, %(amount)s, idempotency_key => %(key)s)",
        "void": "SELECT {s}.void_grant(%(user)s, %(grant)s)",
        "read": "SELECT {s}.get_credit_balance(%(user)s)",
        "state": "SELECT {s}.get_user_subscription_state(%(user)s) -> 'credits'",
        "expire": "SELECT to_jsonb({s}.expire_credits())",
        "batch": "SELECT jsonb_agg(result ORDER BY ordinal) FROM {s}.use_credits_batch(%(requests)s)",
    }
    WEIGHTS = {"grant": 16, "use": 30, "hold": 12, "capture": 9, "release": 4, "refund": 10, "void": 1, "batch": 8,
               "read": 4, "state": 3, "expire": 3}

    def __init__(self, users, seed):
        self.users = users
        self.seed = seed
        self.lock = threading.Lock()
        self.done = []
        self.known = {user: {"hold": [], "debit": [], "grant": []} for user in users}
        self.keys = 0

    def plan(self, rng):
        """(kind, arguments) of something to do."""
        user = rng.choice(self.users)
        with self.lock:
            known = {what: rng.choice(ids[-30:]) if ids else None for what, ids in self.known[user].items()}
            self.keys += 1
            key = f"k{self.keys}" if rng.random() < 0.5 else None
        kind = rng.choices(list(self.WEIGHTS), list(self.WEIGHTS.values()))[0]
        needs = {"capture": "hold", "release": "hold", "refund": "debit", "void": "grant"}.get(kind)
        if needs and known[needs] is None:
            kind = "grant"
        amount = rng.randint(1, 12)
        some = rng.choice([None, amount])
        starts = rng.choice([None] * 4 + [rng.randint(20, 300)])
        return kind, {
            "grant": {"amount": rng.randint(1, 60), "priority": rng.choice([10, 50, 50, 90]), "starts": starts,
                      "ends": rng.choice([None, (starts or 0) + rng.randint(30, 900)])},
            "use": {"amount": amount, "mode": rng.choice(["reject", "reject", "partial"])},
            "hold": {"amount": amount},
            "capture": {"hold": known["hold"], "amount": some, "options": rng.choice(["{}", '{"allow_more": true}'])},
            "release": {"hold": known["hold"]},
            "refund": {"debit": known["debit"], "amount": some},
            "void": {"grant": known["grant"]},
            "batch": {"requests": [{"user_id": rng.choice(self.users), "amount": rng.randint(1, 6),
                                    "mode": rng.choice(["reject", "partial"])} for _ in range(rng.randint(1, 6))]},
        }.get(kind, {}) | {"user": user, "key": key}

    def remember(self, kind, user, answer):
        what, name = {"grant": ("grant", "grant_id"), "hold": ("hold", "hold_id"), "use": ("debit", "transaction_id"),
                      "capture": ("debit", "transaction_id")}.get(kind, (None, None))
        if what and answer["success"]:
            self.known[user][what].append(answer[name])
