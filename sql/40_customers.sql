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

CREATE FUNCTION linked_customer(user_id text)
    RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT l.stripe_customer_id
      FROM @extschema@.stripe_customer_links l
     WHERE l.user_id = linked_customer.user_id
       AND l.stripe_customer_id !~ '^(pi|ch|py|cs)_' -- a guest's payment is no customer
       AND l.erased_at IS NULL -- whoever comes back is a new one
       AND NOT EXISTS (SELECT FROM @extschema@.stripe_objects o
                        WHERE o.stripe_customer_id = l.stripe_customer_id AND o.object_type = 'customer' AND o.deleted)
     ORDER BY l.linked_at, l.stripe_customer_id
     LIMIT 1
$$;
COMMENT ON FUNCTION linked_customer(text) IS 'the customer that a user pays as: the first that is linked and still there; null when there is none';

-- The customer names its user in its metadata, so that whoever hears of it first links it.
CREATE FUNCTION get_or_create_stripe_customer(user_id text, email text, options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    me       text := get_or_create_stripe_customer.user_id;
    customer text;
    request  text;
BEGIN
    PERFORM @extschema@.check_user_id(me);
    IF options <> '{}' THEN
        RAISE EXCEPTION 'unknown options %', options
            USING ERRCODE = 'invalid_parameter_value', HINT = 'This function has no options yet.';
    END IF;
    IF email IS NOT NULL AND email !~ '^[^@[:space:]]+@[^@[:space:]]+$' THEN
        RAISE EXCEPTION 'not an email address: "%"', email
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass the address, or null when there is none.';
    END IF;
    customer := @extschema@.linked_customer(me);
    IF customer IS NOT NULL THEN
        RETURN jsonb_build_object('status', 'linked', 'user_id', me, 'stripe_customer_id', customer);
    END IF;
    INSERT INTO @extschema@.billing_users AS u (user_id, email, customer_requested_at)
    VALUES (me, get_or_create_stripe_customer.email, now())
    ON CONFLICT ON CONSTRAINT billing_users_pkey DO UPDATE
       SET email = coalesce(excluded.email, u.email),
           customer_requested_at = coalesce(u.customer_requested_at, excluded.customer_requested_at)
     WHERE u.customer_requested_at IS NULL
        OR (excluded.email IS NOT NULL AND u.email IS DISTINCT FROM excluded.email);
    -- Its row is locked, also where nothing was changed: nobody else asks for a customer of this user meanwhile.
    SELECT r.request_id INTO request FROM @extschema@.stripe_requests r
     WHERE r.user_id = me AND r.purpose = 'get_or_create_stripe_customer'
       AND (r.finished_at IS NULL
            -- Made, and its link is on its way: whose user was busy is linked within seconds.
            OR r.status = 'succeeded' AND r.finished_at > clock_timestamp() - interval '5 minutes')
     ORDER BY r.number DESC LIMIT 1;
    IF request IS NULL THEN
        request := @extschema@.add_stripe_request(me, 'get_or_create_stripe_customer', 'POST', '/v1/customers',
            jsonb_strip_nulls(jsonb_build_object('email', (SELECT u.email FROM @extschema@.billing_users u WHERE u.user_id = me),
                                                 'metadata', jsonb_build_object('user_id', me))),
            'customer of ' || me, '{}', NULL) ->> 'request_id';
    END IF;
    RETURN jsonb_build_object('status', 'creating', 'user_id', me, 'stripe_customer_id', NULL, 'request_id', request,
                              'next_step', 'start a checkout with client_reference_id, or wait for the worker''s answer');
END
$$;
COMMENT ON FUNCTION get_or_create_stripe_customer(text, text, jsonb) IS
    'the Stripe customer of a user; while there is none, the request that makes it';

CREATE FUNCTION check_user_id(user_id text)
    RETURNS void
    LANGUAGE c IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'check_user_id';
COMMENT ON FUNCTION check_user_id(text) IS 'raises unless the text can be a user id: 1 to 255 bytes, not null';
