-- What the worker's HTTP API does in the database. Who asks is what a signed token says, which the worker has checked;
-- its role may call these functions and read no table. docs/http-api.md

-- How often a user has called lately, for all workers together. Lost in a crash, and no harm done.
CREATE UNLOGGED TABLE api_calls (
    user_id   text COLLATE "C" NOT NULL CHECK (octet_length(user_id) BETWEEN 1 AND 255),
    action    text COLLATE "C" NOT NULL,
    calls     timestamptz[] NOT NULL DEFAULT '{}',
    last_call timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, action)
) WITH (fillfactor = 50);
COMMENT ON TABLE api_calls IS 'when a user has called the HTTP API within the last minute: its limits of writing';

CREATE TABLE api_checkouts (
    user_id         text COLLATE "C" PRIMARY KEY CHECK (octet_length(user_id) BETWEEN 1 AND 255),
    request         jsonb NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    session_id      text COLLATE "C",
    url             text COLLATE "C",
    expires_at      timestamptz,
    replaces        text COLLATE "C",
    created_at      timestamptz NOT NULL
);
COMMENT ON TABLE api_checkouts IS 'the checkout session that the HTTP API has opened last for a user: one is open at a time';
COMMENT ON COLUMN api_checkouts.request IS 'what Stripe was asked for: the same again is the same session';
COMMENT ON COLUMN api_checkouts.session_id IS 'null while Stripe has not answered';
COMMENT ON COLUMN api_checkouts.replaces IS 'the session to expire before this one is opened';

-- Whoever is refused has not called: waiting is enough.
CREATE FUNCTION count_api_call(user_id text, action text, most integer, within interval DEFAULT '1 minute')
    RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    recent timestamptz[];
    at     timestamptz;
