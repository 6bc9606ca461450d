-- Three plans with a list of features each, monthly and yearly prices: a workshop for trading strategies.
--
--     export STRIPE_PRICE_FREE_MONTHLY=price_... STRIPE_PRICE_STARTER_MONTHLY=price_... # and so on
--     psql -X -v ON_ERROR_STOP=1 -f examples/feature_plans.sql "$DATABASE_URL"
--
-- as a role of kind admin, in a database with the extension (in another schema than public: SET search_path first, or
-- PGOPTIONS='-c search_path=billing'). It may be run again at any time, also with other price ids.

-- 1. Which of Stripe's prices are ours: ids of the environment's Stripe account, made in the Dashboard. What is not
-- exported gets a name that no real price has.
\set free_monthly price_free_monthly
\set starter_monthly price_starter_monthly
\set starter_yearly price_starter_yearly
\set pro_monthly price_pro_monthly
\set pro_yearly price_pro_yearly
\getenv free_monthly STRIPE_PRICE_FREE_MONTHLY
\getenv starter_monthly STRIPE_PRICE_STARTER_MONTHLY
\getenv starter_yearly STRIPE_PRICE_STARTER_YEARLY
\getenv pro_monthly STRIPE_PRICE_PRO_MONTHLY
\getenv pro_yearly STRIPE_PRICE_PRO_YEARLY

BEGIN;

-- 2. What is sold. Who has no subscription is on the default plan; a subscription to its price of nothing is the same,
-- and does not block a purchase.
--   strategies, alerts      how many there may be at a time: use_feature when one is made, release_feature when it goes
--   backtests               how many in each month of the calendar, also for whoever pays by the year; with "period"
--                           it would be the billing period, which is a year then
--   history_years, …        values that the application reads: check_entitlement(user_id, 'history_years') -> 'value'
--   export, …               switches. False is said where the plan is shown without it; what is not named is not given
WITH prices(plan_id, price_id, cycle) AS (VALUES
       ('free', :'free_monthly', 'monthly'),
       ('starter', :'starter_monthly', 'monthly'), ('starter', :'starter_yearly', 'yearly'),
       ('pro', :'pro_monthly', 'monthly'), ('pro', :'pro_yearly', 'yearly')),
     plans(plan) AS (SELECT jsonb_array_elements('[
  {"id": "free", "display_name": "Free Plan", "default": true,
   "currency": "usd", "price_monthly": "0.00",
   "features": {
     "strategies": {"limit": 3}, "alerts": {"limit": 1}, "backtests": {"limit": 10, "window": "month"},
     "history_years": {"value": 1}, "market_data": {"value": "delayed"}, "indicators": {"value": ["sma", "ema"]},
     "export": false}},
  {"id": "starter", "display_name": "Starter Plan", "rank": 10,
   "currency": "usd", "price_monthly": "19.99", "price_yearly": "199.99",
   "features": {
     "strategies": {"limit": 25}, "alerts": {"limit": 20}, "backtests": {"limit": 200, "window": "month"},
     "history_years": {"value": 5}, "market_data": {"value": "delayed"},
     "indicators": {"value": ["sma", "ema", "rsi", "macd"]}, "export": true}},
  {"id": "pro", "display_name": "Pro Plan", "rank": 20,
   "currency": "usd", "price_monthly": "49.99", "price_yearly": "479.99",
   "features": {
     "strategies": {"unlimited": true}, "alerts": {"unlimited": true},
     "backtests": {"unlimited": true, "window": "month"},
     "history_years": {"value": 20}, "market_data": {"value": "realtime"},
     "indicators": {"value": ["sma", "ema", "rsi", "macd", "custom"]}, "export": true,
     "api_access": true, "priority_support": true}}
]'::jsonb))
SELECT upsert_plan(plan || jsonb_build_object('prices',
         (SELECT jsonb_agg(jsonb_build_object('price_id', price_id, 'cycle', cycle)) FROM prices
           WHERE plan_id = plan ->> 'id')), 'examples/feature_plans.sql') ->> 'id' AS plan
  FROM plans;

COMMIT;

-- 3. What is there now, and which prices it is sold for.
SELECT name, display_name, price_monthly, price_yearly, is_active,
       (SELECT count(*) FROM plan_features f WHERE f.plan_id = p.id) AS features,
       (SELECT string_agg(reference, ', ' ORDER BY cycle) FROM plan_prices s WHERE s.plan_id = p.id) AS prices
  FROM subscription_plans p ORDER BY rank;

-- 4. What the application asks: everything for a page of settings, one feature before it acts. Behind PostgREST
-- require_entitlement('user_1', 'export') answers a refusal with HTTP 402 by itself. No cache has to be cleared after a
-- subscription has changed: what is answered is what is committed.
SELECT e -> 'plans' ->> 0 AS plan, f.key AS feature, f.value ->> 'allowed' AS allowed, f.value ->> 'limit' AS "limit",
       f.value ->> 'value' AS value, f.value ->> 'next_step' AS next_step
  FROM get_user_entitlements('user_1') e, jsonb_each(e -> 'features') f ORDER BY 2;

-- 5. In the Dashboard the endpoint may keep the events that it has (checkout.session.completed,
-- customer.subscription.updated and .deleted, invoice.payment_succeeded, invoice.payment_failed, customer.updated). Add
-- customer.subscription.created: a subscription that is active or trialing from its start is told of by no other until
-- it changes. With subscription_data.metadata.user_id in each checkout session every event says by itself whose it is.
