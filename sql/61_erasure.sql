-- Somebody wants to be forgotten: who it was goes, what it amounted to stays. docs/people.md

-- Without constraints, whose violation would put the key into the server's log. Only its owner may read it.
CREATE TABLE billing_erasure_key (
    secret text
);
COMMENT ON TABLE billing_erasure_key IS 'what the hashes in erased_trials are keyed with; made by the first erase_user()';

CREATE TABLE erased_trials (
    hash      text COLLATE "C" PRIMARY KEY,
    kind      text COLLATE "C" NOT NULL CHECK (kind IN ('user_id', 'email', 'card')),
    erased_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE erased_trials IS 'keyed hashes of what erased users who had a trial or a subscription may come back with';

CREATE FUNCTION redact_personal_data(payload text, user_id text DEFAULT NULL, names text[] DEFAULT NULL)
    RETURNS text
    LANGUAGE c STABLE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'redact_personal_data';
COMMENT ON FUNCTION redact_personal_data(text, text, text[]) IS
    'JSON as text, with what tells who somebody is set to null; with user_id, members that name a user name this one, or, unless they are among names, nobody';

CREATE FUNCTION redact_metadata(metadata jsonb)
    RETURNS jsonb
    LANGUAGE c IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'redact_metadata';
COMMENT ON FUNCTION redact_metadata(jsonb) IS 'the same for metadata in a ledger: what applications wrote there is set to null';

CREATE FUNCTION hmac_sha256(key text, message text)
    RETURNS text
    LANGUAGE c IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'hmac_sha256';
COMMENT ON FUNCTION hmac_sha256(text, text) IS 'in hex';

CREATE FUNCTION rebuild_customers(customers text[], objects text[])
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'rebuild_customers';
COMMENT ON FUNCTION rebuild_customers(text[], text[]) IS
    'as rebuild_billing_state(true), of these customers and these objects without customer alone';

-- Everything in the mirror that is about these customers, or these users who are none: also what names no customer
-- itself, but is told of by what does.
CREATE FUNCTION objects_of(customers text[], users text[])
    RETURNS SETOF stripe_objects
    LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
    WITH own AS MATERIALIZED (
        SELECT o.* FROM @extschema@.stripe_objects o WHERE o.stripe_customer_id = ANY (customers)
        UNION ALL
        SELECT o.* FROM @extschema@.stripe_objects o
         WHERE o.stripe_customer_id IS NULL AND o.named_user = ANY (users)
    ), mentioned AS (
        SELECT DISTINCT w.stripe_account, w.livemode, m[1] AS id
          FROM own w CROSS JOIN LATERAL regexp_matches(w.object::text, '"((?:pm|card|src|ba|mandate|prv|issfr)_[^"]+)"', 'g') m
    )
    SELECT w.* FROM own w
    UNION ALL
    SELECT b.* FROM (SELECT DISTINCT w.stripe_account, w.livemode, w.object_id FROM own w) w
      JOIN @extschema@.stripe_objects b ON b.parent_id = w.object_id AND b.stripe_account = w.stripe_account
           AND b.livemode = w.livemode AND b.stripe_customer_id IS NULL
    UNION ALL
    SELECT o.* FROM mentioned m
      JOIN @extschema@.stripe_objects o ON o.stripe_account = m.stripe_account AND o.livemode = m.livemode
           AND o.object_id = m.id AND o.stripe_customer_id IS NULL
           AND o.object_type IN ('payment_method', 'card', 'source', 'bank_account', 'mandate', 'review',
                                 'radar.early_fraud_warning')
$$;
COMMENT ON FUNCTION objects_of(text[], text[]) IS 'the mirror''s rows that are about these customers or users';

-- What a person can be recognised by: the ids, the addresses and the cards.
CREATE FUNCTION recognised_by(user_id text, OUT kind text, OUT value text)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
    WITH objects AS MATERIALIZED (
        SELECT o.object_type, o.object
          FROM @extschema@.stripe_customer_links l
          JOIN @extschema@.stripe_objects o ON o.stripe_customer_id = l.stripe_customer_id
         WHERE l.user_id = recognised_by.user_id
           AND o.object_type IN ('customer', 'invoice', 'checkout.session', 'charge', 'payment_method', 'card', 'source',
                                 'bank_account')
    ), told AS (
        SELECT 'user_id' AS kind, recognised_by.user_id AS value
        UNION SELECT 'user_id', a.user_id FROM @extschema@.user_aliases a WHERE a.now_user_id = recognised_by.user_id
        UNION SELECT 'email', u.email FROM @extschema@.billing_users u WHERE u.user_id = recognised_by.user_id
        UNION SELECT 'email', p.customer_email FROM @extschema@.payments p WHERE p.user_id = recognised_by.user_id
        UNION SELECT 'email', v.value #>> '{}'
                FROM objects o
                CROSS JOIN (VALUES ('$.**.email'::jsonpath), ('$.**.customer_email'), ('$.**.receipt_email')) k(path)
                CROSS JOIN LATERAL jsonb_path_query(o.object, k.path) v(value)
               WHERE jsonb_typeof(v.value) = 'string'
        UNION SELECT 'card', v.value #>> '{}'
                FROM objects o CROSS JOIN LATERAL jsonb_path_query(o.object, '$.**.fingerprint') v(value)
               WHERE o.object_type IN ('charge', 'payment_method', 'card', 'source', 'bank_account')
                 AND jsonb_typeof(v.value) = 'string'
    )
    SELECT DISTINCT t.kind, CASE t.kind WHEN 'email' THEN lower(btrim(t.value)) ELSE t.value END
      FROM told t WHERE coalesce(t.value, '') <> ''
$$;
COMMENT ON FUNCTION recognised_by(text) IS 'what a person comes back with: user ids, addresses, fingerprints of cards';

CREATE FUNCTION tried_before_erasure(user_id text)
    RETURNS boolean
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT EXISTS (SELECT FROM @extschema@.erased_trials)
       AND EXISTS (SELECT FROM @extschema@.billing_erasure_key k
                    CROSS JOIN @extschema@.recognised_by(tried_before_erasure.user_id) r
                     JOIN @extschema@.erased_trials e
                       ON e.hash = @extschema@.hmac_sha256(k.secret, r.kind || ':' || r.value))
$$;
COMMENT ON FUNCTION tried_before_erasure(text) IS
    'whether somebody who was erased after a trial or a subscription comes back with the same id, address or card';

-- Keyed, so that nobody who has not the key learns whose they are by trying.
CREATE FUNCTION remember_trial(user_id text)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    hashes bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM @extschema@.billing_erasure_key) THEN
        LOCK TABLE @extschema@.billing_erasure_key IN SHARE ROW EXCLUSIVE MODE;
        INSERT INTO @extschema@.billing_erasure_key
        SELECT gen_random_uuid()::text || gen_random_uuid()::text
         WHERE NOT EXISTS (SELECT FROM @extschema@.billing_erasure_key);
    END IF;
    INSERT INTO @extschema@.erased_trials (hash, kind)
    SELECT @extschema@.hmac_sha256(k.secret, r.kind || ':' || r.value), r.kind
      FROM @extschema@.recognised_by(remember_trial.user_id) r CROSS JOIN @extschema@.billing_erasure_key k
        ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS hashes = ROW_COUNT;
    RETURN hashes;
