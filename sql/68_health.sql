-- How the webhooks and the cache are doing. docs/metrics.md says what each figure means; what never gets into the
-- database (rejected requests, the time until the answer) is in the worker's /metrics.

CREATE VIEW metrics_webhooks AS
SELECT w.span AS "window", count(e.stripe_event_id) AS received, coalesce(sum(e.duplicates), 0)::bigint AS duplicates,
       count(*) FILTER (WHERE e.outcome = 'processed') AS processed,
       count(*) FILTER (WHERE e.outcome = 'ignored') AS ignored,
       count(*) FILTER (WHERE e.outcome = 'parked') AS parked,
       count(*) FILTER (WHERE e.outcome = 'failed') AS failed,
       count(*) FILTER (WHERE e.processed AND e.retry_count > 0) AS processed_after_retry,
       round(count(*) FILTER (WHERE e.outcome <> 'failed')::numeric / nullif(count(e.stripe_event_id), 0), 4)
           AS success_rate,
       round(count(*) FILTER (WHERE e.outcome = 'failed')::numeric / nullif(count(e.stripe_event_id), 0), 4)
           AS failure_rate,
       round(sum(e.duplicates)::numeric / nullif(count(e.stripe_event_id) + sum(e.duplicates), 0), 4) AS duplicate_rate,
       round(avg(extract(epoch FROM e.processed_at - e.created_at)) FILTER (WHERE e.processed), 3)
           AS average_processing_seconds,
       round(percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM e.processed_at - e.created_at)::float8)
                 FILTER (WHERE e.processed)::numeric, 3) AS p95_processing_seconds,
       round(avg(extract(epoch FROM e.created_at - e.stripe_created)), 1) AS average_delivery_seconds,
       round(percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM e.created_at - e.stripe_created)::float8)::numeric,
             1) AS p95_delivery_seconds,
       max(e.created_at) AS last_received_at
  FROM unnest(ARRAY['5 minutes', '15 minutes', '1 hour', '24 hours', '7 days']::interval[]) AS w(span)
  LEFT JOIN stripe_events e ON e.created_at > now() - w.span
 GROUP BY w.span;
COMMENT ON VIEW metrics_webhooks IS
    'events received within the last 5 minutes, 15 minutes, hour, day and week: outcomes, rates, times in seconds';
COMMENT ON COLUMN metrics_webhooks.average_processing_seconds IS 'from receipt until it took effect, commit excluded; waiting and retries included';
COMMENT ON COLUMN metrics_webhooks.average_delivery_seconds IS 'from Stripe''s event, in whole seconds, until its receipt';

CREATE VIEW metrics_webhooks_hourly AS
SELECT date_trunc('hour', e.created_at) AS hour, e.event_type, count(*) AS received,
       sum(e.duplicates)::bigint AS duplicates, count(*) FILTER (WHERE e.outcome = 'failed') AS failed,
       count(*) FILTER (WHERE e.outcome = 'parked') AS parked,
       round(avg(extract(epoch FROM e.processed_at - e.created_at)) FILTER (WHERE e.processed), 3)
           AS average_processing_seconds
  FROM stripe_events e
 WHERE e.created_at > now() - interval '7 days'
 GROUP BY 1, 2;
COMMENT ON VIEW metrics_webhooks_hourly IS 'events received by hour and type, over the last 7 days';

CREATE VIEW metrics_cache AS
SELECT (s.status ->> 'hits')::bigint AS hits, (s.status ->> 'misses')::bigint AS misses,
       (s.status ->> 'hit_rate')::numeric AS hit_rate, (s.status ->> 'total')::bigint AS cached,
       (s.status ->> 'valid')::bigint AS valid, (s.status ->> 'expired')::bigint AS expired,
       (s.status ->> 'average_age_seconds')::numeric AS average_age_seconds,
       (s.status ->> 'ttl_seconds')::numeric AS ttl_seconds, (s.status ->> 'last_cleanup')::timestamptz AS last_cleanup,
       (SELECT coalesce(sum(h.rows_removed), 0)::bigint FROM subscription_cache_cleanups h
         WHERE h.cleaned_at > now() - interval '24 hours') AS removed_in_24_hours
  FROM get_subscription_cache_status() AS s(status);
COMMENT ON VIEW metrics_cache IS 'cache hits and misses since the server started (null unless preloaded), and what is cached now';
