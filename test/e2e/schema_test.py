"""The extension in any schema, against a hostile search_path, for roles that were granted little, and in databases
that it must refuse."""
import psycopg2
import pytest

from harness.life import Life, flat

# Everything that an unqualified name or operator in the extension could catch instead of PostgreSQL's own.
TRAPS = """
CREATE SCHEMA mallory AUTHORIZATION mallory;
SET ROLE mallory;
CREATE TABLE mallory.caught (what text);
CREATE FUNCTION mallory.trap(text) RETURNS void LANGUAGE sql AS 'INSERT INTO mallory.caught VALUES ($1)';
CREATE FUNCTION mallory.now() RETURNS timestamptz LANGUAGE sql AS
    $$SELECT mallory.trap('now'); SELECT '1999-01-01'::timestamptz$$;
CREATE FUNCTION mallory.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
    $$SELECT mallory.trap('clock_timestamp'); SELECT '1999-01-01'::timestamptz$$;
CREATE FUNCTION mallory.statement_timestamp() RETURNS timestamptz LANGUAGE sql AS
    $$SELECT mallory.trap('statement_timestamp'); SELECT '1999-01-01'::timestamptz$$;
CREATE FUNCTION mallory.jsonb_build_object(VARIADIC text[]) RETURNS jsonb LANGUAGE sql AS
    $$SELECT mallory.trap('jsonb_build_object'); SELECT '{}'::jsonb$$;
CREATE FUNCTION mallory.count(text) RETURNS bigint LANGUAGE sql AS $$SELECT mallory.trap('count'); SELECT 0::bigint$$;
CREATE FUNCTION mallory.format(text, text) RETURNS text LANGUAGE sql AS
    $$SELECT mallory.trap('format'); SELECT 'DROP TABLE stripe_events'$$;
CREATE FUNCTION mallory.octet_length(text) RETURNS integer LANGUAGE sql AS
    $$SELECT mallory.trap('octet_length'); SELECT 1$$;
CREATE FUNCTION mallory.unnest(text[]) RETURNS SETOF text LANGUAGE sql AS
    $$SELECT mallory.trap('unnest'); SELECT 'x'::text$$;
CREATE FUNCTION mallory.check_user_id(text) RETURNS void LANGUAGE sql AS $$SELECT mallory.trap('check_user_id')$$;
CREATE FUNCTION mallory.get_user_subscription_state(text) RETURNS jsonb LANGUAGE sql AS
    $$SELECT mallory.trap('state'); SELECT '{"has_access": true}'::jsonb$$;
CREATE FUNCTION mallory.same(text, text) RETURNS boolean LANGUAGE sql AS $$SELECT mallory.trap('='); SELECT true$$;
CREATE FUNCTION mallory.same(boolean, boolean) RETURNS boolean LANGUAGE sql AS
    $$SELECT mallory.trap('='); SELECT true$$;
CREATE FUNCTION mallory.before(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql AS
    $$SELECT mallory.trap('<'); SELECT true$$;
CREATE FUNCTION mallory.member(jsonb, text) RETURNS text LANGUAGE sql AS $$SELECT mallory.trap('->>'); SELECT 'x'$$;
CREATE OPERATOR mallory.= (LEFTARG = text, RIGHTARG = text, FUNCTION = mallory.same);
CREATE OPERATOR mallory.= (LEFTARG = boolean, RIGHTARG = boolean, FUNCTION = mallory.same);
CREATE OPERATOR mallory.< (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = mallory.before);
CREATE OPERATOR mallory.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = mallory.member);
CREATE DOMAIN mallory.jsonb AS pg_catalog.text;
CREATE TABLE mallory.stripe_events (stripe_event_id text, processed boolean);
CREATE TABLE mallory.subscription_cache (user_id text, state pg_catalog.jsonb);
CREATE TABLE mallory.user_subscriptions (user_id text, status text);
CREATE TABLE mallory.billing_settings (name text, value text);
CREATE TABLE mallory.pg_extension (extname name, extversion text);
RESET ROLE;
GRANT USAGE ON SCHEMA mallory TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA mallory TO PUBLIC;
"""


