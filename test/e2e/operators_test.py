"""The queries of the operators' runbooks, word for word, with the extension in schema public and in pg_cron's own
database; and what they do by hand: retry, archive, clear the cache."""
import json

import pytest

from harness.database import Database
from harness.life import Life, flat
from harness.objects import PRO

# Deploying.
DEPLOYMENT = [
    r"\d subscription_cache",
    r"\d stripe_events",
    r"\df public.get_user_subscription_state",
    """-- Check table creation
SELECT table_name, table_type
FROM information_schema.tables
WHERE table_schema = 'public'
  AND table_name IN ('subscription_cache', 'stripe_events');""",
    """-- Check indexes
SELECT indexname, indexdef
FROM pg_indexes
WHERE tablename IN ('subscription_cache', 'stripe_events');""",
    """-- Test state machine (should return state JSON)
SELECT public.get_user_subscription_state('test_user_id');""",
    """-- Test get/create customer
SELECT public.get_or_create_stripe_customer('test_user_id', 'test@example.com');""",
    "SELECT * FROM cron.job WHERE jobname = 'subscription_cache_cleanup';",
    """-- Check cache status function
SELECT public.get_subscription_cache_status();""",
    """-- Check cache cleanup history
SELECT * FROM public.get_cache_cleanup_history(5);""",
]
# Testing webhook delivery, and monitoring.
MONITORING = [
    """-- Check event received
SELECT * FROM stripe_events ORDER BY created_at DESC LIMIT 5;""",
    """-- Check event processing
SELECT processed, error, created_at
FROM stripe_events
WHERE stripe_event_id = 'evt_ada_01';""",
    """-- Recent webhook events
SELECT stripe_event_id, event_type, processed, error
FROM stripe_events
ORDER BY created_at DESC
LIMIT 20;""",
    """-- Failed webhook processing
SELECT *
FROM stripe_events
WHERE NOT processed
ORDER BY created_at DESC;""",
    """-- Subscription states by status
SELECT
  sc.status,
  COUNT(*) as count,
  AVG(EXTRACT(EPOCH FROM (NOW() - sc.cached_at))) as avg_age_seconds
FROM subscription_cache sc
WHERE sc.expires_at >= NOW()
GROUP BY sc.status;""",
    """-- Check webhook processing queue
SELECT COUNT(*)
FROM stripe_events
WHERE NOT processed
  AND created_at > NOW() - INTERVAL '1 day';""",
    """SELECT stripe_event_id, event_type, error, retry_count
FROM stripe_events
WHERE NOT processed
ORDER BY created_at DESC;""",
    """SELECT
  COUNT(*) as total,
  COUNT(*) FILTER (WHERE expires_at >= NOW()) as valid,
  AVG(EXTRACT(EPOCH FROM (expires_at - cached_at))) as avg_ttl_seconds
FROM subscription_cache;""",
    """-- Check if webhook received
SELECT * FROM stripe_events
WHERE object_id = 'in_ada_1'  -- Invoice ID
  AND event_type = 'invoice.payment_succeeded';""",
    """-- Cache hit rate (estimate)
SELECT
  COUNT(*) FILTER (WHERE cached_at > NOW() - INTERVAL '5 minutes') * 100.0 / NULLIF(COUNT(*), 0) as cache_hit_rate_pct
FROM subscription_cache;""",
    """-- Webhook success rate
SELECT
  COUNT(*) FILTER (WHERE processed) * 100.0 / NULLIF(COUNT(*), 0) as success_rate_pct
FROM stripe_events
WHERE created_at > NOW() - INTERVAL '1 day';""",
]
RETRY = """-- Mark as unprocessed to trigger retry
UPDATE stripe_events
SET processed = false, retry_count = 0
WHERE stripe_event_id = 'evt_ada_02';"""
ARCHIVE = """-- Archive processed events older than 90 days
DELETE FROM stripe_events
WHERE processed = true
  AND created_at < NOW() - INTERVAL '90 days';"""


@pytest.fixture
def home(cluster):
    """pg_cron's own database, with pg_billing in it: only there do the queries on cron.job run."""
    database = Database(cluster, "public", name="postgres")
    database.execute("CREATE EXTENSION IF NOT EXISTS pg_cron")
    database.execute("CREATE EXTENSION pg_billing SCHEMA public")
    yield database
    database.execute("SELECT unschedule_maintenance()")
    database.execute("DROP EXTENSION pg_billing CASCADE")


def lived(database):
    """Ada's subscription until it is active, and a customer nobody linked."""
    ada, bob = Life("ada"), Life("bob")
    outcomes = database.outcomes(*flat([ada.customer_created(), ada.subscribed(), ada.first_invoice(),
                                        ada.checkout_completed("user_ada"), bob.subscribed()]))
    assert "failed" not in outcomes
    return ada


def test_runbook_queries_run_verbatim(home):
    home.rows("SELECT * FROM schedule_maintenance()")
    lived(home)
    answers = {text: home.cluster.psql("postgres", "-c", text) for text in DEPLOYMENT + MONITORING}
    assert "(2 rows)" in answers[DEPLOYMENT[3]]
    assert "no_subscription" in answers[DEPLOYMENT[5]]
    assert '"creating"' in answers[DEPLOYMENT[6]]
    assert "*/10 * * * *" in answers[DEPLOYMENT[7]] and "(1 row)" in answers[DEPLOYMENT[7]]
    assert "evt_bob_01" in answers[MONITORING[3]] and "evt_ada" not in answers[MONITORING[3]]
    assert "active" in answers[MONITORING[4]]
    assert home.rows(MONITORING[7])[0]["valid"] == 1 and round(home.rows(MONITORING[7])[0]["avg_ttl_seconds"]) == 300
    assert "evt_ada_04" in answers[MONITORING[8]] and "(1 row)" in answers[MONITORING[8]]
    # The user of the deployment test has a state and no more: it is nobody's customer.
    assert home.state("test_user_id")["state"] == "no_subscription"


