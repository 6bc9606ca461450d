-- What a user may do, and how much of it is left. docs/entitlements.md is the model.
CREATE FUNCTION check_entitlement(user_id text, feature text, required bigint DEFAULT 1)
    RETURNS jsonb
    LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'check_entitlement';
COMMENT ON FUNCTION check_entitlement(text, text, bigint) IS
    'whether the user may use a feature, that much of it, now; and what is left. Reads only, also on a standby';

CREATE FUNCTION require_entitlement(user_id text, feature text, required bigint DEFAULT 1)
    RETURNS void
    LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'require_entitlement';
COMMENT ON FUNCTION require_entitlement(text, text, bigint) IS
    'raises SQLSTATE PT402 (HTTP 402 through PostgREST) unless check_entitlement() allows it';

CREATE FUNCTION get_user_entitlements(user_id text)
    RETURNS jsonb
    LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'get_user_entitlements';
COMMENT ON FUNCTION get_user_entitlements(text) IS 'every feature that plans, Stripe or a person name, as check_entitlement() answers it';

CREATE FUNCTION use_feature(user_id text, feature text, amount bigint DEFAULT 1, idempotency_key text DEFAULT NULL,
                            actor_id text DEFAULT NULL, options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'use_feature';
COMMENT ON FUNCTION use_feature(text, text, bigint, text, text, jsonb) IS
    'checks and counts in one step under a lock, and charges what it costs in credits; options: metadata';

CREATE FUNCTION release_feature(user_id text, feature text, amount bigint DEFAULT NULL, idempotency_key text DEFAULT NULL,
                                actor_id text DEFAULT NULL, options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'release_feature';
COMMENT ON FUNCTION release_feature(text, text, bigint, text, text, jsonb) IS
    'gives back: one, an amount, or what is left of a use; options: record_id (of the use), metadata';

CREATE FUNCTION set_user_entitlement(user_id text, feature text, setting jsonb, until timestamptz DEFAULT NULL,
                                     reason text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'set_user_entitlement';
COMMENT ON FUNCTION set_user_entitlement(text, text, jsonb, timestamptz, text) IS
    'what one user gets of a feature, whatever plans say; the setting is written as in upsert_plan(), false removes it';

CREATE FUNCTION clear_user_entitlement(user_id text, feature text, reason text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'clear_user_entitlement';
COMMENT ON FUNCTION clear_user_entitlement(text, text, text) IS 'lets plans decide again about a feature of this user';

CREATE FUNCTION verify_usage(user_id text DEFAULT NULL, OUT account text, OUT invariant text, OUT detail jsonb)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    WITH windows AS (
        SELECT * FROM @extschema@.usage_windows w
         WHERE verify_usage.user_id IS NULL OR w.user_id = verify_usage.user_id
    ), records AS (
        SELECT * FROM @extschema@.usage_records r
         WHERE verify_usage.user_id IS NULL OR r.user_id = verify_usage.user_id
    ), sums AS (
        SELECT r.user_id, r.feature, r.window_start, sum(r.amount) AS amount
          FROM records r GROUP BY 1, 2, 3
    )
    SELECT coalesce(w.user_id, s.user_id), 'a window is the sum of its records',
           jsonb_build_object('feature', coalesce(w.feature, s.feature),
                              'window_start', coalesce(w.window_start, s.window_start),
                              'used', w.used, 'records', coalesce(s.amount, 0))
      FROM windows w FULL JOIN sums s USING (user_id, feature, window_start)
     WHERE w.used IS DISTINCT FROM coalesce(s.amount, 0)
    UNION ALL
    SELECT u.user_id, 'no more is released of a use than was used',
           jsonb_build_object('record_id', u.record_id, 'amount', u.amount, 'released', b.amount)
      FROM records u
      JOIN (SELECT r.user_id, r.refers_to, -sum(r.amount) AS amount FROM records r
             WHERE r.refers_to IS NOT NULL GROUP BY 1, 2) b ON b.user_id = u.user_id AND b.refers_to = u.record_id
     WHERE b.amount > u.amount
    UNION ALL
    SELECT a.user_id, 'windows of one kind of calendar do not overlap',
           jsonb_build_object('feature', a.feature, 'kind', a.kind, 'window_start', a.window_start,
                              'other_start', b.window_start)
      FROM windows a
      JOIN windows b ON b.user_id = a.user_id AND b.feature = a.feature AND b.kind = a.kind
                    AND b.window_start > a.window_start AND b.window_start < a.window_end
     WHERE a.kind <> 'period'
$$;
COMMENT ON FUNCTION verify_usage(text) IS 'every invariant of usage that does not hold, as a row; empty when windows and records agree';
