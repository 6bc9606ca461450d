-- One plan with one trial per person: 7 days free, then paid, and HTTP 402 for everybody else.
--
--     psql -d app -v ON_ERROR_STOP=1 -f examples/one_trial.sql
--
-- Run it as the database's administrator, after CREATE EXTENSION pg_billing, as often as you like: it makes things as
-- they are written here.
\set ON_ERROR_STOP on
-- The extension may be in any schema.
SELECT format('SET search_path TO %I, public', n.nspname)
  FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace WHERE x.extname = 'pg_billing' \gexec
BEGIN;

-- What is sold. Give the price at Stripe this lookup key: test and live mode have the same one then. A subscription to any
-- other price gives no access.
SELECT upsert_plan('{"id": "membership", "display_name": "Membership", "rank": 10, "trial_days": 7,
                     "prices": [{"lookup_key": "membership_monthly", "cycle": "monthly"}]}',
                   'examples/one_trial.sql') ->> 'id' AS plan;

CREATE SCHEMA IF NOT EXISTS membership;

-- What a checkout session at Stripe is to be created with: the trial only for who has not had it and has never subscribed;
-- user_id in both places that link the customer to the user. Null for who has a subscription already, or a first payment
-- that is on its way.
CREATE OR REPLACE FUNCTION membership.checkout(person text) RETURNS jsonb
    LANGUAGE sql STABLE
    BEGIN ATOMIC
    SELECT jsonb_build_object(
               'mode', 'subscription',
               'client_reference_id', person,
               'subscription_data', jsonb_build_object('metadata', jsonb_build_object('user_id', person))
                   || CASE WHEN trial -> 'eligible' = 'true'
                           THEN jsonb_build_object('trial_period_days', trial -> 'days') ELSE '{}' END)
      FROM get_user_subscription_state(person) state, is_trial_eligible(person, 'membership') trial
     WHERE state -> 'can_purchase' = 'true' AND state ->> 'next_step' IS DISTINCT FROM 'complete_payment';
    END;
COMMENT ON FUNCTION membership.checkout(text) IS
    'arguments of a checkout session for a subscription of this person; null for who has one already, or one to be paid';

-- What stays open without a subscription.
CREATE TABLE IF NOT EXISTS membership.exempt_paths (path text PRIMARY KEY);
INSERT INTO membership.exempt_paths VALUES ('/login'), ('/subscriptions/checkout'), ('/subscriptions/status'),
       ('/subscriptions/portal'), ('/subscriptions/config') ON CONFLICT DO NOTHING;

-- The gate in front of everything else: raises SQLSTATE PT402, which PostgREST answers with HTTP 402. PostgREST calls it
-- before each request (db-pre-request = "membership.admit"); another gateway sets the same two settings and calls it.
CREATE OR REPLACE FUNCTION membership.admit() RETURNS void
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
    SELECT require_subscription(coalesce(
               nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '(nobody is signed in)'))
     WHERE NOT EXISTS (SELECT FROM membership.exempt_paths e WHERE e.path = current_setting('request.path', true));
    END;
COMMENT ON FUNCTION membership.admit() IS 'lets a request pass, or raises PT402 (HTTP 402)';

-- Who may do what. Passwords, or whatever else lets them log in, are yours to set.
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN SELECT * FROM (VALUES ('billing_worker', 'worker'), ('billing_app', 'app'), ('billing_reader', 'reader'),
                                        ('membership_user', 'user')) v(role, kind) LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', wanted.role);
        END IF;
        PERFORM grant_billing_role(wanted.role, wanted.kind);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION membership.admit(), membership.checkout(text) FROM PUBLIC;
GRANT USAGE ON SCHEMA membership TO membership_user, billing_app;
GRANT EXECUTE ON FUNCTION membership.admit() TO membership_user, billing_app;
GRANT EXECUTE ON FUNCTION membership.checkout(text) TO billing_app;
COMMIT;

-- What end users may ask about themselves, behind PostgREST: SELECT my_subscription_state();
