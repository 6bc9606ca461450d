"""Caps under many sessions: never beyond a hard one, nothing lost, nothing counted twice."""
import collections
import random
import threading

from credit_concurrency_test import at_once

PLAN = """SELECT {s}.upsert_plan('{"id": "free", "default": true, "features": {
    "messages": {"limit": 100, "window": "month"}, "tokens": {"limit": 50, "window": "day", "mode": "soft"},
    "calls": {"limit": 60, "window": "week", "mode": "overage", "overage_limit": 25},
    "projects": {"limit": 12}, "film": {"limit": 40, "window": "lifetime", "credit_cost": 3}}}')"""
CAPS = {"messages": 100, "tokens": None, "calls": 85, "projects": 12}


def use(database, connection, feature, amount=1, key=None, user="ada"):
    return database.value("SELECT {s}.use_feature(%s, %s, %s, %s)", (user, feature, amount, key), connection)


def release(database, connection, feature, amount=1, key=None, user="ada"):
    return database.value("SELECT {s}.release_feature(%s, %s, %s, %s)", (user, feature, amount, key), connection)


def used(database, user="ada"):
    return {row["feature"]: row["used"] for row in database.rows(
        "SELECT feature, sum(used)::bigint AS used FROM {s}.usage_windows WHERE user_id = %s GROUP BY 1", (user,))}


def unsound(database):
    return database.rows("SELECT * FROM {s}.verify_usage()")


def test_sixteen_sessions_at_a_hard_cap_use_exactly_the_cap(database):
    database.execute(PLAN)
    answers = collections.Counter()
    lock = threading.Lock()

    def spend(connection):
        for _ in range(12):
            answer = use(database, connection, "messages")
            assert answer["used"] <= 100, answer
            with lock:
                answers[answer["status"]] += 1

    assert at_once(database, [spend] * 16) == []
    assert answers == {"counted": 100, "cap_exceeded": 92}
    assert used(database) == {"messages": 100}
    assert database.value("SELECT count(*) FROM {s}.usage_windows") == 1
    assert database.value("SELECT array_agg(used_after ORDER BY record_id) = array_agg(n ORDER BY n)"
                          "  FROM (SELECT record_id, used_after, row_number() OVER (ORDER BY record_id) AS n"
                          "          FROM {s}.usage_records) r")
    assert unsound(database) == []


def test_first_uses_at_once_open_one_window(database):
    """Nobody has a row to lock yet: sixteen sessions meet at each of many new users."""
    database.execute(PLAN)
    counted = collections.Counter()
    lock = threading.Lock()

    def spend(connection):
        for number in range(30):
            user = f"new_{number}"
            if use(database, connection, "projects", 5, user=user)["success"]:
                with lock:
                    counted[user] += 1

    assert at_once(database, [spend] * 16) == []
    assert counted == {f"new_{number}": 2 for number in range(30)}
    assert database.rows("SELECT user_id FROM {s}.usage_windows GROUP BY 1 HAVING count(*) <> 1 OR sum(used) <> 10") == []
    assert unsound(database) == []


