-- Coming from another system: what it knows and Stripe does not, and what the two say differently. docs/takeover.md
-- Everything may be run again: what is there already is counted, what contradicts it is listed and left.
CREATE FUNCTION import_rows(rows jsonb, members text[], required text[], OUT number bigint, OUT line jsonb)
    RETURNS SETOF record
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    wrong text;
BEGIN
    IF jsonb_typeof(rows) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'rows must be a JSON array of objects, not %', coalesce(jsonb_typeof(rows), 'null')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'From a table: (SELECT jsonb_agg(to_jsonb(t)) FROM table t).';
    END IF;
    IF jsonb_array_length(rows) > 10000 THEN
        RAISE EXCEPTION '% rows are too many for one call', jsonb_array_length(rows)
            USING ERRCODE = 'program_limit_exceeded', HINT = 'Send at most 10000 at a time.';
    END IF;
    FOR number, line IN SELECT r.n, r.line FROM jsonb_array_elements(rows) WITH ORDINALITY r(line, n) LOOP
        IF jsonb_typeof(line) <> 'object' THEN
            RAISE EXCEPTION 'row % is no object: %', number, left(line::text, 100)
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Members are ' || array_to_string(members, ', ') || '.';
        END IF;
        line := jsonb_strip_nulls(line);
        SELECT k INTO wrong FROM jsonb_object_keys(line) k WHERE k <> ALL (members) LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'row % has an unknown member "%"', number, left(wrong, 100)
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Members are ' || array_to_string(members, ', ') || '.';
        END IF;
        SELECT m INTO wrong FROM unnest(required) m WHERE coalesce(line ->> m, '') = '' LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'row % has no %', number, wrong
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Required are ' || array_to_string(required, ', ') || '.';
        END IF;
        IF octet_length(line ->> 'user_id') > 255 THEN
            RAISE EXCEPTION 'row % has a user_id of % bytes', number, octet_length(line ->> 'user_id')
                USING ERRCODE = 'invalid_parameter_value', HINT = 'A user id has at most 255 bytes.';
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION import_rows(jsonb, text[], text[]) IS 'the rows of an import, each numbered and checked';

CREATE FUNCTION import_value(number bigint, line jsonb, member text, kind regtype)
    RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    value text := nullif(line ->> member, '');
BEGIN
    EXECUTE format('SELECT $1::%s', kind) USING value;
    RETURN value;
EXCEPTION WHEN data_exception THEN
    RAISE EXCEPTION 'row % has % "%", which is no %', number, member, left(value, 100), kind
        USING ERRCODE = 'invalid_parameter_value', HINT = 'Mend the row; nothing of this call was kept.';
END
$$;
COMMENT ON FUNCTION import_value(bigint, jsonb, text, regtype) IS 'a member of an import''s row, when it can be cast';

-- The users of an import, their anchors made and locked as by everybody who writes anything of theirs.
CREATE FUNCTION lock_imported_users(users text[])
    RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
    INSERT INTO @extschema@.billing_users (user_id)
    SELECT DISTINCT u COLLATE "C" FROM unnest(users) u ORDER BY 1 ON CONFLICT DO NOTHING;
    SELECT FROM @extschema@.billing_users b WHERE b.user_id = ANY (users) ORDER BY b.user_id FOR NO KEY UPDATE
$$;
COMMENT ON FUNCTION lock_imported_users(text[]) IS 'locks the users of an import';

CREATE FUNCTION finish_import(what text, answer jsonb, reason text)
    RETURNS jsonb
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT @extschema@.audit_by_hand('', 'imported', what, reason, answer || jsonb_build_object(
        'conflicts', jsonb_array_length(answer -> 'conflicts')));
    SELECT answer
$$;
COMMENT ON FUNCTION finish_import(text, jsonb, text) IS 'keeps an import in audit_logs, and returns its answer';

