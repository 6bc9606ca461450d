#include "worker/simulation/api/item_change.hpp"

#include <algorithm>

namespace billing::simulation {
namespace {

Json usable_price(Shop& shop, const Parameters& given) {
  const std::string id = given.required("price");
  Json price = shop.get_named("price", id, given.name_of("price"));
  if (!flag_of(price, "active"))
    throw invalid("The price specified is inactive. This field only accepts active prices.",
                  given.name_of("price"));
  return price;
}

bool same(const Json& a, const Json& b) {
  return a.at("id") == b.at("id") && a.at("price").at("id") == b.at("price").at("id") &&
         a.at("quantity") == b.at("quantity");
}

bool is_in(const Json& item, const Json& items) {
  return std::any_of(items.begin(), items.end(), [&](const Json& other) { return same(item, other); });
}

void hold_back(Shop& shop, const std::string& id, const std::vector<LineDraft>& lines) {
  Json& pending = shop.note(id)["pending"];
  for (const LineDraft& line : lines)
    pending.push_back({{"price", line.price},
                       {"quantity", line.quantity},
                       {"amount", line.amount},
                       {"start", line.period.start},
                       {"end", line.period.end},
                       {"item", line.item},
                       {"description", line.description}});
}

}  // namespace

std::vector<Order> read_orders(Shop& shop, const Parameters& given, const char* name) {
  std::vector<Order> orders;
  for (const Parameters& item : given.elements(name)) {
    item.allow({"price", "quantity", "metadata", "adjustable_quantity", "tax_rates"});
    orders.push_back({usable_price(shop, item), item.integer("quantity").value_or(1)});
  }
  return orders;
}

ItemChange read_item_change(Shop& shop, const Json& subscription, const Parameters& given) {
  ItemChange change;
  const std::string proration =
      given.one_of("proration_behavior", {"always_invoice", "create_prorations", "none"});
  if (!proration.empty()) change.proration = proration;
  const std::string payment =
      given.one_of("payment_behavior", {"allow_incomplete", "default_incomplete", "error_if_incomplete"});
  if (!payment.empty()) change.payment = payment;
  change.when = given.integer("proration_date", 1).value_or(shop.now());
  change.restarts = given.text("billing_cycle_anchor") == "now";
  if (!given.has("items")) return change;
  Json items = list_of(subscription, "items");
  for (const Parameters& wanted : given.elements("items")) {
    wanted.allow({"id", "price", "quantity", "deleted", "metadata", "tax_rates"});
    const std::string id = wanted.text("id");
    if (id.empty()) {
      items.push_back(item_json(shop, subscription.at("id"),
                                {usable_price(shop, wanted), wanted.integer("quantity").value_or(1)},
                                period_of(subscription)));
      continue;
    }
    const auto found = std::find_if(items.begin(), items.end(), [&](const Json& i) { return i["id"] == id; });
    if (found == items.end()) throw no_such("subscription_item", id, wanted.name_of("id"), 400);
    if (wanted.flag("deleted").value_or(false)) {
      items.erase(found);
      continue;
    }
    const std::int64_t quantity = wanted.integer("quantity").value_or(found->value("quantity", 1));
    Json price = wanted.has("price") ? usable_price(shop, wanted) : found->at("price");
    Json fresh =
        item_json(shop, subscription.at("id"), {std::move(price), quantity}, period_of(subscription));
    fresh["id"] = id;
    fresh["created"] = found->at("created");
    fresh["metadata"] = found->at("metadata");
    *found = std::move(fresh);
  }
  if (items.empty()) throw invalid("A subscription must have at least one item.", "items");
  if (items == list_of(subscription, "items")) return change;
  const Json& before = recurring_of(list_of(subscription, "items").at(0).at("price"));
  const Json& after = recurring_of(items.at(0).at("price"));
  for (const char* part : {"interval", "interval_count"})
    change.restarts = change.restarts || at(before, part) != at(after, part);
  change.items = std::move(items);
  return change;
}

std::vector<LineDraft> prorations(const Json& subscription, const ItemChange& change) {
  std::vector<LineDraft> lines;
  if (!change.changes() || change.proration == "none" || subscription.at("status") == "trialing")
    return lines;
  const Period period = period_of(subscription);
  const Seconds length = std::max<Seconds>(period.end - period.start, 1);
  const Seconds left = std::clamp<Seconds>(period.end - change.when, 0, length);
  const auto add = [&](const Json& item, bool credit) {
    const Json& price = item.at("price");
    const std::int64_t quantity = item.value("quantity", 1);
    const std::int64_t whole = integer_of(price, "unit_amount").value_or(0) * quantity;
    const std::string name = text_of(price, "nickname").value_or(price.at("id").get<std::string>());
    lines.push_back({price,
                     quantity,
                     (credit ? -1 : 1) * whole * left / length,
                     {change.when, period.end},
                     item.at("id"),
                     (credit ? "Unused time on " : "Remaining time on ") + name,
                     true});
  };
  const Json& before = list_of(subscription, "items");
  for (const Json& item : before)
    if (!is_in(item, change.items)) add(item, true);
  // What begins anew is charged for its whole period by a line of its own.
  if (change.restarts) return lines;
  for (const Json& item : change.items)
    if (!is_in(item, before)) add(item, false);
  return lines;
}

Json change_items(Shop& shop, Json subscription, const ItemChange& change, bool ends_trial,
                  const std::function<void(Json&)>& edit) {
  const std::string id = subscription.at("id");
  const bool restarts = change.restarts || ends_trial;
  const bool billed = subscription.at("status") != "trialing" || ends_trial;
  const std::vector<LineDraft> lines = prorations(subscription, change);
  const bool invoiced = billed && (restarts || (change.proration == "always_invoice" && !lines.empty()));
  if (invoiced && change.payment == "error_if_incomplete" &&
      card_declines(shop, id_of(subscription, "customer")))
    throw CallError(402, "card_error", "card_declined", "Your card has insufficient funds.")
        .declined("insufficient_funds");
  hold_back(shop, id, lines);
  const std::string invoice_id = shop.make_id("in_");
  shop.change("customer.subscription.updated", subscription, [&](Json& changed) {
    if (change.changes()) set_items(changed, change.items);
    edit(changed);
    if (ends_trial) {
      changed["status"] = "active";
      changed["trial_end"] = shop.now();
    }
    if (restarts && billed) {
      const Json& recurring = recurring_of(list_of(changed, "items").at(0).at("price"));
      changed["billing_cycle_anchor"] = shop.now();
      set_period(changed, {shop.now(), period_end(shop.now(), recurring, shop.now())});
    }
    if (invoiced) changed["latest_invoice"] = invoice_id;
  });
  plan_period(shop, subscription);
  if (!invoiced) return subscription;
  Json invoice = make_invoice(
      shop, subscription, "subscription_update",
      restarts ? lines_of(subscription, period_of(subscription)) : std::vector<LineDraft>{}, invoice_id);
  pay_invoice(shop, invoice);
  return subscription;
}

}  // namespace billing::simulation
