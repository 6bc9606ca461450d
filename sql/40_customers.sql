-- Which user a Stripe customer belongs to. A row without user is a placeholder that parked events wait on.
CREATE TABLE stripe_customer_links (
    stripe_customer_id text COLLATE "C" PRIMARY KEY CHECK (octet_length(stripe_customer_id) BETWEEN 1 AND 255),
    user_id            text COLLATE "C" CHECK (octet_length(user_id) BETWEEN 1 AND 255),
    source             text COLLATE "C",
    event_id           text COLLATE "C",
    event_created      timestamptz,
    conflict_user_id   text COLLATE "C",
    conflict_source    text COLLATE "C",
    conflict_event_id  text COLLATE "C",
    linked_at          timestamptz,
    linked_by          text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    erased_at          timestamptz
);
CREATE INDEX stripe_customer_links_user_idx ON stripe_customer_links (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX stripe_customer_links_conflict_idx ON stripe_customer_links (conflict_user_id)
    WHERE conflict_user_id IS NOT NULL;
COMMENT ON TABLE stripe_customer_links IS 'which user pays as which Stripe customer; change it with link_stripe_customer()';
COMMENT ON COLUMN stripe_customer_links.stripe_customer_id IS
    'the customer; of a guest, whom Stripe has no customer for, the id of the payment intent, or of the charge or checkout session that has none';
COMMENT ON COLUMN stripe_customer_links.source IS
    'client_reference_id, subscription_metadata, invoice_metadata, customer_metadata, payment_metadata or manual';
COMMENT ON COLUMN stripe_customer_links.event_id IS
    'the event that says so: the strongest evidence, then the earliest; null when linked by hand';
COMMENT ON COLUMN stripe_customer_links.erased_at IS 'since when what comes of this customer is redacted before it is stored: erase_user()';
COMMENT ON COLUMN stripe_customer_links.conflict_user_id IS 'another user that Stripe''s data names; waits for a person';

-- The anchor of a user: whoever writes anything of a user locks this row first.
CREATE TABLE billing_users (
    user_id               text COLLATE "C" PRIMARY KEY CHECK (octet_length(user_id) BETWEEN 1 AND 255),
    email                 text,
    customer_requested_at timestamptz,
    access_told           jsonb,
    access_due_at         timestamptz,
    created_at            timestamptz NOT NULL DEFAULT now(),
    erased_at             timestamptz
);
CREATE INDEX billing_users_due_idx ON billing_users (access_due_at) WHERE access_due_at IS NOT NULL;
COMMENT ON TABLE billing_users IS 'one row per user (whoever pays): the row that writers lock';
COMMENT ON COLUMN billing_users.access_told IS 'what billing_notifications have told of the user''s access: what they tell next is what differs; null when nothing is known';
COMMENT ON COLUMN billing_users.access_due_at IS 'when time alone may make something to tell; notify_due() looks then';
COMMENT ON COLUMN billing_users.erased_at IS 'when erase_user() last took the user''s personal data out';
COMMENT ON COLUMN billing_users.customer_requested_at IS 'since when a Stripe customer is wanted for this user';

CREATE FUNCTION link_stripe_customer(user_id text, stripe_customer_id text, options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'link_stripe_customer';
COMMENT ON FUNCTION link_stripe_customer(text, text, jsonb) IS
    'says that this Stripe customer is this user, and applies the events that waited for it';

CREATE FUNCTION fix_customer_links()
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'fix_customer_links';
COMMENT ON FUNCTION fix_customer_links() IS
    'links customers from what the mirror tells of them, and reports how many stay unlinked and why';

CREATE FUNCTION get_or_create_stripe_customer(user_id text, email text, options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    customer text;
BEGIN
    PERFORM @extschema@.check_user_id(user_id);
    IF options <> '{}' THEN
        RAISE EXCEPTION 'unknown options %', options
            USING ERRCODE = 'invalid_parameter_value', HINT = 'This function has no options yet.';
    END IF;
    IF email IS NOT NULL AND email !~ '^[^@[:space:]]+@[^@[:space:]]+$' THEN
        RAISE EXCEPTION 'not an email address: "%"', email
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass the address, or null when there is none.';
    END IF;
    SELECT l.stripe_customer_id INTO customer
      FROM @extschema@.stripe_customer_links l
     WHERE l.user_id = get_or_create_stripe_customer.user_id
       AND l.stripe_customer_id !~ '^(pi|ch|py|cs)_' -- a guest's payment is no customer
       AND l.erased_at IS NULL -- whoever comes back is a new one
       AND NOT EXISTS (SELECT FROM @extschema@.stripe_objects o
                        WHERE o.stripe_customer_id = l.stripe_customer_id AND o.object_type = 'customer' AND o.deleted)
     ORDER BY l.linked_at, l.stripe_customer_id
     LIMIT 1;
    IF customer IS NOT NULL THEN
        RETURN jsonb_build_object('status', 'linked', 'user_id', get_or_create_stripe_customer.user_id,
                                  'stripe_customer_id', customer);
    END IF;
    INSERT INTO @extschema@.billing_users AS u (user_id, email, customer_requested_at)
    VALUES (get_or_create_stripe_customer.user_id, get_or_create_stripe_customer.email, now())
    ON CONFLICT ON CONSTRAINT billing_users_pkey DO UPDATE
       SET email = coalesce(excluded.email, u.email),
           customer_requested_at = coalesce(u.customer_requested_at, excluded.customer_requested_at)
     WHERE u.customer_requested_at IS NULL
        OR (excluded.email IS NOT NULL AND u.email IS DISTINCT FROM excluded.email);
    RETURN jsonb_build_object('status', 'creating', 'user_id', get_or_create_stripe_customer.user_id,
                              'stripe_customer_id', NULL,
                              'next_step', 'start a checkout with client_reference_id, or link_stripe_customer()');
END
$$;
COMMENT ON FUNCTION get_or_create_stripe_customer(text, text, jsonb) IS
    'the Stripe customer of a user, or a note that one is wanted';

CREATE FUNCTION check_user_id(user_id text)
    RETURNS void
    LANGUAGE c IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'check_user_id';
COMMENT ON FUNCTION check_user_id(text) IS 'raises unless the text can be a user id: 1 to 255 bytes, not null';
