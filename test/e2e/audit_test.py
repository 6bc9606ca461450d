"""Whatever somebody does by hand is in audit_logs: what, to whom, by which role, and why."""
import psycopg2
import pytest

from harness.life import Life

# statement, action, user, subject, reason
WORK = [
    ("set_billing_setting('cache_ttl', '100', 'why')", "setting_changed", "", "cache_ttl", "why"),
    ("set_billing_alert('webhook_silence', 10, reason => 'why')", "alert_changed", "", "webhook_silence", "why"),
    ("""upsert_plan('{"id": "pro"}', 'why')""", "plan_changed", "", "pro", "why"),
    ("""upsert_plan('{"id": "pro", "rank": 3}', 'why')""", "plan_changed", "", "pro", "why"),
    ("retire_plan('pro', 'why')", "plan_retired", "", "pro", "why"),
    ("link_stripe_customer('bob', 'cus_bob', '{\"reason\": \"why\"}')", "customer_linked", "bob", "cus_bob", "why"),
    ("replay_stripe_event('evt_ada_01', 'why')", "event_replayed", "ada", "evt_ada_01", "why"),
    ("grant_access('ada', 'team', null, 'why')", "access_granted", "ada", "team", "why"),
    ("revoke_access('ada', 'team', 'why')", "access_revoked", "ada", "team", "why"),
    ("set_user_entitlement('ada', 'films', '{\"enabled\": true}', null, 'why')", "entitlement_set", "ada", "films", "why"),
    ("clear_user_entitlement('ada', 'films', 'why')", "entitlement_cleared", "ada", "films", "why"),
    ("grant_credits('ada', 100, reason => 'why')", "credits_granted", "ada", "grant:1", "why"),
    ("refund_credits('ada', 2, description => 'why')", "credits_refunded", "ada", "transaction:2", "why"),
    ("void_grant('ada', 1, 'why')", "grant_voided", "ada", "grant:1", "why"),
    ("add_subscription_credits('cus_bob', 'in_1', null, 5, 'why')", "credits_granted", "bob", "in_1", "why"),
    ("rebuild_billing_state(true)", "billing_state_rebuilt", "", None, None),
]


@pytest.fixture
def admin(any_database):
    """A person who has logged in under his own name and has taken the operators' role."""
    database, ada = any_database, Life("ada")
    database.process(ada.customer_created(), ada.subscribed(), ada.checkout_completed("ada"))
    database.execute("""SELECT {s}.upsert_plan('{"id": "team"}')""")
    database.execute("DELETE FROM {s}.user_subscriptions")  # for the rebuild to find
    database.create_role("operators", "admin")
    database.execute("GRANT operators TO " + database.create_role("eve"))
    connection = database.connect(user="eve")
    database.execute("SET ROLE operators", None, connection)
    yield connection
    connection.close()


def test_everything_done_by_hand_is_kept(any_database, admin):
    database = any_database
    newest = "SELECT action, user_id, subject, reason, actor, event_id FROM {s}.audit_logs ORDER BY created_at DESC LIMIT 1"
    for call, action, user, subject, reason in WORK:
        if action == "credits_refunded":
            assert database.value("SELECT {s}.use_credits_validated('ada', 7)", None, admin)["transaction_id"] == 2
        database.rows(f"SELECT {{s}}.{call}", None, admin)
        assert database.rows(newest) == [{"action": action, "user_id": user, "subject": subject, "reason": reason,
                                          "actor": "operators", "event_id": None}], call
    # None of it is what events tell, and none is found wrong by a rebuild.
    before = database.rows("SELECT * FROM {s}.audit_logs ORDER BY user_id, fact")
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state(true)") == []
    assert database.rows("SELECT * FROM {s}.audit_logs ORDER BY user_id, fact") == before


def test_what_has_no_effect_is_not_told(any_database, admin):
    database = any_database
    database.value("SELECT {s}.grant_credits('ada', 10)", None, admin)
    database.value("SELECT {s}.use_credits_validated('ada', 5)", None, admin)
    database.value("SELECT {s}.refund_credits('ada', 2, idempotency_key => 'k')", None, admin)
    count = database.value("SELECT count(*) FROM {s}.audit_logs")
    database.value("SELECT {s}.refund_credits('ada', 2, idempotency_key => 'k')", None, admin)  # the answer given before
    assert database.value("SELECT {s}.refund_credits('ada', 2)", None, admin)["status"] == "already_refunded"
    with pytest.raises(psycopg2.Error):
        database.value("SELECT {s}.replay_stripe_event('evt_none', 'why')", None, admin)
    assert database.rows("SELECT * FROM {s}.rebuild_billing_state()", None, admin) != []
    assert database.value("SELECT count(*) FROM {s}.audit_logs") == count
