-- Money that goes back, and money that is tried for again. docs/stripe-requests.md
CREATE FUNCTION refund_payment(user_id text, payment_id text, amount bigint DEFAULT NULL, options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    call    jsonb := jsonb_build_array('refund_payment', payment_id, amount, options);
    again   jsonb;
    payment @extschema@.payments;
    about   text;
    waiting bigint;
    left_of bigint;
    reply   jsonb := jsonb_build_object('user_id', refund_payment.user_id, 'payment_id', refund_payment.payment_id);
BEGIN
    PERFORM @extschema@.check_request_options(refund_payment.user_id, options,
        ARRAY['reason', 'metadata', 'idempotency_key']);
    IF options ->> 'reason' NOT IN ('duplicate', 'fraudulent', 'requested_by_customer') THEN
        RAISE EXCEPTION 'unknown reason "%"', options ->> 'reason'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Stripe''s words: requested_by_customer, duplicate, fraudulent.';
    END IF;
    IF refund_payment.amount < 1 THEN
        RAISE EXCEPTION 'amount must be at least 1, not %', refund_payment.amount
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Minor units of the payment''s currency; leave it out for all that is left.';
    END IF;
    IF jsonb_typeof(options -> 'metadata') <> 'object' THEN
        RAISE EXCEPTION 'metadata must be a JSON object, not %', options -> 'metadata'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Stripe keeps it with the refund.';
    END IF;
    again := @extschema@.repeated_request(refund_payment.user_id, call, options ->> 'idempotency_key');
    IF again IS NOT NULL THEN
        RETURN reply || again;
    END IF;
    PERFORM FROM @extschema@.billing_users u WHERE u.user_id = refund_payment.user_id FOR NO KEY UPDATE;
    SELECT p.* INTO payment FROM @extschema@.payments p
     WHERE p.user_id = refund_payment.user_id AND p.payment_id = refund_payment.payment_id;
    IF NOT FOUND THEN
        RETURN reply || '{"success": false, "status": "unknown_payment", "reason": "unknown_payment", "next_step": "none"}';
    END IF;
    about := 'refund of ' || payment.payment_id;
    SELECT coalesce(sum((r.parameters ->> 'amount')::bigint), 0) INTO waiting FROM @extschema@.stripe_requests r
     WHERE r.subject = about AND r.finished_at IS NULL;
    left_of := payment.amount - payment.amount_refunded - waiting;
    IF payment.status NOT IN ('completed', 'partially_refunded') OR left_of < coalesce(refund_payment.amount, 1) THEN
        RETURN reply || jsonb_build_object('success', false, 'status', 'not_refundable', 'reason',
            CASE WHEN payment.status IN ('completed', 'partially_refunded') THEN 'amount_exceeds_payment'
                 ELSE payment.status END,
            'refundable', greatest(left_of, 0), 'currency', payment.currency, 'next_step', 'none');
    END IF;
    RETURN reply || @extschema@.add_stripe_request(refund_payment.user_id, 'refund_payment', 'POST', '/v1/refunds',
        jsonb_build_object(CASE WHEN payment.payment_id LIKE 'pi\_%' THEN 'payment_intent' ELSE 'charge' END, payment.payment_id,
                           'amount', coalesce(refund_payment.amount, left_of))
            || jsonb_strip_nulls(jsonb_build_object('reason', options -> 'reason', 'metadata', options -> 'metadata')),
        about, jsonb_build_object('stripe_account', payment.stripe_account, 'call', call),
        options ->> 'idempotency_key');
END
$$;
COMMENT ON FUNCTION refund_payment(text, text, bigint, jsonb) IS
    'asks Stripe to give money back: amount in minor units, or all that is left; credits and access follow as the settings say once Stripe confirms';

CREATE FUNCTION retry_invoice_payment(user_id text, invoice_id text DEFAULT NULL, options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    call    jsonb := jsonb_build_array('retry_invoice_payment', invoice_id, options);
    again   jsonb;
    invoice @extschema@.stripe_objects;
    path    text;
    waiting text;
    reply   jsonb := jsonb_build_object('user_id', retry_invoice_payment.user_id);
BEGIN
    PERFORM @extschema@.check_request_options(retry_invoice_payment.user_id, options,
        ARRAY['payment_method', 'idempotency_key']);
    again := @extschema@.repeated_request(retry_invoice_payment.user_id, call, options ->> 'idempotency_key');
    IF again IS NOT NULL THEN
        RETURN reply || again;
    END IF;
    PERFORM FROM @extschema@.billing_users u WHERE u.user_id = retry_invoice_payment.user_id FOR NO KEY UPDATE;
    SELECT o.* INTO invoice
      FROM @extschema@.stripe_customer_links l
      JOIN @extschema@.stripe_objects o ON o.stripe_customer_id = l.stripe_customer_id AND o.object_type = 'invoice'
     WHERE l.user_id = retry_invoice_payment.user_id AND NOT o.deleted
       AND CASE WHEN retry_invoice_payment.invoice_id IS NULL THEN o.object ->> 'status' = 'open'
                ELSE o.object_id = retry_invoice_payment.invoice_id END
     ORDER BY @extschema@.stripe_time(o.object -> 'created') DESC LIMIT 1;
    IF NOT FOUND OR invoice.object ->> 'status' IS DISTINCT FROM 'open' THEN
        RETURN reply || jsonb_strip_nulls(jsonb_build_object('success', false, 'status', 'no_open_invoice',
            'reason', coalesce(invoice.object ->> 'status', 'no_open_invoice'), 'invoice_id', invoice.object_id, 'next_step', 'none'));
    END IF;
    path := '/v1/invoices/' || invoice.object_id || '/pay';
    SELECT r.request_id INTO waiting FROM @extschema@.stripe_requests r WHERE r.subject = path AND r.finished_at IS NULL;
    IF waiting IS NOT NULL AND NOT options ? 'idempotency_key' THEN
        RETURN reply || jsonb_build_object('success', true, 'status', 'exists', 'request_id', waiting);
    END IF;
    RETURN reply || jsonb_build_object('invoice_id', invoice.object_id)
        || @extschema@.add_stripe_request(retry_invoice_payment.user_id, 'retry_invoice_payment', 'POST', path,
               jsonb_strip_nulls(jsonb_build_object('payment_method', options -> 'payment_method')), path,
               jsonb_build_object('stripe_account', invoice.stripe_account, 'call', call),
               options ->> 'idempotency_key');
END
$$;
COMMENT ON FUNCTION retry_invoice_payment(text, text, jsonb) IS
    'asks Stripe to try again for the user''s latest open invoice, or the one that is named';