END
$$;
COMMENT ON FUNCTION remember_trial(text) IS 'a step of erase_user(): keeps keyed hashes of what the user can be recognised by';

CREATE FUNCTION tells_any(line text, told text[])
    RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT EXISTS (SELECT FROM unnest(told) t(word) WHERE strpos(lower(coalesce(line, '')), t.word) > 0)
$$;
COMMENT ON FUNCTION tells_any(text, text[]) IS 'whether a line has one of these words, in lower case, in it';

-- What was written by applications and people, not by events, which a rebuild follows.
CREATE FUNCTION redact_ledgers(user_id text, names text[], told text[])
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    me text := redact_ledgers.user_id;
BEGIN
    UPDATE @extschema@.credit_grants g SET description = NULL, metadata = @extschema@.redact_metadata(g.metadata)
     WHERE g.user_id = me AND (g.description IS NOT NULL OR g.metadata <> '{}');
    UPDATE @extschema@.credit_transactions t SET description = NULL, metadata = @extschema@.redact_metadata(t.metadata),
           actor_id = CASE WHEN t.actor_id = ANY (names) THEN me ELSE t.actor_id END
     WHERE t.user_id = me AND (t.description IS NOT NULL OR t.metadata <> '{}' OR t.actor_id = ANY (names));
    UPDATE @extschema@.credit_holds h SET description = NULL, metadata = @extschema@.redact_metadata(h.metadata),
           actor_id = CASE WHEN h.actor_id = ANY (names) THEN me ELSE h.actor_id END
     WHERE h.user_id = me AND (h.description IS NOT NULL OR h.metadata <> '{}' OR h.actor_id = ANY (names));
    UPDATE @extschema@.usage_records r SET metadata = @extschema@.redact_metadata(r.metadata),
           actor_id = CASE WHEN r.actor_id = ANY (names) THEN me ELSE r.actor_id END
     WHERE r.user_id = me AND (r.metadata <> '{}' OR r.actor_id = ANY (names));
    UPDATE @extschema@.access_grants g SET reason = NULL WHERE g.user_id = me AND g.reason IS NOT NULL;
    UPDATE @extschema@.user_entitlements e SET reason = NULL WHERE e.user_id = me AND e.reason IS NOT NULL;
    UPDATE @extschema@.billing_notifications n
       SET payload = @extschema@.redact_personal_data(n.payload::text)::jsonb
                     || CASE WHEN n.payload ? 'user_id' THEN jsonb_build_object('user_id', me) ELSE '{}' END
     WHERE n.user_id = me;
    -- What Stripe has not heard of yet it shall not hear any more.
    UPDATE @extschema@.stripe_requests r
       SET status = CASE WHEN r.finished_at IS NULL AND coalesce(r.sent_at, r.in_doubt_since) IS NULL THEN 'canceled'
                         ELSE r.status END,
           finished_at = CASE WHEN coalesce(r.sent_at, r.in_doubt_since) IS NULL THEN coalesce(r.finished_at, now())
                              ELSE r.finished_at END,
           parameters = @extschema@.redact_personal_data(r.parameters::text, me, names)::jsonb,
           response = @extschema@.redact_personal_data(r.response::text, me, names)::jsonb,
           subject = CASE WHEN @extschema@.tells_any(r.subject, told) THEN r.request_id ELSE r.subject END,
           details = r.details - 'call', error = r.error - 'message'
     WHERE r.user_id = me;
    -- Why somebody did something stays, unless it tells who it was done for.
    UPDATE @extschema@.audit_logs a
       SET subject = CASE WHEN a.subject = ANY (names) THEN me ELSE a.subject END,
           fact = CASE WHEN EXISTS (SELECT FROM unnest(names) n WHERE n <> me AND right(a.fact, length(n) + 1) = ':' || n)
                       THEN a.action || ':' || gen_random_uuid() ELSE a.fact END,
           reason = CASE WHEN NOT @extschema@.tells_any(a.reason, told) THEN a.reason END,
           details = (SELECT coalesce(jsonb_object_agg(d.key, CASE WHEN NOT @extschema@.tells_any(d.value::text, told)
                                                                   THEN d.value END), '{}')
                        FROM jsonb_each(a.details) d)
     WHERE a.user_id = me AND a.actor <> 'stripe'
       AND @extschema@.tells_any(concat_ws(' ', a.subject, a.fact, a.reason, a.details), told);
