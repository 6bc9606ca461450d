\set ECHO none
\getenv source PG_ABS_SRCDIR
\set source :source '/sql/include/payloads.sql'
\i :source
\set ECHO all
-- Without pg_cron in this database schedule_maintenance() says what to put where.
SELECT * FROM maintenance_jobs();
SELECT r.code, replace(r.message, current_database(), 'DATABASE') AS message, r.detail, replace(r.hint, current_database(), 'DATABASE') AS hint
  FROM t.refusal('SELECT * FROM schedule_maintenance()') r;
SELECT unschedule_maintenance();
-- The jobs' commands run, each as it stands.
CREATE PROCEDURE t.run_jobs() LANGUAGE plpgsql AS $$
DECLARE
    job record;
BEGIN
    FOR job IN SELECT * FROM maintenance_jobs() LOOP
        EXECUTE job.command;
    END LOOP;
END
$$;
CALL t.run_jobs();
SELECT count(*) FROM get_cache_cleanup_history();