def story(database, connection):
    """One life and one stranger, through one connection; returns what the functions said."""
    ada, bob = Life("ada", start=1_795_000_000), Life("bob", start=1_795_000_000)
    outcomes = [outcome for _, outcome, _ in database.process(
        *flat([ada.customer_created(), ada.subscribed(trial_days=7), ada.first_invoice(),
               ada.checkout_completed("user_ada"), ada.activated(), bob.subscribed()]), connection=connection)]
    as_of = "2026-11-20"  # within the period that begins at the lives' start
    said = [
        outcomes,
        database.state("user_ada", as_of, connection),
        database.value("SELECT {s}.link_stripe_customer('user_bob', 'cus_bob')", connection=connection)["status"],
        database.state("user_bob", as_of, connection),
        database.value("SELECT {s}.get_or_create_stripe_customer('user_eve', 'eve@example.org')",
                       connection=connection)["status"],
        database.value("SELECT {s}.fix_customer_links()", connection=connection) is not None,
        database.value("SELECT {s}.update_subscription_cache('user_ada')", connection=connection)["user_id"],
        database.value("SELECT {s}.clear_user_subscription_cache('user_ada')", connection=connection),
        database.value("SELECT {s}.clear_all_subscription_cache()", connection=connection),
        database.value("SELECT {s}.clear_expired_subscription_cache()", connection=connection),
        sorted(database.value("SELECT {s}.ingest_metrics()", connection=connection)),
        sorted(database.value("SELECT {s}.explain_user('user_ada')", connection=connection)),
        len(database.rows("SELECT * FROM {s}.get_billing_settings()", connection=connection)),
        len(database.rows("SELECT * FROM {s}.retry_stripe_events()", connection=connection)),
        database.value("SELECT {s}.replay_stripe_event('evt_ada_02')", connection=connection)["outcome"],
        sorted(database.value("SELECT {s}.get_subscription_cache_status()", connection=connection)),
    ]
    for view in ("customers", "subscriptions", "subscription_items", "invoices", "checkout_sessions"):
        said.append(len(database.rows(f"SELECT * FROM {{s}}.stripe_{view}", connection=connection)))
    return said


def test_any_schema_gives_the_same_answers(databases):
    public, billing = databases("public"), databases("billing")
    expected = story(public, public.connection)
    assert expected[1]["state"] == "active" and expected[3]["state"] == "active"
    assert story(billing, billing.connection) == expected
    assert billing.facts() == public.facts()


@pytest.mark.parametrize("schema", ["public", "billing"])
def test_a_hostile_search_path_changes_nothing(databases, schema):
    clean, trapped = databases("public"), databases(schema)
    expected = story(clean, clean.connection)
    trapped.create_role("mallory")
    trapped.execute(TRAPS)
    # pg_catalog named last: everything unqualified would be mallory's.
    hostile = trapped.connect(options=f"-c search_path=mallory,{schema},pg_catalog")
    assert story(trapped, hostile) == expected
    hostile.close()
    assert trapped.rows("SELECT what, count(*) FROM mallory.caught GROUP BY what") == []
    assert trapped.facts() == clean.facts()


def test_a_database_of_another_encoding_is_refused(cluster):
    name = cluster.create_database("latin1", encoding="LATIN1")
    try:
        with pytest.raises(psycopg2.Error) as caught:
            cluster.create_extension(name)
        assert caught.value.pgcode == "0A000"
        assert "UTF8" in caught.value.diag.message_primary and "LATIN1" in caught.value.diag.message_primary
        assert "ENCODING" in caught.value.diag.message_hint
    finally:
        cluster.drop_database(name)


# Roles.

ALLOWED = {
    "worker": {"process_stripe_events", "process_stripe_event", "retry_stripe_events", "refresh_subscription_cache",
               "ingest_metrics", "notify_due", "claim_billing_notifications", "finish_billing_notification",
               "claim_stripe_refetches", "postpone_stripe_refetch", "request_stale_refetches",
               "request_missing_refetches",
               "claim_stripe_requests", "finish_stripe_request", "postpone_stripe_request", "stripe_request", "push_stripe_usage", "setup_facts",
               "begin_api_checkout", "finish_api_checkout", "count_api_call", "begin_session_fetch", "begin_api_portal", "is_session_of", "is_session_applied",
               "api_subscription", "api_authorize", "api_credits", "api_invoices", "api_payments", "api_prices", "api_change",
               "is_api_change_applied", "get_or_create_stripe_customer",
               "begin_stripe_sync", "claim_stripe_sync_slice", "split_stripe_sync_slice", "stripe_sync_customers",
               "keep_stripe_sync_page", "leave_stripe_sync_slice", "finish_stripe_sync",
               "begin_stripe_reconciliation", "reconcile_stripe_events", "reconcile_stripe_objects", "stripe_reconciliation_customers",
               "finish_stripe_reconciliation", "hold_stripe_requests"},
    "user": {"my_subscription_state", "my_credits", "my_entitlements", "my_user_id"},
}


