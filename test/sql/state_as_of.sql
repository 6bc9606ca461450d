\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Time alone moves the state: nothing has to run for a trial to lapse. as_of judges today's knowledge at an instant.
CREATE TABLE t.instants (at timestamptz);
INSERT INTO t.instants VALUES ('2026-01-31 23:59:59.999999'), ('2026-02-01'), ('2026-02-03 23:59:59.999999'), ('2026-02-04'), ('2026-02-08'), ('2026-06-01');
SELECT t.link('user_' || n, 'cus_' || n) FROM generate_series(1, 6) n;
SELECT outcome FROM t.process(
    t.event('evt_1', 'customer.subscription.created', '2026-01-01', t.subscription('sub_1', 'cus_1', 'active', '2026-01-01', '2026-02-01')),
    t.event('evt_2', 'customer.subscription.created', '2026-01-01', t.subscription('sub_2', 'cus_2', 'trialing', '2026-01-01', '2026-02-01',
            jsonb_build_object('trial_start', t.unix('2026-01-01'), 'trial_end', t.unix('2026-02-01')))),
    t.event('evt_3', 'customer.subscription.created', '2026-01-01', t.subscription('sub_3', 'cus_3', 'active', '2026-01-01', '2026-02-01', '{"cancel_at_period_end": true}')),
    t.event('evt_4', 'customer.subscription.created', '2026-02-01', t.subscription('sub_4', 'cus_4', 'past_due', '2026-02-01', '2026-03-01')),
    t.event('evt_5', 'customer.subscription.deleted', '2026-01-10', t.subscription('sub_5', 'cus_5', 'canceled', '2026-01-01', '2026-02-01', jsonb_build_object('ended_at', t.unix('2026-01-10')))),
    t.event('evt_6', 'invoice.paid', '2026-01-01', t.invoice('in_5', 'sub_5', 'cus_5', 'paid', '2026-01-01', '2026-02-01')));
-- A renewal on its way: entitled for billing.renewal_slack.
SELECT at, s.* FROM t.instants, t.state('user_1', at) s ORDER BY at;
SELECT at, s.* FROM t.instants, t.state('user_2', at) s ORDER BY at;
-- An end that was decided comes at its time, without slack.
SELECT at, s.* FROM t.instants, t.state('user_3', at) s ORDER BY at;
-- Past due: entitled for billing.past_due_grace from the start of the unpaid period.
SELECT at, s.* FROM t.instants, t.state('user_4', at) s ORDER BY at;
-- Ended: at ended_at, or with the period that was paid.
SELECT at, s.state, s.has_access, s.reason, s.ends_at FROM t.instants, t.state('user_5', at) s ORDER BY at LIMIT 2;
SELECT set_billing_setting('canceled_access', 'paid_through', 'test');
SELECT at, s.state, s.has_access, s.reason, s.ends_at FROM t.instants, t.state('user_5', at) s ORDER BY at LIMIT 2;
-- The rules in force are the ones that judge.
SELECT set_billing_setting('renewal_slack', '0', 'test'), set_billing_setting('past_due_grace', '2 days 12 hours', 'test');
SELECT s.state, s.has_access, s.reason, s.access_until FROM t.state('user_1', '2026-02-01') s;
SELECT s.state, s.has_access, s.reason, s.access_until FROM t.state('user_4', '2026-02-03 11:59') s;
SELECT s.state, s.has_access, s.reason, s.access_until FROM t.state('user_4', '2026-02-03 12:00') s;

-- Before and after everything; the ends of time itself.
SELECT state, has_access FROM t.state('user_1', '1970-01-01');
SELECT state, has_access FROM t.state('user_1', '9999-12-31');
SELECT * FROM t.refusal($$SELECT get_user_subscription_state('user_1', '294276-12-31 23:59:59.999999')$$);
SELECT * FROM t.refusal($$SELECT get_user_subscription_state('user_1', '4714-11-24 00:00:00 BC')$$);
SELECT * FROM t.refusal($$SELECT get_user_subscription_state('user_1', 'infinity')$$);
SELECT * FROM t.refusal($$SELECT get_user_subscription_state('user_1', '-infinity')$$);

-- as_of neither uses the cache nor counts there, and nothing is written by reading.
SELECT s ->> 'cached' AS cached, s ->> 'cached_at' AS cached_at FROM get_user_subscription_state('user_1', '2026-01-15') s;
BEGIN READ ONLY;
SELECT state, has_access FROM t.state('user_1', '2026-01-15');
SELECT has_active_subscription('user_1') IS NOT NULL AS answered, get_user_subscription_state('nobody') ->> 'state' AS state;
SELECT explain_user('user_1') ->> 'user_id' AS user_id;
SELECT pg_current_xact_id_if_assigned() IS NULL AS nothing_written;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;
SELECT state, has_access FROM t.state('user_1', '2026-01-15');
COMMIT;
