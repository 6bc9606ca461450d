CREATE FUNCTION ingest_metrics()
    RETURNS jsonb
    LANGUAGE sql VOLATILE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    WITH settings AS (
        SELECT max(s.value) FILTER (WHERE s.name = 'mode') AS mode,
               max(s.value) FILTER (WHERE s.name = 'retry_limit')::integer AS retry_limit,
               max(s.value) FILTER (WHERE s.name = 'notifications') AS notifications
          FROM @extschema@.get_billing_settings() s
    ), waiting AS (
        SELECT e.created_at, e.retry_count, e.outcome, split_part(e.waiting_for, ':', 1) AS kind
          FROM @extschema@.stripe_events e
         WHERE NOT e.processed
    )
    SELECT jsonb_build_object(
               'unprocessed', (SELECT count(*) FROM waiting),
               'oldest_unprocessed_seconds', (SELECT extract(epoch FROM now() - min(w.created_at)) FROM waiting w),
               'parked', (SELECT coalesce(jsonb_object_agg(p.reason, p.n), '{}')
                            FROM (SELECT CASE w.kind WHEN 'customer' THEN 'customer_link'
                                                     WHEN 'user' THEN 'user_busy'
                                                     WHEN 'price' THEN 'price' WHEN 'product' THEN 'price'
                                                     WHEN 'charge' THEN 'payment'
                                                     WHEN 'payment_intent' THEN 'payment'
                                                     ELSE 'other' END AS reason,
                                         count(*) AS n
                                    FROM waiting w WHERE w.outcome = 'parked' GROUP BY 1) p),
               'failed', (SELECT count(*) FROM waiting w WHERE w.outcome = 'failed'),
               'given_up', (SELECT count(*) FROM waiting w, settings s WHERE w.retry_count >= s.retry_limit),
               'anomalies', jsonb_build_object(
                   'ambiguous_objects', (SELECT count(*) FROM @extschema@.stripe_objects o WHERE o.ambiguous),
                   'link_conflicts', (SELECT count(*) FROM @extschema@.stripe_customer_links l
                                       WHERE l.conflict_user_id IS NOT NULL),
                   'unknown_statuses', (SELECT count(*) FROM @extschema@.user_subscriptions u
                                         WHERE u.status NOT IN ('incomplete', 'incomplete_expired', 'trialing',
                                                                'active', 'past_due', 'unpaid', 'paused',
                                                                'canceled'))),
               'cache', (SELECT jsonb_build_object('hits', k.hits, 'misses', k.misses)
                           FROM @extschema@.cache_counters() k),
               'alerts', (SELECT coalesce(jsonb_object_agg(g.severity, g.firing), '{}')
                            FROM (SELECT d.severity, jsonb_object_agg(s.name, s.firing::integer) AS firing
                                    FROM @extschema@.billing_alert_states s
                                    JOIN @extschema@.billing_alert_defaults() d ON d.name = s.name
                                   GROUP BY d.severity) g),
               'alert_check_age_seconds', (SELECT extract(epoch FROM now() - max(s.checked_at))
                                             FROM @extschema@.billing_alert_states s),
               'notifications', (SELECT jsonb_build_object(
                       'pending', count(*), 'oldest_pending_seconds', extract(epoch FROM now() - min(n.created_at)),
                       'given_up', (SELECT count(*) FROM @extschema@.billing_notifications g
                                     WHERE g.finished_at > now() - interval '1 day' AND g.status = 'failed'))
                                   FROM @extschema@.billing_notifications n WHERE n.status = 'pending'),
               'mode', (SELECT s.mode FROM settings s),
               'notifications_setting', (SELECT s.notifications FROM settings s),
               'extension_version', (SELECT x.extversion FROM pg_extension x WHERE x.extname = 'pg_billing'))
$$;
COMMENT ON FUNCTION ingest_metrics() IS 'what the worker shows in /metrics and /readyz of the database''s side';
