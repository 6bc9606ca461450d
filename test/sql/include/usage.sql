-- Short ways to look at entitlements and usage. Read after payloads.sql.

-- An answer without its times and names, and without what it does not say.
CREATE FUNCTION t.told(answer jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
SELECT jsonb_object_agg(key, value) FROM jsonb_each(answer)
 WHERE key NOT IN ('user_id', 'feature', 'window_start', 'next_reset_at', 'sources', 'kind', 'record_id') AND value <> 'null'
   AND (key, value) NOT IN (('unlimited', 'false'), ('overage', '0'), ('amount_over_limit', '0'))
$$;

-- What was done, and how much is used then.
CREATE FUNCTION t.short(answer jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
SELECT concat_ws(' ', coalesce(answer ->> 'status', CASE answer ->> 'allowed' WHEN 'true' THEN 'allowed' ELSE 'refused' END),
                 answer ->> 'reason', coalesce(answer ->> 'used', '-') || '/' || coalesce(answer ->> 'limit', '-'),
                 answer ->> 'next_step')
$$;

CREATE FUNCTION t.used(of_user text)
    RETURNS TABLE (feature text, kind text, used bigint, records text) LANGUAGE sql AS $$
SELECT w.feature, w.kind, w.used,
       (SELECT string_agg(r.amount::text, ', ' ORDER BY r.record_id) FROM usage_records r
         WHERE r.user_id = w.user_id AND r.feature = w.feature AND r.window_start = w.window_start)
  FROM usage_windows w WHERE w.user_id = of_user ORDER BY w.feature, w.window_start
$$;
