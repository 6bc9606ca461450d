-- People change their names, and turn out to be the same: what is kept of users moves with them. docs/people.md
-- Old names stay known, so that whatever Stripe goes on telling of them reaches whom they are now.
CREATE TABLE user_aliases (
    user_id     text COLLATE "C" PRIMARY KEY CHECK (octet_length(user_id) BETWEEN 1 AND 255),
    now_user_id text COLLATE "C" NOT NULL CHECK (octet_length(now_user_id) BETWEEN 1 AND 255),
    kind        text NOT NULL CHECK (kind IN ('renamed', 'merged')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_aliases_not_itself_check CHECK (user_id <> now_user_id)
);
CREATE INDEX user_aliases_now_idx ON user_aliases (now_user_id);
COMMENT ON TABLE user_aliases IS 'ids that users had before rename_user() or merge_users(): events that name them are about now_user_id';

CREATE FUNCTION check_people_call(users text[], reason text)
    RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY users LOOP
        PERFORM @extschema@.check_user_id(one);
    END LOOP;
    IF users[1] = users[2] THEN
        RAISE EXCEPTION 'both users are "%"', users[1]
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass two different ids.';
    END IF;
    IF coalesce(reason, '') = '' OR octet_length(reason) > 1000 THEN
        RAISE EXCEPTION 'reason must have 1 to 1000 bytes, not %', coalesce(octet_length(reason), 0)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Say why: the reason is kept in audit_logs.';
    END IF;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'people cannot be changed at isolation level %', upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'active_sql_transaction',
                  HINT = 'Use READ COMMITTED: what events have just written must be seen.';
    END IF;
END
$$;
COMMENT ON FUNCTION check_people_call(text[], text) IS 'raises unless these are users, different ones, and the reason says why';

-- Everything of these users is held from here on, in the order in which everybody locks.
CREATE FUNCTION lock_people(users text[])
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM FROM @extschema@.stripe_customer_links l
      WHERE l.user_id = ANY (users) ORDER BY l.stripe_customer_id FOR NO KEY UPDATE;
    PERFORM FROM @extschema@.billing_users u WHERE u.user_id = ANY (users) ORDER BY u.user_id FOR UPDATE;
    PERFORM FROM @extschema@.usage_windows w
      WHERE w.user_id = ANY (users) ORDER BY w.user_id, w.feature, w.window_start FOR UPDATE;
    PERFORM FROM @extschema@.credit_accounts a WHERE a.user_id = ANY (users) ORDER BY a.user_id FOR UPDATE;
END
$$;
COMMENT ON FUNCTION lock_people(text[]) IS 'locks links, anchors, windows of usage and accounts of these users';

CREATE FUNCTION user_tables()
    RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT ARRAY['stripe_customer_links', 'user_subscriptions', 'awaited_subscriptions', 'access_grants', 'trial_usage',
                 'user_entitlements', 'usage_windows', 'usage_records', 'payments', 'enrollments', 'credit_accounts',
                 'credit_grants', 'credit_transactions', 'credit_burns', 'credit_holds', 'credit_requests',
                 'billing_notifications', 'audit_logs', 'stripe_requests',
                 'stripe_meter_positions']
$$;
COMMENT ON FUNCTION user_tables() IS 'the tables whose rows go with a user, besides the anchor and the cache';

-- Whoever calls has seen to it that no key is taken: both users are locked, and the new one has its anchor.
CREATE FUNCTION hand_over_user(user_id text, now_user_id text, kind text, reason text, details jsonb)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    old    text := hand_over_user.user_id;
    new    text := hand_over_user.now_user_id;
    moving text;
    moved  bigint;
    counts jsonb := '{}';
BEGIN
    FOREACH moving IN ARRAY @extschema@.user_tables() LOOP
        EXECUTE format('UPDATE @extschema@.%I SET user_id = $2 WHERE user_id = $1', moving) USING old, new;
        GET DIAGNOSTICS moved = ROW_COUNT;
        IF moved > 0 THEN
            counts := counts || jsonb_build_object(moving, moved);
        END IF;
    END LOOP;
    UPDATE @extschema@.stripe_customer_links l SET conflict_user_id = NULL, conflict_source = NULL, conflict_event_id = NULL
     WHERE l.user_id = new AND l.conflict_user_id IN (old, new);
    UPDATE @extschema@.stripe_customer_links l SET conflict_user_id = new WHERE l.conflict_user_id = old;
    DELETE FROM @extschema@.user_aliases a WHERE a.user_id = new;
    UPDATE @extschema@.user_aliases a SET now_user_id = new WHERE a.now_user_id = old;
    INSERT INTO @extschema@.user_aliases (user_id, now_user_id, kind) VALUES (old, new, hand_over_user.kind);
    PERFORM @extschema@.audit_by_hand(new, 'user_' || hand_over_user.kind, old, hand_over_user.reason,
                                      jsonb_build_object('moved', counts) || hand_over_user.details);
    -- What waited for one of the two is due.
    UPDATE @extschema@.stripe_events e SET next_retry_at = now(), retry_count = 0
     WHERE NOT e.processed AND e.waiting_for IN ('user:' || old, 'credits:' || old, 'user:' || new, 'credits:' || new);
    -- A checkout that is open is still the one that is open.
    UPDATE @extschema@.api_checkouts c SET user_id = new
     WHERE c.user_id = old AND NOT EXISTS (SELECT FROM @extschema@.api_checkouts n WHERE n.user_id = new);
    DELETE FROM @extschema@.api_checkouts c WHERE c.user_id = old;
    DELETE FROM @extschema@.billing_users u WHERE u.user_id = old;
    DELETE FROM @extschema@.subscription_cache c WHERE c.user_id = old;
    PERFORM @extschema@.update_subscription_cache(new);
    RETURN counts;
END
$$;
COMMENT ON FUNCTION hand_over_user(text, text, text, text, jsonb) IS
    'the last step of rename_user() and merge_users(): what is left of the old id is the new one''s, and what the old id is from now on; returns how many rows of which table';

-- What one user has of which the other has the like; `resolved` says which need no decision any more.
CREATE FUNCTION merge_conflicts(from_user_id text, into_user_id text, options jsonb)
    RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
    WITH found AS (
        SELECT 'access_grants' AS kind, f.plan_id AS subject,
               jsonb_build_object('from_until', f.until, 'into_until', i.until) AS details,
               'options: {"access_grants": "from" | "into"}' AS next_step
          FROM @extschema@.access_grants f JOIN @extschema@.access_grants i USING (plan_id)
         WHERE f.user_id = from_user_id AND i.user_id = into_user_id AND NOT options ? 'access_grants'
        UNION ALL
        SELECT 'entitlements', f.feature, jsonb_build_object('from_setting', f.setting, 'into_setting', i.setting),
               'options: {"entitlements": "from" | "into"}'
          FROM @extschema@.user_entitlements f JOIN @extschema@.user_entitlements i USING (feature)
         WHERE f.user_id = from_user_id AND i.user_id = into_user_id AND NOT options ? 'entitlements'
        UNION ALL
        SELECT 'usage', f.feature,
               jsonb_build_object('kind', f.kind, 'from_start', f.window_start, 'into_start', i.window_start),
               'options: {"usage": "into"}, which drops what "from" used in that window'
          FROM @extschema@.usage_windows f
          JOIN @extschema@.usage_windows i ON i.feature = f.feature AND i.kind = f.kind
               AND i.window_start < coalesce(f.window_end, 'infinity') AND f.window_start < coalesce(i.window_end, 'infinity')
         WHERE f.user_id = from_user_id AND i.user_id = into_user_id AND f.kind <> 'period'
           AND f.window_start <> i.window_start AND NOT options ? 'usage'
        UNION ALL
        SELECT 'subscriptions', f.stripe_subscription_id,
               jsonb_build_object('status', f.status, 'into_subscription', i.stripe_subscription_id, 'into_status', i.status),
               'cancel one of them at Stripe, or options: {"subscriptions": "both"}'
          FROM @extschema@.user_subscriptions f
          JOIN @extschema@.user_subscriptions i ON i.livemode = f.livemode AND i.status IN ('trialing', 'active', 'past_due')
         WHERE f.user_id = from_user_id AND i.user_id = into_user_id AND f.status IN ('trialing', 'active', 'past_due')
           AND NOT options ? 'subscriptions'
        UNION ALL
        SELECT 'idempotency_key', f.idempotency_key,
               jsonb_build_object('from_operation', f.operation, 'into_operation', i.operation),
               'options: {"idempotency_keys": "into"}: the answer to "into" stays the one that is repeated'
          FROM @extschema@.credit_requests f JOIN @extschema@.credit_requests i USING (idempotency_key)
         WHERE f.user_id = from_user_id AND i.user_id = into_user_id AND NOT options ? 'idempotency_keys'
        UNION ALL
        SELECT 'credit_debt', d.user_id, jsonb_build_object('debt', d.debt, 'free_credits_of_the_other', o.balance - o.held),
               'options: {"credit_debt": "forgive"}, or grant credits until nothing is owed'
          FROM @extschema@.credit_accounts d
          JOIN @extschema@.credit_accounts o ON o.user_id <> d.user_id AND o.user_id IN (from_user_id, into_user_id)
         WHERE d.user_id IN (from_user_id, into_user_id) AND d.debt > 0 AND o.balance > o.held
           AND NOT options ? 'credit_debt'
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object('kind', f.kind, 'subject', f.subject, 'details', f.details,
                                                 'next_step', f.next_step) ORDER BY f.kind, f.subject), '[]')
      FROM found f