@pytest.mark.parametrize("kind", ALLOWED)
def test_a_role_gets_exactly_its_functions(any_database, kind):
    database = any_database
    role = database.create_role(f"some_{kind}", kind)
    granted = {row["proname"] for row in database.rows("""
        SELECT p.proname FROM pg_proc p
         WHERE p.pronamespace = %s::regnamespace AND has_function_privilege(%s, p.oid, 'EXECUTE')
           AND EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')""",
                                                           (database.schema, role))}
    assert granted == ALLOWED[kind]
    readable = database.rows("""
        SELECT c.relname FROM pg_class c JOIN pg_depend d ON d.objid = c.oid AND d.deptype = 'e'
         WHERE c.relkind IN ('r', 'p', 'v') AND has_table_privilege(%s, c.oid, 'SELECT, INSERT, UPDATE, DELETE')
           AND c.relnamespace = %s::regnamespace""", (role, database.schema))
    assert [row["relname"] for row in readable if kind != "user" or not row["relname"].startswith("my_")] == []


def test_public_gets_nothing(any_database):
    database = any_database
    role = database.create_role("nobody_in_particular")
    assert database.rows("""
        SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
          JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'pg_billing'
         WHERE has_function_privilege(%s, p.oid, 'EXECUTE')""", (role,)) == []
    assert database.rows("""
        SELECT c.relname FROM pg_class c JOIN pg_depend d ON d.objid = c.oid AND d.deptype = 'e'
          JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'pg_billing'
         WHERE c.relkind IN ('r', 'p', 'v', 'S') AND has_table_privilege(%s, c.oid, 'SELECT')""", (role,)) == []


def test_an_app_role_can_do_what_applications_do_and_no_more(any_database):
    database, ada = any_database, Life("ada")
    database.process(ada.subscribed(), ada.checkout_completed("user_ada"))
    app = database.connect(user=database.create_role("some_app", "app"))

    def value(statement):
        return database.value(statement, connection=app)

    assert value("SELECT {s}.get_user_subscription_state('user_ada')")["state"] == "active"
    assert value("SELECT {s}.has_active_subscription('user_ada')") is True
    assert value("SELECT {s}.require_subscription('user_ada')") in (None, "")
    assert value("SELECT {s}.explain_user('user_ada')")["has_access"] is True
    assert value("SELECT {s}.get_or_create_stripe_customer('user_ada', null)")["status"] == "linked"
    assert value("SELECT {s}.link_stripe_customer('user_ada', 'cus_ada')") is not None
    assert value("SELECT {s}.update_subscription_cache('user_ada')")["state"] == "active"
    with pytest.raises(psycopg2.Error) as caught:
        value("SELECT {s}.require_subscription('user_nobody')")
    assert caught.value.pgcode == "PT402" and caught.value.diag.message_hint
    for statement in ("SELECT {s}.process_stripe_event('{}')", "SELECT {s}.clear_all_subscription_cache()",
                      "SELECT {s}.set_billing_setting('mode', 'live', 'because')", "SELECT * FROM {s}.stripe_events",
                      "SELECT * FROM {s}.billing_webhook_secrets", "DELETE FROM {s}.subscription_cache",
                      "UPDATE {s}.user_subscriptions SET status = 'active'",
                      "SELECT {s}.grant_billing_role('some_app', 'admin')"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            value(statement)
    app.close()


def test_an_end_user_sees_only_himself(any_database):
    database, ada = any_database, Life("ada")
    database.process(ada.subscribed(), ada.checkout_completed("user_ada"))
    user = database.connect(user=database.create_role("some_user", "user"), autocommit=False)
    for claims, expected in (('{"sub": "user_ada"}', "active"), ('{"sub": "user_eve"}', "no_subscription")):
        database.execute("SELECT set_config('request.jwt.claims', %s, true)", (claims,), user)
        assert database.value("SELECT {s}.my_subscription_state()", connection=user)["state"] == expected
        user.rollback()
    for claims in ("", "{}", "nonsense", '{"sub": ""}'):
        database.execute("SELECT set_config('request.jwt.claims', %s, true)", (claims,), user)
        with pytest.raises(psycopg2.Error) as caught:
            database.value("SELECT {s}.my_subscription_state()", connection=user)
        assert caught.value.pgcode == "28000" and caught.value.diag.message_hint
        user.rollback()
    user.close()


def test_every_function_is_documented_and_pinned(database):
    """What the installed catalog says, whatever the scripts look like."""
    functions = database.rows("""
        SELECT p.oid::regprocedure::text AS name, p.prosecdef, p.proconfig, obj_description(p.oid, 'pg_proc') AS about
          FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
          JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'pg_billing'""")
    assert len(functions) > 20
    assert [f["name"] for f in functions if not f["about"]] == []
    assert [f["name"] for f in functions if f["prosecdef"] and
            not any(s.startswith("search_path=pg_catalog, pg_temp") for s in f["proconfig"] or [])] == []