CREATE FUNCTION import_customer_links(rows jsonb, reason text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    item      record;
    linked    integer := 0;
    present   integer := 0;
    applied   bigint := 0;
    holder    text;
    answer    jsonb;
    conflicts jsonb := '[]';
BEGIN
    FOR item IN
        SELECT r.number, r.line ->> 'user_id' AS user_id, r.line ->> 'stripe_customer_id' AS customer
          FROM @extschema@.import_rows(rows, '{user_id,stripe_customer_id}', '{user_id,stripe_customer_id}') r
         ORDER BY r.line ->> 'stripe_customer_id' COLLATE "C", r.number
    LOOP
        SELECT l.user_id INTO holder FROM @extschema@.stripe_customer_links l WHERE l.stripe_customer_id = item.customer;
        IF holder <> item.user_id THEN
            conflicts := conflicts || jsonb_build_object('row', item.number, 'stripe_customer_id', item.customer,
                                                         'user_id', item.user_id, 'linked_to', holder);
            CONTINUE;
        END IF;
        answer := @extschema@.link_stripe_customer(item.user_id, item.customer,
                                                   jsonb_build_object('reason', coalesce(reason, 'import')));
        linked := linked + (answer ->> 'status' = 'linked')::integer;
        present := present + (answer ->> 'status' = 'exists')::integer;
        applied := applied + (answer ->> 'events_applied')::bigint;
    END LOOP;
    RETURN @extschema@.finish_import('customer_links', jsonb_build_object(
        'imported', linked, 'exists', present, 'events_applied', applied, 'conflicts', conflicts), reason);
END
$$;
COMMENT ON FUNCTION import_customer_links(jsonb, text) IS
    'links customers: rows of {user_id, stripe_customer_id}; answers imported, exists, events_applied, conflicts';

CREATE FUNCTION import_credit_balances(rows jsonb, reason text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    item      record;
    imported  integer := 0;
    present   integer := 0;
    expired   integer := 0;
    credits   bigint := 0;
    known     boolean;
    answer    jsonb;
    conflicts jsonb := '[]';
BEGIN
    FOR item IN
        SELECT r.number, r.line ->> 'user_id' AS user_id,
               @extschema@.import_value(r.number, r.line, 'balance', 'bigint')::bigint AS balance,
               @extschema@.import_value(r.number, r.line, 'expires_at', 'timestamptz')::timestamptz AS expires_at,
               coalesce(r.line ->> 'category', 'paid') AS category, coalesce(r.line ->> 'key', 'balance') AS key
          FROM @extschema@.import_rows(rows, '{user_id,balance,category,expires_at,key}', '{user_id,balance}') r
         ORDER BY r.line ->> 'user_id' COLLATE "C", r.number
    LOOP
        IF item.balance < 0 THEN
            RAISE EXCEPTION 'row % has balance %', item.number, item.balance
                USING ERRCODE = 'invalid_parameter_value', HINT = 'What a user owes cannot be imported: leave him out, or at 0.';
        END IF;
        SELECT EXISTS (SELECT FROM @extschema@.credit_requests q
                        WHERE q.user_id = item.user_id AND q.idempotency_key = 'import:' || item.key) INTO known;
        IF item.balance = 0 OR NOT known AND item.expires_at <= clock_timestamp() THEN
            expired := expired + 1;
            CONTINUE;
        END IF;
        answer := @extschema@.grant_credits(item.user_id, item.balance, category => item.category,
                                            expires_at => item.expires_at, source => 'import',
                                            idempotency_key => 'import:' || item.key, reason => coalesce(reason, 'import'));
        IF answer ->> 'status' = 'exists_with_different_request' THEN
            conflicts := conflicts || jsonb_build_object('row', item.number, 'user_id', item.user_id, 'key', item.key,
                                                         'balance', item.balance);
        ELSIF known THEN
            present := present + 1;
        ELSE
            imported := imported + 1;
            credits := credits + item.balance;
        END IF;
    END LOOP;
    RETURN @extschema@.finish_import('credit_balances', jsonb_build_object(
        'imported', imported, 'credits', credits, 'exists', present, 'nothing_left', expired, 'conflicts', conflicts), reason);
END
$$;
COMMENT ON FUNCTION import_credit_balances(jsonb, text) IS
    'grants what was left elsewhere: rows of {user_id, balance, category, expires_at, key}; one grant per user and key';

CREATE FUNCTION import_trial_usage(rows jsonb, reason text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    answer jsonb;
BEGIN
    PERFORM @extschema@.lock_imported_users(ARRAY(
        SELECT r.line ->> 'user_id' FROM @extschema@.import_rows(
            rows, '{user_id,trial_start,trial_end,stripe_subscription_id}', '{user_id,trial_start}') r));
    WITH wanted AS (
        SELECT DISTINCT ON (r.line ->> 'user_id', coalesce(r.line ->> 'stripe_subscription_id', 'import'))
               r.line ->> 'user_id' AS user_id, coalesce(r.line ->> 'stripe_subscription_id', 'import') AS subscription,
               @extschema@.import_value(r.number, r.line, 'trial_start', 'timestamptz')::timestamptz AS trial_start,
               @extschema@.import_value(r.number, r.line, 'trial_end', 'timestamptz')::timestamptz AS trial_end
          FROM @extschema@.import_rows(rows, '{user_id,trial_start,trial_end,stripe_subscription_id}', '{}') r
         ORDER BY r.line ->> 'user_id', coalesce(r.line ->> 'stripe_subscription_id', 'import'), 3, r.number),
    written AS (
        -- Of no customer: what an import says is a fact, which no rebuild compares with events.
        INSERT INTO @extschema@.trial_usage (user_id, stripe_subscription_id, stripe_customer_id, livemode, trial_start,
                                             trial_end, items)
        SELECT w.user_id, w.subscription, '', s.value = 'live', w.trial_start, w.trial_end, '[]'
          FROM wanted w, @extschema@.get_billing_settings() s WHERE s.name = 'mode'
        ON CONFLICT DO NOTHING
        RETURNING 1)
    SELECT jsonb_build_object('imported', (SELECT count(*) FROM written),
                              'exists', (SELECT count(*) FROM wanted) - (SELECT count(*) FROM written),
                              'conflicts', '[]'::jsonb) INTO answer;
    RETURN @extschema@.finish_import('trial_usage', answer, reason);
END
$$;
COMMENT ON FUNCTION import_trial_usage(jsonb, text) IS
    'who has had a trial: rows of {user_id, trial_start, trial_end, stripe_subscription_id}';

CREATE FUNCTION import_enrollments(rows jsonb, reason text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    members text[] := '{user_id,item_id,status,enrolled_at,payment_id,seller_id}';
    wrong   record;
    answer  jsonb;
BEGIN
    SELECT r.number, r.line ->> 'status' AS status INTO wrong
      FROM @extschema@.import_rows(rows, members, '{user_id,item_id}') r
     WHERE r.line ->> 'status' <> ALL ('{pending,active,suspended,refunded,revoked,failed,canceled}'::text[]) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'row % has status "%"', wrong.number, left(wrong.status, 100)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use pending, active, suspended, refunded, revoked, failed or canceled.';
    END IF;
    PERFORM @extschema@.lock_imported_users(ARRAY(
        SELECT r.line ->> 'user_id' FROM @extschema@.import_rows(rows, members, '{}') r));
    WITH wanted AS (
        SELECT DISTINCT ON (r.line ->> 'user_id', r.line ->> 'item_id', coalesce(r.line ->> 'payment_id', 'import'))
               r.number, r.line ->> 'user_id' AS user_id, r.line ->> 'item_id' AS item_id,
               coalesce(r.line ->> 'payment_id', 'import') AS payment_id, coalesce(r.line ->> 'status', 'active') AS status,
               r.line ->> 'seller_id' AS seller_id,
               @extschema@.import_value(r.number, r.line, 'enrolled_at', 'timestamptz')::timestamptz AS enrolled_at
          FROM @extschema@.import_rows(rows, members, '{}') r
         ORDER BY 2, 3, 4, r.number),
    before AS (
        SELECT w.number, w.user_id, w.item_id, w.status, e.status AS stored FROM wanted w
          JOIN @extschema@.enrollments e ON e.user_id = w.user_id AND e.item_id = w.item_id AND e.payment_id = w.payment_id),
    written AS (
        INSERT INTO @extschema@.enrollments (user_id, item_id, payment_id, status, payment_status, seller_id, enrolled_at, livemode)
        SELECT w.user_id, w.item_id, w.payment_id, w.status, CASE w.status WHEN 'active' THEN 'completed' ELSE w.status END,
               w.seller_id, CASE WHEN w.status NOT IN ('pending', 'failed', 'canceled') THEN coalesce(w.enrolled_at, now()) END,
               s.value = 'live'
          FROM wanted w, @extschema@.get_billing_settings() s WHERE s.name = 'mode'
        ON CONFLICT DO NOTHING
        RETURNING 1)
    SELECT jsonb_build_object('imported', (SELECT count(*) FROM written),
                              'exists', (SELECT count(*) FROM before b WHERE b.status = b.stored),
                              'conflicts', coalesce((SELECT jsonb_agg(jsonb_build_object('row', b.number, 'user_id', b.user_id,
                                                         'item_id', b.item_id, 'status', b.status, 'stored', b.stored)
                                                         ORDER BY b.number)
                                                       FROM before b WHERE b.status <> b.stored), '[]')) INTO answer;
    RETURN @extschema@.finish_import('enrollments', answer, reason);
END
$$;
COMMENT ON FUNCTION import_enrollments(jsonb, text) IS
    'what users own already: rows of {user_id, item_id, status, enrolled_at, payment_id, seller_id}';

-- Runs with the rights of whoever asks: the query may read what he may, and writes nothing. Stable, so that the
-- other system and this one are looked at as of one instant.
CREATE FUNCTION compare_billing_state(query text, OUT user_id text, OUT field text, OUT theirs text, OUT ours text)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET transaction_read_only = on
    AS $$
DECLARE
    line  jsonb;
    state jsonb;
    seen  text[] := '{}';
    wrong text;
BEGIN
    IF query IS NULL OR query ~ '^\s*$' THEN
        RAISE EXCEPTION 'query must not be empty'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'A SELECT, table or view with user_id and any of has_access, state, plan, stripe_status, credits.';
    END IF;
    IF query ~ '^\s*("[^"]+"|[[:alpha:]_][[:alnum:]_$]*)(\s*\.\s*("[^"]+"|[[:alpha:]_][[:alnum:]_$]*))?\s*$' THEN
        query := 'TABLE ' || query;
    END IF;
    FOR line IN EXECUTE pg_catalog.format('SELECT pg_catalog.to_jsonb(q) FROM (%s) q', query) LOOP
        SELECT k INTO wrong FROM pg_catalog.jsonb_object_keys(line) k
         WHERE k <> ALL ('{user_id,has_access,state,plan,stripe_status,credits}'::text[]) LIMIT 1;
        IF FOUND OR line ->> 'user_id' IS NULL THEN
            RAISE EXCEPTION 'the query %', coalesce('has a column "' || wrong || '"', 'has a row without user_id')
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'Columns are user_id and any of has_access, state, plan, stripe_status, credits.';
        END IF;
        user_id := line ->> 'user_id';
        seen := seen || user_id;
        state := @extschema@.get_user_subscription_state(user_id);
        state := state || pg_catalog.jsonb_build_object('credits', state #> '{credits,available}');
        FOR field IN SELECT k FROM pg_catalog.jsonb_object_keys(line - 'user_id') k ORDER BY k COLLATE "C" LOOP
            theirs := line ->> field;
            ours := state ->> field;
            IF theirs IS DISTINCT FROM ours THEN
                RETURN NEXT;
            END IF;
        END LOOP;
    END LOOP;
    -- Whom they do not know at all.
    field := 'has_access';
    theirs := NULL;
    FOR user_id, ours IN
        SELECT c.user_id, 'true' FROM @extschema@.subscription_cache c
         WHERE c.has_access AND c.user_id <> ALL (seen)
           AND (@extschema@.get_user_subscription_state(c.user_id) ->> 'has_access')::boolean
         ORDER BY c.user_id
    LOOP
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION compare_billing_state(text) IS
    'where another system, asked by a query of yours, says otherwise: one row per user and field, and users with access that it does not list';
