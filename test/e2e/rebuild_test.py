"""rebuild_billing_state: what the stored events determine, compared with what is in the tables."""
import pytest

from harness import load

START = 1_795_000_000
TABLES = ("stripe_events", "stripe_objects", "stripe_customer_links", "user_subscriptions", "audit_logs",
          "billing_users")


@pytest.fixture
def lived(any_database):
    """A database with the lives of twelve customers in it."""
    for events in load.lives(12, START):
        for first in range(0, len(events), 5):
            any_database.process(*events[first:first + 5])
    any_database.retry()
    return any_database


def differences(database, apply=False):
    rows = database.rows("SELECT * FROM {s}.rebuild_billing_state(%s)", (apply,))
    return sorted((row["table_name"], row["difference"], row["repaired"]) for row in rows)


def everything(database):
    """Every row of every table, times included."""
    return {table: sorted(map(str, database.rows(f"SELECT * FROM {{s}}.{table}"))) for table in TABLES}


def test_a_healthy_database_is_reported_healthy_and_left_alone(lived):
    before = everything(lived)
    assert differences(lived) == []
    assert differences(lived, apply=True) == []
    assert everything(lived) == before


def test_what_was_damaged_is_reported_and_repaired(lived):
    healthy = lived.facts()
    lived.execute("DELETE FROM {s}.user_subscriptions WHERE user_id = 'user_1'")
    lived.execute("UPDATE {s}.user_subscriptions SET status = 'unpaid', quantity = 99 WHERE user_id = 'user_2'")
    lived.execute("""UPDATE {s}.stripe_objects SET object = jsonb_set(object, '{status}', '"paused"')
                      WHERE object_id = 'sub_load3'""")
    lived.execute("DELETE FROM {s}.stripe_objects WHERE object_id = 'sub_load4'")
    lived.execute("DELETE FROM {s}.audit_logs WHERE user_id = 'user_5' AND action = 'payment_succeeded'")
    damaged = lived.facts()
    found = differences(lived)
    assert {(table, kind) for table, kind, _ in found} == {
        ("user_subscriptions", "missing"), ("user_subscriptions", "different"), ("stripe_objects", "different"),
        ("stripe_objects", "missing"), ("audit_logs", "missing")}
    assert not any(repaired for *_, repaired in found)
    assert lived.facts() == damaged, "a dry run changes nothing"
    assert all(repaired for *_, repaired in differences(lived, apply=True))
    assert lived.facts() == healthy
    assert differences(lived) == []


def test_a_row_that_no_event_accounts_for_is_removed(lived):
    healthy = lived.facts()
    lived.execute("""INSERT INTO {s}.user_subscriptions (user_id, stripe_subscription_id, stripe_customer_id, livemode,
                                                         status, items, event_created)
                     VALUES ('user_1', 'sub_invented', 'cus_load1', false, 'active', '[]', now())""")
    lived.execute("SELECT {s}.update_subscription_cache('user_1')")
    assert differences(lived, apply=True) == [("user_subscriptions", "extra", True)]
    assert lived.facts() == healthy
    subscriptions = lived.state("user_1")["subscriptions"]
    assert "sub_invented" not in [one["stripe_subscription_id"] for one in subscriptions]


def test_after_payloads_have_been_dropped_nothing_is_missed(lived):
    lived.execute("DELETE FROM {s}.stripe_event_payloads")
    before = everything(lived)
    assert differences(lived, apply=True) == []
    assert everything(lived) == before


def test_links_made_by_hand_and_manual_entries_stay(lived):
    lived.execute("SELECT {s}.link_stripe_customer('user_by_hand', 'cus_by_hand')")
    assert differences(lived, apply=True) == []
    assert lived.value("SELECT user_id FROM {s}.stripe_customer_links WHERE source = 'manual'") == "user_by_hand"


@pytest.mark.parametrize("name, value", [("mode", "live"), ("scope", '{"products": ["prod_of_others"]}')])
def test_what_counted_when_it_came_survives_a_change_of_settings(lived, name, value):
    before = everything(lived)
    lived.execute("SELECT {s}.set_billing_setting(%s, %s, 'test')", (name, value))
    setting_entries = lived.value("SELECT count(*) FROM {s}.audit_logs WHERE action = 'setting_changed'")
    assert setting_entries == 1
    assert differences(lived, apply=True) == []
    after = everything(lived)
    for table in TABLES:
        if table != "audit_logs":
            assert after[table] == before[table]
    assert len(after["audit_logs"]) == len(before["audit_logs"]) + 1
