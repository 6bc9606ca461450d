#include "core/fields.hpp"

#include <algorithm>
#include <map>

namespace billing::fields {
namespace {

template <typename Compare>
std::optional<Seconds> extreme_over_items(const Json& subscription, const char* key, Compare better) {
  std::optional<Seconds> found;
  for (const Json& item : list_of(subscription, "items")) {
    const std::optional<Seconds> time = time_of(item, key);
    if (time && (!found || better(*time, *found))) found = time;
  }
  return found;
}

// Since basil each item has a period. One that was added in the middle ends with those of its interval, whose
// period is the one that is paid or not; of several intervals the period that began last counts.
std::optional<Seconds> period_start_of_items(const Json& subscription) {
  std::map<std::string, Seconds> starts;  // by interval and end
  for (const Json& item : list_of(subscription, "items")) {
    const std::optional<Seconds> start = time_of(item, "current_period_start");
    if (!start) continue;
    const Json& recurring = at(item_price(item), "recurring");
    const std::string kind = to_text(Json::array(
        {at(recurring, "interval"), at(recurring, "interval_count"), at(item, "current_period_end")}));
    const auto [found, is_new] = starts.emplace(kind, *start);
    if (!is_new) found->second = std::min(found->second, *start);
  }
  std::optional<Seconds> latest;
  for (const auto& [kind, start] : starts) latest = std::max(latest.value_or(start), start);
  return latest;
}

std::string first_of(std::string preferred, std::string otherwise) {
  return preferred.empty() ? std::move(otherwise) : std::move(preferred);
}

const Json& subscription_details(const Json& invoice) {
  return at(at(invoice, "parent"), "subscription_details");
}

// Since basil an invoice can have several payments, of which a paid one says most, then the default one.
std::string payment_of(const Json& invoice, const char* key) {
  std::string found;
  int found_worth = -1;
  for (const Json& entry : list_of(invoice, "payments")) {
    std::string id = id_of(at(entry, "payment"), key);
    const int worth = (text_of(entry, "status") == "paid" ? 2 : 0) + (flag_of(entry, "is_default") ? 1 : 0);
    if (!id.empty() && worth > found_worth) {
      found = std::move(id);
      found_worth = worth;
    }
  }
  return found;
}

}  // namespace

Period subscription_period(const Json& subscription) {
  Period period{time_of(subscription, "current_period_start"), time_of(subscription, "current_period_end")};
  if (!period.start) period.start = period_start_of_items(subscription);
  if (!period.end) period.end = extreme_over_items(subscription, "current_period_end", std::greater<>());
  return period;
}

std::optional<Seconds> next_renewal(const Json& subscription) {
  const std::optional<Seconds> soonest =
      extreme_over_items(subscription, "current_period_end", std::less<>());
  return soonest ? soonest : time_of(subscription, "current_period_end");
}

Period item_period(const Json& item, const Json& subscription) {
  Period period{time_of(item, "current_period_start"), time_of(item, "current_period_end")};
  if (!period.start) period.start = time_of(subscription, "current_period_start");
  if (!period.end) period.end = time_of(subscription, "current_period_end");
  return period;
}

const Json& item_price(const Json& item) {
  static const Json null;
  const Json& price = at(item, "price");
  if (price.is_object()) return price;
  const Json& plan = at(item, "plan");
  return plan.is_object() ? plan : null;
}

std::string price_product(const Json& price) { return id_of(price, "product"); }

std::string invoice_subscription(const Json& invoice) {
  return first_of(id_of(invoice, "subscription"), id_of(subscription_details(invoice), "subscription"));
}

const Json& invoice_subscription_metadata(const Json& invoice) {
  const Json& since_basil = at(subscription_details(invoice), "metadata");
  return since_basil.is_object() ? since_basil : at(at(invoice, "subscription_details"), "metadata");
}

bool invoice_is_paid(const Json& invoice) {
  return flag_of(invoice, "paid") || text_of(invoice, "status") == "paid";
}

std::string invoice_charge(const Json& invoice) {
  return first_of(id_of(invoice, "charge"), payment_of(invoice, "charge"));
}

std::string invoice_payment_intent(const Json& invoice) {
  return first_of(id_of(invoice, "payment_intent"), payment_of(invoice, "payment_intent"));
}

std::optional<Seconds> invoice_paid_until(const Json& invoice) {
  std::optional<Seconds> latest;
  for (const Json& line : list_of(invoice, "lines")) {
    if (!line_is_of_subscription(line) || line_is_proration(line)) continue;
    const std::optional<Seconds> end = time_of(at(line, "period"), "end");
    if (end && (!latest || *end > *latest)) latest = end;
  }
  return latest;
}

std::string line_price(const Json& line) {
  return first_of(id_of(at(at(line, "pricing"), "price_details"), "price"),
                  first_of(id_of(line, "price"), id_of(line, "plan")));
}

std::string line_subscription(const Json& line) {
  const Json& parent = at(line, "parent");
  return first_of(id_of(line, "subscription"),
                  first_of(id_of(at(parent, "subscription_item_details"), "subscription"),
                           id_of(at(parent, "invoice_item_details"), "subscription")));
}

bool line_is_proration(const Json& line) {
  const Json& parent = at(line, "parent");
  return flag_of(line, "proration") || flag_of(at(parent, "subscription_item_details"), "proration") ||
         flag_of(at(parent, "invoice_item_details"), "proration");
}

// Lines made from invoice items (one-off charges, prorations) may name a subscription too, but they do not
// pay for a period of it.
bool line_is_of_subscription(const Json& line) {
  const std::optional<std::string> parent = text_of(at(line, "parent"), "type");
  if (parent) return *parent == "subscription_item_details";
  const std::optional<std::string> type = text_of(line, "type");
  if (type) return *type == "subscription";
  return !line_subscription(line).empty();
}

std::string line_subscription_item(const Json& line) {
  return first_of(id_of(line, "subscription_item"),
                  id_of(at(at(line, "parent"), "subscription_item_details"), "subscription_item"));
}

bool line_credits_earlier(const Json& line) {
  const auto names_items = [](const Json& owner) {
    return at(at(owner, "proration_details"), "credited_items").is_object();
  };
  const Json& parent = at(line, "parent");
  return names_items(line) || names_items(at(parent, "subscription_item_details")) ||
         names_items(at(parent, "invoice_item_details"));
}

std::string line_id(const Json& line) {
  // Before 2019-12-03 `id` was that of the subscription, its item or the invoice item.
  for (const char* key : {"id", "unique_line_item_id", "unique_id"}) {
    const std::optional<std::string> id = text_of(line, key);
    if (id && id->rfind("il_", 0) == 0) return *id;
  }
  return "";
}

std::string payment_invoice(const Json& charge_or_intent) { return id_of(charge_or_intent, "invoice"); }

std::string refund_charge(const Json& refund_or_dispute) { return id_of(refund_or_dispute, "charge"); }

std::string invoice_payment_invoice(const Json& invoice_payment) { return id_of(invoice_payment, "invoice"); }

std::string invoice_payment_intent_of(const Json& invoice_payment) {
  const Json& payment = at(invoice_payment, "payment");
  return first_of(id_of(payment, "payment_intent"), id_of(payment, "charge"));
}

std::string discount_coupon(const Json& discount) {
  return first_of(id_of(discount, "coupon"), id_of(at(discount, "source"), "coupon"));
}

std::string parent_id(const std::string& object_type, const Json& object) {
  if (object_type == "invoice") return invoice_subscription(object);
  if (object_type == "charge") return first_of(payment_invoice(object), id_of(object, "payment_intent"));
  if (object_type == "payment_intent") return payment_invoice(object);
  if (object_type == "refund" || object_type == "dispute") {
    return first_of(id_of(object, "payment_intent"), refund_charge(object));
  }
  if (object_type == "invoice_payment") return invoice_payment_invoice(object);
  if (object_type == "credit_note") return id_of(object, "invoice");
  if (object_type == "subscription_schedule") {
    return first_of(id_of(object, "subscription"), id_of(object, "released_subscription"));
  }
  if (object_type == "checkout.session") {
    return first_of(id_of(object, "subscription"), id_of(object, "payment_intent"));
  }
  return "";
}

}  // namespace billing::fields
