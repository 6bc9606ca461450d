-- Typed, version-neutral views of the mirror: one row per object, one column per fact, whatever API version the
-- snapshot came in. Amounts are in the currency's minor unit. Deleted objects stay, marked deleted.

-- Seconds since 1970 as a time; null for anything that is not such a number.
CREATE FUNCTION stripe_time(value jsonb)
    RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE WHEN pg_catalog.jsonb_typeof(value) OPERATOR(pg_catalog.=) 'number'
                 AND value OPERATOR(pg_catalog.>=) '0'::pg_catalog.jsonb
                 AND value OPERATOR(pg_catalog.<=) '253402300799'::pg_catalog.jsonb
                THEN pg_catalog.to_timestamp(value::pg_catalog.float8) END
$$;
COMMENT ON FUNCTION stripe_time(jsonb) IS 'a time as Stripe sends it (seconds since 1970, UTC); null unless it is one';

-- The id in an expandable field: the id itself, or the object with its id.
CREATE FUNCTION stripe_id(value jsonb)
    RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE WHEN pg_catalog.jsonb_typeof(value) OPERATOR(pg_catalog.=) 'string'
                THEN value OPERATOR(pg_catalog.#>>) '{}'
                WHEN pg_catalog.jsonb_typeof(value) OPERATOR(pg_catalog.=) 'object'
                THEN value OPERATOR(pg_catalog.->>) 'id' END
$$;
COMMENT ON FUNCTION stripe_id(jsonb) IS 'the id in an expandable field, expanded or not';

-- A number as an integer; null for anything else, so that one odd object does not break a view.
CREATE FUNCTION stripe_integer(value jsonb)
    RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE WHEN pg_catalog.jsonb_typeof(value) OPERATOR(pg_catalog.=) 'number'
                 AND pg_catalog.abs(value::pg_catalog.numeric) OPERATOR(pg_catalog.<) 9223372036854775807::pg_catalog.numeric
                 AND pg_catalog.trunc(value::pg_catalog.numeric) OPERATOR(pg_catalog.=) value::pg_catalog.numeric
                THEN value::pg_catalog.int8 END
$$;
COMMENT ON FUNCTION stripe_integer(jsonb) IS 'a number as an integer; null unless it is one';

CREATE FUNCTION stripe_flag(value jsonb)
    RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE WHEN pg_catalog.jsonb_typeof(value) OPERATOR(pg_catalog.=) 'boolean' THEN value::pg_catalog.bool END
$$;
COMMENT ON FUNCTION stripe_flag(jsonb) IS 'a boolean; null unless it is one';

CREATE VIEW stripe_customers AS
SELECT o.object_id AS id, o.stripe_account, o.livemode, o.deleted,
       o.object ->> 'email' AS email, o.object ->> 'name' AS name, o.object ->> 'description' AS description,
       o.object ->> 'currency' AS currency, stripe_integer(o.object -> 'balance') AS balance,
       stripe_flag(o.object -> 'delinquent') AS delinquent,
       coalesce(stripe_id(o.object #> '{invoice_settings,default_payment_method}'),
                stripe_id(o.object -> 'default_source')) AS default_payment_method_id,
       o.object -> 'metadata' AS metadata, stripe_time(o.object -> 'created') AS created,
       o.ambiguous, o.event_created, o.object
  FROM stripe_objects o WHERE o.object_type = 'customer' AND o.object IS NOT NULL;
COMMENT ON VIEW stripe_customers IS 'customers, deleted ones included';

CREATE VIEW stripe_products AS
SELECT o.object_id AS id, o.stripe_account, o.livemode, o.deleted,
       o.object ->> 'name' AS name, o.object ->> 'description' AS description,
       stripe_flag(o.object -> 'active') AS active, stripe_id(o.object -> 'default_price') AS default_price_id,
       o.object -> 'metadata' AS metadata, stripe_time(o.object -> 'created') AS created,
       o.ambiguous, o.event_created, o.object
  FROM stripe_objects o WHERE o.object_type = 'product' AND o.object IS NOT NULL;
COMMENT ON VIEW stripe_products IS 'products';

CREATE VIEW stripe_prices AS
SELECT o.object_id AS id, o.stripe_account, o.livemode, o.deleted,
       stripe_id(o.object -> 'product') AS product_id, o.object ->> 'lookup_key' AS lookup_key,
       o.object ->> 'nickname' AS nickname, stripe_flag(o.object -> 'active') AS active,
       o.object ->> 'currency' AS currency,
       coalesce(stripe_integer(o.object -> 'unit_amount'), stripe_integer(o.object -> 'amount')) AS unit_amount,
       coalesce(o.object #>> '{recurring,interval}', o.object ->> 'interval') AS interval,
       coalesce(stripe_integer(o.object #> '{recurring,interval_count}'),
                stripe_integer(o.object -> 'interval_count')) AS interval_count,
       coalesce(o.object #>> '{recurring,usage_type}', o.object ->> 'usage_type') AS usage_type,
       o.object -> 'metadata' AS metadata, stripe_time(o.object -> 'created') AS created,
       o.ambiguous, o.event_created, o.object
  FROM stripe_objects o WHERE o.object_type IN ('price', 'plan') AND o.object IS NOT NULL;
COMMENT ON VIEW stripe_prices IS 'prices, and plans from before prices existed; unit_amount in minor units';

CREATE VIEW stripe_subscription_items AS
SELECT i.item ->> 'id' AS id, o.object_id AS subscription_id, o.stripe_customer_id AS customer_id,
       o.stripe_account, o.livemode, i.position,
       coalesce(stripe_id(i.item -> 'price'), stripe_id(i.item -> 'plan')) AS price_id,
       coalesce(stripe_id(i.item #> '{price,product}'), stripe_id(i.item #> '{plan,product}')) AS product_id,
       coalesce(stripe_integer(i.item -> 'quantity'), 1) AS quantity,
       coalesce(stripe_time(i.item -> 'current_period_start'),
                stripe_time(o.object -> 'current_period_start')) AS current_period_start,
       coalesce(stripe_time(i.item -> 'current_period_end'),
                stripe_time(o.object -> 'current_period_end')) AS current_period_end,
       i.item -> 'metadata' AS metadata, i.item AS object
  FROM stripe_objects o
 CROSS JOIN LATERAL jsonb_array_elements(
           CASE WHEN jsonb_typeof(o.object #> '{items,data}') = 'array' THEN o.object #> '{items,data}'
                WHEN jsonb_typeof(o.object -> 'plan') = 'object'
                THEN jsonb_build_array(jsonb_build_object('plan', o.object -> 'plan', 'quantity', o.object -> 'quantity'))
                ELSE '[]'::jsonb END)
       WITH ORDINALITY AS i(item, position)
 WHERE o.object_type = 'subscription' AND o.object IS NOT NULL;
COMMENT ON VIEW stripe_subscription_items IS 'items of the subscriptions, with the period of each';

CREATE VIEW stripe_subscriptions AS
SELECT o.object_id AS id, o.stripe_account, o.livemode, o.deleted, o.stripe_customer_id AS customer_id,
       o.object ->> 'status' AS status,
       coalesce(stripe_time(o.object -> 'current_period_start'),
                (SELECT max(i.current_period_start) FROM stripe_subscription_items i
                  WHERE i.subscription_id = o.object_id AND i.stripe_account = o.stripe_account
                    AND i.livemode = o.livemode)) AS current_period_start,
       coalesce(stripe_time(o.object -> 'current_period_end'),
                (SELECT max(i.current_period_end) FROM stripe_subscription_items i
                  WHERE i.subscription_id = o.object_id AND i.stripe_account = o.stripe_account
                    AND i.livemode = o.livemode)) AS current_period_end,
       stripe_time(o.object -> 'trial_start') AS trial_start, stripe_time(o.object -> 'trial_end') AS trial_end,
       stripe_flag(o.object -> 'cancel_at_period_end') AS cancel_at_period_end,
       stripe_time(o.object -> 'cancel_at') AS cancel_at, stripe_time(o.object -> 'canceled_at') AS canceled_at,
       stripe_time(o.object -> 'ended_at') AS ended_at,
       o.object #>> '{pause_collection,behavior}' AS pause_behavior,
       stripe_time(o.object #> '{pause_collection,resumes_at}') AS pause_resumes_at,
       o.object ->> 'collection_method' AS collection_method,
       stripe_id(o.object -> 'latest_invoice') AS latest_invoice_id,
       stripe_id(o.object -> 'schedule') AS schedule_id,
       o.object -> 'metadata' AS metadata, stripe_time(o.object -> 'created') AS created,
       o.ambiguous, o.event_created, o.object
  FROM stripe_objects o WHERE o.object_type = 'subscription' AND o.object IS NOT NULL;
COMMENT ON VIEW stripe_subscriptions IS 'subscriptions; the period is that of the items since API version basil';

CREATE VIEW stripe_invoices AS
SELECT o.object_id AS id, o.stripe_account, o.livemode, o.deleted, o.stripe_customer_id AS customer_id,
       coalesce(stripe_id(o.object #> '{parent,subscription_details,subscription}'),
                stripe_id(o.object -> 'subscription')) AS subscription_id,
       o.object ->> 'number' AS number, o.object ->> 'status' AS status,
       coalesce(stripe_flag(o.object -> 'paid'), o.object ->> 'status' = 'paid') AS paid,
       o.object ->> 'billing_reason' AS billing_reason, o.object ->> 'currency' AS currency,
       stripe_integer(o.object -> 'total') AS total, stripe_integer(o.object -> 'amount_due') AS amount_due,
       stripe_integer(o.object -> 'amount_paid') AS amount_paid,
       stripe_integer(o.object -> 'amount_remaining') AS amount_remaining,
       stripe_integer(o.object -> 'attempt_count') AS attempt_count,
       stripe_time(o.object -> 'next_payment_attempt') AS next_payment_attempt,
       stripe_time(o.object -> 'period_start') AS period_start, stripe_time(o.object -> 'period_end') AS period_end,
       stripe_time(o.object -> 'due_date') AS due_date,
       stripe_time(o.object #> '{status_transitions,paid_at}') AS paid_at,
       o.object ->> 'hosted_invoice_url' AS hosted_invoice_url,
       coalesce(o.object #> '{parent,subscription_details,metadata}',
                o.object #> '{subscription_details,metadata}') AS subscription_metadata,
       o.object -> 'metadata' AS metadata, stripe_time(o.object -> 'created') AS created,
       o.ambiguous, o.event_created, o.object
  FROM stripe_objects o WHERE o.object_type = 'invoice' AND o.object IS NOT NULL;
COMMENT ON VIEW stripe_invoices IS 'invoices; amounts in minor units';

CREATE VIEW stripe_payment_intents AS
SELECT o.object_id AS id, o.stripe_account, o.livemode, o.stripe_customer_id AS customer_id,
       o.object ->> 'status' AS status, stripe_integer(o.object -> 'amount') AS amount,
       stripe_integer(o.object -> 'amount_received') AS amount_received, o.object ->> 'currency' AS currency,
       coalesce(stripe_id(o.object -> 'latest_charge'), o.object #>> '{charges,data,0,id}') AS latest_charge_id,
       stripe_id(o.object -> 'invoice') AS invoice_id,
       stripe_id(o.object -> 'payment_method') AS payment_method_id,
       o.object #>> '{last_payment_error,code}' AS last_error_code,
       o.object -> 'metadata' AS metadata, stripe_time(o.object -> 'created') AS created,
       o.ambiguous, o.event_created, o.object
  FROM stripe_objects o WHERE o.object_type = 'payment_intent' AND o.object IS NOT NULL;
COMMENT ON VIEW stripe_payment_intents IS 'payment intents; invoice_id only from before API version basil';

CREATE VIEW stripe_charges AS
SELECT o.object_id AS id, o.stripe_account, o.livemode, o.stripe_customer_id AS customer_id,
       o.object ->> 'status' AS status, stripe_integer(o.object -> 'amount') AS amount,
       stripe_integer(o.object -> 'amount_refunded') AS amount_refunded, o.object ->> 'currency' AS currency,
       stripe_flag(o.object -> 'paid') AS paid, stripe_flag(o.object -> 'refunded') AS refunded,
       stripe_flag(o.object -> 'disputed') AS disputed,
       stripe_id(o.object -> 'payment_intent') AS payment_intent_id, stripe_id(o.object -> 'invoice') AS invoice_id,
       o.object ->> 'failure_code' AS failure_code, o.object ->> 'receipt_url' AS receipt_url,
       o.object -> 'metadata' AS metadata, stripe_time(o.object -> 'created') AS created,
       o.ambiguous, o.event_created, o.object
  FROM stripe_objects o WHERE o.object_type = 'charge' AND o.object IS NOT NULL;
COMMENT ON VIEW stripe_charges IS 'charges; amounts in minor units; invoice_id only from before API version basil';

CREATE VIEW stripe_refunds AS
SELECT o.object_id AS id, o.stripe_account, o.livemode, o.object ->> 'status' AS status,
       stripe_integer(o.object -> 'amount') AS amount, o.object ->> 'currency' AS currency,
       stripe_id(o.object -> 'charge') AS charge_id, stripe_id(o.object -> 'payment_intent') AS payment_intent_id,
       o.object ->> 'reason' AS reason, o.object ->> 'failure_reason' AS failure_reason,
       o.object -> 'metadata' AS metadata, stripe_time(o.object -> 'created') AS created,
       o.ambiguous, o.event_created, o.object
  FROM stripe_objects o WHERE o.object_type = 'refund' AND o.object IS NOT NULL;
COMMENT ON VIEW stripe_refunds IS 'refunds; amounts in minor units';

CREATE VIEW stripe_disputes AS
SELECT o.object_id AS id, o.stripe_account, o.livemode, o.object ->> 'status' AS status,
       stripe_integer(o.object -> 'amount') AS amount, o.object ->> 'currency' AS currency,
       stripe_id(o.object -> 'charge') AS charge_id, stripe_id(o.object -> 'payment_intent') AS payment_intent_id,
       o.object ->> 'reason' AS reason,
       stripe_time(o.object #> '{evidence_details,due_by}') AS evidence_due_by,
       o.object -> 'metadata' AS metadata, stripe_time(o.object -> 'created') AS created,
       o.ambiguous, o.event_created, o.object
  FROM stripe_objects o WHERE o.object_type = 'dispute' AND o.object IS NOT NULL;
COMMENT ON VIEW stripe_disputes IS 'disputes; amounts in minor units';

CREATE VIEW stripe_checkout_sessions AS
SELECT o.object_id AS id, o.stripe_account, o.livemode, o.stripe_customer_id AS customer_id,
       o.object ->> 'mode' AS mode, o.object ->> 'status' AS status, o.object ->> 'payment_status' AS payment_status,
       o.object ->> 'client_reference_id' AS client_reference_id,
       coalesce(o.object #>> '{customer_details,email}', o.object ->> 'customer_email') AS customer_email,
       stripe_id(o.object -> 'subscription') AS subscription_id,
       stripe_id(o.object -> 'payment_intent') AS payment_intent_id, stripe_id(o.object -> 'invoice') AS invoice_id,
       stripe_integer(o.object -> 'amount_total') AS amount_total, o.object ->> 'currency' AS currency,
       o.object -> 'metadata' AS metadata, stripe_time(o.object -> 'created') AS created,
       stripe_time(o.object -> 'expires_at') AS expires_at, o.ambiguous, o.event_created, o.object
  FROM stripe_objects o WHERE o.object_type = 'checkout.session' AND o.object IS NOT NULL;
COMMENT ON VIEW stripe_checkout_sessions IS 'checkout sessions; amounts in minor units';

CREATE VIEW stripe_payment_methods AS
SELECT o.object_id AS id, o.stripe_account, o.livemode, stripe_id(o.object -> 'customer') AS customer_id,
       o.object ->> 'type' AS type, o.object #>> '{card,brand}' AS card_brand, o.object #>> '{card,last4}' AS card_last4,
       stripe_integer(o.object #> '{card,exp_month}') AS card_exp_month,
       stripe_integer(o.object #> '{card,exp_year}') AS card_exp_year,
       o.object -> 'metadata' AS metadata, stripe_time(o.object -> 'created') AS created,
       o.ambiguous, o.event_created, o.object
  FROM stripe_objects o WHERE o.object_type = 'payment_method' AND o.object IS NOT NULL;
COMMENT ON VIEW stripe_payment_methods IS 'payment methods; customer_id is null once detached';

CREATE VIEW stripe_subscription_schedules AS
SELECT o.object_id AS id, o.stripe_account, o.livemode, o.stripe_customer_id AS customer_id,
       coalesce(stripe_id(o.object -> 'subscription'), o.object ->> 'released_subscription') AS subscription_id,
       o.object ->> 'status' AS status, o.object ->> 'end_behavior' AS end_behavior,
       stripe_time(o.object #> '{current_phase,start_date}') AS current_phase_start,
       stripe_time(o.object #> '{current_phase,end_date}') AS current_phase_end,
       o.object -> 'phases' AS phases, o.object -> 'metadata' AS metadata,
       stripe_time(o.object -> 'created') AS created, o.ambiguous, o.event_created, o.object
  FROM stripe_objects o WHERE o.object_type = 'subscription_schedule' AND o.object IS NOT NULL;
COMMENT ON VIEW stripe_subscription_schedules IS 'subscription schedules';

CREATE VIEW stripe_webhook_endpoints AS
SELECT o.object_id AS id, o.stripe_account, o.livemode, o.deleted, o.object ->> 'url' AS url,
       o.object ->> 'status' AS status, o.object ->> 'api_version' AS api_version,
       o.object -> 'enabled_events' AS enabled_events, o.object -> 'metadata' AS metadata,
       stripe_time(o.object -> 'created') AS created, o.ambiguous, o.event_created, o.object
  FROM stripe_objects o WHERE o.object_type = 'webhook_endpoint' AND o.object IS NOT NULL;
COMMENT ON VIEW stripe_webhook_endpoints IS 'webhook endpoints, once something has fetched them';
