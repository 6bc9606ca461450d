-- What applications are told of their users, written in the transaction of what happened, and the queue that they are
-- fetched from. docs/notifications.md has the kinds and what is promised of each.
CREATE TABLE billing_notifications (
    user_id         text COLLATE "C" NOT NULL CHECK (octet_length(user_id) BETWEEN 1 AND 255),
    notification_id text COLLATE "C" NOT NULL,
    kind            text COLLATE "C" NOT NULL CHECK (kind IN (
                        'access_gained', 'access_changed', 'access_ending', 'access_lost', 'payment_confirmed',
                        'payment_failed', 'trial_ending', 'refund_issued', 'credits_low', 'dispute_opened',
                        'dispute_closed')),
    dedupe_key      text COLLATE "C" NOT NULL,
    payload         jsonb NOT NULL,
    event_id        text COLLATE "C",
    livemode        boolean NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    status          text COLLATE "C" NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts        integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    lease_until     timestamptz,
    finished_at     timestamptz,
    error           text,
    PRIMARY KEY (user_id, notification_id),
    UNIQUE (user_id, dedupe_key),
    CHECK ((status = 'pending') = (finished_at IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX billing_notifications_queue_idx ON billing_notifications (next_attempt_at) WHERE status = 'pending';
CREATE INDEX billing_notifications_age_idx ON billing_notifications (created_at) WHERE status = 'pending';
CREATE INDEX billing_notifications_finished_idx ON billing_notifications (finished_at) WHERE finished_at IS NOT NULL;
COMMENT ON TABLE billing_notifications IS
    'what there is to tell of a user: each thing once; claim_billing_notifications() hands them out. Rows that finished less than 60 days ago keep their things from being told again';
COMMENT ON COLUMN billing_notifications.notification_id IS 'the webhook-id; the same thing of the same user always has the same';
COMMENT ON COLUMN billing_notifications.dedupe_key IS 'natural key of what happened';
COMMENT ON COLUMN billing_notifications.event_id IS 'the Stripe event that told of it; null when time, a person or the application did';
COMMENT ON COLUMN billing_notifications.attempts IS 'how often it was claimed';
COMMENT ON COLUMN billing_notifications.next_attempt_at IS 'when it may be claimed: while somebody has it, when the lease ends';
COMMENT ON COLUMN billing_notifications.status IS 'pending, delivered, or failed: given up';

CREATE FUNCTION claim_billing_notifications(max_rows integer DEFAULT 100, options jsonb DEFAULT '{}')
    RETURNS TABLE (user_id text, notification_id text, kind text, payload jsonb, livemode boolean,
                   created_at timestamptz, attempt integer, lease_until timestamptz)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    at    timestamptz := clock_timestamp();
    until timestamptz;
    lease interval := interval '60 seconds';
    kinds text[];
    wrong text;
BEGIN
    IF max_rows IS NULL OR max_rows NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'max_rows must be between 1 and 1000, not %', coalesce(max_rows::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out for 100.';
    END IF;
    IF options IS NULL OR jsonb_typeof(options) <> 'object' THEN
        RAISE EXCEPTION 'options must be a JSON object, not %', coalesce(options::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Options are "lease" and "kinds".';
    END IF;
    SELECT o.key INTO wrong FROM jsonb_object_keys(options) o(key) WHERE o.key NOT IN ('lease', 'kinds') LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'unknown option "%"', wrong
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Options are "lease" and "kinds".';
    END IF;
    IF options ? 'lease' THEN
        BEGIN
            lease := (options ->> 'lease')::interval;
        EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow THEN
            lease := NULL;
        END;
        IF lease IS NULL OR lease NOT BETWEEN interval '1 second' AND interval '1 day' THEN
            RAISE EXCEPTION 'lease must be between 1 second and 1 day, not %', options -> 'lease'
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'Use an interval such as "60 seconds": how long delivering all of them may take.';
        END IF;
    END IF;
    IF options ? 'kinds' THEN
        IF jsonb_typeof(options -> 'kinds') <> 'array' THEN
            RAISE EXCEPTION 'kinds must be an array of kinds, not %', options -> 'kinds'
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out for all kinds.';
        END IF;
        kinds := ARRAY(SELECT k.kind FROM jsonb_array_elements_text(options -> 'kinds') k(kind));
        SELECT k.kind INTO wrong FROM unnest(kinds) k(kind)
         WHERE k.kind IS NULL OR k.kind <> ALL ('{access_gained,access_changed,access_ending,access_lost,payment_confirmed,payment_failed,trial_ending,refund_issued,credits_low,dispute_opened,dispute_closed}'::text[])
         LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'unknown kind of notification "%"', coalesce(wrong, 'null')
                USING ERRCODE = 'invalid_parameter_value', HINT = 'docs/notifications.md lists the kinds.';
        END IF;
    END IF;
    until := at + lease;
    RETURN QUERY
        WITH due AS MATERIALIZED (
            SELECT n.user_id, n.notification_id
              FROM @extschema@.billing_notifications n
             WHERE n.status = 'pending' AND n.next_attempt_at <= at AND (kinds IS NULL OR n.kind = ANY (kinds))
             ORDER BY n.next_attempt_at
             LIMIT max_rows
               FOR NO KEY UPDATE SKIP LOCKED),
        taken AS (
            UPDATE @extschema@.billing_notifications n
               SET attempts = n.attempts + 1, next_attempt_at = until, lease_until = until
              FROM due d
             WHERE n.user_id = d.user_id AND n.notification_id = d.notification_id
            RETURNING n.*)
        SELECT t.user_id, t.notification_id, t.kind, t.payload, t.livemode, t.created_at, t.attempts, t.lease_until
          FROM taken t
         ORDER BY t.created_at, t.user_id, (t.payload ->> 'sequence')::bigint, t.notification_id;
END
$$;
COMMENT ON FUNCTION claim_billing_notifications(integer, jsonb) IS
    'hands out notifications that are due, oldest first, each to one caller until its lease ends; finish_billing_notification() ends it';

CREATE FUNCTION finish_billing_notification(user_id text, notification_id text, success boolean, error text DEFAULT NULL,
                                            options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    at       timestamptz := clock_timestamp();
    found    @extschema@.billing_notifications;
    wait     interval;
    limit_of interval;
    wrong    text;
BEGIN
    PERFORM @extschema@.check_user_id(user_id);
    IF notification_id IS NULL OR success IS NULL THEN
        RAISE EXCEPTION '% must not be null', CASE WHEN success IS NULL THEN 'success' ELSE 'notification_id' END
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'Pass what claim_billing_notifications() returned, and whether it was delivered.';
    END IF;
    IF options IS NULL OR jsonb_typeof(options) <> 'object' THEN
        RAISE EXCEPTION 'options must be a JSON object, not %', coalesce(options::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Options are "attempt", "retry_in" and "give_up".';
    END IF;
    SELECT o.key INTO wrong FROM jsonb_object_keys(options) o(key)
     WHERE o.key NOT IN ('attempt', 'retry_in', 'give_up') LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'unknown option "%"', wrong
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Options are "attempt", "retry_in" and "give_up".';
    END IF;
    IF jsonb_typeof(options -> 'attempt') NOT IN ('number') OR jsonb_typeof(options -> 'give_up') NOT IN ('boolean') THEN
        RAISE EXCEPTION 'unusable options %', options
            USING ERRCODE = 'invalid_parameter_value', HINT = '"attempt" is a number, "give_up" true or false.';
    END IF;
    IF options ? 'retry_in' THEN
        BEGIN
            wait := (options ->> 'retry_in')::interval;
        EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow THEN
            wait := NULL;
        END;
        IF wait IS NULL OR wait NOT BETWEEN interval '0' AND interval '1 day' THEN
            RAISE EXCEPTION 'retry_in must be between 0 seconds and 1 day, not %', options -> 'retry_in'
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out for waits that grow from 5 seconds to 6 hours.';
        END IF;
    END IF;

    SELECT n.* INTO found
      FROM @extschema@.billing_notifications n
     WHERE n.user_id = finish_billing_notification.user_id
       AND n.notification_id = finish_billing_notification.notification_id
       FOR NO KEY UPDATE;
    IF found.user_id IS NULL THEN
        RETURN jsonb_build_object('success', false, 'status', 'unknown_notification',
                                  'reason', 'unknown_notification', 'next_step', 'none');
    END IF;
    IF found.status = 'delivered' OR (found.status = 'failed' AND NOT success) THEN
        RETURN jsonb_build_object('success', success AND found.status = 'delivered', 'status', 'exists',
                                  'reason', 'finished_before', 'next_step', 'none');
    END IF;
    -- Who was late does not take it from who has it now; that it was delivered is true all the same.
    IF NOT success AND options ? 'attempt' AND (options ->> 'attempt')::numeric <> found.attempts THEN
        RETURN jsonb_build_object('success', false, 'status', 'claimed_by_another', 'reason', 'lease_ended',
                                  'next_step', 'none');
    END IF;
    limit_of := (SELECT s.value::interval FROM @extschema@.get_billing_settings() s WHERE s.name = 'notify_limit');
    -- 5 s, 20 s, 80 s... up to 6 hours, and a quarter more or less, so that not all come back at once.
    wait := coalesce(wait, least(interval '5 seconds' * power(4, least(greatest(found.attempts, 1), 12) - 1),
                                 interval '6 hours') * (0.75 + random() / 2));
    IF success OR coalesce((options ->> 'give_up')::boolean, false) OR found.created_at + limit_of <= at + wait THEN
        UPDATE @extschema@.billing_notifications n
           SET status = CASE WHEN success THEN 'delivered' ELSE 'failed' END, finished_at = at, lease_until = NULL,
               error = CASE WHEN NOT success THEN left(finish_billing_notification.error, 1000) END
         WHERE n.user_id = found.user_id AND n.notification_id = found.notification_id;
        RETURN jsonb_build_object('success', true, 'status', CASE WHEN success THEN 'delivered' ELSE 'failed' END);
    END IF;
    UPDATE @extschema@.billing_notifications n
       SET next_attempt_at = at + wait, lease_until = NULL, error = left(finish_billing_notification.error, 1000)
     WHERE n.user_id = found.user_id AND n.notification_id = found.notification_id;
    RETURN jsonb_build_object('success', true, 'status', 'pending', 'next_attempt_at', at + wait);
END
$$;
COMMENT ON FUNCTION finish_billing_notification(text, text, boolean, text, jsonb) IS
    'says what became of a notification that was claimed: delivered, or to be tried again later';

CREATE FUNCTION notify_due(max_rows integer DEFAULT 500)
    RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'notify_due';
COMMENT ON FUNCTION notify_due(integer) IS
    'tells of the users whose access or trial time alone has changed, and gives up what is too old; returns how many it looked at';

CREATE FUNCTION set_credits_low_thresholds(user_id text, thresholds bigint[], reason text)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    sorted bigint[] := ARRAY(SELECT DISTINCT t.amount FROM unnest(thresholds) t(amount) ORDER BY t.amount);
    before bigint[];
BEGIN
    PERFORM @extschema@.check_user_id(user_id);
    IF cardinality(sorted) > 20 OR EXISTS (SELECT FROM unnest(thresholds) t(amount) WHERE t.amount IS NULL OR t.amount < 0) THEN
        RAISE EXCEPTION 'unusable thresholds %', thresholds
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Pass at most 20 whole numbers from 0, an empty array for none, or null for those of the setting credits_low_thresholds.';
    END IF;
    IF reason IS NULL OR reason = '' THEN
        RAISE EXCEPTION 'reason must not be empty'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Say why it changes: the reason is kept in audit_logs.';
    END IF;
    sorted := CASE WHEN thresholds IS NOT NULL THEN sorted END;
    INSERT INTO @extschema@.credit_accounts AS a (user_id)
    VALUES (set_credits_low_thresholds.user_id) ON CONFLICT ON CONSTRAINT credit_accounts_pkey DO NOTHING;
    SELECT a.low_thresholds INTO before FROM @extschema@.credit_accounts a
     WHERE a.user_id = set_credits_low_thresholds.user_id FOR NO KEY UPDATE;
    IF before IS DISTINCT FROM sorted THEN
        UPDATE @extschema@.credit_accounts a SET low_thresholds = sorted
         WHERE a.user_id = set_credits_low_thresholds.user_id;
        INSERT INTO @extschema@.audit_logs (user_id, fact, action, actor, reason, details)
        VALUES (set_credits_low_thresholds.user_id, 'credits_low_thresholds_changed:' || gen_random_uuid(),
                'credits_low_thresholds_changed',
                coalesce(nullif(current_setting('role', true), 'none'), session_user), left(set_credits_low_thresholds.reason, 1000),
                jsonb_build_object('old', before, 'new', sorted));
    END IF;
    RETURN jsonb_build_object('success', true, 'status', CASE WHEN before IS DISTINCT FROM sorted THEN 'changed' ELSE 'exists' END,
                              'user_id', set_credits_low_thresholds.user_id, 'thresholds', sorted);
END
$$;
COMMENT ON FUNCTION set_credits_low_thresholds(text, bigint[], text) IS
    'balances of this user that credits_low tells of, instead of the setting; null restores the setting, an empty array is none';
