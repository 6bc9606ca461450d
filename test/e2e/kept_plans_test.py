"""Statements are planned once for a connection, when their tables may be empty, or have grown since, or have no statistics: what
an event or a call reads depends on none of that."""
import contextlib

import pytest

from harness.history import Run, deliver, deliver_events

ROWS = {"event": 12, "call": 150, "rebuild": 1200}  # that may be read of any one index, for each
READ = """SELECT relname || '.' || indexrelname AS index, idx_tup_read AS rows FROM pg_stat_all_indexes
           WHERE schemaname = 'public'"""
# Of one user each, and of as few as they may take.
CALLS = """
SELECT get_user_subscription_state('{user}', now())
SELECT get_user_entitlements('{user}')
SELECT check_entitlement('{user}', 'export')
SELECT is_trial_eligible('{user}')
SELECT update_subscription_cache('{user}')
SELECT refresh_subscription_cache(1)
SELECT grant_credits('{user}', 100, 'paid')
SELECT get_credit_balance('{user}', now() + interval '1 hour')
SELECT use_credits_validated('{user}', 3, 'work', 'one')
SELECT use_credits_batch(jsonb_build_array(jsonb_build_object('user_id', '{user}', 'amount', 1, 'idempotency_key', 'two'), jsonb_build_object('user_id', '{user}', 'amount', 1)))
SELECT refund_credits('{user}', max(transaction_id)) FROM credit_transactions WHERE user_id = '{user}' AND amount < 0
SELECT hold_credits('{user}', 5)
SELECT capture_hold('{user}', max(hold_id), 2) FROM credit_holds WHERE user_id = '{user}' AND status = 'open'
SELECT expire_credits(1)
SELECT set_user_entitlement('{user}', 'words', '{{"limit": 10, "window": "day"}}', reason => 'test')
SELECT use_feature('{user}', 'words', 2, 'three')
SELECT release_feature('{user}', 'words', 1, 'four')
SELECT grant_access('{user}', 'gift', now() + interval '1 day', 'test')
SELECT revoke_access('{user}', 'gift', 'test')
SELECT notify_due(1)
SELECT link_stripe_customer('{user}', 'cus_of_{user}')
SELECT rebuild_customers(array_agg(stripe_customer_id), '{{}}') FROM stripe_customer_links WHERE user_id = '{user}'
SELECT replay_stripe_event(min(stripe_event_id), 'test') FROM stripe_events WHERE stripe_customer_id IN (SELECT stripe_customer_id FROM stripe_customer_links WHERE user_id = '{user}')
""".strip().splitlines()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One of a few customers, with whom the plans are made, and one of many."""
    return [Run(tmp_path_factory.mktemp("few"), "--customers", 4, "--months", 4, "--seed", 1),
            Run(tmp_path_factory.mktemp("many"), "--customers", 120, "--months", 6, "--seed", 2)]


def rows_read(database, connection):
    database.execute("SELECT pg_stat_force_next_flush()", connection=connection)
    return {row["index"]: row["rows"] for row in database.rows(READ, connection=connection)}


def wasteful(database, connection, what, count, work):
    """Indexes of which more is read than that needs: {index: entries for each of `count`}"""
    before = rows_read(database, connection)
    work()
    after = rows_read(database, connection)
    each = {index: (rows - before.get(index, 0)) / count for index, rows in after.items()}
    return {index: rows for index, rows in each.items() if rows > ROWS[what]}


def test_what_is_read_does_not_depend_on_how_tables_looked_when_plans_were_made(database, runs):
    few, many = runs
    cuts = [len(many.events) - n for n in (900, 600, 300, 0)]
    # No statistics come while this runs: they would have plans made anew.
    for table in database.rows("SELECT oid::regclass::text AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"):
        database.execute(f"ALTER TABLE {table['name']} SET (autovacuum_enabled = false)")
    database.grant_since_ever()
    database.execute("SELECT upsert_plan('{\"id\": \"gift\", \"features\": {\"export\": true}}')")
    database.execute("VACUUM (ANALYZE)")
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(contextlib.closing(database.connect())) for _ in range(3)]
        deliver(database, few, connections[0])
        for call in CALLS:
            database.execute(call.format(user=few.truth[0]["user_id"]), connection=connections[0])
        deliver_events(database, many.events[:cuts[0]], database.connection)
        rows_read(database, database.connection)
        for n, planned in enumerate(("while the tables were empty", "without statistics", "with statistics")):
            if planned == "with statistics":
                database.execute("ANALYZE")
            events, connection = many.events[cuts[n]:cuts[n + 1]], connections[n]
            found = wasteful(database, connection, "event", len(events), lambda: deliver_events(database, events, connection))
            assert not found, f"planned {planned}"
            for call in CALLS:
                text = call.format(user=many.truth[4 + n]["user_id"])  # the first ones are of both runs
                what = "rebuild" if "rebuild" in call else "call"
                found = wasteful(database, connection, what, 1, lambda: database.execute(text, connection=connection))
                assert not found, f"{text}, planned {planned}"
