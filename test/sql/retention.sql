\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- How long what is kept, and what is refused.
SELECT name, value FROM get_billing_settings() WHERE name LIKE '%retention' ORDER BY name;
SELECT c.value, r.code, r.message, r.hint
  FROM unnest(ARRAY['1 year', '23 hours', 'for ever', '', '-3 days']) c(value),
       t.refusal(format('SELECT set_billing_setting(%L, %L, %L)', 'payload_retention', c.value, 'test')) r;
SELECT set_billing_setting('payload_retention', 'forever', 'test');
SELECT retention_limit('payload') IS NULL AS for_ever, retention_limit('log') AS log;
SELECT set_billing_setting('payload_retention', NULL, 'test');
SELECT c.options, r.code, r.message, r.hint
  FROM unnest(ARRAY['[]', 'null', '{"rows": 1}', '{"max_rows": -1}', '{"max_rows": "all"}', '{"move_rows": 1.5}', '{"months_ahead": 100}']) c(options),
       t.refusal(format('SELECT apply_retention(%L)', c.options)) r;
-- A month's partition begins and ends with it in UTC, whatever the session's time zone.
SET timezone = 'America/Los_Angeles';
SELECT count(*) FROM apply_retention('{"months_ahead": 1}');
SELECT class, action, subject FROM apply_retention('{"months_ahead": 1}');
SELECT count(*) AS partitions,
       bool_and(to_char(since AT TIME ZONE 'UTC', '"stripe_event_payloads_"YYYY_MM" "DD HH24:MI') = name || ' 01 00:00') AS begin,
       max(until) = (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '2 months') AT TIME ZONE 'UTC' AS "end"
  FROM payload_partitions();
RESET timezone;
SELECT relname ~ '_[0-9]{4}_[0-9]{2}$' AS of_month, relkind, relacl, (SELECT count(*) FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) AS keys
  FROM pg_class c WHERE relispartition AND relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname COLLATE "C";
-- Within a transaction that is rolled back nothing has happened; in a read-only one it is refused.
BEGIN;
SELECT action, count(*) FROM apply_retention(NULL) GROUP BY 1;
ROLLBACK;
SELECT count(*) FROM payload_partitions();
BEGIN READ ONLY;
SELECT apply_retention('{"months_ahead": 3}');
ROLLBACK;
