-- Who pays, since when and for which plan: churn, trials, and changes between plans. docs/metrics.md has the rules.

-- From when until when each subscription was paid for, as its latest snapshot tells. Never paid for: what is free,
-- incomplete, still in its trial, or over when its trial was (within an hour: Stripe's jobs take their time).
CREATE VIEW paying_subscriptions AS
SELECT r.stripe_account, r.stripe_subscription_id, r.payer, r.user_id, r.status, min(r.currency) AS currency,
       sum(r.monthly_value) AS monthly_value, r.trial_start, r.trial_end,
       greatest(r.created, r.trial_end) AS paying_from,
       least(CASE WHEN r.status = 'canceled' THEN r.ended_at
                  WHEN r.status = 'unpaid'
                  THEN coalesce((SELECT max(a.event_created) FROM audit_logs a
                                  WHERE a.user_id = r.user_id AND a.subject = r.stripe_subscription_id
                                    AND a.action = 'subscription_unpaid'), r.event_created)
                  WHEN r.decided_end <= now() THEN r.decided_end END,
             r.customer_deleted_at) AS paying_until
  FROM subscription_revenue r
 WHERE r.status IN ('active', 'past_due', 'unpaid', 'canceled')
   AND (r.trial_end < r.ended_at - interval '1 hour' OR r.trial_end IS NULL OR r.ended_at IS NULL)
 GROUP BY r.stripe_account, r.stripe_subscription_id, r.payer, r.user_id, r.status, r.trial_start, r.trial_end,
          r.created, r.ended_at, r.decided_end, r.customer_deleted_at, r.event_created
HAVING sum(r.monthly_value) > 0;
COMMENT ON VIEW paying_subscriptions IS
    'from when until when each subscription is paid for; paying_until is null while it goes on';
COMMENT ON COLUMN paying_subscriptions.monthly_value IS 'minor units: what it is worth by the month, or was when it ended';

CREATE VIEW metrics_churn AS
WITH payers AS (
    SELECT p.payer, p.paying_from, coalesce(p.paying_until, 'infinity') AS paying_until FROM paying_subscriptions p
), months AS (
    SELECT m.month::date AS month, m.month AT TIME ZONE b.time_zone AS starts,
           least((m.month + interval '1 month') AT TIME ZONE b.time_zone, now()) AS ends
      FROM metrics_basis() b,
           generate_series(date_trunc('month', (SELECT min(p.paying_from) FROM payers p) AT TIME ZONE b.time_zone),
                           now() AT TIME ZONE b.time_zone, interval '1 month') m(month)
), standing AS (
    SELECT m.month, p.payer, bool_or(p.paying_from < m.starts AND p.paying_until >= m.starts) AS before,
           bool_or(p.paying_from < m.ends AND p.paying_until >= m.ends) AS after
      FROM months m
      JOIN payers p ON p.paying_from < m.ends AND p.paying_until >= m.starts
     GROUP BY m.month, p.payer
)
SELECT m.month, count(*) FILTER (WHERE s.before) AS payers_at_start,
       count(*) FILTER (WHERE s.after AND NOT s.before) AS gained,
       count(*) FILTER (WHERE s.before AND NOT s.after) AS churned,
       count(*) FILTER (WHERE s.after) AS payers_at_end,
       round(count(*) FILTER (WHERE s.before AND NOT s.after)::numeric
             / nullif(count(*) FILTER (WHERE s.before), 0), 4) AS churn_rate,
       m.ends < now() AS complete
  FROM months m
  LEFT JOIN standing s ON s.month = m.month
 GROUP BY m.month, m.ends;
COMMENT ON VIEW metrics_churn IS
    'payers by month: at its start, gained, churned, at its end; churn_rate = churned / payers_at_start';

CREATE VIEW metrics_churned_mrr AS
SELECT date_trunc('month', p.paying_until AT TIME ZONE b.time_zone)::date AS month, p.stripe_account, p.currency,
       count(*) AS subscriptions, round(sum(p.monthly_value))::bigint AS mrr
  FROM metrics_basis() b, paying_subscriptions p
 WHERE p.paying_until <= now()
 GROUP BY 1, 2, 3;
COMMENT ON VIEW metrics_churned_mrr IS 'monthly revenue of the subscriptions that ended, by the month of their end, in minor units';

CREATE VIEW metrics_trials AS
WITH trials AS (
    SELECT r.stripe_account, r.stripe_subscription_id, r.trial_start, r.status = 'trialing' AS running,
           p.stripe_subscription_id IS NOT NULL AND r.status <> 'trialing' AS converted
      FROM (SELECT DISTINCT s.stripe_account, s.stripe_subscription_id, s.trial_start, s.status FROM subscription_revenue s
             WHERE s.trial_start IS NOT NULL) r
      LEFT JOIN paying_subscriptions p
             ON p.stripe_account = r.stripe_account AND p.stripe_subscription_id = r.stripe_subscription_id
)
SELECT date_trunc('month', t.trial_start AT TIME ZONE b.time_zone)::date AS month, count(*) AS started,
       count(*) FILTER (WHERE t.running) AS running, count(*) FILTER (WHERE t.converted) AS converted,
       count(*) FILTER (WHERE NOT t.running AND NOT t.converted) AS lost,
       round(count(*) FILTER (WHERE t.converted)::numeric / nullif(count(*) FILTER (WHERE NOT t.running), 0), 4)
           AS conversion_rate
  FROM metrics_basis() b, trials t
 GROUP BY 1;
COMMENT ON VIEW metrics_trials IS
    'trials by the month they began in: running, converted, lost; conversion_rate = converted / (converted + lost)';

-- Which plan each user was on, from when until when: what the events told, kept in audit_logs. A user who pays for
-- nothing is on the default plan, a trial counts as nothing paid yet, and of several plans the highest rank counts.
CREATE VIEW user_plan_spans AS
WITH free AS (
    SELECT coalesce((SELECT p.id FROM subscription_plans p WHERE p.is_default), 'none') AS plan
), told AS ( -- one row per subscription and second, the last word of that second
    SELECT DISTINCT ON (a.user_id, a.subject, a.event_created)
           a.user_id, a.subject, a.event_created AS at,
           CASE WHEN a.details ->> 'status' IN ('active', 'past_due')
                THEN nullif(coalesce(pp.plan_id, a.details ->> 'price_id'), f.plan) END AS plan,
           coalesce(plan.rank, 0) AS rank
      FROM metrics_basis() b
     CROSS JOIN free f
      JOIN user_subscriptions s ON s.livemode = b.livemode
      JOIN audit_logs a ON a.user_id = s.user_id AND a.subject = s.stripe_subscription_id
      LEFT JOIN price_plans pp ON pp.stripe_account = s.stripe_account AND pp.livemode = s.livemode
            AND pp.price_id = a.details ->> 'price_id'
      LEFT JOIN subscription_plans plan ON plan.id = pp.plan_id
     WHERE a.event_created IS NOT NULL AND a.action LIKE 'subscription\_%' AND NOT coalesce(plan.is_addon, false)
     ORDER BY a.user_id, a.subject, a.event_created,
              CASE a.action WHEN 'subscription_ended' THEN 2 WHEN 'subscription_created' THEN 0 ELSE 1 END DESC,
              a.event_id DESC
), spells AS (
    SELECT t.*, lead(t.at) OVER (PARTITION BY t.user_id, t.subject ORDER BY t.at) AS until FROM told t
), users AS ( -- arrays, since a join of a user's moments with the spells would rest on the planner's guesses
    SELECT p.user_id, array_agg(p.at) AS ats, array_agg(p.until) AS untils, array_agg(p.plan) AS plans,
           array_agg(p.rank) AS ranks, array_agg(p.subject) AS subjects
      FROM spells p
     GROUP BY p.user_id
), moments AS ( -- a user begins with nothing paid
    SELECT u.user_id, u.created_at AS at, f.plan, true AS began FROM billing_users u CROSS JOIN free f
    UNION ALL
    SELECT u.user_id, m.at, coalesce(best.plan, f.plan), false
      FROM users u
     CROSS JOIN free f
     CROSS JOIN LATERAL (SELECT DISTINCT x.at FROM unnest(u.ats) AS x(at)) m
      LEFT JOIN LATERAL (SELECT p.plan
                           FROM unnest(u.ats, u.untils, u.plans, u.ranks, u.subjects) AS p(at, until, plan, rank, subject)
                          WHERE p.plan IS NOT NULL AND p.at <= m.at AND (p.until > m.at OR p.until IS NULL)
                          ORDER BY p.rank DESC, p.at DESC, p.subject
                          LIMIT 1) best ON true
), steps AS (
    SELECT m.user_id, m.plan, m.began,
           CASE WHEN m.began THEN min(m.at) OVER (PARTITION BY m.user_id) ELSE m.at END AS at,
           lag(m.plan) OVER (PARTITION BY m.user_id ORDER BY m.began DESC, m.at) AS previous
      FROM moments m
)
SELECT s.user_id, s.plan, s.at AS since, lead(s.at) OVER following AS until, lead(s.plan) OVER following AS next_plan
  FROM steps s
 WHERE s.previous IS DISTINCT FROM s.plan
WINDOW following AS (PARTITION BY s.user_id ORDER BY s.began DESC, s.at);
COMMENT ON VIEW user_plan_spans IS 'which plan each user paid for, from when until when; the default plan, or none, while nothing';
COMMENT ON COLUMN user_plan_spans.plan IS 'a plan''s id; a price''s id where it is mapped to no plan';

CREATE VIEW metrics_conversion AS
WITH free AS (
    SELECT coalesce((SELECT p.id FROM subscription_plans p WHERE p.is_default), 'none') AS plan
), spans AS MATERIALIZED (
    SELECT s.user_id, s.plan, s.since, s.until, s.next_plan FROM user_plan_spans s
), months AS (
    SELECT m.month::date AS month, m.month AT TIME ZONE b.time_zone AS starts,
           (m.month + interval '1 month') AT TIME ZONE b.time_zone AS ends
      FROM metrics_basis() b,
           generate_series(date_trunc('month', (SELECT min(s.since) FROM spans s) AT TIME ZONE b.time_zone),
                           now() AT TIME ZONE b.time_zone, interval '1 month') m(month)
), base AS ( -- who was on the plan at some time in the month
    SELECT m.month, s.plan, count(DISTINCT s.user_id) AS users
      FROM months m
      JOIN spans s ON s.since < m.ends AND (s.until >= m.starts OR s.until IS NULL)
     GROUP BY 1, 2
), moves AS (
    SELECT date_trunc('month', s.until AT TIME ZONE b.time_zone)::date AS month, s.plan AS from_plan,
           s.next_plan AS to_plan, count(DISTINCT s.user_id) AS users
      FROM metrics_basis() b, spans s
     WHERE s.next_plan IS NOT NULL
     GROUP BY 1, 2, 3
)
SELECT v.month, v.from_plan, v.to_plan,
       CASE WHEN v.from_plan = f.plan THEN 'start' WHEN v.to_plan = f.plan THEN 'end'
            WHEN coalesce(new.rank, 0) > coalesce(old.rank, 0) THEN 'upgrade'
            WHEN coalesce(new.rank, 0) < coalesce(old.rank, 0) THEN 'downgrade' ELSE 'switch' END AS kind,
       v.users, t.users AS users_on_plan, round(v.users::numeric / t.users, 4) AS rate
  FROM moves v
 CROSS JOIN free f
  JOIN base t ON t.month = v.month AND t.plan = v.from_plan
  LEFT JOIN subscription_plans old ON old.id = v.from_plan
  LEFT JOIN subscription_plans new ON new.id = v.to_plan;
COMMENT ON VIEW metrics_conversion IS
    'users who went from one plan to another, by month; rate = of those who were on from_plan at some time in the month';

CREATE VIEW metrics_subscription_activity AS
SELECT f.day, count(*) FILTER (WHERE f.action = 'checkout_created') AS checkouts_created,
       count(*) FILTER (WHERE f.action = 'checkout_completed') AS checkouts_completed,
       count(*) FILTER (WHERE f.action = 'subscription_activated') AS subscriptions_activated,
       count(*) FILTER (WHERE f.action = 'subscription_canceled') AS cancellations_scheduled,
       count(*) FILTER (WHERE f.action = 'subscription_resumed') AS cancellations_withdrawn,
       count(*) FILTER (WHERE f.action = 'subscription_ended') AS subscriptions_ended,
       count(*) FILTER (WHERE f.action = 'payment_succeeded') AS payments_succeeded,
       count(*) FILTER (WHERE f.action = 'payment_failed') AS payments_failed
  FROM (SELECT (a.event_created AT TIME ZONE b.time_zone)::date AS day, a.action
          FROM metrics_basis() b, audit_logs a
         WHERE a.event_created IS NOT NULL AND a.user_id <> ''
           AND NOT a.details ? 'payment_id' -- a purchase, which metrics_payments counts
        UNION ALL
        SELECT (s.created AT TIME ZONE b.time_zone)::date, 'checkout_created'
          FROM metrics_basis() b JOIN stripe_checkout_sessions s ON s.livemode = b.livemode) f
 WHERE f.action IN ('checkout_created', 'checkout_completed', 'subscription_activated', 'subscription_canceled',
                    'subscription_resumed', 'subscription_ended', 'payment_succeeded', 'payment_failed')
 GROUP BY f.day;
COMMENT ON VIEW metrics_subscription_activity IS 'checkouts, subscriptions and invoice payments of linked users by day';
