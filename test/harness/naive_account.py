"""A credit account as simple as it can be: what the real ones are checked against."""
import types


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
