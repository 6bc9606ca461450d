#include "core/scheduled_change.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "core/fields.hpp"

namespace billing {
namespace {

bool is_over(const Json& schedule) {
  constexpr std::array<std::string_view, 3> kOver = {"released", "canceled", "completed"};
  const std::string status = text_of(schedule, "status").value_or("");
  return std::find(kOver.begin(), kOver.end(), status) != kOver.end();
}

// When the next phase starts at the earliest; nothing when the schedule is in no phase.
std::optional<Seconds> end_of_current_phase(const Json& schedule) {
  const Json& current = at(schedule, "current_phase");
  if (const std::optional<Seconds> end = time_of(current, "end_date")) return end;
  if (const std::optional<Seconds> start = time_of(current, "start_date")) return *start + 1;
  if (text_of(schedule, "status") == "not_started") return 0;
  return std::nullopt;
}

// Price and quantity, and what the price says of itself where it is there as a whole.
Json item_of(const Json& item) {
  std::string price = id_of(item, "price");
  if (price.empty()) price = id_of(item, "plan");
  const Json& whole = fields::item_price(item);
  const std::string product = fields::price_product(whole);
  const std::optional<std::string> lookup_key = text_of(whole, "lookup_key");
  Json sold = {{"price_id", price.empty() ? Json(nullptr) : Json(price)},
               {"quantity", integer_of(item, "quantity").value_or(1)}};
  if (!product.empty()) sold["product_id"] = product;
  if (lookup_key) sold["lookup_key"] = *lookup_key;
  return sold;
}

Json items_of_phase(const Json& phase) {
  const Json& items = list_of(phase, "items");
  Json sold = Json::array();
  for (const Json& item : items.empty() ? list_of(phase, "plans") : items) sold.push_back(item_of(item));
  return sold;
}

// What two phases are compared by: what is sold, in any order.
std::vector<std::pair<std::string, std::int64_t>> essence(const Json& items) {
  std::vector<std::pair<std::string, std::int64_t>> sold;
  for (const Json& item : items)
    sold.emplace_back(text_of(item, "price_id").value_or(""), integer_of(item, "quantity").value_or(1));
  std::sort(sold.begin(), sold.end());
  return sold;
}

Json change_to(const Json& items, const char* source) {
  const Json& first = items.empty() ? Json(nullptr) : items.front();
  return {{"effective_at", nullptr},
          {"action", "change"},
          {"source", source},
          {"price_id", at(first, "price_id")},
          {"quantity", at(first, "quantity")},
          {"items", items}};
}

}  // namespace

Json change_by_schedule(const Json& schedule) {
  if (is_over(schedule)) return nullptr;
  const std::optional<Seconds> earliest = end_of_current_phase(schedule);
  if (!earliest) return nullptr;
  std::vector<std::pair<Seconds, const Json*>> phases;
  for (const Json& phase : list_of(schedule, "phases"))
    if (const std::optional<Seconds> start = time_of(phase, "start_date"))
      phases.emplace_back(*start, &phase);
  std::stable_sort(phases.begin(), phases.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  const Json* current = nullptr;  // what holds until then; none before the first phase
  for (const auto& [start, phase] : phases) {
    if (start < *earliest) {
      current = phase;
      continue;
    }
    // A phase that changes metadata, discounts or taxes alone sells the same.
    const Json items = items_of_phase(*phase);
    if (current != nullptr && essence(items) == essence(items_of_phase(*current))) continue;
    Json change = change_to(items, "schedule");
    change["effective_at"] = iso_time(start);
    return change;
  }
  if (phases.empty() || text_of(schedule, "end_behavior") != "cancel") return nullptr;
  const std::optional<Seconds> end = time_of(*phases.back().second, "end_date");
  if (!end) return nullptr;
  return {{"effective_at", iso_time(*end)},
          {"action", "cancel"},
          {"source", "schedule"},
          {"price_id", nullptr},
          {"quantity", nullptr},
          {"items", Json::array()}};
}

Json change_by_pending_update(const Json& subscription) {
  const Json& update = at(subscription, "pending_update");
  Json items = Json::array();
  for (const Json& item : list_of(update, "subscription_items")) items.push_back(item_of(item));
  if (items.empty()) return nullptr;
  Json change = change_to(items, "pending_update");
  const std::optional<Seconds> expires = time_of(update, "expires_at");
  change["expires_at"] = expires ? Json(iso_time(*expires)) : Json(nullptr);
  return change;
}

std::vector<SubscriptionItem> items_of_change(const Json& change) {
  std::vector<SubscriptionItem> items;
  for (const Json& sold : list_of(change, "items")) {
    SubscriptionItem item;
    item.price_id = text_of(sold, "price_id").value_or("");
    item.product_id = text_of(sold, "product_id").value_or("");
    item.lookup_key = text_of(sold, "lookup_key").value_or("");
    item.quantity = integer_of(sold, "quantity").value_or(1);
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace billing
