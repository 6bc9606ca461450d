-- A monthly cap: a service that answers messages. Everybody has a few answers a month; who subscribes has no cap.
--
--     psql -X -v ON_ERROR_STOP=1 -f examples/monthly_cap.sql "$DATABASE_URL"
--
-- as a role of kind admin, in a database with the extension (in another schema than public: SET search_path first, or
-- PGOPTIONS='-c search_path=billing'). It may be run again at any time: the same plans again change nothing, and a plan
-- that was edited here is in force with the commit.

BEGIN;

-- 1. What is sold. A cap is a row, and so is "no cap": `unlimited` is said, a limit that is missing is never meant so.
--
-- The price is named by its lookup key, not by its id: development, staging and production are different accounts or
-- modes of Stripe with different ids, and this file is the same for all of them. (In Terraform: lookup_key of
-- stripe_price. Prices without one: {"price_id": "price_..."} or {"product_id": "prod_..."}.)
SELECT upsert_plan(plan, 'examples/monthly_cap.sql') ->> 'id' AS plan FROM jsonb_array_elements('[
  {"id": "free", "display_name": "Free", "default": true,
   "features": {"messages": {"limit": 5, "window": "month"}}},
  {"id": "unlimited", "display_name": "Unlimited", "rank": 10, "currency": "usd", "price_monthly": "9.99",
   "prices": [{"lookup_key": "unlimited_monthly", "cycle": "monthly"}],
   "features": {"messages": {"unlimited": true, "window": "month"}}}
]') plan;

COMMIT;

-- 2. What an application that had the columns `is_subscribed` and `plan_monthly_cap` in its table of users asks instead.
-- Nothing writes such columns any more: whether somebody is subscribed also depends on the time, and at the end of what
-- he has paid for the answer changes by itself. `plan_monthly_cap` is null where there is no cap.
SELECT has_active_subscription('user_1') AS is_subscribed,
       (check_entitlement('user_1', 'messages') ->> 'limit')::bigint AS plan_monthly_cap;

-- 3. What it does with each message: checks and counts in one step, in the transaction that keeps the message. With the
-- message's own id as the key, one that the provider hands over twice counts once. Answers have `success`; a refusal
-- has `reason` cap_exceeded, `next_step` subscribe, and `next_reset_at`, when the next month begins (in the time zone
-- that set_billing_setting('time_zone', ...) says; UTC unless it is set).
BEGIN;
SELECT answer -> 'success' AS success, answer -> 'used' AS used, answer -> 'limit' AS "limit",
       answer -> 'next_reset_at' AS next_reset_at
  FROM use_feature('user_1', 'messages', idempotency_key => 'SM0001') answer;
ROLLBACK;  -- here it is only tried

-- 4. In production the same, once, and with STRIPE_LIVE_MODE=true for the worker:
--        SELECT set_billing_setting('mode', 'live', 'production');
--    From then on events of test mode are stored and have no effect.
