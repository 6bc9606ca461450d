"""Stripe's own entitlements: in any order of their events the same features, and repaired like everything else."""
import itertools

from harness.life import event
from harness.objects import NEW, OLD

START = 1_795_000_000
CUSTOMER = "cus_ent"


def summary(number, keys, has_more=False, version=NEW):
    data = [{"id": f"ent_test_{key}", "object": "entitlements.active_entitlement", "feature": f"feat_test_{key}",
             "livemode": False, "lookup_key": key} for key in keys]
    return event(f"evt_ent_{number}", "entitlements.active_entitlement_summary.updated",
                 {"object": "entitlements.active_entitlement_summary", "customer": CUSTOMER, "livemode": False,
                  "entitlements": {"object": "list", "data": data, "has_more": has_more,
                                   "url": f"/v1/customer/{CUSTOMER}/entitlements"}},
                 START + number * 60, version, previous={"entitlements": {"data": []}})


HISTORY = [summary(1, ["export"]), summary(2, ["export", "sso"], version=OLD), summary(3, ["maps"], has_more=True),
           summary(4, ["fax"], has_more=True)]


def features(database, user="ada"):
    answer = database.value("SELECT {s}.get_user_entitlements(%s)", (user,))
    return sorted(name for name, feature in answer["features"].items() if feature["allowed"])


def told(database):
    return database.rows("SELECT stripe_account, livemode, stripe_customer_id, whole_at, seen FROM {s}.stripe_entitlements")


def test_the_order_of_the_events_does_not_matter(database):
    database.link("ada", CUSTOMER)
    first = None
    for order in itertools.permutations(HISTORY):
        database.execute("TRUNCATE {s}.stripe_events, {s}.stripe_event_payloads, {s}.stripe_objects, {s}.stripe_entitlements")
        for one in order:
            assert database.outcomes(one) == ["processed"]
        assert features(database) == ["export", "fax", "maps", "sso"]
        first = first or told(database)
        assert told(database) == first
    # All at once, and twice.
    database.execute("TRUNCATE {s}.stripe_events, {s}.stripe_event_payloads, {s}.stripe_objects, {s}.stripe_entitlements")
    assert set(database.outcomes(*HISTORY, *HISTORY)) == {"processed", "duplicate"}
    assert told(database) == first


def test_a_customer_linked_later_brings_his_entitlements(database):
    database.process(*HISTORY)
    assert features(database) == []
    database.link("ada", CUSTOMER)
    assert features(database) == ["export", "fax", "maps", "sso"]


def test_a_rebuild_finds_what_was_lost(database):
    database.link("ada", CUSTOMER)
    database.process(*HISTORY)
    healthy = told(database)
    rebuild = "SELECT table_name, difference, repaired FROM {s}.rebuild_billing_state(%s)"
    assert database.rows(rebuild, (True,)) == []
    for damage in ("DELETE FROM {s}.stripe_entitlements", "UPDATE {s}.stripe_entitlements SET seen = seen - 'sso'"):
        database.execute(damage)
        assert features(database) != ["export", "fax", "maps", "sso"]
        found = database.rows(rebuild, (True,))
        assert [(row["table_name"], row["repaired"]) for row in found] == [("stripe_entitlements", True)]
        assert told(database) == healthy
        assert features(database) == ["export", "fax", "maps", "sso"]


def test_other_modes_and_other_users_have_nothing_of_it(database):
    database.link("ada", CUSTOMER)
    database.process(*HISTORY)
    assert features(database, "bob") == []
    database.execute("SELECT {s}.set_billing_setting('mode', 'live', 'test')")
    assert features(database) == []


def test_odd_summaries_are_kept_and_allow_nothing(database):
    database.link("ada", CUSTOMER)
    for number, entitlements in enumerate((None, [], {"data": None}, {"data": [None, 5, {"lookup_key": 7}, {}]}), 1):
        odd = summary(number, [])
        odd["data"]["object"]["entitlements"] = entitlements
        assert database.outcomes(odd) == ["processed"]
    assert features(database) == []
    nobody = summary(9, ["export"])
    nobody["data"]["object"]["customer"] = None
    assert database.outcomes(nobody) == ["processed"]
    assert told(database) and features(database) == []
