// Grants that no invoice makes: trials, and packs bought through a checkout in payment mode.
#include <algorithm>

#include "core/credit_line.hpp"
#include "core/credit_plan.hpp"
#include "core/fields.hpp"

namespace billing::credits {
namespace {

const Price* find(const Catalogue& catalogue, const std::string& id) {
  const auto found = catalogue.find(id);
  return found == catalogue.end() ? nullptr : &found->second;
}

Wide units(const Price& price, std::int64_t quantity) {
  if (quantity <= 0) return 0;
  return price.rule.per_subscription ? 1 : quantity;
}

// Metadata is text; Stripe's own numbers are numbers.
Amount number_of(const Json& metadata, const char* key) {
  const std::optional<std::string> text = text_of(metadata, key);
  return (text ? whole_number(*text) : integer_of(metadata, key)).value_or(0);
}

struct Pack {
  Wide credits = 0;
  const Price* price = nullptr;
  std::int64_t quantity = 1;
  std::string description;
};

void add(Pack& pack, const Price* price, std::int64_t quantity, const std::string& description) {
  if (price == nullptr || price->metered || !price->rule.credits) return;
  const Wide credits = Wide{*price->rule.credits} * units(*price, quantity);
  if (credits <= 0) return;
  pack.credits += credits;
  if (pack.price != nullptr) return;
  pack.price = price;
  pack.quantity = quantity;
  pack.description = description;
}

Pack pack_of(const Json& session, const Catalogue& catalogue) {
  const Json& metadata = at(session, "metadata");
  Pack pack;
  pack.credits = number_of(metadata, "credits");
  if (pack.credits > 0) return pack;
  for (const Json& line : list_of(session, "line_items")) {
    add(pack, find(catalogue, fields::line_price(line)), integer_of(line, "quantity").value_or(1),
        text_of(line, "description").value_or(""));
  }
  if (pack.credits > 0) return pack;
  const bool counted = !at(metadata, "quantity").is_null();
  add(pack, find(catalogue, id_of(metadata, "price_id")), counted ? number_of(metadata, "quantity") : 1, "");
  return pack;
}

bool is_paid_pack(const Json& session) {
  const std::string paid = text_of(session, "payment_status").value_or("");
  return text_of(session, "mode") == "payment" && text_of(session, "id").value_or("") != "" &&
         (paid == "paid" || paid == "no_payment_required");
}

}  // namespace

std::optional<PlannedGrant> plan_trial(const Subscription& subscription, const Catalogue& catalogue) {
  if (!subscription.trial_start || !subscription.trial_end || subscription.items.empty()) return std::nullopt;
  if (*subscription.trial_end <= *subscription.trial_start) return std::nullopt;
  Wide credits = 0;
  const Price* first = nullptr;
  std::string first_item;
  for (const SubscriptionItem& item : subscription.items) {
    const Price* price = find(catalogue, item.price_id);
    if (price == nullptr || price->metered) continue;
    const Wide of_item = Wide{price->rule.trial_credits} * units(*price, item.quantity);
    if (of_item > 0 && first == nullptr) {
      first = price;
      first_item = item.id;
    }
    credits += of_item;
  }
  if (first == nullptr) return std::nullopt;
  PlannedGrant grant;
  grant.key = "trial";
  grant.amount = grant.full = to_amount(credits);
  grant.expires_at = subscription.trial_end;
  grant.subscription_id = subscription.id;
  // The item's first paid period then ends what is left of the trial.
  grant.series = series_of(subscription.id, first_item);
  grant.cycle_start = *subscription.trial_start;
  grant.rollover = first->rule.rollover;
  grant.priority = first->rule.priority;
  grant.category = "promotional";
  grant.source = "trial";
  grant.price_id = first->id;
  grant.description = "trial";
  grant.rule = {{"rule", "trial"}, {"price", first->id}, {"trial_credits", first->rule.trial_credits}};
  return grant;
}

std::optional<PlannedGrant> plan_checkout(const Json& session, const Catalogue& catalogue) {
  if (!is_paid_pack(session)) return std::nullopt;
  const Pack pack = pack_of(session, catalogue);
  if (pack.credits <= 0) return std::nullopt;
  PlannedGrant grant;
  grant.key = *text_of(session, "id") + ":pack";
  grant.amount = grant.full = to_amount(pack.credits);
  grant.requires_subscription = false;
  grant.source = "checkout";
  grant.description = pack.description.empty() ? "credit pack" : pack.description;
  grant.rule = {{"rule", "pack"}, {"credits", grant.amount}};
  if (pack.price != nullptr) {
    grant.priority = pack.price->rule.priority;
    grant.price_id = pack.price->id;
    grant.rule["price"] = pack.price->id;
    grant.rule["quantity"] = pack.quantity;
  }
  return grant;
}

std::vector<std::string> prices_of_checkout(const Json& session) {
  std::vector<std::string> ids;
  const auto need = [&](std::string id) {
    if (!id.empty() && std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(std::move(id));
  };
  if (!is_paid_pack(session) || number_of(at(session, "metadata"), "credits") > 0) return ids;
  for (const Json& line : list_of(session, "line_items")) need(fields::line_price(line));
  need(id_of(at(session, "metadata"), "price_id"));
  return ids;
}

}  // namespace billing::credits
