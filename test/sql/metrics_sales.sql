\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Payments and enrollments, from rows written by hand. Days are told as how long ago.
CREATE FUNCTION t.day(n integer) RETURNS timestamptz LANGUAGE sql AS $$SELECT date_trunc('day', now(), 'UTC') - n * interval '1 day' + interval '1 second'$$;
INSERT INTO payments (user_id, payment_id, stripe_customer_id, status, amount, currency, amount_refunded, payment_created, paid_at, livemode, stripe_invoice_id)
SELECT 'user_' || n % 3, 'pi_' || n, 'cus_' || n % 3, status, amount, currency, refunded, t.day(began), t.day(paid), live, invoice
  FROM (VALUES (1, 'completed', 4900, 'eur', 0, 2, 2, false, NULL), (2, 'completed', 2900, 'eur', 0, 2, 2, false, 'in_1'), (3, 'partially_refunded', 10000, 'eur', 2500, 2, 2, false, NULL),
               (4, 'refunded', 4900, 'eur', 4900, 2, 2, false, NULL), (5, 'failed', 4900, 'eur', 0, 2, NULL, false, NULL), (6, 'canceled', 4900, 'eur', 0, 2, NULL, false, NULL),
               (7, 'disputed', 4900, 'eur', 0, 2, 2, false, NULL), (8, 'charged_back', 4900, 'eur', 900, 2, 2, false, NULL),
               (9, 'processing', 4900, 'eur', 0, 2, NULL, false, NULL), (10, 'completed', 0, 'eur', 0, 2, 2, false, NULL),
               (11, 'completed', 500, 'jpy', 0, 2, 2, false, NULL), (12, 'completed', 7777, 'eur', 0, 2, 2, true, NULL),
               (13, 'completed', 1500, 'eur', 0, 9, 1, false, NULL), (14, 'failed', 1500, 'eur', 0, 40, NULL, false, NULL)) v(n, status, amount, currency, refunded, began, paid, live, invoice);
-- Two days ago, euros: succeeded 1, 2, 3, 4, 7, 8 = 6, failed 5: 6 / 7 = 0.8571. Neither canceled nor pending count, nor what is free (10) or live (12).
-- Revenue 4900 + 2900 + 10000 + 4900 + 4900 + 4900 = 32500, of invoices 2900; average 32500 / 6 = 5417. Refunded 3, 4 and the part of 8: 3 / 6; 2500 + 4900 + 900 = 8300.
-- The dispute that was lost cost 4900 - 900 = 4000. Net 32500 - 8300 - 4000 = 20200. A payment begun nine days ago and paid yesterday is yesterday's.
\x
SELECT t.day(0)::date - day AS days_ago, currency, succeeded, failed, pending, canceled, success_rate, revenue, average_value, refunded, amount_refunded, refund_rate, disputed, amount_lost, net_revenue, revenue_of_invoices
  FROM metrics_payments m WHERE day > t.day(30) ORDER BY day, currency;
\x
SELECT t.day(0)::date - day AS days_ago, succeeded, failed, success_rate, average_value, refund_rate FROM metrics_payments WHERE day < t.day(30);
-- 7 days: also 13, 7 / 8 = 0.875; (32500 + 1500) / 7 = 4857; 3 / 7. 30 days: the same, since 14 is older.
SELECT "window", currency, succeeded, failed, pending, success_rate, revenue, average_value, refund_rate FROM metrics_payments_recent WHERE "window" >= '7 days' ORDER BY 1, 2;

-- Of seven begun five were paid for, one is on its way, one failed: 5 / 6 = 0.8333. Of the five two were given back: 0.4.
INSERT INTO enrollments (user_id, item_id, payment_id, status, payment_status, enrolled_at, livemode)
SELECT 'user_' || n % 3, item, 'pi_' || n, status, 'x', t.day(paid), live
  FROM (VALUES (1, 'course', 'active', 2, false), (3, 'course', 'refunded', 2, false), (4, 'course', 'refunded', 2, false), (7, 'course', 'suspended', 2, false), (8, 'course', 'revoked', 2, false),
               (9, 'course', 'pending', NULL, false), (5, 'course', 'failed', NULL, false), (12, 'course', 'active', 2, true), (13, 'book', 'active', 1, false), (14, 'book', 'failed', NULL, false)) v(n, item, status, paid, live);
SELECT t.day(0)::date - day AS days_ago, item_id, enrolled, active, pending, suspended, refunded, revoked, failed, canceled, conversion_rate AS conversion, refund_rate AS refunds FROM metrics_enrollments ORDER BY 1, 2;

-- The day is that of billing.time_zone: a second after midnight UTC is the evening before in New York.
SELECT set_billing_setting('time_zone', 'America/New_York', 'a test');
SELECT t.day(0)::date - day AS days_ago, revenue FROM metrics_payments WHERE currency = 'jpy';
SELECT set_billing_setting('time_zone', NULL, 'a test');
-- From events.
SELECT t.link('user_ada', 'cus_ada');
SELECT outcome FROM t.process(t.event('evt_1', 'payment_intent.succeeded', t.day(3), jsonb_build_object('id', 'pi_ada', 'object', 'payment_intent', 'customer', 'cus_ada', 'status', 'succeeded', 'amount', 4200,
    'amount_received', 4200, 'currency', 'usd', 'created', t.unix(t.day(3)), 'livemode', false, 'metadata', '{"item_id": "course"}'::jsonb)));
SELECT t.day(0)::date - day AS days_ago, succeeded, revenue, average_value, net_revenue FROM metrics_payments WHERE currency = 'usd';
SELECT t.day(0)::date - day AS days_ago, enrolled, active FROM metrics_enrollments WHERE day = t.day(3)::date;
