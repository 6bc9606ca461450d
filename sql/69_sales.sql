-- Payments and what they bought, by day and over the last hours and days. docs/metrics.md has the rules. Amounts are in
-- minor units, as charged, taxes included. What payments has is of known users; the rest is in unlinked_payments.

-- Each payment once, at the time that it was paid, or else began.
CREATE VIEW counted_payments AS
SELECT p.user_id, p.payment_id, p.stripe_account, p.currency, coalesce(p.paid_at, p.payment_created, p.updated_at) AS at,
       p.stripe_invoice_id IS NOT NULL AS by_invoice, p.amount, p.amount_refunded, p.status,
       p.status IN ('completed', 'partially_refunded', 'refunded', 'disputed', 'charged_back') AND p.amount > 0 AS succeeded,
       p.status = 'failed' AS failed,
       CASE WHEN p.status = 'charged_back' THEN greatest(p.amount - p.amount_refunded, 0) ELSE 0 END AS amount_lost
  FROM metrics_basis() b
  JOIN payments p ON p.livemode = b.livemode;
COMMENT ON VIEW counted_payments IS 'each payment of the mode in force as the metrics count it; at is when it was paid, or else began';
COMMENT ON COLUMN counted_payments.succeeded IS 'paid, whatever came after; what cost nothing is no payment';
COMMENT ON COLUMN counted_payments.amount_lost IS 'of a dispute that was lost: what no refund had given back';

CREATE VIEW metrics_payments AS
SELECT (p.at AT TIME ZONE b.time_zone)::date AS day, p.stripe_account, p.currency,
       count(*) FILTER (WHERE p.succeeded) AS succeeded, count(*) FILTER (WHERE p.failed) AS failed,
       count(*) FILTER (WHERE p.status IN ('pending', 'authorized', 'processing')) AS pending,
       count(*) FILTER (WHERE p.status = 'canceled') AS canceled,
       round(count(*) FILTER (WHERE p.succeeded)::numeric / nullif(count(*) FILTER (WHERE p.succeeded OR p.failed), 0), 4)
           AS success_rate,
       coalesce(sum(p.amount) FILTER (WHERE p.succeeded), 0)::bigint AS revenue,
       round(avg(p.amount) FILTER (WHERE p.succeeded))::bigint AS average_value,
       count(*) FILTER (WHERE p.succeeded AND p.amount_refunded > 0) AS refunded,
       coalesce(sum(p.amount_refunded) FILTER (WHERE p.succeeded), 0)::bigint AS amount_refunded,
       round(count(*) FILTER (WHERE p.succeeded AND p.amount_refunded > 0)::numeric
             / nullif(count(*) FILTER (WHERE p.succeeded), 0), 4) AS refund_rate,
       count(*) FILTER (WHERE p.status IN ('disputed', 'charged_back')) AS disputed,
       coalesce(sum(p.amount_lost), 0)::bigint AS amount_lost,
       coalesce(sum(p.amount - p.amount_refunded - p.amount_lost) FILTER (WHERE p.succeeded), 0)::bigint AS net_revenue,
       coalesce(sum(p.amount) FILTER (WHERE p.succeeded AND p.by_invoice), 0)::bigint AS revenue_of_invoices
  FROM metrics_basis() b, counted_payments p
 GROUP BY 1, 2, 3;
COMMENT ON VIEW metrics_payments IS
    'payments by the day they were paid on (or began), per currency: success rate, revenue, average, refunds, disputes; minor units';

CREATE VIEW metrics_payments_recent AS
SELECT w.span AS "window", p.stripe_account, p.currency,
       count(*) FILTER (WHERE p.succeeded) AS succeeded, count(*) FILTER (WHERE p.failed) AS failed,
       count(*) FILTER (WHERE p.status IN ('pending', 'authorized', 'processing')) AS pending,
       round(count(*) FILTER (WHERE p.succeeded)::numeric / nullif(count(*) FILTER (WHERE p.succeeded OR p.failed), 0), 4)
           AS success_rate,
       coalesce(sum(p.amount) FILTER (WHERE p.succeeded), 0)::bigint AS revenue,
       round(avg(p.amount) FILTER (WHERE p.succeeded))::bigint AS average_value,
       round(count(*) FILTER (WHERE p.succeeded AND p.amount_refunded > 0)::numeric
             / nullif(count(*) FILTER (WHERE p.succeeded), 0), 4) AS refund_rate
  FROM unnest(ARRAY['15 minutes', '1 hour', '24 hours', '7 days', '30 days']::interval[]) AS w(span)
  JOIN counted_payments p ON p.at > now() - w.span
 GROUP BY 1, 2, 3;
COMMENT ON VIEW metrics_payments_recent IS
    'the same over the last 15 minutes, hour, day, week and 30 days; no row for a window without payments';

CREATE VIEW metrics_enrollments AS
SELECT (coalesce(e.enrolled_at, p.payment_created, e.updated_at) AT TIME ZONE b.time_zone)::date AS day, e.item_id,
       count(e.enrolled_at) AS enrolled,
       count(*) FILTER (WHERE e.status = 'active') AS active, count(*) FILTER (WHERE e.status = 'pending') AS pending,
       count(*) FILTER (WHERE e.status = 'suspended') AS suspended,
       count(*) FILTER (WHERE e.status = 'refunded') AS refunded, count(*) FILTER (WHERE e.status = 'revoked') AS revoked,
       count(*) FILTER (WHERE e.status = 'failed') AS failed, count(*) FILTER (WHERE e.status = 'canceled') AS canceled,
       round(count(e.enrolled_at)::numeric / nullif(count(*) FILTER (WHERE e.status <> 'pending'), 0), 4) AS conversion_rate,
       round(count(*) FILTER (WHERE e.status = 'refunded')::numeric / nullif(count(e.enrolled_at), 0), 4) AS refund_rate
  FROM metrics_basis() b
  JOIN enrollments e ON e.livemode = b.livemode
  LEFT JOIN payments p ON p.user_id = e.user_id AND p.payment_id = e.payment_id
 GROUP BY 1, 2;
COMMENT ON VIEW metrics_enrollments IS
    'enrollments by item and by the day they were paid on (or begun): what became of them; conversion_rate = enrolled of those not pending';
