-- What `pg_billing doctor` has to know of the database. docs/operations.md
CREATE FUNCTION setup_facts()
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    facts jsonb;
    jobs  jsonb;
    grace interval;
BEGIN
    SELECT s.value::interval INTO grace FROM @extschema@.get_billing_settings() s WHERE s.name = 'past_due_grace';
    SELECT jsonb_build_object(
               'now', extract(epoch FROM clock_timestamp()),
               'version', (SELECT x.extversion FROM pg_extension x WHERE x.extname = 'pg_billing'),
               'schema', '@extschema@',
               'mode', (SELECT s.value FROM @extschema@.get_billing_settings() s WHERE s.name = 'mode'),
               'grace', grace::text,
               'plans', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                                    'id', p.id, 'active', p.is_active, 'default', p.is_default,
                                    'credits', p.credits <> '{}',
                                    'prices', (SELECT coalesce(jsonb_agg(jsonb_build_object('kind', r.kind, 'reference', r.reference)
                                                                         ORDER BY r.kind, r.reference), '[]')
                                                 FROM @extschema@.plan_prices r WHERE r.plan_id = p.id)) ORDER BY p.id), '[]')
                           FROM @extschema@.subscription_plans p),
               'parked', (SELECT coalesce(jsonb_agg(jsonb_build_object('waiting_for', w.reason, 'events', w.events,
                                                                       'oldest_seconds', w.oldest) ORDER BY w.reason), '[]')
                            FROM (SELECT split_part(e.waiting_for, ':', 1) AS reason, count(*) AS events,
                                         extract(epoch FROM now() - min(e.created_at))::bigint AS oldest
                                    FROM @extschema@.stripe_events e
                                   WHERE NOT e.processed AND e.waiting_for IS NOT NULL GROUP BY 1) w),
               -- Invoices that Stripe will try to collect when whoever owes them has lost access.
               'late_retries', (SELECT count(*) FROM @extschema@.stripe_invoices i
                                 WHERE i.status = 'open' AND i.attempt_count > 0 AND i.next_payment_attempt > i.created + grace))
      INTO facts;
    IF to_regclass('cron.job') IS NOT NULL THEN
        EXECUTE 'SELECT coalesce(jsonb_agg(m.jobname ORDER BY m.jobname), ''[]'') FROM @extschema@.maintenance_jobs() m
                  WHERE NOT EXISTS (SELECT FROM cron.job j WHERE j.jobname = m.jobname AND j.active
                                       AND j.database = current_database())' INTO jobs;
        facts := facts || jsonb_build_object('missing_jobs', jobs);
    END IF;
    RETURN facts;
END
$$;
COMMENT ON FUNCTION setup_facts() IS 'what `pg_billing doctor` checks of this database: versions, mode, plans, parked events, maintenance jobs';
