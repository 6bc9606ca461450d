-- A marketplace of courses: one-off payments, most of guests, each with metadata that says who buys what from whom.
--
--     psql -d app -v ON_ERROR_STOP=1 -f examples/course_sales.sql
--
-- Run it as the database's administrator, after CREATE EXTENSION pg_billing, as often as you like: it makes things as
-- they are written here.
--
-- Send payment_intent.succeeded, payment_intent.payment_failed, charge.refunded and charge.dispute.created to the worker,
-- and charge.dispute.closed if disputes that are won shall open the course again. The metadata of the payment intent:
-- user_id (the buyer), item_id (the course), seller_id (the specialist).
\set ON_ERROR_STOP on
-- The extension may be in any schema.
SELECT format('SET search_path TO %I, public', n.nspname)
  FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace WHERE x.extname = 'pg_billing' \gexec
BEGIN;

-- A course that is for sale needs no row here: what was bought is in payments and enrollments, by item_id. No plans either,
-- as nobody subscribes.

-- The specialists' view of who is enrolled in what they teach. The gateway in front of the database sets
-- request.jwt.claims, as PostgREST does; "sub" is the specialist.
CREATE SCHEMA IF NOT EXISTS marketplace;
CREATE OR REPLACE VIEW marketplace.my_enrollments WITH (security_barrier) AS
SELECT e.item_id, e.user_id, e.status, e.payment_status, e.enrolled_at, e.ended_at
  FROM enrollments e
 WHERE e.seller_id = nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub';
COMMENT ON VIEW marketplace.my_enrollments IS 'who is enrolled in the courses of the specialist who is signed in';

-- What to be called for, one row each while it lasts: webhooks of the last hour, payments of the last 30 days.
CREATE OR REPLACE VIEW marketplace.alerts AS
WITH events AS (
    SELECT count(*) AS received, count(*) FILTER (WHERE outcome = 'failed') AS failed
      FROM stripe_events WHERE created_at > now() - interval '1 hour'),
sales AS (
    SELECT count(*) FILTER (WHERE status = 'failed' AND payment_created > now() - interval '1 hour') AS failed_lately,
           count(*) FILTER (WHERE status = 'failed') AS failed,
           count(*) FILTER (WHERE paid_at IS NOT NULL) AS paid,
           count(*) FILTER (WHERE paid_at IS NOT NULL AND amount_refunded > 0) AS refunded
      FROM payments WHERE payment_created > now() - interval '30 days')
SELECT a.alert
  FROM events, sales,
       LATERAL (VALUES ('no webhook received within an hour', events.received = 0),
                       ('more than 1 % of webhooks failed', events.failed * 100 > events.received),
                       ('more than 10 payments failed within an hour', sales.failed_lately > 10),
                       ('less than 95 % of payments succeed', sales.paid * 100 < (sales.paid + sales.failed) * 95),
                       ('more than 5 % of payments are refunded', sales.refunded * 100 > sales.paid * 5)) a(alert, given)
 WHERE a.given;
COMMENT ON VIEW marketplace.alerts IS 'what to be called for; empty while all is well';

-- Who may do what. Passwords, or whatever else lets them log in, are yours to set.
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN SELECT * FROM (VALUES ('billing_worker', 'worker'), ('billing_app', 'app'), ('billing_reader', 'reader'),
                                        ('marketplace_specialist', NULL)) v(role, kind) LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', wanted.role);
        END IF;
        IF wanted.kind IS NOT NULL THEN
            PERFORM grant_billing_role(wanted.role, wanted.kind);
        END IF;
    END LOOP;
END
$$;
GRANT USAGE ON SCHEMA marketplace TO marketplace_specialist, billing_reader;
GRANT SELECT ON marketplace.my_enrollments TO marketplace_specialist;
GRANT SELECT ON marketplace.alerts TO billing_reader;
COMMIT;

-- What the application asks before it shows a course:
--
--     SELECT has_access_to_item('user_1', 'course_1');
--
-- What operators ask first when somebody writes to them about money:
--
--     SELECT payment_id, status FROM payments WHERE customer_email = 'user@example.com';
