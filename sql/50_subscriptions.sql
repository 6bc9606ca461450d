-- What each user's subscriptions are, recomputed from the mirror whenever it changes.
CREATE TABLE user_subscriptions (
    user_id                text COLLATE "C" NOT NULL,
    stripe_subscription_id text COLLATE "C" NOT NULL,
    stripe_customer_id     text COLLATE "C" NOT NULL,
    stripe_account         text COLLATE "C" NOT NULL DEFAULT '',
    livemode               boolean NOT NULL,
    status                 text NOT NULL,
    price_id               text,
    product_id             text,
    quantity               bigint,
    current_period_start   timestamptz,
    current_period_end     timestamptz,
    next_renewal           timestamptz,
    trial_start            timestamptz,
    trial_end              timestamptz,
    cancel_at_period_end   boolean NOT NULL DEFAULT false,
    cancel_at              timestamptz,
    canceled_at            timestamptz,
    ended_at               timestamptz,
    paid_through           timestamptz,
    pause_behavior         text,
    pause_resumes_at       timestamptz,
    collection_method      text,
    latest_invoice_id      text,
    schedule_id            text,
    test_clock             text COLLATE "C",
    scheduled_change       jsonb,
    customer_deleted       boolean NOT NULL DEFAULT false,
    items                  jsonb NOT NULL,
    items_truncated        boolean NOT NULL DEFAULT false,
    metadata               jsonb NOT NULL DEFAULT '{}',
    stripe_created         timestamptz,
    event_created          timestamptz NOT NULL,
    ambiguous              boolean NOT NULL DEFAULT false,
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, stripe_subscription_id)
) WITH (fillfactor = 85);
-- Empty unless Stripe has invented a status: what ingest_metrics() counts.
CREATE INDEX user_subscriptions_unknown_status_idx ON user_subscriptions (user_id)
    WHERE status NOT IN ('incomplete', 'incomplete_expired', 'trialing', 'active', 'past_due', 'unpaid', 'paused',
                         'canceled');
-- Whose renewal is late.
CREATE INDEX user_subscriptions_due_idx ON user_subscriptions (current_period_end) WHERE status IN ('active', 'trialing');
CREATE INDEX user_subscriptions_test_clock_idx ON user_subscriptions (test_clock) WHERE test_clock IS NOT NULL;
COMMENT ON TABLE user_subscriptions IS 'subscriptions by user; follows the mirror';
COMMENT ON COLUMN user_subscriptions.status IS 'Stripe''s own word; the derived state is in get_user_subscription_state()';
COMMENT ON COLUMN user_subscriptions.price_id IS 'of the primary (first) item; items has all of them';
COMMENT ON COLUMN user_subscriptions.test_clock IS 'test mode: Stripe''s test clock that its customer is on, at whose frozen_time it is judged';
COMMENT ON COLUMN user_subscriptions.paid_through IS 'end of the latest period whose invoice is paid and whose money did not all go back';

-- What somebody has bought and nothing was told of yet: until then no second purchase is offered.
CREATE TABLE awaited_subscriptions (
    user_id                text COLLATE "C" NOT NULL,
    stripe_subscription_id text COLLATE "C" NOT NULL,
    stripe_customer_id     text COLLATE "C" NOT NULL,
    checkout_session_id    text COLLATE "C" NOT NULL,
    stripe_account         text COLLATE "C" NOT NULL DEFAULT '',
    livemode               boolean NOT NULL,
    completed_at           timestamptz,
    PRIMARY KEY (user_id, stripe_subscription_id)
);
COMMENT ON TABLE awaited_subscriptions IS
    'subscriptions that a completed checkout bought and that no event has told of yet; follows the mirror';

-- What happened to a user, one line a fact, with the event's own time and id.
CREATE TABLE audit_logs (
    user_id       text COLLATE "C" NOT NULL,
    fact          text COLLATE "C" NOT NULL,
    action        text COLLATE "C" NOT NULL,
    subject       text COLLATE "C",
    actor         text NOT NULL,
    reason        text,
    event_id      text COLLATE "C",
    event_created timestamptz,
    details       jsonb NOT NULL DEFAULT '{}',
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, fact)
);
CREATE INDEX audit_logs_created_at_idx ON audit_logs (created_at);
COMMENT ON TABLE audit_logs IS 'what happened to a user: one row per fact, however many events tell of it';
COMMENT ON COLUMN audit_logs.fact IS 'natural key of the fact: two tellings of one fact are one row';
COMMENT ON COLUMN audit_logs.user_id IS 'the user; empty for facts about the whole installation, such as a setting';

-- As audit::done_by_hand() in C++, for functions in SQL.
CREATE FUNCTION audit_by_hand(user_id text, action text, subject text, reason text, details jsonb)
    RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
    INSERT INTO @extschema@.audit_logs (user_id, fact, action, subject, actor, reason, details)
    VALUES (audit_by_hand.user_id, action || ':' || gen_random_uuid(), action, subject,
            coalesce(nullif(current_setting('role'), 'none'), session_user), reason, details)
$$;
COMMENT ON FUNCTION audit_by_hand(text, text, text, text, jsonb) IS
    'a step of functions that people call: keeps in audit_logs what was done, with the role that called and why';
