-- The outbox: calls of Stripe's API that are written in the transaction that wants them, and performed by a worker with
-- a secret key once it has committed. A transaction that is rolled back was never heard of. docs/stripe-requests.md
CREATE SEQUENCE stripe_request_numbers;
COMMENT ON SEQUENCE stripe_request_numbers IS 'the order of stripe_requests';

CREATE TABLE stripe_requests (
    request_id        text COLLATE "C" PRIMARY KEY,
    number            bigint NOT NULL DEFAULT nextval('stripe_request_numbers'),
    user_id           text COLLATE "C" CHECK (octet_length(user_id) BETWEEN 1 AND 255),
    purpose           text COLLATE "C" NOT NULL,
    method            text COLLATE "C" NOT NULL CHECK (method IN ('POST', 'DELETE')),
    path              text COLLATE "C" NOT NULL,
    parameters        jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(parameters) = 'object'),
    stripe_account    text COLLATE "C" NOT NULL DEFAULT '',
    livemode          boolean NOT NULL,
    subject           text COLLATE "C" NOT NULL,
    details           jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(details) = 'object'),
    status            text COLLATE "C" NOT NULL DEFAULT 'pending'
                      CHECK (status IN ('pending', 'held', 'succeeded', 'failed', 'canceled')),
    requested_by      text NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    next_attempt_at   timestamptz NOT NULL DEFAULT now(),
    attempts          integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    sent_at           timestamptz,
    in_doubt_since    timestamptz,
    finished_at       timestamptz,
    http_status       integer,
    stripe_request_id text COLLATE "C",
    response          jsonb,
    error             jsonb CHECK (jsonb_typeof(error) = 'object'),
    CONSTRAINT stripe_requests_finished_check CHECK ((status IN ('pending', 'held')) = (finished_at IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX stripe_requests_queue_idx ON stripe_requests (next_attempt_at) WHERE status = 'pending';
CREATE INDEX stripe_requests_subject_idx ON stripe_requests (subject, number) WHERE finished_at IS NULL;
CREATE INDEX stripe_requests_user_idx ON stripe_requests (user_id, number) WHERE user_id IS NOT NULL;
CREATE INDEX stripe_requests_finished_idx ON stripe_requests (finished_at) WHERE finished_at IS NOT NULL;
COMMENT ON TABLE stripe_requests IS 'writes to Stripe''s API: those that a worker is to perform, and what came of those that it has performed';
COMMENT ON COLUMN stripe_requests.request_id IS 'also its Idempotency-Key at Stripe: however often it is sent, it has one effect';
COMMENT ON COLUMN stripe_requests.user_id IS 'whom it is for; null when it is nobody''s';
COMMENT ON COLUMN stripe_requests.purpose IS 'the function that wants it: cancel_subscription, refund_payment...; request: enqueue_stripe_request()';
COMMENT ON COLUMN stripe_requests.subject IS 'what it is about: of requests with one subject the next is sent when the one before has its answer';
COMMENT ON COLUMN stripe_requests.details IS 'what its purpose needs to know once the answer is there';
COMMENT ON COLUMN stripe_requests.status IS 'pending; held: a person decides (release_stripe_request(), cancel_stripe_request()); succeeded, failed: answered by Stripe; canceled: not wanted any more';
COMMENT ON COLUMN stripe_requests.next_attempt_at IS 'when it may be claimed: while somebody has it, when the lease ends';
COMMENT ON COLUMN stripe_requests.sent_at IS 'of the attempt under way';
COMMENT ON COLUMN stripe_requests.in_doubt_since IS 'since when it may have had its effect at Stripe without anybody knowing: Stripe knows the key for 24 hours';
COMMENT ON COLUMN stripe_requests.response IS 'what Stripe answered, without secrets';
COMMENT ON COLUMN stripe_requests.error IS 'type, code, decline_code, param and message, as Stripe tells them; ours: expired_in_doubt, held, too_old, given_up';

-- A user's key of an application names one request for ever; without a key each call is one of its own.
CREATE FUNCTION stripe_request_id(user_id text, idempotency_key text)
    RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF octet_length(idempotency_key) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'idempotency_key must have 1 to 255 bytes, not %', octet_length(idempotency_key)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out when the call is never repeated.';
    END IF;
    RETURN 'pgb_' || CASE WHEN idempotency_key IS NULL THEN replace(gen_random_uuid()::text, '-', '')
        ELSE left(encode(sha256(convert_to(jsonb_build_array(
                 (SELECT i.last_value FROM @extschema@.billing_installation i), user_id, idempotency_key)::text, 'UTF8')),
                 'hex'), 32) END;
END
$$;
COMMENT ON FUNCTION stripe_request_id(text, text) IS 'the id of the request that a user''s idempotency_key stands for; a new one without a key';

CREATE FUNCTION repeated_request(user_id text, call jsonb, idempotency_key text)
    RETURNS jsonb
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT jsonb_build_object('request_id', r.request_id)
           || CASE WHEN r.details -> 'call' = repeated_request.call
                   THEN jsonb_build_object('success', true, 'status', 'exists', 'request_status', r.status)
                   ELSE jsonb_build_object('success', false, 'status', 'exists_with_different_request',
                                           'reason', 'idempotency_key_used', 'next_step', 'use another idempotency_key') END
      FROM @extschema@.stripe_requests r
     WHERE repeated_request.idempotency_key IS NOT NULL
       AND r.request_id = @extschema@.stripe_request_id(repeated_request.user_id, repeated_request.idempotency_key)
$$;
COMMENT ON FUNCTION repeated_request(text, jsonb, text) IS
    'what a call says whose idempotency_key was used before; null when it was not';

-- As the functions call it that want something of Stripe, with arguments that have been checked. In `details`, call is
-- what the application asked for, by which a repeated call is told from another one.
CREATE FUNCTION add_stripe_request(user_id text, purpose text, method text, path text, parameters jsonb, subject text,
                                   details jsonb, idempotency_key text)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    id text := @extschema@.stripe_request_id(add_stripe_request.user_id, add_stripe_request.idempotency_key);
BEGIN
    INSERT INTO @extschema@.stripe_requests
           (request_id, user_id, purpose, method, path, parameters, stripe_account, livemode, subject, details, requested_by)
    VALUES (id, add_stripe_request.user_id, add_stripe_request.purpose, add_stripe_request.method,
            add_stripe_request.path, add_stripe_request.parameters,
            coalesce(add_stripe_request.details ->> 'stripe_account', ''),
            @extschema@.in_live_mode(),
            add_stripe_request.subject, add_stripe_request.details - 'stripe_account',
            coalesce(nullif(current_setting('role'), 'none'), session_user))
    ON CONFLICT ON CONSTRAINT stripe_requests_pkey DO NOTHING;
    IF NOT FOUND THEN
        RETURN @extschema@.repeated_request(add_stripe_request.user_id, add_stripe_request.details -> 'call',
                                            add_stripe_request.idempotency_key);
    END IF;
    -- Workers that listen look at once; the others within a second.
    PERFORM pg_notify('pg_billing_requests', '');
    RETURN jsonb_build_object('success', true, 'status', 'requested', 'request_id', id);
END
$$;
COMMENT ON FUNCTION add_stripe_request(text, text, text, text, jsonb, text, jsonb, text) IS
    'a step of the functions that want something of Stripe: writes it down, once for each idempotency_key of a user';

CREATE FUNCTION enqueue_stripe_request(user_id text, path text, parameters jsonb DEFAULT '{}',
                                       idempotency_key text DEFAULT NULL, options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    wrong  text;
    method text := coalesce(options ->> 'method', 'POST');
BEGIN
    IF enqueue_stripe_request.user_id IS NOT NULL THEN
        PERFORM @extschema@.check_user_id(enqueue_stripe_request.user_id);
    END IF;
    IF path IS NULL OR path !~ '^/v1/[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*$' OR octet_length(path) > 500 THEN
        RAISE EXCEPTION 'not a path of Stripe''s API: "%"', coalesce(left(path, 200), 'null')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Write it as Stripe''s API reference does, without query: /v1/customers/cus_123.';
    END IF;
    IF path ~ '^/v1/(webhook_endpoints|ephemeral_keys)(/|$)' THEN
        RAISE EXCEPTION '% answers with a secret, which no table is to hold', path
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Call Stripe from where the secret is needed.';
    END IF;
    IF parameters IS NULL OR jsonb_typeof(parameters) <> 'object' THEN
        RAISE EXCEPTION 'parameters must be a JSON object, not %', coalesce(left(parameters::text, 200), 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass ''{}'' when there are none.';
    END IF;
    IF options IS NULL OR jsonb_typeof(options) <> 'object' THEN
        RAISE EXCEPTION 'options must be a JSON object, not %', coalesce(options::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Options are "method" and "stripe_account".';
    END IF;
    SELECT o.key INTO wrong FROM jsonb_object_keys(options) o(key) WHERE o.key NOT IN ('method', 'stripe_account') LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'unknown option "%"', wrong
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Options are "method" and "stripe_account".';
    END IF;
    IF method NOT IN ('POST', 'DELETE') THEN
        RAISE EXCEPTION 'method must be POST or DELETE, not "%"', method
            USING ERRCODE = 'invalid_parameter_value', HINT = 'What is read is in the mirror already: stripe_objects.';
    END IF;
    IF options ->> 'stripe_account' !~ '^acct_[A-Za-z0-9]+$' THEN
        RAISE EXCEPTION 'not an account of Stripe''s: "%"', options ->> 'stripe_account'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out for the account of the worker''s key.';
    END IF;
    RETURN @extschema@.add_stripe_request(enqueue_stripe_request.user_id, 'request', method, path, parameters,
        -- What is made has no order among itself; what is changed has.
        CASE WHEN path ~ '^/v1/[a-z_]+$' THEN path || ':' || gen_random_uuid()
             ELSE substring(path FROM '^/v1/[a-z_]+/[A-Za-z0-9_]+') END,
        jsonb_strip_nulls(jsonb_build_object('stripe_account', options ->> 'stripe_account', 'call',
            jsonb_build_array('request', method, path, parameters, options ->> 'stripe_account'))), idempotency_key);
END
$$;
COMMENT ON FUNCTION enqueue_stripe_request(text, text, jsonb, text, jsonb) IS
    'writes down a call of Stripe''s API, which a worker performs once this transaction has committed; the answer is in stripe_requests, and NOTIFY pg_billing_answers tells of it';

-- Nobody knows any more whether a request that is in doubt for longer than Stripe knows its key had its effect.
CREATE FUNCTION claim_stripe_requests(max_rows integer DEFAULT 20)
    RETURNS TABLE (request_id text, method text, path text, parameters jsonb, stripe_account text, livemode boolean,
                   purpose text, attempt integer, fetch_id text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    mode_live boolean := @extschema@.in_live_mode();
BEGIN
    IF max_rows IS NULL OR max_rows NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'max_rows must be between 1 and 1000, not %', coalesce(max_rows::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Claim what is performed within five minutes.';
    END IF;
    RETURN QUERY
        WITH due AS MATERIALIZED (
            SELECT r.request_id,
                   CASE WHEN coalesce(r.in_doubt_since, r.sent_at) < now() - interval '23 hours' THEN 'expired_in_doubt'
                        WHEN r.purpose = 'push_stripe_usage'
                             AND (r.parameters ->> 'timestamp')::bigint < extract(epoch FROM now() - interval '35 days')
                            THEN 'too_old'
                        WHEN r.purpose = 'get_or_create_stripe_customer' AND r.in_doubt_since IS NULL AND r.sent_at IS NULL
                             AND @extschema@.linked_customer(r.user_id) IS NOT NULL THEN 'linked_meanwhile' END AS unwanted
              FROM @extschema@.stripe_requests r
             WHERE r.status = 'pending' AND r.next_attempt_at <= now() AND r.livemode = mode_live
               AND NOT EXISTS (SELECT FROM @extschema@.stripe_requests b
                                WHERE b.subject = r.subject AND b.number < r.number AND b.finished_at IS NULL)
             ORDER BY r.next_attempt_at LIMIT max_rows FOR NO KEY UPDATE SKIP LOCKED),
        unwanted AS (
            UPDATE @extschema@.stripe_requests r
               SET status = CASE d.unwanted WHEN 'expired_in_doubt' THEN 'held' WHEN 'too_old' THEN 'failed'
                                            ELSE 'canceled' END,
                   finished_at = CASE d.unwanted WHEN 'expired_in_doubt' THEN NULL ELSE now() END,
                   in_doubt_since = coalesce(r.in_doubt_since, r.sent_at), sent_at = NULL,
                   error = jsonb_build_object('code', d.unwanted, 'message', CASE d.unwanted
                       WHEN 'expired_in_doubt' THEN 'it may have had its effect: look at Stripe, then release_stripe_request() or cancel_stripe_request()'
                       WHEN 'too_old' THEN 'Stripe takes no meter events older than 35 days'
                       ELSE 'the user has a customer by now' END)
              FROM due d WHERE r.request_id = d.request_id AND d.unwanted IS NOT NULL
            RETURNING r.request_id)
        UPDATE @extschema@.stripe_requests r
           SET attempts = r.attempts + 1, in_doubt_since = coalesce(r.in_doubt_since, r.sent_at), sent_at = now(),
               next_attempt_at = now() + interval '5 minutes'
          FROM due d WHERE r.request_id = d.request_id AND d.unwanted IS NULL
        RETURNING r.request_id, r.method, r.path, r.parameters, r.stripe_account, r.livemode, r.purpose, r.attempts,
                  @extschema@.next_stripe_fetch_id();
END
$$;
COMMENT ON FUNCTION claim_stripe_requests(integer) IS
    'hands out requests that are due, each to one worker for five minutes, and of those with one subject the first; finish_stripe_request() or postpone_stripe_request() ends it';
