-- pg_cron keeps house: https://github.com/citusdata/pg_cron
CREATE FUNCTION maintenance_jobs(OUT jobname text, OUT schedule text, OUT command text)
    RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    VALUES ('subscription_cache_cleanup', '*/10 * * * *', 'SELECT @extschema@.clear_expired_subscription_cache()'),
           ('billing_retention', '41 * * * *', 'SELECT count(*) FROM @extschema@.apply_retention()'),
           ('credit_expiry', '7 * * * *', 'SELECT @extschema@.expire_credits(10000)'),
           ('billing_notify_due', '* * * * *', 'SELECT @extschema@.notify_due(10000)'),
           ('stripe_event_retry', '* * * * *', 'SELECT count(*) FROM @extschema@.retry_stripe_events(500)'),
           ('billing_alert_check', '* * * * *', 'SELECT count(*) FROM @extschema@.check_billing_alerts()')
$$;
COMMENT ON FUNCTION maintenance_jobs() IS 'the pg_cron jobs that schedule_maintenance() makes';

CREATE FUNCTION schedule_maintenance(OUT jobname text, OUT schedule text, OUT command text)
    RETURNS SETOF record
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    job record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension x WHERE x.extname = 'pg_cron') THEN
        RAISE EXCEPTION 'pg_cron is not installed in database "%"', current_database()
            USING ERRCODE = 'undefined_object',
                  DETAIL = 'pg_cron lives in one database of a server, and runs jobs in any of them.',
                  HINT = format(E'Put these lines into postgresql.conf, restart, and run CREATE EXTENSION pg_cron:\n'
                                'shared_preload_libraries = ''pg_cron,pg_billing''\n'
                                'cron.database_name = ''%s''\n'
                                'When pg_cron serves another database, run there what '
                                'SELECT * FROM %s.maintenance_jobs() lists, with '
                                'cron.schedule_in_database(jobname, schedule, command, ''%s'').',
                                current_database(), '@extschema@', current_database());
    END IF;
    FOR job IN SELECT m.* FROM @extschema@.maintenance_jobs() m LOOP
        EXECUTE format('SELECT cron.schedule_in_database(%L, %L, %L, %L)',
                       job.jobname, job.schedule, job.command, current_database());
        jobname := job.jobname;
        schedule := job.schedule;
        command := job.command;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION schedule_maintenance() IS 'creates or updates the pg_cron jobs that keep house';

CREATE FUNCTION unschedule_maintenance()
    RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    job   record;
    count integer := 0;
BEGIN
    IF to_regclass('cron.job') IS NULL THEN
        RETURN 0;
    END IF;
    FOR job IN EXECUTE 'SELECT j.jobid FROM cron.job j WHERE j.database = current_database()
                           AND j.jobname IN (SELECT m.jobname FROM @extschema@.maintenance_jobs() m)' LOOP
        EXECUTE format('SELECT cron.unschedule(%s::bigint)', job.jobid);
        count := count + 1;
    END LOOP;
    RETURN count;
END
$$;
COMMENT ON FUNCTION unschedule_maintenance() IS 'removes the pg_cron jobs of schedule_maintenance(); returns how many; run it before DROP EXTENSION';
