-- The derived state of each user, ready to read. Written in the transaction that changes the subscription.
-- Only the primary key is indexed and pages keep room, so that an update stays on its page (HOT).
CREATE TABLE subscription_cache (
    user_id     text COLLATE "C" PRIMARY KEY,
    status      text COLLATE "C" NOT NULL,
    has_access  boolean NOT NULL,
    state       jsonb NOT NULL,
    valid_from  timestamptz NOT NULL,
    valid_until timestamptz NOT NULL,
    generation  bigint NOT NULL,
    cached_at   timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    frozen_time timestamptz,
    plans       text COLLATE "C"
) WITH (fillfactor = 60);
COMMENT ON TABLE subscription_cache IS 'derived state per user; a row that is missing or out of date is recomputed when read';
COMMENT ON COLUMN subscription_cache.status IS 'the derived state';
COMMENT ON COLUMN subscription_cache.valid_until IS 'the next instant at which time alone changes the state';
COMMENT ON COLUMN subscription_cache.frozen_time IS 'the user''s own time, where a test clock decides it';
COMMENT ON COLUMN subscription_cache.plans IS 'what the user has of plans, for check_entitlement(); null = to be read from the tables';
COMMENT ON COLUMN subscription_cache.generation IS 'the settings that it was computed with';

CREATE TABLE subscription_cache_cleanups (
    cleaned_at   timestamptz PRIMARY KEY,
    rows_removed bigint NOT NULL,
    duration     interval NOT NULL
);
COMMENT ON TABLE subscription_cache_cleanups IS 'history of clear_expired_subscription_cache(), kept for 90 days';

CREATE FUNCTION update_subscription_cache(user_id text)
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'update_subscription_cache';
COMMENT ON FUNCTION update_subscription_cache(text) IS 'computes and stores a user''s state, and returns it';

CREATE FUNCTION refresh_subscription_cache(max_rows integer DEFAULT 500)
    RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'refresh_subscription_cache';
COMMENT ON FUNCTION refresh_subscription_cache(integer) IS
    'stores the state of users whose last read had to recompute it (needs shared_preload_libraries)';

CREATE FUNCTION cache_counters(OUT hits bigint, OUT misses bigint)
    RETURNS record
    LANGUAGE c VOLATILE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'cache_counters';
COMMENT ON FUNCTION cache_counters() IS 'cache hits and misses of all backends since the server started; null unless preloaded';

CREATE FUNCTION clear_user_subscription_cache(user_id text)
    RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM @extschema@.check_user_id(user_id);
    -- The anchor first, as whoever writes a user's rows: then nobody waits for this transaction.
    PERFORM FROM @extschema@.billing_users u
      WHERE u.user_id = clear_user_subscription_cache.user_id FOR NO KEY UPDATE;
    DELETE FROM @extschema@.subscription_cache c WHERE c.user_id = clear_user_subscription_cache.user_id;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION clear_user_subscription_cache(text) IS 'forgets a user''s cached state; true when there was one';

CREATE FUNCTION clear_all_subscription_cache()
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    removed bigint;
BEGIN
    -- Whoever holds an anchor is about to rewrite that user's row anyway.
    DELETE FROM @extschema@.subscription_cache c
     WHERE c.user_id IN (SELECT u.user_id FROM @extschema@.billing_users u FOR NO KEY UPDATE SKIP LOCKED);
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION clear_all_subscription_cache() IS 'forgets every cached state; returns how many';

CREATE FUNCTION clear_expired_subscription_cache()
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    began   timestamptz := clock_timestamp();
    removed bigint;
BEGIN
    -- Rows that somebody is rewriting are not expired for long: skip them.
    DELETE FROM @extschema@.subscription_cache c
     WHERE c.user_id IN (SELECT u.user_id
                           FROM @extschema@.billing_users u
                           JOIN @extschema@.subscription_cache e ON e.user_id = u.user_id
                          WHERE e.expires_at < now() OR e.valid_until < now()
                            FOR NO KEY UPDATE OF u SKIP LOCKED)
       AND (c.expires_at < now() OR c.valid_until < now());
    GET DIAGNOSTICS removed = ROW_COUNT;
    DELETE FROM @extschema@.subscription_cache_cleanups h WHERE h.cleaned_at < now() - @extschema@.retention_limit('log');
    INSERT INTO @extschema@.subscription_cache_cleanups AS h (cleaned_at, rows_removed, duration)
    VALUES (now(), removed, clock_timestamp() - began)
    ON CONFLICT (cleaned_at) DO UPDATE SET rows_removed = h.rows_removed + excluded.rows_removed;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION clear_expired_subscription_cache() IS 'removes cached states that are out of date; returns how many';

CREATE FUNCTION get_cache_cleanup_history(max_rows integer DEFAULT 10)
    RETURNS TABLE (cleaned_at timestamptz, rows_removed bigint, duration interval)
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF max_rows IS NULL OR max_rows < 1 THEN
        RAISE EXCEPTION 'max_rows must be at least 1, not %', coalesce(max_rows::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out for the last 10 clean-ups.';
    END IF;
    RETURN QUERY
        SELECT h.cleaned_at, h.rows_removed, h.duration
          FROM @extschema@.subscription_cache_cleanups h
         ORDER BY h.cleaned_at DESC
         LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION get_cache_cleanup_history(integer) IS 'the latest runs of clear_expired_subscription_cache(), newest first';

CREATE FUNCTION get_subscription_cache_status()
    RETURNS jsonb
    LANGUAGE sql VOLATILE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT jsonb_build_object(
               'total', c.total,
               'valid', c.valid,
               'expired', c.total - c.valid,
               'average_age_seconds', c.average_age,
               'ttl_seconds', (SELECT extract(epoch FROM s.value::interval)
                                 FROM @extschema@.get_billing_settings() s WHERE s.name = 'cache_ttl'),
               'hits', k.hits,
               'misses', k.misses,
               'hit_rate', round(k.hits / nullif(k.hits + k.misses, 0)::numeric, 4),
               'last_cleanup', (SELECT max(h.cleaned_at) FROM @extschema@.subscription_cache_cleanups h),
               'checked_at', now())
      FROM (SELECT count(*) AS total,
                   count(*) FILTER (WHERE expires_at >= now() AND valid_until > now()) AS valid,
                   round(avg(extract(epoch FROM now() - cached_at)), 1) AS average_age
              FROM @extschema@.subscription_cache) c,
           @extschema@.cache_counters() k
$$;
COMMENT ON FUNCTION get_subscription_cache_status() IS
    'how many states are cached and valid, and the hit rate since the server started (null unless preloaded)';
