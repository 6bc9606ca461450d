-- What is set for single users, what they have used, and what Stripe's own entitlements say. docs/entitlements.md
CREATE TABLE user_entitlements (
    user_id    text COLLATE "C" NOT NULL CHECK (octet_length(user_id) BETWEEN 1 AND 255),
    feature    text COLLATE "C" NOT NULL CHECK (octet_length(feature) BETWEEN 1 AND 80),
    setting    jsonb,
    removed    boolean NOT NULL DEFAULT false,
    until      timestamptz,
    reason     text,
    set_by     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, feature),
    CONSTRAINT user_entitlements_removed_check CHECK (removed = (setting IS NULL))
);
COMMENT ON TABLE user_entitlements IS 'what is set for one user by hand, and stands for what plans say; change it with set_user_entitlement()';
COMMENT ON COLUMN user_entitlements.setting IS 'as a feature in upsert_plan(); null when the feature is removed';
COMMENT ON COLUMN user_entitlements.until IS 'exclusive; null = until it is cleared';

CREATE TABLE usage_windows (
    user_id          text COLLATE "C" NOT NULL CHECK (octet_length(user_id) BETWEEN 1 AND 255),
    feature          text COLLATE "C" NOT NULL CHECK (octet_length(feature) BETWEEN 1 AND 80),
    window_start     timestamptz NOT NULL,
    window_end       timestamptz,
    kind             text COLLATE "C" NOT NULL
                     CHECK (kind IN ('period', 'day', 'week', 'month', 'year', 'lifetime', 'count')),
    time_zone        text,
    limit_at_opening bigint,
    used             bigint NOT NULL DEFAULT 0 CHECK (used >= 0),
    opened_at        timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    PRIMARY KEY (user_id, feature, window_start),
    CONSTRAINT usage_windows_order_check CHECK (window_start < coalesce(window_end, 'infinity'))
) WITH (fillfactor = 70);
COMMENT ON TABLE usage_windows IS 'how much of a feature a user has used, by window of time; its row is locked by whoever uses or releases';
COMMENT ON COLUMN usage_windows.window_start IS '-infinity: since ever (kinds lifetime and count)';
COMMENT ON COLUMN usage_windows.window_end IS 'exclusive; null = for ever';
COMMENT ON COLUMN usage_windows.kind IS 'period of a subscription, calendar unit, lifetime, or count: how many there are at a time';
COMMENT ON COLUMN usage_windows.time_zone IS 'whose calendar it was opened by';
COMMENT ON COLUMN usage_windows.limit_at_opening IS 'for the record: the limit that counts is the one in force at each use; null = unlimited';
COMMENT ON COLUMN usage_windows.used IS 'the sum of its usage_records';

CREATE SEQUENCE usage_record_ids;
COMMENT ON SEQUENCE usage_record_ids IS 'numbers of usage_records';
CREATE TABLE usage_records (
    user_id         text COLLATE "C" NOT NULL,
    record_id       bigint NOT NULL DEFAULT nextval('usage_record_ids'),
    feature         text COLLATE "C" NOT NULL,
    window_start    timestamptz NOT NULL,
    amount          bigint NOT NULL CHECK (amount <> 0),
    used_after      bigint NOT NULL CHECK (used_after >= 0),
    refers_to       bigint,
    transaction_id  bigint,
    actor_id        text,
    idempotency_key text,
    metadata        jsonb NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (user_id, record_id),
    CONSTRAINT usage_records_refers_to_check CHECK (refers_to IS NULL OR amount < 0)
);
CREATE INDEX usage_records_refers_to_idx ON usage_records (user_id, refers_to) WHERE refers_to IS NOT NULL;
COMMENT ON TABLE usage_records IS 'the ledger of usage_windows: append-only, one row per use or release';
COMMENT ON COLUMN usage_records.amount IS 'positive: used; negative: released';
COMMENT ON COLUMN usage_records.refers_to IS 'of a release: the record that it gives back';
COMMENT ON COLUMN usage_records.transaction_id IS 'in credit_transactions: what the use cost';
COMMENT ON COLUMN usage_records.actor_id IS 'who used it, where user_id is who pays';

CREATE TABLE stripe_entitlements (
    stripe_account     text COLLATE "C" NOT NULL DEFAULT '',
    livemode           boolean NOT NULL,
    stripe_customer_id text COLLATE "C" NOT NULL,
    whole_at           timestamptz,
    seen               jsonb NOT NULL DEFAULT '{}',
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stripe_account, livemode, stripe_customer_id)
);
COMMENT ON TABLE stripe_entitlements IS 'what Stripe''s entitlement summaries have told: cut ones (has_more) take nothing away';
COMMENT ON COLUMN stripe_entitlements.whole_at IS 'time of the newest summary that was whole';
COMMENT ON COLUMN stripe_entitlements.seen IS 'lookup key: time of the newest summary that lists it (seconds since 1970), none older than whole_at';
