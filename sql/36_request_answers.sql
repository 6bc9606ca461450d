-- What came of a request to Stripe. docs/stripe-requests.md
CREATE FUNCTION finish_stripe_request(request_id text, answer jsonb, payload text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    request @extschema@.stripe_requests;
    ok      boolean := answer -> 'error' IS NULL;
BEGIN
    IF answer IS NULL OR jsonb_typeof(answer) <> 'object' OR jsonb_typeof(answer -> 'status') IS DISTINCT FROM 'number' THEN
        RAISE EXCEPTION 'answer must be an object with a status, not %', coalesce(left(answer::text, 200), 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Members are "status", "body", "error" and "request_id".';
    END IF;
    SELECT r.* INTO request FROM @extschema@.stripe_requests r
     WHERE r.request_id = finish_stripe_request.request_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no request "%"', coalesce(left(finish_stripe_request.request_id, 100), 'null')
            USING ERRCODE = 'no_data_found', HINT = 'Pass what claim_stripe_requests() returned.';
    END IF;
    -- The same answer once more, after a lease that ended too early. One that was held meanwhile has its answer now.
    IF request.finished_at IS NOT NULL THEN
        RETURN @extschema@.stripe_request(request.request_id);
    END IF;
    UPDATE @extschema@.stripe_requests r
       SET status = CASE WHEN ok THEN 'succeeded' ELSE 'failed' END, finished_at = clock_timestamp(),
           http_status = (answer ->> 'status')::integer, stripe_request_id = nullif(answer ->> 'request_id', ''),
           response = answer -> 'body', error = answer -> 'error', sent_at = NULL, in_doubt_since = NULL
     WHERE r.request_id = request.request_id
    RETURNING r.* INTO request;
    IF payload IS NOT NULL THEN
        PERFORM FROM @extschema@.process_stripe_events(ARRAY[payload]);
    END IF;
    IF request.purpose = 'schedule_change' AND ok THEN
        PERFORM @extschema@.add_scheduled_phase(request);
    END IF;
    PERFORM pg_notify('pg_billing_answers', jsonb_build_object('request_id', request.request_id, 'user_id', request.user_id,
                      'purpose', request.purpose, 'status', request.status)::text);
    RETURN @extschema@.stripe_request(request.request_id);
END
$$;
COMMENT ON FUNCTION finish_stripe_request(text, jsonb, text) IS
    'keeps Stripe''s answer to a request, applies the object in it (payload: a fetch), and tells who listens, all in one transaction';

CREATE FUNCTION postpone_stripe_request(request_id text, error jsonb, unsent boolean, retry_in interval DEFAULT NULL)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    IF postpone_stripe_request.error IS NULL OR jsonb_typeof(postpone_stripe_request.error) <> 'object' OR unsent IS NULL THEN
        RAISE EXCEPTION 'error must be an object and unsent true or false'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Say why there is no answer, and whether Stripe can have acted.';
    END IF;
    UPDATE @extschema@.stripe_requests r
       SET error = postpone_stripe_request.error,
           in_doubt_since = CASE WHEN unsent THEN r.in_doubt_since ELSE coalesce(r.in_doubt_since, r.sent_at) END,
           sent_at = NULL,
           next_attempt_at = now() + coalesce(retry_in, least(interval '1 hour', interval '2 seconds' * power(2, least(r.attempts, 20)))),
           -- What Stripe has not taken for three days is nothing that its caller still expects.
           status = CASE WHEN unsent AND r.in_doubt_since IS NULL AND r.created_at < now() - interval '3 days'
                         THEN 'failed' ELSE r.status END,
           finished_at = CASE WHEN unsent AND r.in_doubt_since IS NULL AND r.created_at < now() - interval '3 days'
                              THEN clock_timestamp() END
     WHERE r.request_id = postpone_stripe_request.request_id AND r.finished_at IS NULL;
END
$$;
COMMENT ON FUNCTION postpone_stripe_request(text, jsonb, boolean, interval) IS
    'says why a request has no answer yet; unsent: Stripe has certainly not acted. It is sent again later and later, with the same key, at the end once an hour';

CREATE FUNCTION stripe_request(request_id text)
    RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT jsonb_build_object('request_id', r.request_id, 'user_id', r.user_id, 'purpose', r.purpose, 'status', r.status,
               'created_at', r.created_at, 'attempts', r.attempts, 'next_attempt_at', r.next_attempt_at,
               'finished_at', r.finished_at, 'http_status', r.http_status, 'stripe_request_id', r.stripe_request_id,
               'response', r.response, 'error', r.error, 'details', r.details)
      FROM @extschema@.stripe_requests r WHERE r.request_id = stripe_request.request_id
$$;
COMMENT ON FUNCTION stripe_request(text) IS 'one request to Stripe and what came of it; null when there is none with this id';

CREATE FUNCTION hold_stripe_requests(reason text)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    held bigint;
BEGIN
    IF coalesce(reason, '') = '' THEN
        RAISE EXCEPTION 'reason must not be empty'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Say why: the reason is kept in audit_logs.';
    END IF;
    UPDATE @extschema@.stripe_requests r
       SET status = 'held', error = jsonb_build_object('code', 'held', 'message', reason)
     WHERE r.status = 'pending';
    GET DIAGNOSTICS held = ROW_COUNT;
    PERFORM @extschema@.audit_by_hand('', 'requests_held', NULL, reason, jsonb_build_object('requests', held));
    RETURN held;
END
$$;
COMMENT ON FUNCTION hold_stripe_requests(text) IS
    'holds every request that is not performed yet, for a person: after a backup was restored nobody knows which have been; returns how many';

CREATE FUNCTION release_stripe_request(request_id text, reason text)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN @extschema@.decide_stripe_request(request_id, reason, 'pending');
END
$$;
COMMENT ON FUNCTION release_stripe_request(text, text) IS 'a held request is performed after all: it has not had its effect';

CREATE FUNCTION cancel_stripe_request(request_id text, reason text)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN @extschema@.decide_stripe_request(request_id, reason, 'canceled');
END
$$;
COMMENT ON FUNCTION cancel_stripe_request(text, text) IS
    'a request that is held, or not sent yet, is not performed: it is not wanted any more, or has had its effect';

CREATE FUNCTION decide_stripe_request(request_id text, reason text, decision text)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    request @extschema@.stripe_requests;
BEGIN
    IF coalesce(reason, '') = '' THEN
        RAISE EXCEPTION 'reason must not be empty'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Say why: the reason is kept in audit_logs.';
    END IF;
    SELECT r.* INTO request FROM @extschema@.stripe_requests r
     WHERE r.request_id = decide_stripe_request.request_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no request "%"', coalesce(left(decide_stripe_request.request_id, 100), 'null')
            USING ERRCODE = 'no_data_found', HINT = 'SELECT * FROM stripe_requests WHERE status = ''held'' lists those that wait.';
    END IF;
    IF request.finished_at IS NOT NULL OR (decision = 'pending' AND request.status = 'pending') THEN
        RETURN jsonb_build_object('success', false, 'status', request.status, 'request_id', request.request_id,
                                  'reason', 'not_held', 'next_step', 'none');
    END IF;
    IF request.status = 'pending' AND coalesce(request.sent_at, request.in_doubt_since) IS NOT NULL THEN
        RETURN jsonb_build_object('success', false, 'status', 'pending', 'request_id', request.request_id,
                                  'reason', 'being_sent', 'next_step', 'wait for its answer');
    END IF;
    UPDATE @extschema@.stripe_requests r
       SET status = decision, next_attempt_at = now(), sent_at = NULL, in_doubt_since = NULL,
           finished_at = CASE decision WHEN 'canceled' THEN clock_timestamp() END,
           error = CASE decision WHEN 'canceled' THEN jsonb_build_object('code', 'canceled', 'message', reason) END
     WHERE r.request_id = request.request_id;
    PERFORM @extschema@.audit_by_hand(coalesce(request.user_id, ''), 'request_' || CASE decision WHEN 'pending' THEN 'released'
                ELSE 'canceled' END, request.request_id, reason, jsonb_build_object('purpose', request.purpose));
    PERFORM pg_notify('pg_billing_requests', '');
    RETURN jsonb_build_object('success', true, 'status', decision, 'request_id', request.request_id);
END
$$;
COMMENT ON FUNCTION decide_stripe_request(text, text, text) IS 'a step of release_stripe_request() and cancel_stripe_request()';