def test_every_mode_at_once_with_releases_and_repeated_requests(database):
    """A request that is sent again, at the same time or later, counts once."""
    database.execute(PLAN)
    counted = collections.Counter()
    lock = threading.Lock()

    def work(number):
        dice = random.Random(number)

        def run(connection):
            for step in range(20):
                feature = dice.choice(list(CAPS))
                amount = dice.randint(1, 4)
                # Every request is sent by two sessions, with the same key.
                key = f"{number // 2}-{step}"
                act, sign = (release, -1) if dice.random() < 0.3 else (use, 1)
                answer = act(database, connection, feature, amount, key)
                assert answer["success"] or answer["status"] in ("cap_exceeded", "exceeds_use", "nothing_to_release",
                                                                 "exists_with_different_request"), answer
                if answer["success"]:
                    with lock:
                        counted[answer["record_id"], feature, sign * amount] += 1
        return run

    # Pairs of sessions roll the same dice.
    assert at_once(database, [work(number // 2 * 2) for number in range(16)]) == []
    totals = collections.Counter()
    for (_, feature, amount), _ in counted.items():
        totals[feature] += amount
    assert {feature: total for feature, total in totals.items() if total} == \
        {feature: total for feature, total in used(database).items() if total}
    for feature, cap in CAPS.items():
        if cap is not None:
            assert database.value("SELECT coalesce(max(used_after), 0) FROM {s}.usage_records WHERE feature = %s",
                                  (feature,)) <= cap
    assert database.value("SELECT count(*) FROM {s}.usage_records") == len(counted)
    assert max(counted.values()) == 2
    assert unsound(database) == []


def test_what_costs_credits_never_overdraws_and_never_counts_for_free(database):
    database.execute(PLAN)
    database.value("SELECT {s}.grant_credits('ada', 50)")
    statuses = collections.Counter()
    lock = threading.Lock()

    def film(connection):
        for _ in range(4):
            answer = use(database, connection, "film")
            with lock:
                statuses[answer["status"]] += 1

    def spend(connection):
        for _ in range(3):
            database.value("SELECT {s}.use_credits_validated('ada', 1)", connection=connection)

    assert at_once(database, [film] * 12 + [spend] * 4) == []
    films = used(database)["film"]
    assert statuses == {"counted": films, "insufficient_credits": 48 - films}
    assert 12 <= films <= 16
    assert database.value("SELECT sum(-amount) FROM {s}.credit_transactions JOIN {s}.usage_records"
                          " USING (user_id, transaction_id)".replace("sum(-amount)", "sum(-credit_transactions.amount)")
                          ) == 3 * films
    assert database.unsound_credits() == []
    assert unsound(database) == []


def test_limits_that_change_meanwhile_are_those_in_force_when_it_is_counted(database):
    """Under a cap of at most 40, whatever it is set to in between, no more than 40 are ever used."""
    database.execute(PLAN)
    done = threading.Event()

    def spend(connection):
        for _ in range(10):
            answer = use(database, connection, "messages", 1)
            if answer["success"]:
                assert answer["used"] <= answer["limit"] <= 40, answer

    def change(connection):
        dice = random.Random(7)
        while not done.is_set():
            database.value("SELECT {s}.set_user_entitlement('ada', 'messages', %s::jsonb)",
                           (f'{{"limit": {dice.randint(1, 40)}, "window": "month"}}',), connection)

    database.value("""SELECT {s}.set_user_entitlement('ada', 'messages', '{"limit": 1, "window": "month"}')""")
    with_changes = threading.Thread(target=lambda: at_once(database, [change]))
    with_changes.start()
    try:
        assert at_once(database, [spend] * 15) == []
    finally:
        done.set()
        with_changes.join()
    assert 1 <= used(database)["messages"] <= 40
    assert unsound(database) == []


def test_random_calls_agree_with_a_naive_count(database):
    """One session, a few hundred calls, against a dictionary."""
    database.execute(PLAN)
    dice = random.Random(23)
    count = collections.Counter()
    for _ in range(300):
        feature, amount = dice.choice(list(CAPS)), dice.randint(1, 9)
        cap = CAPS[feature]
        expected = database.value("SELECT {s}.check_entitlement('ada', %s, %s)", (feature, amount))
        if dice.random() < 0.6:
            fits = cap is None or count[feature] + amount <= cap
            answer = use(database, None, feature, amount)
            assert answer["success"] == answer["allowed"] == expected["allowed"] == fits, (answer, expected)
            count[feature] += amount if fits else 0
        else:
            fits = amount <= count[feature]
            answer = release(database, None, feature, amount)
            assert answer["success"] == fits, answer
            count[feature] -= amount if fits else 0
        assert answer["used"] == count[feature], answer
        if answer["limit"] is not None:
            assert answer["remaining"] == max(0, answer["limit"] - count[feature])
            assert answer["overage"] == max(0, count[feature] - answer["limit"])
    assert used(database) == dict(count)
    assert unsound(database) == []