END
$$;
COMMENT ON FUNCTION redact_ledgers(text, text[], text[]) IS 'a step of erase_user(): what applications and people wrote of the user';

CREATE FUNCTION erase_user(user_id text, reason text)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    me        text := erase_user.user_id;
    customers text[];
    running   text[];
    names     text[];
    told      text[];
    ids       text[];
    loose     text[];
    payloads  bigint;
    objects   bigint;
    hashes    bigint := 0;
    reply     jsonb := jsonb_build_object('user_id', me);
BEGIN
    PERFORM @extschema@.check_people_call(ARRAY[me], erase_user.reason);
    -- Stronger than whoever applies an event: what has been looked at and is not stored yet comes first, the rest waits.
    PERFORM FROM @extschema@.stripe_customer_links l WHERE l.user_id = me ORDER BY l.stripe_customer_id FOR UPDATE;
    customers := ARRAY(SELECT l.stripe_customer_id FROM @extschema@.stripe_customer_links l WHERE l.user_id = me ORDER BY 1);
    names := ARRAY(SELECT a.user_id FROM @extschema@.user_aliases a WHERE a.now_user_id = me) || me;
    PERFORM FROM @extschema@.stripe_objects o
       JOIN @extschema@.objects_of(customers, names) k USING (stripe_account, livemode, object_type, object_id)
      ORDER BY o.stripe_account, o.livemode, o.object_type, o.object_id FOR UPDATE OF o;
    PERFORM @extschema@.lock_people(ARRAY[me]);
    IF NOT EXISTS (SELECT FROM @extschema@.billing_users u WHERE u.user_id = me) THEN
        RETURN reply || '{"success": false, "status": "unknown_user", "reason": "unknown_user", "next_step": "none"}';
    END IF;
    IF strpos(me, '@') > 0 THEN
        RETURN reply || '{"success": false, "status": "conflict", "reason": "user_id_is_an_address", "next_step": "rename_user"}';
    END IF;
    running := ARRAY(
        SELECT s.stripe_subscription_id FROM @extschema@.user_subscriptions s
         WHERE s.user_id = me AND NOT s.customer_deleted
           AND s.status IN ('incomplete', 'trialing', 'active', 'past_due', 'unpaid', 'paused')
        UNION SELECT w.stripe_subscription_id FROM @extschema@.awaited_subscriptions w WHERE w.user_id = me
        ORDER BY 1);
    IF running <> '{}' THEN
        RETURN reply || jsonb_build_object('success', false, 'status', 'conflict', 'reason', 'subscription_running',
            'subscriptions', to_jsonb(running), 'next_step', 'cancel_at_stripe');
    END IF;
    IF @extschema@.is_trial_eligible(me) ->> 'reason' IN ('trial_used', 'had_subscription') THEN
        hashes := @extschema@.remember_trial(me);
    END IF;
    told := ARRAY(SELECT lower(r.value) FROM @extschema@.recognised_by(me) r WHERE r.value <> me
                  UNION
                  SELECT lower(v.value #>> '{}')
                    FROM @extschema@.objects_of(customers, names) o
                   CROSS JOIN (VALUES ('$.name'::jsonpath), ('$.customer_name'), ('$.**.individual_name'),
                                      ('$.billing_details.name'), ('$.customer_details.name'), ('$.shipping.name'),
                                      ('$.phone'), ('$.customer_phone'), ('$.billing_details.phone')) k(path)
                   CROSS JOIN LATERAL jsonb_path_query(o.object, k.path) v(value)
                   WHERE jsonb_typeof(v.value) = 'string' AND length(v.value #>> '{}') > 2);
    SELECT array_agg(DISTINCT o.object_id), array_agg(DISTINCT o.object_id) FILTER (WHERE o.stripe_customer_id IS NULL)
      INTO ids, loose FROM @extschema@.objects_of(customers, names) o;
    -- From here on what comes of them is redacted before it is stored.
    UPDATE @extschema@.stripe_customer_links l
       SET erased_at = now(), conflict_user_id = NULL, conflict_source = NULL, conflict_event_id = NULL
     WHERE l.stripe_customer_id = ANY (customers);
    UPDATE @extschema@.billing_users u SET erased_at = now(), email = NULL WHERE u.user_id = me;
    UPDATE @extschema@.stripe_event_payloads p SET payload = @extschema@.redact_personal_data(p.payload, me, names)
      FROM @extschema@.stripe_events e
     WHERE (e.object_id = ANY (ids)
            OR e.stripe_customer_id = ANY (customers) AND (e.object_id IS NULL OR e.outcome <> 'processed'))
       AND p.stripe_event_id = e.stripe_event_id AND p.stripe_created = e.stripe_created;
    GET DIAGNOSTICS payloads = ROW_COUNT;
    UPDATE @extschema@.stripe_events e SET error = NULL
     WHERE (e.object_id = ANY (ids)
            OR e.stripe_customer_id = ANY (customers) AND (e.object_id IS NULL OR e.outcome <> 'processed'))
       AND @extschema@.tells_any(e.error, told);
    UPDATE @extschema@.stripe_objects o
       SET object = @extschema@.redact_personal_data(o.object::text, me, names)::jsonb, updated_at = now()
      FROM @extschema@.objects_of(customers, names) k
     WHERE o.stripe_account = k.stripe_account AND o.livemode = k.livemode AND o.object_type = k.object_type
       AND o.object_id = k.object_id AND o.object IS NOT NULL;
    GET DIAGNOSTICS objects = ROW_COUNT;
    PERFORM @extschema@.redact_ledgers(me, names, told);
    DELETE FROM @extschema@.user_aliases a WHERE a.now_user_id = me;
    DELETE FROM @extschema@.api_checkouts c WHERE c.user_id = me;
    DELETE FROM @extschema@.api_calls c WHERE c.user_id = me;
    -- Subscriptions, payments and the rest follow what is left.
    PERFORM @extschema@.rebuild_customers(customers, loose);
    PERFORM @extschema@.audit_by_hand(me, 'user_erased', NULL, erase_user.reason,
                jsonb_build_object('payloads', payloads, 'objects', objects, 'hashes', hashes));
    PERFORM @extschema@.update_subscription_cache(me);
    RETURN reply || jsonb_build_object('success', true, 'status', 'erased', 'payloads', payloads, 'objects', objects,
                                       'customers', to_jsonb(customers));
END
$$;
COMMENT ON FUNCTION erase_user(text, text) IS
    'takes personal data out of everything that is kept of a user; amounts stay, and that a trial was used';
