CREATE FUNCTION get_user_subscription_state(user_id text, as_of timestamptz DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c STABLE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'get_user_subscription_state';
COMMENT ON FUNCTION get_user_subscription_state(text, timestamptz) IS
    'the state of a user now, or judged at another instant; reads only, also on a standby';

CREATE FUNCTION has_active_subscription(user_id text)
    RETURNS boolean
    LANGUAGE c STABLE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'has_active_subscription';
COMMENT ON FUNCTION has_active_subscription(text) IS 'whether the user has access now';

CREATE FUNCTION require_subscription(user_id text)
    RETURNS void
    LANGUAGE c STABLE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'require_subscription';
COMMENT ON FUNCTION require_subscription(text) IS
    'raises SQLSTATE PT402 (HTTP 402 through PostgREST) unless the user has access now';

CREATE FUNCTION explain_user(user_id text)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    asked    text := explain_user.user_id;
    state    jsonb;
    links    jsonb;
    waiting  jsonb;
    events   jsonb;
    audits   jsonb;
    why      text[];
    mode     text := (SELECT s.value FROM @extschema@.get_billing_settings() s WHERE s.name = 'mode');
BEGIN
    PERFORM @extschema@.check_user_id(asked);
    state := @extschema@.get_user_subscription_state(asked);

    SELECT jsonb_agg(jsonb_build_object(
               'stripe_customer_id', l.stripe_customer_id, 'source', l.source, 'linked_at', l.linked_at,
               'linked_by', l.linked_by, 'conflict_user_id', l.conflict_user_id,
               'conflict_source', l.conflict_source) ORDER BY l.linked_at, l.stripe_customer_id)
      INTO links
      FROM @extschema@.stripe_customer_links l
     WHERE l.user_id = asked;

    -- This user's events that wait; when nobody is linked yet, also the customers that nobody is linked to.
    SELECT jsonb_agg(w.line ORDER BY w.line ->> 'stripe_event_id')
      INTO waiting
      FROM (SELECT jsonb_build_object(
                       'stripe_event_id', e.stripe_event_id, 'event_type', e.event_type, 'outcome', e.outcome,
                       'error', e.error, 'retry_count', e.retry_count, 'next_retry_at', e.next_retry_at) AS line
              FROM @extschema@.stripe_events e
             WHERE NOT e.processed
               AND (e.waiting_for = 'user:' || asked
                    OR e.stripe_customer_id IN (SELECT l.stripe_customer_id
                                                  FROM @extschema@.stripe_customer_links l
                                                 WHERE l.user_id = asked)
                    OR (links IS NULL AND e.waiting_for LIKE 'customer:%'))
             ORDER BY e.created_at DESC
             LIMIT 20) w;

    SELECT jsonb_agg(v.line)
      INTO events
      FROM (SELECT jsonb_build_object(
                       'stripe_event_id', e.stripe_event_id, 'event_type', e.event_type, 'object_id', e.object_id,
                       'stripe_created', e.stripe_created, 'received_at', e.created_at, 'outcome', e.outcome,
                       'error', e.error, 'duplicates', e.duplicates) AS line
              FROM @extschema@.stripe_events e
             WHERE e.object_id IN (SELECT l.stripe_customer_id FROM @extschema@.stripe_customer_links l
                                    WHERE l.user_id = asked
                                   UNION ALL
                                   SELECT s.stripe_subscription_id FROM @extschema@.user_subscriptions s
                                    WHERE s.user_id = asked
                                   UNION ALL
                                   SELECT s.latest_invoice_id FROM @extschema@.user_subscriptions s
                                    WHERE s.user_id = asked)
             ORDER BY e.stripe_created DESC, e.stripe_event_id DESC
             LIMIT 20) v;

    SELECT jsonb_agg(a.line)
      INTO audits
      FROM (SELECT jsonb_build_object('action', l.action, 'subject', l.subject, 'event_id', l.event_id,
                                      'event_created', l.event_created, 'actor', l.actor, 'reason', l.reason) AS line
              FROM @extschema@.audit_logs l
             WHERE l.user_id = asked
             ORDER BY coalesce(l.event_created, l.created_at) DESC, l.fact
             LIMIT 20) a;

    why := ARRAY[format('%s has %s: state %s, reason %s%s', asked,
                        CASE WHEN (state ->> 'has_access')::boolean THEN 'access' ELSE 'no access' END,
                        state ->> 'state', state ->> 'reason',
                        coalesce(', until ' || (state ->> 'access_until'), ''))];
    IF links IS NULL THEN
        why := why || format('no Stripe customer is linked to %s', asked);
        why := why || coalesce((SELECT array_agg(DISTINCT 'parked: ' || (p.line ->> 'error'))
                                  FROM jsonb_array_elements(waiting) p(line)
                                 WHERE p.line ->> 'outcome' = 'parked'), '{}');
    ELSE
        why := why || coalesce((SELECT array_agg(format('%s %s: %s', p.line ->> 'stripe_event_id',
                                                        p.line ->> 'outcome', p.line ->> 'error'))
                                  FROM jsonb_array_elements(waiting) p(line)), '{}');
        why := why || coalesce((SELECT array_agg(format('%s is linked to %s, but Stripe''s data (%s) also names %s',
                                                        k.line ->> 'stripe_customer_id', asked,
                                                        k.line ->> 'conflict_source', k.line ->> 'conflict_user_id'))
                                  FROM jsonb_array_elements(links) k(line)
                                 WHERE k.line ->> 'conflict_user_id' IS NOT NULL), '{}');
    END IF;
    why := why || coalesce((SELECT array_agg(format('%s is for %s, mapped to no plan: see upsert_plan()',
                                                    u.line ->> 'stripe_subscription_id',
                                                    (SELECT string_agg(i.line ->> 'price_id', ', ')
                                                       FROM jsonb_array_elements(u.line -> 'items') i(line))))
                              FROM jsonb_array_elements(state -> 'subscriptions') u(line)
                             WHERE u.line ->> 'reason' = 'unmapped_price'), '{}');
    why := why || coalesce((SELECT array_agg(format('%s was completed at %s, and nothing has been told of its %s: resend '
                                                    'customer.subscription.created of it', w.checkout_session_id,
                                                    w.completed_at, w.stripe_subscription_id)
                                             ORDER BY w.stripe_subscription_id)
                              FROM @extschema@.awaited_subscriptions w
                             WHERE w.user_id = asked AND w.livemode = (mode = 'live')), '{}');
    -- In test mode a customer may live by a clock of Stripe's.
    why := why || coalesce((SELECT array_agg(format('%s is on test clock %s, and judged at its time: %s%s',
                       u.line ->> 'stripe_subscription_id', u.line #>> '{test_clock,id}',
                       u.line #>> '{test_clock,frozen_time}',
                       CASE WHEN NOT EXISTS (SELECT FROM @extschema@.stripe_objects o
                                              WHERE o.object_type = 'test_helpers.test_clock' AND o.object IS NOT NULL
                                                AND o.object_id = u.line #>> '{test_clock,id}')
                            THEN ', the latest that Stripe did there; send test_helpers.test_clock.* to this endpoint'
                            ELSE '' END))
                              FROM jsonb_array_elements(state -> 'subscriptions') u(line)
                             WHERE u.line ? 'test_clock'), '{}');
    IF EXISTS (SELECT FROM @extschema@.user_subscriptions s
                WHERE s.user_id = asked AND s.livemode IS DISTINCT FROM (mode = 'live')) THEN
        why := why || format('subscriptions of the other mode do not count while billing.mode is %s', mode);
    END IF;

    RETURN jsonb_build_object(
        'user_id', asked, 'has_access', state -> 'has_access', 'reason', state -> 'reason',
        'next_step', CASE WHEN links IS NULL AND waiting IS NOT NULL THEN to_jsonb('link_stripe_customer'::text)
                          ELSE state -> 'next_step' END,
        'why', to_jsonb(why), 'mode', mode, 'state', state,
        'customer_links', coalesce(links, '[]'), 'waiting_events', coalesce(waiting, '[]'),
        'recent_events', coalesce(events, '[]'), 'audit', coalesce(audits, '[]'));
END
$$;
COMMENT ON FUNCTION explain_user(text) IS 'why a user has access or none: the rows and the events behind it';
