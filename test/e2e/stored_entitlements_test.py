"""What a user may do is read from the cached state where that is valid: always the same as the tables say."""
import contextlib
import json
import random
import time

import pytest

from harness.life import Life, flat
from harness.objects import BASIC, DAY, MONTH, PRO

PLANS = (
    {"id": "free", "default": True, "features": {"messages": {"limit": 3, "window": "month"}, "models": {"value": ["small"]}}},
    {"id": "basic", "rank": 1, "prices": [{"price_id": BASIC.id}],
     "features": {"messages": {"limit": 10, "window": "period"}, "seats": {"limit": 2, "per": "seat"}, "export": True}},
    {"id": "pro", "rank": 2, "prices": [{"price_id": PRO.id}],
     "features": {"messages": {"limit": 50, "window": "period", "mode": "overage", "overage_limit": 5}, "seats": {"limit": 5, "per": "seat"},
                  "models": {"value": {"large": True}}, "tokens": {"limit": 9, "window": "day", "mode": "soft"}}},
    {"id": "more", "addon": True, "features": {"messages": {"limit": 7, "window": "period"}, "sso": True}},
)
FEATURES = ("messages", "seats", "models", "tokens", "sso", "export", "journeys", "unknown")
USERS = [f"user_{number}" for number in range(6)]
ANSWERS = """SELECT jsonb_build_object('all', {s}.get_user_entitlements(u), 'each', jsonb_agg({s}.check_entitlement(u, f)))
               FROM unnest(%s::text[]) u, unnest(%s::text[]) f GROUP BY u ORDER BY u"""
STORED = """SELECT count(*) FROM {s}.subscription_cache
             WHERE plans IS NOT NULL AND valid_from <= now() AND now() < valid_until AND now() < expires_at"""


def upsert(database, plan, **changes):
    database.execute("SELECT {s}.upsert_plan(%s)", (json.dumps({**plan, **changes}),))


def compared(database):
    """Answers with the cache and without it, at one instant; how many users had a stored state."""
    with contextlib.closing(database.connect()) as connection:
        connection.autocommit = False
        # The clock of one statement is that of the next one too, as far as anybody can tell.
        for _ in range(3):
            stored = database.value(STORED, connection=connection)
            fast = database.rows(ANSWERS, (USERS, list(FEATURES)), connection=connection)
            database.execute("SELECT {s}.clear_user_subscription_cache(u) FROM unnest(%s::text[]) u", (USERS,), connection=connection)
            assert database.value(STORED, connection=connection) == 0
            slow = database.rows(ANSWERS, (USERS, list(FEATURES)), connection=connection)
            connection.rollback()
            if fast == slow:
                break
        assert fast == slow
        return stored


class Person:
    def __init__(self, database, user, dice):
        self.database, self.user, self.dice = database, user, dice
        price = dice.choice((BASIC, PRO))
        # So that periods end, and grace and slack, while the test runs.
        start = int(time.time()) - dice.choice((100, MONTH - 2, MONTH + 3 * DAY - 3, MONTH + 7 * DAY - 3))
        self.life = Life(user, items=[(price, dice.choice((1, 3)))], start=start)
        self.told = False

    def buy(self):
        trial = self.dice.choice((0, 0, 10))
        self.send(self.life.customer_created(), self.life.subscribed("trialing" if trial else "active", trial_days=trial),
                  *([] if trial else self.life.first_invoice()))
        self.database.link(self.user, self.life.customer_id)
        self.told = True

    def send(self, *happenings):
        self.database.process(*flat(happenings))

    def live(self):
        life, dice = self.life, self.dice
        if not self.told:
            return self.buy()
        if life.subscription["status"] == "canceled":
            return None
        return self.send(dice.choice((
            lambda: life.price_changed(dice.choice((BASIC, PRO)), dice.choice((1, 2, 4))), life.cancel_at_period_end, life.resumed,
            life.payment_failed, life.recovered, life.renewed, life.ended,
            lambda: life.scheduled(BASIC)))())

    def call(self, function, *arguments):
        placeholders = ", ".join(["%s"] * (1 + len(arguments)))
        self.database.execute(f"SELECT {{s}}.{function}({placeholders})", (self.user, *arguments))

    def summary(self):
        keys = self.dice.sample(("journeys", "sso", "export"), self.dice.randrange(3))
        self.life.advance(seconds=1)
        self.send(self.life.emit("entitlements.active_entitlement_summary.updated", {
            "object": "entitlements.active_entitlement_summary", "customer": self.life.customer_id, "livemode": False,
            "entitlements": {"object": "list", "has_more": self.dice.random() < 0.3, "url": "/", "data": [
                {"id": f"ent_{key}", "object": "entitlements.active_entitlement", "feature": f"feat_{key}", "livemode": False,
                 "lookup_key": key} for key in keys]}}))

    def change(self):
        dice, soon = self.dice, time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(time.time() + self.dice.choice((1, 2, 3600))))
        dice.choice((
            self.live, self.live, self.live,
            lambda: self.call("grant_access", dice.choice(("pro", "more")), dice.choice((None, soon)), "test"),
            lambda: self.call("revoke_access", dice.choice(("pro", "more")), "test"),
            lambda: self.call("set_user_entitlement", dice.choice(FEATURES), dice.choice(('{"limit": 4}', "false", '{"value": 1}')), soon),
            lambda: self.call("clear_user_entitlement", dice.choice(FEATURES)),
            lambda: self.call("use_feature", dice.choice(FEATURES), 2),
            lambda: self.call("update_subscription_cache"),
            self.summary))()


@pytest.mark.parametrize("seed", range(3))
def test_the_stored_answer_is_that_of_the_tables(database, seed):
    dice = random.Random(seed)
    for plan in PLANS:
        upsert(database, plan)
    people = [Person(database, user, dice) for user in USERS]
    stored = 0
    for step in range(60):
        for person in dice.sample(people, 2):
            person.change()
        if step % 10 == 3:
            upsert(database, PLANS[2], rank=dice.choice((0, 2)), features={"messages": {"limit": dice.randrange(9), "window": "period"}})
        if step % 10 == 5:
            time.sleep(1.01)
        stored += compared(database)
    assert stored > 60


def test_a_text_that_nobody_understands_is_not_used(database):
    for plan in PLANS:
        upsert(database, plan)
    database.execute("SELECT {s}.grant_access('ada', 'pro')")
    right = database.value("SELECT {s}.get_user_entitlements('ada')")
    assert right["plans"] == ["pro"]
    for text in (None, "", "yes", "yes - -\ngrant nobody", "yes - -\nloan pro", "yes - -\nsubscription pro", "yes - -\nsubscription pro x - -",
                 "yes - -\nsubscription pro 1 2", "\n", "yes - -\n\n"):
        database.execute("UPDATE {s}.subscription_cache SET plans = %s", (text,))
        assert database.value("SELECT {s}.get_user_entitlements('ada')") == right, text
