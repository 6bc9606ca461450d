#include "functions/subscriptions.hpp"

#include <deque>

#include "core/instant.hpp"
#include "core/json.hpp"
#include "core/subscription_state.hpp"
#include "pg/row_reader.hpp"
#include "pg/spi.hpp"

namespace billing::subscriptions {

namespace {

pg::Statement upsert(
    "INSERT INTO @user_subscriptions AS u (user_id, stripe_subscription_id, stripe_customer_id, "
    "stripe_account,"
    "  livemode, status, price_id, product_id, quantity, current_period_start, current_period_end, "
    "next_renewal,"
    "  trial_start, trial_end, cancel_at_period_end, cancel_at, canceled_at, ended_at, paid_through, "
    "pause_behavior,"
    "  pause_resumes_at, collection_method, latest_invoice_id, schedule_id, test_clock, scheduled_change, "
    "customer_deleted, items,"
    "  items_truncated, metadata, stripe_created, event_created, ambiguous)"
    " SELECT r.user_id, r.id, r.customer, r.account, r.livemode, r.status, r.price, r.product, r.quantity,"
    "  r.period_start, r.period_end, r.next_renewal, r.trial_start, r.trial_end, r.at_period_end, "
    "r.cancel_at,"
    "  r.canceled_at, r.ended_at, r.paid_through, r.pause, r.resumes_at, r.collection, r.invoice, "
    "r.schedule, r.test_clock,"
    "  r.change, r.customer_deleted, r.items, r.truncated, r.metadata, r.created,"
    "  r.event_created, r.ambiguous"
    " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, "
    "$21, $22,"
    "  $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33)"
    "  r(user_id, id, customer, account, livemode, status, price, product, quantity, period_start, "
    "period_end,"
    "    next_renewal, trial_start, trial_end, at_period_end, cancel_at, canceled_at, ended_at, "
    "paid_through, pause,"
    "    resumes_at, collection, invoice, schedule, test_clock, change, customer_deleted, items, truncated, "
    "metadata, "
    "created,"
    "    event_created, ambiguous)"
    " ON CONFLICT (user_id, stripe_subscription_id) DO UPDATE SET"
    "  stripe_customer_id = excluded.stripe_customer_id, stripe_account = excluded.stripe_account,"
    "  livemode = excluded.livemode, status = excluded.status, price_id = excluded.price_id,"
    "  product_id = excluded.product_id, quantity = excluded.quantity,"
    "  current_period_start = excluded.current_period_start, current_period_end = "
    "excluded.current_period_end,"
    "  next_renewal = excluded.next_renewal, trial_start = excluded.trial_start, trial_end = "
    "excluded.trial_end,"
    "  cancel_at_period_end = excluded.cancel_at_period_end, cancel_at = excluded.cancel_at,"
    "  canceled_at = excluded.canceled_at, ended_at = excluded.ended_at, paid_through = "
    "excluded.paid_through,"
    "  pause_behavior = excluded.pause_behavior, pause_resumes_at = excluded.pause_resumes_at,"
    "  collection_method = excluded.collection_method, latest_invoice_id = excluded.latest_invoice_id,"
    "  schedule_id = excluded.schedule_id, test_clock = excluded.test_clock, scheduled_change = "
    "excluded.scheduled_change,"
    "  customer_deleted = excluded.customer_deleted, items = excluded.items,"
    "  items_truncated = excluded.items_truncated, metadata = excluded.metadata,"
    "  stripe_created = excluded.stripe_created, event_created = excluded.event_created,"
    "  ambiguous = excluded.ambiguous, updated_at = now()"
    " WHERE (u.stripe_customer_id, u.status, u.price_id, u.product_id, u.quantity, u.current_period_start,"
    "   u.current_period_end, u.next_renewal, u.trial_start, u.trial_end, u.cancel_at_period_end, "
    "u.cancel_at,"
    "   u.canceled_at, u.ended_at, u.paid_through, u.pause_behavior, u.pause_resumes_at, u.collection_method,"
    "   u.latest_invoice_id, u.schedule_id, u.test_clock, u.scheduled_change, u.customer_deleted, u.items, "
    "u.items_truncated,"
    "   u.metadata, u.stripe_created, u.event_created, u.ambiguous)"
    "  IS DISTINCT FROM"
    "  (excluded.stripe_customer_id, excluded.status, excluded.price_id, excluded.product_id, "
    "excluded.quantity,"
    "   excluded.current_period_start, excluded.current_period_end, excluded.next_renewal, "
    "excluded.trial_start,"
    "   excluded.trial_end, excluded.cancel_at_period_end, excluded.cancel_at, excluded.canceled_at,"
    "   excluded.ended_at, excluded.paid_through, excluded.pause_behavior, excluded.pause_resumes_at,"
    "   excluded.collection_method, excluded.latest_invoice_id, excluded.schedule_id, excluded.test_clock, "
    "excluded.scheduled_change,"
    "   excluded.customer_deleted, excluded.items, excluded.items_truncated, excluded.metadata,"
    "   excluded.stripe_created, excluded.event_created, excluded.ambiguous)"
    " RETURNING user_id");
pg::Statement update_paid_through(
    "UPDATE @user_subscriptions u SET paid_through = r.paid_through, updated_at = now()"
    " FROM unnest($1, $2, $3) r(user_id, id, paid_through)"
    " WHERE u.user_id = r.user_id AND u.stripe_subscription_id = r.id");

// Of both modes.
pg::RowReader rows_of(
    "user_subscriptions", "user_subscriptions_pkey",
    "user_id stripe_subscription_id stripe_customer_id stripe_account livemode status items "
    "current_period_start current_period_end next_renewal trial_start trial_end cancel_at_period_end "
    "cancel_at "
    "canceled_at ended_at paid_through pause_behavior pause_resumes_at collection_method latest_invoice_id "
    "schedule_id scheduled_change customer_deleted items_truncated stripe_created event_created ambiguous "
    "test_clock");

pg::RowReader subscription_ids_of("user_subscriptions", "user_subscriptions_pkey", "stripe_subscription_id");
pg::RowReader paid_through_of("user_subscriptions", "user_subscriptions_pkey", "paid_through");

std::optional<std::string> unless_empty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

SubscriptionItem item_from(const Json& json) {
  const auto time = [&](const char* key) -> std::optional<Seconds> {
    const std::optional<std::string> text = text_of(json, key);
    return text ? parse_iso_time(*text) : std::nullopt;
  };
  SubscriptionItem item;
  item.id = text_of(json, "id").value_or("");
  item.price_id = text_of(json, "price_id").value_or("");
  item.product_id = text_of(json, "product_id").value_or("");
  item.lookup_key = text_of(json, "lookup_key").value_or("");
  item.quantity = integer_of(json, "quantity").value_or(1);
  item.unit_amount = integer_of(json, "unit_amount");
  item.currency = text_of(json, "currency").value_or("");
  item.interval = text_of(json, "interval").value_or("");
  item.period_start = time("current_period_start");
  item.period_end = time("current_period_end");
  return item;
}

}  // namespace

Json items_json(const Subscription& subscription) {
  Json items = Json::array();
  for (const SubscriptionItem& item : subscription.items) {
    items.push_back(item_json(item));
    items.back()["id"] = item.id;
  }
  return items;
}

std::vector<SubscriptionItem> items_from(const Json& items) {
  std::vector<SubscriptionItem> read;
  for (const Json& item : items) read.push_back(item_from(item));
  return read;
}

std::set<std::string> store(const std::vector<Owned>& rows) {
  std::set<std::string> changed;
  if (rows.empty()) return changed;
  pg::Texts user_id, id, customer, account, status, price, product, pause, collection, invoice, schedule,
      test_clock;
  pg::Documents change, items, metadata;
  std::deque<Json> all_items;
  static const Json no_metadata = Json::object();
  pg::Flags livemode, at_period_end, customer_deleted, truncated, ambiguous;
  pg::Numbers quantity;
  pg::Times period_start, period_end, next_renewal, trial_start, trial_end, cancel_at, canceled_at, ended_at,
      paid_through, resumes_at, created, event_created;
  for (const Owned& row : rows) {
    const Subscription& s = row.subscription;
    user_id.push_back(row.user_id);
    id.push_back(s.id);
    customer.push_back(s.customer_id);
    account.push_back(s.account);
    livemode.push_back(s.livemode ? 1 : 0);
    status.push_back(s.status);
    price.push_back(s.items.empty() ? std::nullopt : unless_empty(s.items[0].price_id));
    product.push_back(s.items.empty() ? std::nullopt : unless_empty(s.items[0].product_id));
    quantity.push_back(s.items.empty() ? std::nullopt : std::optional(s.items[0].quantity));
    period_start.add(s.period_start);
    period_end.add(s.period_end);
    next_renewal.add(s.next_renewal);
    trial_start.add(s.trial_start);
    trial_end.add(s.trial_end);
    at_period_end.push_back(s.cancel_at_period_end ? 1 : 0);
    cancel_at.add(s.cancel_at);
    canceled_at.add(s.canceled_at);
    ended_at.add(s.ended_at);
    paid_through.add(s.paid_through);
    pause.push_back(unless_empty(s.pause_behavior));
    resumes_at.add(s.pause_resumes_at);
    collection.push_back(unless_empty(s.collection_method));
    invoice.push_back(unless_empty(s.latest_invoice_id));
    schedule.push_back(unless_empty(s.schedule_id));
    test_clock.push_back(unless_empty(s.test_clock));
    change.push_back(s.scheduled_change.is_null() ? nullptr : &s.scheduled_change);
    customer_deleted.push_back(s.customer_deleted ? 1 : 0);
    items.push_back(&all_items.emplace_back(items_json(s)));
    truncated.push_back(s.items_truncated ? 1 : 0);
    metadata.push_back(s.metadata.is_object() ? &s.metadata : &no_metadata);
    created.add(s.created);
    event_created.add(s.event_created);
    ambiguous.push_back(s.ambiguous ? 1 : 0);
  }
  const pg::Rows written =
      upsert.run(user_id, id, customer, account, livemode, status, price, product, quantity, period_start,
                 period_end, next_renewal, trial_start, trial_end, at_period_end, cancel_at, canceled_at,
                 ended_at, paid_through, pause, resumes_at, collection, invoice, schedule, test_clock, change,
                 customer_deleted, items, truncated, metadata, created, event_created, ambiguous);
  for (std::size_t i = 0; i < written.size(); ++i) changed.insert(written.text(i, 0));
  return changed;
}

std::vector<std::string> ids_of(const std::string& user_id) {
  std::vector<std::string> ids;
  const pg::Rows rows = subscription_ids_of.find({pg::parameter(user_id)});
  for (std::size_t i = 0; i < rows.size(); ++i) ids.push_back(rows.text(i, 0));
  return ids;
}

std::optional<std::optional<Seconds>> find_paid_through(const std::string& user_id, const std::string& id) {
  const pg::Rows rows = paid_through_of.find({pg::parameter(user_id), pg::parameter(id)});
  if (rows.empty()) return std::nullopt;
  return rows.maybe_seconds(0, 0);
}

void store_paid_through(const std::vector<Paid>& rows) {
  if (rows.empty()) return;
  pg::Texts user_id, id;
  pg::Times through;
  for (const Paid& row : rows) {
    user_id.push_back(row.user_id);
    id.push_back(row.id);
    through.add(row.through);
  }
  update_paid_through.run(user_id, id, through);
}

std::map<std::string, std::vector<Subscription>> read(const std::set<std::string>& users, bool live) {
  std::map<std::string, std::vector<Subscription>> found;
  for (const std::string& user : users)
    if (auto owned = read(user, live); !owned.empty()) found[user] = std::move(owned);
  return found;
}

std::vector<Subscription> read(const std::string& user_id, bool live) {
  std::vector<Subscription> found;
  const pg::Rows rows = rows_of.find({pg::parameter(user_id)});
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows.flag(i, 4) != live) continue;
    Subscription s;
    s.id = rows.text(i, 1);
    s.customer_id = rows.text(i, 2);
    s.account = rows.text(i, 3);
    s.livemode = rows.flag(i, 4);
    s.status = rows.text(i, 5);
    s.items = items_from(rows.document(i, 6));
    s.period_start = rows.maybe_seconds(i, 7);
    s.period_end = rows.maybe_seconds(i, 8);
    s.next_renewal = rows.maybe_seconds(i, 9);
    s.trial_start = rows.maybe_seconds(i, 10);
    s.trial_end = rows.maybe_seconds(i, 11);
    s.cancel_at_period_end = rows.flag(i, 12);
    s.cancel_at = rows.maybe_seconds(i, 13);
    s.canceled_at = rows.maybe_seconds(i, 14);
    s.ended_at = rows.maybe_seconds(i, 15);
    s.paid_through = rows.maybe_seconds(i, 16);
    s.pause_behavior = rows.text(i, 17);
    s.pause_resumes_at = rows.maybe_seconds(i, 18);
    s.collection_method = rows.text(i, 19);
    s.latest_invoice_id = rows.text(i, 20);
    s.schedule_id = rows.text(i, 21);
    if (!rows.null(i, 22)) s.scheduled_change = rows.document(i, 22);
    s.customer_deleted = rows.flag(i, 23);
    s.items_truncated = rows.flag(i, 24);
    s.created = rows.maybe_seconds(i, 25);
    s.event_created = rows.maybe_seconds(i, 26).value_or(0);
    s.ambiguous = rows.flag(i, 27);
    s.test_clock = rows.text(i, 28);
    found.push_back(std::move(s));
  }
  return found;
}

}  // namespace billing::subscriptions
