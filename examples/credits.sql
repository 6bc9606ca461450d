-- A shop that sells credits by subscription: three plans with a monthly amount each, and a service that charges credits
-- for what it makes and gives them back when it fails.
--
--     psql -d app -v ON_ERROR_STOP=1 -f examples/credits.sql
--
-- Run it as the database's administrator, after CREATE EXTENSION pg_billing, as often as you like: it makes things as
-- they are written here. To move from a system that has granted credits until now, say when it stops; invoices that were
-- paid before then grant nothing here:
--
--     psql … -v grants_since=2026-12-01T00:00:00Z -f examples/credits.sql
\set ON_ERROR_STOP on
-- The extension may be in any schema.
SELECT format('SET search_path TO %I, public', n.nspname)
  FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace WHERE x.extname = 'pg_billing' \gexec
BEGIN;

-- What is sold. Give the prices at Stripe these lookup keys: test and live mode have the same ones then. Or name their ids,
-- {"price_id": "price_…"}, or put the plan's id into the product's metadata as "plan".
-- "credits" is what a paid period grants, where neither the price's metadata at Stripe nor the product's have "credits".
SELECT upsert_plan(plan, 'examples/credits.sql') ->> 'id' AS plan FROM jsonb_array_elements('[
  {"id": "individual", "display_name": "Individual Plan", "rank": 10, "currency": "usd", "price_monthly": "9.99",
   "prices": [{"lookup_key": "individual_monthly", "cycle": "monthly"}], "credits": {"credits": "30"}},
  {"id": "team", "display_name": "Team Plan", "rank": 20, "currency": "usd", "price_monthly": "29.99",
   "prices": [{"lookup_key": "team_monthly", "cycle": "monthly"}], "credits": {"credits": "200"}},
  {"id": "custom", "display_name": "Custom Plan", "rank": 30, "currency": "usd", "price_monthly": "49.99",
   "prices": [{"lookup_key": "custom_monthly", "cycle": "monthly"}], "credits": {"credits": "500"}}
]') plan;

-- Whoever cancels keeps access and credits until the end of what was paid, also when the subscription is ended at once.
SELECT set_billing_setting('canceled_access', 'paid_through', 'credits can be used until the end of the paid period');
-- How long a cached state may be served: 5 minutes.
SELECT set_billing_setting('cache_ttl', '300 seconds', 'the default, said aloud');
\if :{?grants_since}
SELECT set_billing_setting('grants_since', :'grants_since', 'until then the former system granted');
\endif

-- Who may do what. Passwords, or whatever else lets them log in, are yours to set.
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN SELECT * FROM (VALUES ('billing_worker', 'worker'), ('billing_app', 'app'), ('billing_reader', 'reader'),
                                        ('billing_operator', 'admin')) v(role, kind) LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', wanted.role);
        END IF;
        PERFORM grant_billing_role(wanted.role, wanted.kind);
    END LOOP;
END
$$;
COMMIT;

-- Housekeeping, where pg_cron is in this database.
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') AS has_cron \gset
\if :has_cron
SELECT jobname, schedule FROM schedule_maintenance();
\endif

-- What the service does, in the transaction that keeps what it makes:
--
--     BEGIN;
--     INSERT INTO stories … ;
--     SELECT use_credits_validated('user_1', 5, 'story', idempotency_key => 'request-1');
--     COMMIT;
--     SELECT refund_credits('user_1', 2);       -- it failed; 2 is the transaction_id of the answer above
