-- The winning snapshot of every Stripe object, of any type. A row without a snapshot is a placeholder.
CREATE TABLE stripe_objects (
    stripe_account     text COLLATE "C" NOT NULL DEFAULT '',
    livemode           boolean NOT NULL,
    object_type        text COLLATE "C" NOT NULL,
    object_id          text COLLATE "C" NOT NULL,
    stripe_customer_id text COLLATE "C",
    parent_id          text COLLATE "C",
    object             jsonb,
    api_version        text,
    deleted            boolean NOT NULL DEFAULT false,
    ambiguous          boolean NOT NULL DEFAULT false,
    paid_until         timestamptz,
    finality           smallint,
    event_created      timestamptz,
    origin             smallint,
    lifecycle          smallint,
    event_id           text COLLATE "C",
    updated_at         timestamptz NOT NULL DEFAULT now(),
    named_user         text COLLATE "C" GENERATED ALWAYS AS (CASE WHEN object_type = 'checkout.session'
                           THEN coalesce(object ->> 'client_reference_id', object #>> '{metadata,user_id}') END) STORED,
    PRIMARY KEY (stripe_account, livemode, object_type, object_id)
) WITH (fillfactor = 80);
-- For plans that are made before there are statistics: by these columns alone no row is found.
ALTER TABLE stripe_objects ALTER COLUMN stripe_account SET (n_distinct = 1), ALTER COLUMN object_type SET (n_distinct = 20);
DO $$ BEGIN ALTER TABLE stripe_objects ALTER COLUMN object SET COMPRESSION lz4; EXCEPTION WHEN feature_not_supported THEN NULL; END $$;
CREATE INDEX stripe_objects_customer_idx ON stripe_objects (stripe_customer_id, object_type)
    WHERE stripe_customer_id IS NOT NULL;
CREATE INDEX stripe_objects_parent_idx ON stripe_objects (parent_id, object_type) WHERE parent_id IS NOT NULL;
-- For rebuilding and erasing what no customer is named by.
CREATE INDEX stripe_objects_ownerless_idx ON stripe_objects (object_id) WHERE stripe_customer_id IS NULL;
-- Checkouts that were left before anybody became a customer. Not an index on an expression of `object`: with that, each new
-- snapshot of anything would write all indexes.
CREATE INDEX stripe_objects_named_idx ON stripe_objects (named_user) WHERE named_user IS NOT NULL AND stripe_customer_id IS NULL;
CREATE INDEX stripe_objects_ambiguous_idx ON stripe_objects (object_type) WHERE ambiguous;
CREATE INDEX stripe_objects_test_clock_idx ON stripe_objects (object_id) WHERE object_type = 'test_helpers.test_clock';
COMMENT ON TABLE stripe_objects IS 'mirror: the latest snapshot of every Stripe object, by the rule of order in docs/architecture.md';
COMMENT ON COLUMN stripe_objects.ambiguous IS 'several snapshots of one second, whose order the events do not tell';
COMMENT ON COLUMN stripe_objects.named_user IS 'checkout sessions: the user that it was started for';
COMMENT ON COLUMN stripe_objects.paid_until IS 'invoices: end of the period that it paid for, null unless paid';
COMMENT ON COLUMN stripe_objects.finality IS '-1 told of inside another object, 0 live, 1 terminal status, 2 deleted; with event_created, origin, lifecycle and event_id the rank of the snapshot';