BEGIN
    PERFORM @extschema@.check_user_id(count_api_call.user_id);
    IF most IS NULL OR most NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'most must be between 1 and 1000, not %', coalesce(most::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Each call is kept for as long as it counts.';
    END IF;
    INSERT INTO @extschema@.api_calls (user_id, action) VALUES (count_api_call.user_id, count_api_call.action)
    ON CONFLICT ON CONSTRAINT api_calls_pkey DO NOTHING;
    SELECT c.calls INTO recent FROM @extschema@.api_calls c
     WHERE c.user_id = count_api_call.user_id AND c.action = count_api_call.action FOR UPDATE;
    at := clock_timestamp();
    recent := ARRAY(SELECT c FROM unnest(recent) c WHERE c > at - within ORDER BY c);
    IF cardinality(recent) >= most THEN
        RETURN greatest(1, ceil(extract(epoch FROM recent[cardinality(recent) - most + 1] + within - at)));
    END IF;
    UPDATE @extschema@.api_calls c SET calls = recent || at, last_call = at
     WHERE c.user_id = count_api_call.user_id AND c.action = count_api_call.action;
    IF random() < 0.002 THEN
        DELETE FROM @extschema@.api_calls c WHERE c.ctid = ANY (ARRAY(
            SELECT d.ctid FROM @extschema@.api_calls d WHERE d.last_call < now() - interval '1 day'
             LIMIT 1000 FOR UPDATE SKIP LOCKED));
    END IF;
    RETURN 0;
END
$$;
COMMENT ON FUNCTION count_api_call(text, text, integer, interval) IS
    'counts a call of this user''s, and returns 0; or in how many seconds there may be another, without counting';

-- A price as somebody wants to buy it; `refused` says why he can't.
CREATE FUNCTION api_price(price_id text, plan text, cycle text, OUT price jsonb, OUT plan_id text, OUT refused jsonb)
    RETURNS record
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    wanted text := price_id;
    live   boolean := @extschema@.in_live_mode();
BEGIN
    IF wanted IS NULL THEN
        BEGIN
            wanted := @extschema@.plan_price(plan, cycle);
        EXCEPTION WHEN invalid_parameter_value THEN
            refused := jsonb_build_object('reason', 'unknown_plan', 'param', 'plan', 'message', SQLERRM);
            RETURN;
        END;
    END IF;
    SELECT o.object INTO price FROM @extschema@.stripe_objects o
     WHERE o.stripe_account = '' AND o.livemode = live AND o.object_type = 'price' AND o.object_id = wanted
       AND NOT o.deleted AND o.object IS NOT NULL;
    IF price IS NULL THEN
        refused := jsonb_build_object('reason', 'unknown_price', 'param', 'price', 'message', 'there is no price ' || wanted);
        RETURN;
    END IF;
    SELECT p.plan_id INTO plan_id FROM @extschema@.price_plans p
     WHERE p.stripe_account = '' AND p.livemode = live AND p.price_id = wanted;
    IF NOT coalesce((price ->> 'active')::boolean, true)
       OR EXISTS (SELECT FROM @extschema@.subscription_plans s WHERE s.id = plan_id AND NOT s.is_active)
       OR (plan_id IS NULL AND price ->> 'type' = 'recurring'
           AND EXISTS (SELECT FROM @extschema@.subscription_plans s)) THEN
        refused := jsonb_build_object('reason', 'price_not_offered', 'param', CASE WHEN price_id IS NULL THEN 'plan' ELSE 'price' END,
                                      'message', 'price ' || wanted || ' is not offered');
    END IF;
END
$$;
COMMENT ON FUNCTION api_price(text, text, text) IS 'a step of begin_api_checkout(): the price, its plan, and whether it is offered';

-- One call decides everything: who may buy, what, with which trial, and whether that is open already; and asks for a
-- customer in the same transaction, when there is none.
CREATE FUNCTION begin_api_checkout(user_id text, request jsonb)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    AS $$
#variable_conflict use_column
DECLARE
    me       text := begin_api_checkout.user_id;
    settings jsonb := (SELECT jsonb_object_agg(s.name, s.value) FROM @extschema@.get_billing_settings() s
                        WHERE s.name IN ('mode', 'accept_payments'));
    wait     integer;
    chosen   record;
    mode     text;
    state    jsonb;
    trial    jsonb;
    days     bigint := 0;
    wanted   jsonb;
    open     @extschema@.api_checkouts;
    running  boolean;
BEGIN
    PERFORM @extschema@.check_user_id(me);
    wait := @extschema@.count_api_call(me, 'checkout', (request ->> 'most')::integer);
    IF wait > 0 THEN
        RETURN jsonb_build_object('status', 'refused', 'reason', 'too_many_requests', 'retry_in', wait);
    END IF;
    IF settings ->> 'accept_payments' = 'off' THEN
        RETURN jsonb_build_object('status', 'refused', 'reason', 'payments_off');
    END IF;
    SELECT * INTO chosen FROM @extschema@.api_price(request ->> 'price', request ->> 'plan', request ->> 'cycle');
    IF chosen.refused IS NOT NULL THEN
        RETURN jsonb_build_object('status', 'refused') || chosen.refused;
    END IF;
    mode := CASE chosen.price ->> 'type' WHEN 'recurring' THEN 'subscription' ELSE 'payment' END;
    IF coalesce(request ->> 'mode', mode) <> mode THEN
        RETURN jsonb_build_object('status', 'refused', 'reason', 'wrong_mode', 'param', 'mode',
            'message', 'price ' || (chosen.price ->> 'id') || ' is for mode ' || mode);
    END IF;
    IF mode = 'subscription' THEN
        state := @extschema@.get_user_subscription_state(me);
        IF NOT (state ->> 'can_purchase')::boolean THEN
            RETURN jsonb_build_object('status', 'refused', 'reason',
                CASE state ->> 'reason' WHEN 'subscription_awaited' THEN 'subscription_awaited' ELSE 'already_subscribed' END,
                'state', state -> 'state', 'next_step', state -> 'next_step');
        END IF;
        trial := @extschema@.is_trial_eligible(me, chosen.plan_id);
        IF request @> '{"trial": true}' AND NOT (trial ->> 'eligible')::boolean THEN
            RETURN jsonb_build_object('status', 'refused', 'reason', 'trial_not_available', 'param', 'trial',
                                      'why', trial -> 'reason');
        END IF;
        IF chosen.plan_id IS NOT NULL AND NOT request @> '{"trial": false}' THEN
            days := (trial ->> 'days')::bigint;
        END IF;
    END IF;
    wanted := jsonb_strip_nulls(jsonb_build_object(
        'livemode', settings ->> 'mode' = 'live', 'mode', mode, 'price', chosen.price -> 'id', 'plan', chosen.plan_id,
        'quantity', coalesce((request ->> 'quantity')::bigint, 1), 'trial_days', nullif(days, 0),
        'success_url', request -> 'success_url', 'cancel_url', request -> 'cancel_url',
        'allow_promotion_codes', request -> 'allow_promotion_codes', 'locale', request -> 'locale',
        -- What a payment buys is said by what is sold, never by whoever buys it.
        'metadata', CASE mode WHEN 'payment' THEN (
            SELECT nullif(jsonb_object_agg(m.key, m.value), '{}')
              FROM jsonb_each(coalesce((SELECT o.object -> 'metadata' FROM @extschema@.stripe_objects o
                                         WHERE o.stripe_account = '' AND o.object_type = 'product'
                                           AND o.livemode = (settings ->> 'mode' = 'live')
                                           AND o.object_id = @extschema@.stripe_id(chosen.price -> 'product')
                                           AND jsonb_typeof(o.object -> 'metadata') = 'object'), '{}')
                              || CASE jsonb_typeof(chosen.price -> 'metadata') WHEN 'object' THEN chosen.price -> 'metadata'
                                                                               ELSE '{}' END) m
             WHERE m.key IN ('item_id', 'item_ids', 'seller_id')) END));
    -- From here on two requests of one user take turns.
    INSERT INTO @extschema@.api_checkouts AS c (user_id, request, idempotency_key, created_at)
    VALUES (me, wanted, 'pgb_checkout_' || replace(gen_random_uuid()::text, '-', ''), clock_timestamp())
    ON CONFLICT ON CONSTRAINT api_checkouts_pkey DO UPDATE SET user_id = excluded.user_id
    RETURNING c.* INTO open;
    running := CASE WHEN open.session_id IS NULL THEN open.created_at > clock_timestamp() - interval '15 minutes'
                    ELSE open.expires_at > clock_timestamp() + interval '1 minute' END
        AND NOT EXISTS (SELECT FROM @extschema@.stripe_objects o
                         WHERE o.stripe_account = '' AND o.livemode = (settings ->> 'mode' = 'live')
                           AND o.object_type = 'checkout.session' AND o.object_id = open.session_id
                           AND o.object ->> 'status' IN ('complete', 'expired'));
    IF running AND open.request = wanted AND open.session_id IS NOT NULL THEN
        RETURN jsonb_build_object('status', 'open', 'session_id', open.session_id, 'url', open.url, 'mode', mode,
                                  'expires_at', open.expires_at, 'trial_days', days);
    END IF;
    -- The same again, while Stripe has not answered, is the same request to Stripe.
    IF NOT running OR open.request <> wanted THEN
        UPDATE @extschema@.api_checkouts c
           SET request = wanted, idempotency_key = 'pgb_checkout_' || replace(gen_random_uuid()::text, '-', ''),
               replaces = CASE WHEN running THEN coalesce(c.session_id, c.replaces) ELSE c.replaces END,
               session_id = NULL, url = NULL, expires_at = NULL, created_at = clock_timestamp()
         WHERE c.user_id = me RETURNING c.* INTO open;
    END IF;
    RETURN wanted || jsonb_build_object('status', 'create', 'idempotency_key', open.idempotency_key,
                                        'replaces', open.replaces, 'trial_days', days,
                                        'customer', @extschema@.get_or_create_stripe_customer(me, request ->> 'email'));
END
$$;
COMMENT ON FUNCTION begin_api_checkout(text, jsonb) IS
    'what a checkout is to be: refused (with reason), open (there is one like it), or create, with what to ask Stripe for, and the customer or the request that makes him';

CREATE FUNCTION finish_api_checkout(user_id text, idempotency_key text, session_id text, url text, expires_at timestamptz)
    RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    UPDATE @extschema@.api_checkouts c
       SET session_id = finish_api_checkout.session_id, url = finish_api_checkout.url,
           expires_at = finish_api_checkout.expires_at,
           replaces = CASE WHEN finish_api_checkout.session_id IS NULL THEN c.replaces END,
           -- Stripe has refused it: the same again is another request.
           created_at = CASE WHEN finish_api_checkout.session_id IS NULL THEN '-infinity' ELSE c.created_at END
     WHERE c.user_id = finish_api_checkout.user_id AND c.idempotency_key = finish_api_checkout.idempotency_key;
    RETURN CASE WHEN FOUND THEN 'open' ELSE 'superseded' END;
END
$$;
COMMENT ON FUNCTION finish_api_checkout(text, text, text, text, timestamptz) IS
    'notes the session that Stripe has opened: open; or superseded, when the user has asked for another one meanwhile';

CREATE FUNCTION begin_api_portal(user_id text, most integer)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    wait integer := @extschema@.count_api_call(begin_api_portal.user_id, 'portal', most);
BEGIN
    IF wait > 0 THEN
        RETURN jsonb_build_object('status', 'refused', 'reason', 'too_many_requests', 'retry_in', wait);
    END IF;
    RETURN jsonb_build_object('status', 'begun', 'stripe_customer_id', @extschema@.linked_customer(begin_api_portal.user_id));
END
$$;
COMMENT ON FUNCTION begin_api_portal(text, integer) IS
    'whose portal is to be opened: stripe_customer_id, null when there is none yet; or refused, when it was asked for too often';

-- cancel, resume or change, as somebody asks for it who may have no price that is not offered.
CREATE FUNCTION api_change(user_id text, action text, request jsonb)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    me      text := api_change.user_id;
    wait    integer := @extschema@.count_api_call(me, 'change', (request ->> 'most')::integer);
    price   jsonb;
    refused jsonb;
BEGIN
    IF wait > 0 THEN
        RETURN jsonb_build_object('status', 'refused', 'reason', 'too_many_requests', 'retry_in', wait);
    END IF;
    IF action = 'cancel' THEN
        RETURN @extschema@.cancel_subscription(me, coalesce((request ->> 'at_period_end')::boolean, true),
            jsonb_strip_nulls(jsonb_build_object('comment', request -> 'comment', 'feedback', request -> 'feedback')));
    ELSIF action = 'resume' THEN
        RETURN @extschema@.resume_subscription(me);
    ELSIF action IS DISTINCT FROM 'change' THEN
        RAISE EXCEPTION 'action must be cancel, resume or change, not "%"', coalesce(action, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'The HTTP API has a path for each.';
    END IF;
    IF request ? 'price' OR request ? 'plan' THEN
        SELECT p.price, p.refused INTO price, refused
          FROM @extschema@.api_price(request ->> 'price', request ->> 'plan', request ->> 'cycle') p;
        IF refused IS NULL AND price ->> 'type' IS DISTINCT FROM 'recurring' THEN
            refused := jsonb_build_object('reason', 'wrong_mode', 'param', 'price', 'message',
                'price ' || (price ->> 'id') || ' is for mode payment');
        END IF;
        IF refused IS NOT NULL THEN
            RETURN jsonb_build_object('status', 'refused') || refused;
        END IF;
    END IF;
    -- A card that is declined changes nothing.
    RETURN @extschema@.change_subscription(me, NULL, CASE WHEN price IS NULL THEN request ->> 'cycle' END,
        (request ->> 'quantity')::bigint, coalesce(request ->> 'apply_when', 'now'),
        jsonb_strip_nulls(jsonb_build_object('price', price -> 'id', 'preview', request -> 'preview',
            'payment_behavior', CASE WHEN coalesce(request ->> 'apply_when', 'now') = 'now'
                                          AND NOT coalesce((request ->> 'preview')::boolean, false)
                                     THEN 'error_if_incomplete' END)));
END
$$;
COMMENT ON FUNCTION api_change(text, text, jsonb) IS
    'cancel_subscription(), resume_subscription() or change_subscription() as a user of the HTTP API may call them; refused when too often, or for a price that is not offered';

-- What Stripe answered may be of the same second as what was known before; then its webhook tells.
CREATE FUNCTION is_api_change_applied(user_id text, request_id text)
    RETURNS boolean
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT coalesce((
        SELECT bool_and(o.object -> k.key IS NOT DISTINCT FROM r.response -> k.key)
               AND (SELECT count(*) FROM jsonb_array_elements(r.response #> '{items,data}') i
                     WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(o.object #> '{items,data}') j
                                        WHERE (j.value -> 'id', j.value -> 'quantity', j.value #> '{price,id}')
                                              IS NOT DISTINCT FROM
                                              (i.value -> 'id', i.value -> 'quantity', i.value #> '{price,id}'))) = 0
          FROM @extschema@.stripe_requests r
          JOIN @extschema@.stripe_objects o ON o.stripe_account = r.stripe_account AND o.livemode = r.livemode
               AND o.object_type = 'subscription' AND o.object_id = r.response ->> 'id'
         CROSS JOIN (VALUES ('status'), ('cancel_at_period_end'), ('cancel_at')) k(key)
         WHERE r.request_id = is_api_change_applied.request_id AND r.user_id = is_api_change_applied.user_id
           AND r.response ->> 'object' = 'subscription'
         GROUP BY r.response, o.object), true)
$$;
COMMENT ON FUNCTION is_api_change_applied(text, text) IS 'whether the mirror has the subscription as Stripe answered a request';

-- The success page asks about a session that the user comes back from.
CREATE FUNCTION begin_session_fetch(user_id text, session_id text, most integer)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    live  boolean := @extschema@.in_live_mode();
    known jsonb;
    wait  integer;
BEGIN
    PERFORM @extschema@.check_user_id(begin_session_fetch.user_id);
    -- The webhooks were quicker: it is paid, and what it bought is there.
    SELECT o.object INTO known FROM @extschema@.stripe_objects o
     WHERE o.stripe_account = '' AND o.livemode = live AND o.object_type = 'checkout.session'
       AND o.object_id = begin_session_fetch.session_id
       AND o.object ->> 'status' = 'complete' AND o.object ->> 'payment_status' <> 'unpaid'
       AND EXISTS (SELECT FROM @extschema@.stripe_objects b
                    WHERE b.stripe_account = '' AND b.livemode = live AND b.object IS NOT NULL
                      AND ((b.object_type, b.object_id) = ('subscription', @extschema@.stripe_id(o.object -> 'subscription'))
                           OR (b.object_type, b.object_id) = ('payment_intent', @extschema@.stripe_id(o.object -> 'payment_intent'))
                              AND b.object ->> 'status' = 'succeeded'));
    IF known IS NOT NULL THEN
        RETURN jsonb_build_object('status', 'known', 'session', known);
    END IF;
    wait := @extschema@.count_api_call(begin_session_fetch.user_id, 'session', most);
    IF wait > 0 THEN
        RETURN jsonb_build_object('status', 'refused', 'reason', 'too_many_requests', 'retry_in', wait);
    END IF;
    RETURN jsonb_build_object('status', 'fetch', 'livemode', live, 'fetch_ids', (
        SELECT jsonb_agg(@extschema@.next_stripe_fetch_id())
          FROM generate_series(1, 4)));
END
$$;
COMMENT ON FUNCTION begin_session_fetch(text, text, integer) IS
    'known, with the session, when it is paid and applied; or fetch, with ids for fetching it and what it has led to; or refused, when the user has asked too often';

-- An event that finds its user busy is tried again within a second.
CREATE FUNCTION is_session_applied(user_id text, session jsonb)
    RETURNS boolean
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE WHEN session ->> 'status' IS DISTINCT FROM 'complete' THEN true
                WHEN @extschema@.stripe_id(session -> 'subscription') IS NOT NULL
                THEN EXISTS (SELECT FROM @extschema@.user_subscriptions s
                              WHERE s.user_id = is_session_applied.user_id
                                AND s.stripe_subscription_id = @extschema@.stripe_id(session -> 'subscription'))
                WHEN @extschema@.stripe_id(session -> 'payment_intent') IS NOT NULL
                     AND session ->> 'payment_status' = 'paid'
                THEN EXISTS (SELECT FROM @extschema@.payments p
                              WHERE p.user_id = is_session_applied.user_id AND p.paid_at IS NOT NULL
                                AND p.payment_id = @extschema@.stripe_id(session -> 'payment_intent'))
                ELSE true END
$$;
COMMENT ON FUNCTION is_session_applied(text, jsonb) IS
    'whether what a checkout session has led to is among this user''s subscriptions and payments';

CREATE FUNCTION is_session_of(user_id text, session jsonb)
    RETURNS boolean
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE WHEN n.named IS NOT NULL
                THEN is_session_of.user_id = n.named
                     OR EXISTS (SELECT FROM @extschema@.user_aliases a
                                 WHERE a.user_id = n.named AND a.now_user_id = is_session_of.user_id)
                ELSE EXISTS (SELECT FROM @extschema@.stripe_customer_links l
                              WHERE l.stripe_customer_id = @extschema@.stripe_id(session -> 'customer')
                                AND l.user_id = is_session_of.user_id) END
      FROM (SELECT coalesce(session ->> 'client_reference_id', session #>> '{metadata,user_id}') AS named) n
$$;
COMMENT ON FUNCTION is_session_of(text, jsonb) IS
    'whether a checkout session of Stripe''s is this user''s: it names him, or nobody and its customer is his';
