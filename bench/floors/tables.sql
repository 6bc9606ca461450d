-- What a careful hand-written receiver needs, and no more: the payloads by event id, and a row for each customer.
CREATE TABLE inbox (
    event_id    text PRIMARY KEY,
    payload     text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE customer_state (
    customer_id bigint PRIMARY KEY,
    status      text NOT NULL,
    period_end  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO customer_state SELECT n, 'active', now() + interval '30 days' FROM generate_series(1, :customers) n;
