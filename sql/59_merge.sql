-- Two users who turn out to be one, and a customer that turns out to be somebody else's. docs/people.md
CREATE FUNCTION merge_credits(from_user_id text, into_user_id text, options jsonb)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    f    @extschema@.credit_accounts;
    i    @extschema@.credit_accounts;
    owes record;
BEGIN
    IF options ->> 'idempotency_keys' = 'into' THEN
        DELETE FROM @extschema@.credit_requests r USING @extschema@.credit_requests k
         WHERE r.user_id = from_user_id AND k.user_id = into_user_id AND k.idempotency_key = r.idempotency_key;
    END IF;
    IF options ->> 'credit_debt' = 'forgive' THEN
        FOR owes IN SELECT a.* FROM @extschema@.credit_accounts a
                     WHERE a.user_id IN (from_user_id, into_user_id) AND a.debt > 0 ORDER BY a.user_id LOOP
            INSERT INTO @extschema@.credit_transactions (user_id, transaction_id, transaction_type, amount, balance_after,
                    debt_change, debt_after, description, effective_at, created_at)
            SELECT owes.user_id, owes.last_transaction_id + 1, 'clawback', 0, owes.balance, -owes.debt, 0,
                   'forgiven by merge_users()', t.at, t.at
              FROM (SELECT greatest(clock_timestamp(), owes.last_entry_at) AS at) t;
            UPDATE @extschema@.credit_accounts a
               SET debt = 0, last_transaction_id = a.last_transaction_id + 1,
                   last_entry_at = greatest(clock_timestamp(), a.last_entry_at)
             WHERE a.user_id = owes.user_id;
        END LOOP;
    END IF;
    SELECT a.* INTO f FROM @extschema@.credit_accounts a WHERE a.user_id = from_user_id;
    IF f.user_id IS NULL THEN
        UPDATE @extschema@.credit_requests SET user_id = into_user_id WHERE user_id = from_user_id;
        RETURN;
    END IF;
    INSERT INTO @extschema@.credit_accounts (user_id, low_thresholds) VALUES (into_user_id, f.low_thresholds)
        ON CONFLICT DO NOTHING;
    SELECT a.* INTO i FROM @extschema@.credit_accounts a WHERE a.user_id = into_user_id;
    -- The numbers of "into" stay what they are; those of "from" follow them, in their own order.
    UPDATE @extschema@.credit_grants g
       SET user_id = into_user_id, grant_id = g.grant_id + i.last_grant_id,
           grant_key = CASE WHEN NOT EXISTS (SELECT FROM @extschema@.credit_grants k
                                              WHERE k.user_id = into_user_id AND k.grant_key = g.grant_key)
                            THEN g.grant_key END
     WHERE g.user_id = from_user_id;
    UPDATE @extschema@.credit_burns b
       SET user_id = into_user_id, transaction_id = b.transaction_id + i.last_transaction_id,
           grant_id = b.grant_id + i.last_grant_id
     WHERE b.user_id = from_user_id;
    UPDATE @extschema@.credit_transactions t
       SET user_id = into_user_id, transaction_id = t.transaction_id + i.last_transaction_id,
           balance_after = t.balance_after + i.balance, debt_after = t.debt_after + i.debt,
           grant_id = t.grant_id + i.last_grant_id, refers_to = t.refers_to + i.last_transaction_id,
           hold_id = t.hold_id + i.last_hold_id, created_at = greatest(t.created_at, i.last_entry_at)
     WHERE t.user_id = from_user_id;
    UPDATE @extschema@.credit_holds h
       SET user_id = into_user_id, hold_id = h.hold_id + i.last_hold_id,
           transaction_id = h.transaction_id + i.last_transaction_id,
           lots = coalesce((SELECT jsonb_agg(jsonb_build_array((l.value ->> 0)::bigint + i.last_grant_id, l.value -> 1)
                                             ORDER BY l.ordinality)
                              FROM jsonb_array_elements(h.lots) WITH ORDINALITY l), '[]')
     WHERE h.user_id = from_user_id;
    UPDATE @extschema@.usage_records r SET transaction_id = r.transaction_id + i.last_transaction_id
     WHERE r.user_id = from_user_id AND r.transaction_id IS NOT NULL;
    UPDATE @extschema@.credit_requests r
       SET user_id = into_user_id,
           answer = r.answer || coalesce((SELECT jsonb_object_agg(k.name, (r.answer ->> k.name)::bigint + k.shift)
                                            FROM (VALUES ('transaction_id', i.last_transaction_id),
                                                         ('grant_id', i.last_grant_id),
                                                         ('hold_id', i.last_hold_id)) k(name, shift)
                                           WHERE jsonb_typeof(r.answer -> k.name) = 'number'), '{}')
     WHERE r.user_id = from_user_id;
    DELETE FROM @extschema@.credit_accounts a WHERE a.user_id = from_user_id;
    UPDATE @extschema@.credit_accounts a
       SET balance = i.balance + f.balance, held = i.held + f.held, debt = i.debt + f.debt,
           subscription_credits = i.subscription_credits + f.subscription_credits,
           subscription_credits_of = CASE WHEN f.subscription_credits = 0 THEN i.subscription_credits_of
                                          WHEN i.subscription_credits = 0 THEN f.subscription_credits_of END,
           next_due_at = least(i.next_due_at, f.next_due_at),
           last_transaction_id = i.last_transaction_id + f.last_transaction_id,
           last_grant_id = i.last_grant_id + f.last_grant_id, last_hold_id = i.last_hold_id + f.last_hold_id,
           last_entry_at = greatest(i.last_entry_at, f.last_entry_at)
     WHERE a.user_id = into_user_id;
