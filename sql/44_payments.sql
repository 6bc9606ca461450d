-- One-off and other payments, and what they bought, recomputed from the mirror whenever it changes. docs/payments.md
-- has the rules.
CREATE TABLE payments (
    user_id                    text COLLATE "C" NOT NULL,
    payment_id                 text COLLATE "C" NOT NULL,
    stripe_charge_id           text COLLATE "C",
    stripe_checkout_session_id text COLLATE "C",
    stripe_invoice_id          text COLLATE "C",
    stripe_customer_id         text COLLATE "C" NOT NULL,
    status                     text NOT NULL CHECK (status IN ('pending', 'authorized', 'processing', 'completed',
                                   'partially_refunded', 'refunded', 'disputed', 'charged_back', 'failed', 'canceled')),
    amount                     bigint NOT NULL CHECK (amount >= 0),
    currency                   text,
    amount_refunded            bigint NOT NULL DEFAULT 0 CHECK (amount_refunded >= 0),
    refunded_at                timestamptz,
    dispute_status             text,
    customer_email             text COLLATE "C",
    seller_id                  text COLLATE "C",
    description                text,
    metadata                   jsonb NOT NULL DEFAULT '{}',
    payment_created            timestamptz,
    paid_at                    timestamptz,
    livemode                   boolean NOT NULL,
    stripe_account             text COLLATE "C" NOT NULL DEFAULT '',
    updated_at                 timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, payment_id)
) WITH (fillfactor = 85);
CREATE INDEX payments_payer_idx ON payments (stripe_customer_id);
CREATE INDEX payments_created_idx ON payments (payment_created);
CREATE INDEX payments_seller_idx ON payments (seller_id, payment_created) WHERE seller_id IS NOT NULL;
CREATE INDEX payments_email_idx ON payments (customer_email) WHERE customer_email IS NOT NULL;
COMMENT ON TABLE payments IS 'one row per payment of a known user, however many events tell of it; follows the mirror';
COMMENT ON COLUMN payments.payment_id IS 'the payment intent; of a payment without one the charge, of a free checkout the session';
COMMENT ON COLUMN payments.stripe_customer_id IS 'who pays: the customer; of a guest the payment itself';
COMMENT ON COLUMN payments.status IS 'pending, authorized, processing; completed, partially_refunded, refunded, disputed, charged_back; failed, canceled';
COMMENT ON COLUMN payments.amount IS 'what was paid, else what is to be paid; minor units';
COMMENT ON COLUMN payments.amount_refunded IS 'of amount, without disputes; minor units';
COMMENT ON COLUMN payments.dispute_status IS 'Stripe''s word for the latest dispute';
COMMENT ON COLUMN payments.seller_id IS 'metadata seller_id';
COMMENT ON COLUMN payments.metadata IS 'of the charge, the payment intent and the checkout session, the last winning';

CREATE TABLE enrollments (
    user_id        text COLLATE "C" NOT NULL,
    item_id        text COLLATE "C" NOT NULL,
    payment_id     text COLLATE "C" NOT NULL,
    status         text COLLATE "C" NOT NULL CHECK (status IN ('pending', 'active', 'suspended', 'refunded', 'revoked',
                       'failed', 'canceled')),
    payment_status text NOT NULL,
    seller_id      text COLLATE "C",
    enrolled_at    timestamptz,
    ended_at       timestamptz,
    livemode       boolean NOT NULL,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, item_id, payment_id)
) WITH (fillfactor = 85);
CREATE INDEX enrollments_item_idx ON enrollments (item_id, status);
COMMENT ON TABLE enrollments IS 'what each payment bought: one row per item (metadata item_id, item_ids) and payment; follows payments';
COMMENT ON COLUMN enrollments.status IS 'active while it is paid for; pending, suspended (a dispute is open), refunded, revoked (a dispute was lost), failed, canceled';
COMMENT ON COLUMN enrollments.enrolled_at IS 'when it was paid';
COMMENT ON COLUMN enrollments.ended_at IS 'since when it is suspended, refunded or revoked';

-- Of a payment intent, which invoice it paid, since API version basil.
CREATE INDEX stripe_objects_paid_by_idx ON stripe_objects ((object -> 'payment' ->> 'payment_intent'))
    WHERE object_type = 'invoice_payment';