$$;
COMMENT ON FUNCTION merge_conflicts(text, text, jsonb) IS 'what merge_users() would not decide by itself';

CREATE FUNCTION rename_user(user_id text, new_user_id text, reason text)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    old    text := rename_user.user_id;
    new    text := rename_user.new_user_id;
    counts jsonb;
    reply  jsonb := jsonb_build_object('user_id', old, 'new_user_id', new);
BEGIN
    PERFORM @extschema@.check_people_call(ARRAY[old, new], rename_user.reason);
    PERFORM @extschema@.lock_people(ARRAY[old, new]);
    IF EXISTS (SELECT FROM @extschema@.user_aliases a WHERE a.user_id = old AND a.now_user_id = new)
       AND NOT EXISTS (SELECT FROM @extschema@.billing_users u WHERE u.user_id = old) THEN
        RETURN reply || '{"success": true, "status": "exists"}';
    END IF;
    IF EXISTS (SELECT FROM @extschema@.billing_users u WHERE u.user_id = new)
       OR EXISTS (SELECT FROM @extschema@.user_aliases a WHERE a.user_id = new AND a.now_user_id <> old) THEN
        RETURN reply || '{"success": false, "status": "exists", "reason": "user_exists", "next_step": "merge_users"}';
    END IF;
    IF NOT EXISTS (SELECT FROM @extschema@.billing_users u WHERE u.user_id = old) THEN
        RETURN reply || '{"success": false, "status": "unknown_user", "reason": "unknown_user", "next_step": "none"}';
    END IF;
    INSERT INTO @extschema@.billing_users (user_id, email, customer_requested_at, access_told, access_due_at, created_at,
                                           erased_at)
    SELECT new, u.email, u.customer_requested_at, u.access_told, u.access_due_at, u.created_at, u.erased_at
      FROM @extschema@.billing_users u WHERE u.user_id = old;
    counts := @extschema@.hand_over_user(old, new, 'renamed', rename_user.reason, '{}');
    RETURN reply || jsonb_build_object('success', true, 'status', 'renamed', 'moved', counts);
END
$$;
COMMENT ON FUNCTION rename_user(text, text, text) IS
    'gives a user another id; what Stripe tells of the old one reaches the new one';