END
$$;
COMMENT ON FUNCTION merge_credits(text, text, jsonb) IS
    'merge_users(), credits: the ledger of one user behind that of the other, each grant as it is';

CREATE FUNCTION merge_users(from_user_id text, into_user_id text, reason text, options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    old       text := merge_users.from_user_id;
    new       text := merge_users.into_user_id;
    wrong     text;
    conflicts jsonb;
    counts    jsonb;
    reply     jsonb := jsonb_build_object('from_user_id', old, 'into_user_id', new);
BEGIN
    PERFORM @extschema@.check_people_call(ARRAY[old, new], merge_users.reason);
    IF options IS NULL OR jsonb_typeof(options) <> 'object' THEN
        RAISE EXCEPTION 'options must be a JSON object, not %', coalesce(options::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out to learn what needs a decision.';
    END IF;
    SELECT format('%s: %s', o.key, o.value) INTO wrong
      FROM jsonb_each(options) o
      LEFT JOIN (VALUES ('access_grants', '["from", "into"]'::jsonb), ('entitlements', '["from", "into"]'),
                        ('usage', '["into"]'), ('subscriptions', '["both"]'), ('idempotency_keys', '["into"]'),
                        ('credit_debt', '["forgive"]'), ('dry_run', '[true, false]')) k(name, choices) ON k.name = o.key
     WHERE k.name IS NULL OR NOT k.choices @> o.value
     ORDER BY o.key LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'unknown option %', wrong
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Options are "access_grants" and "entitlements" ("from", "into"), "usage" and "idempotency_keys" '
                         '("into"), "subscriptions" ("both"), "credit_debt" ("forgive") and "dry_run" (true).';
    END IF;
    PERFORM @extschema@.lock_people(ARRAY[old, new]);
    FOR wrong IN SELECT u.id FROM unnest(ARRAY[old, new]) u(id)
                  WHERE NOT EXISTS (SELECT FROM @extschema@.billing_users b WHERE b.user_id = u.id) LOOP
        IF EXISTS (SELECT FROM @extschema@.user_aliases a WHERE a.user_id = old AND a.now_user_id = new) THEN
            RETURN reply || '{"success": true, "status": "exists"}';
        END IF;
        RETURN reply || jsonb_build_object('success', false, 'status', 'unknown_user', 'reason', wrong || ' is unknown',
                                           'next_step', CASE wrong WHEN new THEN 'rename_user' ELSE 'none' END);
    END LOOP;
    conflicts := @extschema@.merge_conflicts(old, new, options);
    IF conflicts <> '[]' OR options @> '{"dry_run": true}' THEN
        RETURN reply || jsonb_build_object('success', false, 'conflicts', conflicts, 'next_step', 'merge_users',
            'status', CASE conflicts WHEN '[]' THEN 'mergeable' ELSE 'conflict' END,
            'reason', CASE conflicts WHEN '[]' THEN 'dry_run' ELSE 'both_users_have_it' END);
    END IF;
    -- What was decided.
    DELETE FROM @extschema@.access_grants g USING @extschema@.access_grants k
     WHERE g.user_id = CASE options ->> 'access_grants' WHEN 'from' THEN new ELSE old END
       AND k.user_id IN (old, new) AND k.user_id <> g.user_id AND k.plan_id = g.plan_id;
    DELETE FROM @extschema@.user_entitlements e USING @extschema@.user_entitlements k
     WHERE e.user_id = CASE options ->> 'entitlements' WHEN 'from' THEN new ELSE old END
       AND k.user_id IN (old, new) AND k.user_id <> e.user_id AND k.feature = e.feature;
    IF options ->> 'usage' = 'into' THEN
        WITH dropped AS (
            DELETE FROM @extschema@.usage_windows f USING @extschema@.usage_windows i
             WHERE f.user_id = old AND i.user_id = new AND i.feature = f.feature AND i.kind = f.kind AND f.kind <> 'period'
               AND f.window_start <> i.window_start
               AND i.window_start < coalesce(f.window_end, 'infinity') AND f.window_start < coalesce(i.window_end, 'infinity')
            RETURNING f.feature, f.window_start)
        DELETE FROM @extschema@.usage_records r USING dropped d
         WHERE r.user_id = old AND r.feature = d.feature AND r.window_start = d.window_start;
    END IF;
    PERFORM @extschema@.merge_credits(old, new, options);
    -- One window is the sum of both.
    UPDATE @extschema@.usage_windows i SET used = i.used + f.used, updated_at = greatest(i.updated_at, f.updated_at)
      FROM @extschema@.usage_windows f
     WHERE i.user_id = new AND f.user_id = old AND f.feature = i.feature AND f.window_start = i.window_start;
    DELETE FROM @extschema@.usage_windows f USING @extschema@.usage_windows i
     WHERE i.user_id = new AND f.user_id = old AND f.feature = i.feature AND f.window_start = i.window_start;
    -- What was used so far is Stripe's to bill as it was; from here on both are one.
    PERFORM @extschema@.push_usage_of(u.user_id, m.feature, 'infinity', u.customer)
       FROM @extschema@.stripe_meters m
      CROSS JOIN (VALUES (old, coalesce(@extschema@.linked_customer(old), @extschema@.linked_customer(new))),
                         (new, coalesce(@extschema@.linked_customer(new), @extschema@.linked_customer(old)))) u(user_id, customer)
      ORDER BY u.user_id, m.feature;
    UPDATE @extschema@.stripe_meter_positions i
       SET last_record_id = greatest(i.last_record_id, f.last_record_id),
           last_record_at = greatest(i.last_record_at, f.last_record_at), carried = i.carried + f.carried
      FROM @extschema@.stripe_meter_positions f WHERE i.user_id = new AND f.user_id = old AND f.feature = i.feature;
    DELETE FROM @extschema@.stripe_meter_positions f USING @extschema@.stripe_meter_positions i
     WHERE i.user_id = new AND f.user_id = old AND f.feature = i.feature;
    DELETE FROM @extschema@.billing_notifications n USING @extschema@.billing_notifications k
     WHERE n.user_id = old AND k.user_id = new
       AND (k.notification_id = n.notification_id OR k.dedupe_key = n.dedupe_key);
    UPDATE @extschema@.audit_logs a SET fact = a.fact || ':' || old
     WHERE a.user_id = old AND EXISTS (SELECT FROM @extschema@.audit_logs k WHERE k.user_id = new AND k.fact = a.fact);
    UPDATE @extschema@.billing_users i SET email = coalesce(i.email, f.email),
           customer_requested_at = least(i.customer_requested_at, f.customer_requested_at),
           created_at = least(i.created_at, f.created_at)
      FROM @extschema@.billing_users f WHERE i.user_id = new AND f.user_id = old;
    counts := @extschema@.hand_over_user(old, new, 'merged', merge_users.reason, jsonb_build_object('options', options));
    RETURN reply || jsonb_build_object('success', true, 'status', 'merged', 'moved', counts);
END
$$;
COMMENT ON FUNCTION merge_users(text, text, text, jsonb) IS
    'makes two users one: everything of the first moves to the second; what needs a decision is reported before anything moves';

CREATE FUNCTION resolve_link_conflict(stripe_customer_id text, user_id text, reason text)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    customer text := resolve_link_conflict.stripe_customer_id;
    new      text := resolve_link_conflict.user_id;
    link     @extschema@.stripe_customer_links;
    again    text;
    lot      bigint;
    voided   bigint := 0;
    reply    jsonb;
BEGIN
    PERFORM @extschema@.check_people_call(ARRAY[new], resolve_link_conflict.reason);
    new := coalesce((SELECT a.now_user_id FROM @extschema@.user_aliases a WHERE a.user_id = new), new);
    reply := jsonb_build_object('stripe_customer_id', customer, 'user_id', new);
    SELECT l.* INTO link FROM @extschema@.stripe_customer_links l WHERE l.stripe_customer_id = customer;
    IF link.user_id IS NULL THEN
        RETURN reply || '{"success": false, "status": "not_linked", "reason": "not_linked", "next_step": "link_stripe_customer"}';
    END IF;
    PERFORM @extschema@.lock_people(ARRAY[link.user_id, new]);
    SELECT l.user_id INTO again FROM @extschema@.stripe_customer_links l
     WHERE l.stripe_customer_id = customer FOR NO KEY UPDATE;
    IF again IS DISTINCT FROM link.user_id THEN
        RAISE EXCEPTION '% has just been linked to somebody else', customer
            USING ERRCODE = 'serialization_failure', HINT = 'Run the transaction again.';
    END IF;
    IF link.user_id = new THEN
        IF link.conflict_user_id IS NULL THEN
            RETURN reply || '{"success": true, "status": "exists"}';
        END IF;
        PERFORM @extschema@.link_stripe_customer(new, customer, jsonb_build_object('reason', resolve_link_conflict.reason));
        RETURN reply || jsonb_build_object('success', true, 'status', 'kept', 'not', link.conflict_user_id);
    END IF;
    -- What was granted and is neither used nor held goes; the new user is granted it all.
    FOR lot IN SELECT g.grant_id FROM @extschema@.credit_grants g
                WHERE g.user_id = link.user_id AND g.metadata ->> 'stripe_customer_id' = customer AND NOT g.voided
                ORDER BY g.grant_id LOOP
        PERFORM @extschema@.void_grant(link.user_id, lot, resolve_link_conflict.reason);
        voided := voided + 1;
    END LOOP;
    UPDATE @extschema@.audit_logs a SET user_id = new
     WHERE a.user_id = link.user_id
       AND (a.fact = 'customer_linked:' || customer
            OR a.details ->> 'payment_id' IN (SELECT p.payment_id FROM @extschema@.payments p
                                               WHERE p.user_id = link.user_id AND p.stripe_customer_id = customer)
            OR a.event_id IN (SELECT e.stripe_event_id FROM @extschema@.stripe_events e WHERE e.stripe_customer_id = customer))
       AND NOT EXISTS (SELECT FROM @extschema@.audit_logs k WHERE k.user_id = new AND k.fact = a.fact);
    DELETE FROM @extschema@.enrollments e USING @extschema@.payments p
     WHERE e.user_id = link.user_id AND p.user_id = link.user_id AND p.payment_id = e.payment_id
       AND p.stripe_customer_id = customer;
    DELETE FROM @extschema@.payments p WHERE p.user_id = link.user_id AND p.stripe_customer_id = customer;
    DELETE FROM @extschema@.user_subscriptions s WHERE s.user_id = link.user_id AND s.stripe_customer_id = customer;
    DELETE FROM @extschema@.awaited_subscriptions s WHERE s.user_id = link.user_id AND s.stripe_customer_id = customer;
    UPDATE @extschema@.trial_usage t SET user_id = new WHERE t.user_id = link.user_id AND t.stripe_customer_id = customer;
    UPDATE @extschema@.stripe_customer_links l
       SET user_id = NULL, source = NULL, event_id = NULL, event_created = NULL, conflict_user_id = NULL,
           conflict_source = NULL, conflict_event_id = NULL, linked_at = NULL, linked_by = NULL
     WHERE l.stripe_customer_id = customer;
    PERFORM @extschema@.link_stripe_customer(new, customer, jsonb_build_object('reason', resolve_link_conflict.reason));
    PERFORM @extschema@.audit_by_hand(u.id, 'link_conflict_resolved', customer, resolve_link_conflict.reason,
                jsonb_build_object('from', link.user_id, 'to', new, 'grants_voided', voided))
       FROM unnest(ARRAY[link.user_id, new]) u(id);
    PERFORM @extschema@.update_subscription_cache(link.user_id);
    RETURN reply || jsonb_build_object('success', true, 'status', 'moved', 'from_user_id', link.user_id,
                                       'grants_voided', voided);
END
$$;
COMMENT ON FUNCTION resolve_link_conflict(text, text, text) IS
    'says whose a Stripe customer is that Stripe''s data gives to two users, and moves it there';