CREATE VIEW unlinked_payments AS
WITH told AS (
    SELECT o.object_id AS payment_id, o.stripe_account, o.livemode, o.stripe_customer_id AS payer, o.object_type,
           o.object ->> 'status' AS status,
           coalesce(nullif(stripe_integer(o.object -> 'amount_received'), 0), stripe_integer(o.object -> 'amount')) AS amount,
           o.object ->> 'currency' AS currency, o.object ->> 'receipt_email' AS customer_email,
           o.object -> 'metadata' AS metadata, stripe_time(o.object -> 'created') AS payment_created, 0 AS rank
      FROM stripe_objects o
     WHERE o.object_type = 'payment_intent' AND o.object ->> 'status' IN ('succeeded', 'processing', 'requires_capture')
    UNION ALL
    SELECT coalesce(stripe_id(o.object -> 'payment_intent'), o.object_id), o.stripe_account, o.livemode,
           o.stripe_customer_id, o.object_type, o.object ->> 'status',
           coalesce(stripe_integer(o.object -> 'amount_captured'), stripe_integer(o.object -> 'amount')),
           o.object ->> 'currency', coalesce(o.object #>> '{billing_details,email}', o.object ->> 'receipt_email'),
           o.object -> 'metadata', stripe_time(o.object -> 'created'), 1
      FROM stripe_objects o
     WHERE o.object_type = 'charge' AND o.object ->> 'status' IN ('succeeded', 'paid', 'pending')
    UNION ALL
    SELECT coalesce(stripe_id(o.object -> 'payment_intent'), o.object_id), o.stripe_account, o.livemode,
           o.stripe_customer_id, o.object_type, o.object ->> 'payment_status', stripe_integer(o.object -> 'amount_total'),
           o.object ->> 'currency',
           coalesce(o.object #>> '{customer_details,email}', o.object ->> 'customer_email'),
           o.object -> 'metadata', stripe_time(o.object -> 'created'), 2
      FROM stripe_objects o
     WHERE o.object_type = 'checkout.session' AND o.object ->> 'mode' = 'payment' AND o.object ->> 'status' = 'complete'
)
SELECT DISTINCT ON (t.stripe_account, t.livemode, t.payment_id)
       t.payment_id, coalesce(i.stripe_customer_id, t.payer) AS stripe_customer_id, t.stripe_account, t.livemode, t.status,
       t.amount, t.currency,
       coalesce(t.customer_email, max(t.customer_email) OVER (PARTITION BY t.stripe_account, t.livemode, t.payment_id))
           AS customer_email,
       t.metadata, t.payment_created,
       format('SELECT link_stripe_customer(%L, %L)', 'user_1', coalesce(i.stripe_customer_id, t.payer)) AS next_step
  FROM told t
  LEFT JOIN stripe_objects i ON i.stripe_account = t.stripe_account AND i.livemode = t.livemode
        AND i.object_type = 'payment_intent' AND i.object_id = t.payment_id
 WHERE NOT EXISTS (SELECT FROM stripe_customer_links l
                    WHERE l.user_id IS NOT NULL AND l.stripe_customer_id IN (t.payment_id, i.stripe_customer_id, t.payer))
 ORDER BY t.stripe_account, t.livemode, t.payment_id, t.rank;
COMMENT ON VIEW unlinked_payments IS
    'money that came in, or is on its way, whose payer is nobody we know; link_stripe_customer() says who it is';

CREATE FUNCTION has_access_to_item(user_id text, item_id text)
    RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
BEGIN
    PERFORM @extschema@.check_user_id(user_id);
    IF item_id IS NULL OR item_id = '' THEN
        RAISE EXCEPTION 'item_id must not be null or empty'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'It is what metadata item_id of the checkout or the payment intent says.';
    END IF;
    RETURN EXISTS (
        SELECT FROM @extschema@.enrollments e
         WHERE e.user_id = has_access_to_item.user_id AND e.item_id = has_access_to_item.item_id AND e.status = 'active'
           AND e.livemode = ((SELECT s.value FROM @extschema@.get_billing_settings() s WHERE s.name = 'mode') = 'live'));
END
$$;
COMMENT ON FUNCTION has_access_to_item(text, text) IS
    'whether a payment for this item stands: an enrollment of the user is active';
