-- Every event ever received, one slim row each, kept for ever: the event id is what makes a second delivery a
-- duplicate. Payloads live apart, so that retention can drop them.
CREATE TABLE stripe_events (
    stripe_event_id    text COLLATE "C" PRIMARY KEY CHECK (octet_length(stripe_event_id) BETWEEN 1 AND 255),
    event_type         text COLLATE "C" NOT NULL,
    object_id          text COLLATE "C",
    object_type        text COLLATE "C",
    stripe_customer_id text COLLATE "C",
    stripe_account     text COLLATE "C" NOT NULL DEFAULT '',
    livemode           boolean NOT NULL,
    api_version        text,
    stripe_created     timestamptz NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT now(),
    endpoint           text,
    duplicates         integer NOT NULL DEFAULT 0,
    processed          boolean NOT NULL,
    processed_at       timestamptz,
    outcome            text COLLATE "C" NOT NULL CHECK (outcome IN ('processed', 'parked', 'ignored', 'failed')),
    error              text,
    retry_count        integer NOT NULL DEFAULT 0 CHECK (retry_count >= 0),
    next_retry_at      timestamptz,
    waiting_for        text COLLATE "C"
);
CREATE INDEX stripe_events_created_at_idx ON stripe_events (created_at);
CREATE INDEX stripe_events_object_id_idx ON stripe_events (object_id, stripe_created);
-- What the mirror does not lead to: previews of invoices, which have no id, and what has had no effect.
CREATE INDEX stripe_events_customer_idx ON stripe_events (stripe_customer_id)
    WHERE stripe_customer_id IS NOT NULL AND (object_id IS NULL OR outcome <> 'processed');
CREATE INDEX stripe_events_unprocessed_idx ON stripe_events (next_retry_at) WHERE NOT processed;
-- What an operator reset by hand is due whatever its next_retry_at says.
CREATE INDEX stripe_events_reset_idx ON stripe_events (stripe_created) WHERE NOT processed AND retry_count = 0;
CREATE INDEX stripe_events_waiting_idx ON stripe_events (waiting_for) WHERE waiting_for IS NOT NULL;
COMMENT ON TABLE stripe_events IS 'inbox: one row per Stripe event, its outcome and its retries';
COMMENT ON COLUMN stripe_events.created_at IS 'when it was received';
COMMENT ON COLUMN stripe_events.stripe_created IS 'the event''s own time, in whole seconds';
COMMENT ON COLUMN stripe_events.duplicates IS 'how many more times the same event id arrived';
COMMENT ON COLUMN stripe_events.waiting_for IS 'what a parked event waits for: customer:cus_... (a link), price:price_..., charge:ch_..., or a lock: user:..., credits:..., link:cus_..., lock:evt_...; of a processed one, product:prod_...: what would grant credits if it said so';

-- The raw body, as signed. Partitioned by the event's own time, which never changes.
CREATE TABLE stripe_event_payloads (
    stripe_event_id text COLLATE "C" NOT NULL,
    stripe_created  timestamptz NOT NULL,
    payload         text NOT NULL
) PARTITION BY RANGE (stripe_created);
-- Compressing with lz4 takes a tenth of the time. A server that was built without it keeps its default; partitions follow
-- their parent.
DO $$ BEGIN ALTER TABLE stripe_event_payloads ALTER COLUMN payload SET COMPRESSION lz4; EXCEPTION WHEN feature_not_supported THEN NULL; END $$;
-- Each partition has the key for itself: with one of the whole, those that apply_retention() makes could not be
-- restored from a dump, where a partition gets its key after it was attached. By time first: what is new goes to one end
-- of it, and a month is found by it.
CREATE TABLE stripe_event_payloads_default PARTITION OF stripe_event_payloads
    (PRIMARY KEY (stripe_created, stripe_event_id)) DEFAULT;
COMMENT ON TABLE stripe_event_payloads_default IS 'payloads of months without a partition of their own';
COMMENT ON TABLE stripe_event_payloads IS 'the raw payload of each event, as it was signed';