def test_scheduling_where_pg_cron_is_absent_says_what_to_do(database):
    with pytest.raises(Exception) as caught:
        database.rows("SELECT * FROM {s}.schedule_maintenance()")
    assert "pg_cron" in str(caught.value) and "shared_preload_libraries" in caught.value.diag.message_hint


def test_marking_an_event_unprocessed_retries_it(database):
    lived(database)
    before = database.facts()
    assert database.retry() == []
    database.cluster.psql(database.name, "-c", RETRY)
    retried = database.retry()
    assert [(row["stripe_event_id"], row["outcome"]) for row in retried] == [("evt_ada_02", "processed")]
    assert database.facts() == before
    assert database.value("SELECT processed FROM stripe_events WHERE stripe_event_id = 'evt_ada_02'") is True


def row_of(database, event_id):
    return database.rows("SELECT processed, outcome, retry_count, next_retry_at, error FROM {s}.stripe_events "
                         "WHERE stripe_event_id = %s", (event_id,))[0]


def reset(database, event_id):
    database.execute("UPDATE {s}.stripe_events SET processed = false, retry_count = 0 WHERE stripe_event_id = %s",
                     (event_id,))


def test_a_failing_event_is_tried_until_it_is_given_up_and_again_when_told(any_database):
    """A rule of the operator's own makes one event fail: its neighbours do not care, it is retried with growing
    pauses up to the limit, then left alone; after the runbook's UPDATE it takes full effect."""
    database, ada, bob = any_database, Life("ada"), Life("bob", items=((PRO, 500),))
    database.execute("ALTER TABLE {s}.user_subscriptions ADD CONSTRAINT small CHECK (quantity < 100)")
    events = flat([ada.checkout_completed("user_ada"), bob.checkout_completed("user_bob"), ada.subscribed(),
                   bob.subscribed()])
    assert database.outcomes(*events) == ["processed", "processed", "processed", "failed"]
    assert database.state("user_ada")["state"] == "active"
    broken = events[-1]["id"]
    first = row_of(database, broken)
    assert first["retry_count"] == 1 and first["next_retry_at"] and "small" in first["error"]
    assert database.retry() == [], "it is not due yet"
    tries = 1
    while True:
        database.execute("UPDATE {s}.stripe_events SET next_retry_at = now() WHERE next_retry_at IS NOT NULL")
        if not database.retry():
            break
        tries += 1
        assert tries < 1000
    assert tries > 1 and row_of(database, broken)["retry_count"] == tries
    assert database.value("SELECT {s}.ingest_metrics()")["given_up"] == 1
    database.execute("ALTER TABLE {s}.user_subscriptions DROP CONSTRAINT small")
    assert database.retry() == []
    reset(database, broken)
    assert [(row["stripe_event_id"], row["outcome"]) for row in database.retry()] == [(broken, "processed")]
    assert database.state("user_bob")["quantity"] == 500
    assert row_of(database, broken)["error"] is None


def test_an_event_that_no_retry_can_help_is_given_up_at_once_and_retried_when_told(any_database):
    database = any_database
    nameless = {**Life("ada").customer_created(), "id": None}
    ((event_id, outcome, error),) = database.process(nameless)
    assert outcome == "failed" and error
    assert database.retry() == [] and database.value("SELECT {s}.ingest_metrics()")["given_up"] == 1
    reset(database, event_id)
    assert [(row["stripe_event_id"], row["outcome"]) for row in database.retry()] == [(event_id, "failed")]
    assert database.retry() == []


def test_archiving_old_events_is_safe(database):
    """The runbook deletes event ids; the same events sent again by hand still do no harm."""
    ada = lived(database)
    database.execute("UPDATE stripe_events SET created_at = now() - interval '100 days' WHERE processed")
    database.cluster.psql(database.name, "-c", ARCHIVE)
    assert database.value("SELECT count(*) FROM stripe_events WHERE processed") == 0
    before = database.facts("user_subscriptions", "audit_logs", "stripe_objects", "stripe_customer_links")
    assert "failed" not in database.outcomes(*ada.events)
    assert database.facts("user_subscriptions", "audit_logs", "stripe_objects", "stripe_customer_links") == before


def test_clearing_the_cache_loses_nothing(database):
    lived(database)
    before = database.state("user_ada")
    assert before["cached"] is True
    assert database.value("SELECT public.clear_all_subscription_cache()") == 1
    after = database.state("user_ada")
    assert after["cached"] is False
    volatile = {"cached", "cached_at", "expires_at"}
    assert {k: v for k, v in after.items() if k not in volatile} == \
           {k: v for k, v in before.items() if k not in volatile}


def test_explain_names_what_is_missing(any_database):
    """The trap everybody falls into: nobody said whose customer that is."""
    database = any_database
    database.process(Life("bob").subscribed())
    explained = database.value("SELECT {s}.explain_user('user_bob')")
    text = json.dumps(explained)
    assert "cus_bob has no user" in text and "link_stripe_customer(" in text
    assert explained["has_access"] is False and explained["reason"] and explained["next_step"]
    assert database.value("SELECT {s}.ingest_metrics()")["parked"] == {"customer_link": 1}
