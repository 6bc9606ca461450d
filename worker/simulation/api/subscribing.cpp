#include "worker/simulation/api/subscribing.hpp"

#include <algorithm>

#include "worker/simulation/calendar.hpp"

namespace billing::simulation {
namespace {

Json plan_of(const Json& price) {
  const Json& recurring = recurring_of(price);
  Json plan = Json::object();
  for (const char* same : {"id", "active", "billing_scheme", "created", "currency", "livemode", "metadata",
                           "nickname", "product", "tiers_mode"})
    plan[same] = at(price, same);
  for (const char* same : {"interval", "interval_count", "meter", "trial_period_days", "usage_type"})
    plan[same] = at(recurring, same);
  plan["object"] = "plan";
  plan["amount"] = at(price, "unit_amount");
  plan["amount_decimal"] = at(price, "unit_amount_decimal");
  plan["transform_usage"] = nullptr;
  return plan;
}

// Whether anything is there to pay with.
bool has_card(const Shop& shop, const Json& subscription) {
  if (!id_of(subscription, "default_payment_method").empty()) return true;
  const auto customer = shop.find("customer", id_of(subscription, "customer"));
  return customer && !id_of(at(*customer, "invoice_settings"), "default_payment_method").empty();
}

void set_schedule_over(Shop& shop, const std::string& id, const char* status) {
  auto schedule = shop.find("subscription_schedule", id);
  if (!schedule || schedule->at("status") != "active") return;
  const bool released = std::string_view(status) == "released";
  (*schedule)["status"] = status;
  (*schedule)[std::string(status) + "_at"] = shop.now();
  (*schedule)["current_phase"] = nullptr;
  if (released) {
    (*schedule)["released_subscription"] = (*schedule)["subscription"];
    (*schedule)["subscription"] = nullptr;
  }
  shop.tell(std::string("subscription_schedule.") + status, *schedule);
}

// The phase that begins now takes over; after the last one the schedule lets go, or ends it all.
enum class Turn { none, phase, released, ends };
Turn follow_schedule(Shop& shop, const Json& subscription, Json& items) {
  auto schedule = shop.find("subscription_schedule", id_of(subscription, "schedule"));
  if (!schedule || schedule->at("status") != "active") return Turn::none;
  for (const Json& phase : schedule->at("phases")) {
    const Seconds start = phase.at("start_date"), end = phase.at("end_date");
    if (start > shop.now() || end <= shop.now()) continue;
    items = Json::array();
    for (const Json& item : phase.at("items"))
      items.push_back(item_json(shop, subscription.at("id"),
                                {shop.get("price", id_of(item, "price")), item.value("quantity", 1)},
                                {start, end}));
    shop.change("subscription_schedule.updated", *schedule, [&](Json& changed) {
      changed["current_phase"] = {{"end_date", end}, {"start_date", start}};
    });
    return Turn::phase;
  }
  const bool ends = schedule->at("end_behavior") == "cancel";
  set_schedule_over(shop, schedule->at("id"), ends ? "completed" : "released");
  return ends ? Turn::ends : Turn::released;
}

// An hour after a period has begun its invoice is finalised and paid.
void settle_later(Shop& shop, const std::string& invoice_id) {
  shop.at(shop.now() + kHour, [&shop, invoice_id] {
    Json invoice = shop.get("invoice", invoice_id);
    if (invoice["status"] == "draft") pay_invoice(shop, invoice);
  });
}

void trial_over(Shop& shop, Json subscription) {
  if (!has_card(shop, subscription)) {
    const std::string missing =
        at(at(at(subscription, "trial_settings"), "end_behavior"), "missing_payment_method")
            .get<std::string>();
    if (missing == "cancel") {
      end_subscription(shop, subscription, "payment_failed");
      return;
    }
    if (missing == "pause") {
      shop.change("customer.subscription.updated", subscription,
                  [](Json& changed) { changed["status"] = "paused"; });
      return shop.tell("customer.subscription.paused", subscription);
    }
  }
  const Json invoice = activate(shop, subscription, subscription.at("trial_end"), "subscription_cycle");
  settle_later(shop, invoice.at("id"));
}

void renew(Shop& shop, Json subscription) {
  const Period period = period_of(subscription);
  const std::string status = subscription.at("status");
  if (status == "paused" || status == "incomplete") return;
  const auto cancel_at = time_of(subscription, "cancel_at");
  if (flag_of(subscription, "cancel_at_period_end") || (cancel_at && *cancel_at <= period.end)) {
    end_subscription(shop, subscription, "cancellation_requested");
    return;
  }
  if (status == "trialing") return trial_over(shop, subscription);
  Json items;
  const Turn turn = follow_schedule(shop, subscription, items);
  if (turn == Turn::ends) {
    end_subscription(shop, subscription, "cancellation_requested");
    return;
  }
  const std::string invoice = shop.make_id("in_");
  shop.change("customer.subscription.updated", subscription, [&](Json& changed) {
    if (turn == Turn::phase) set_items(changed, items);
    if (turn == Turn::released) changed["schedule"] = nullptr;
    const Json& recurring = recurring_of(list_of(changed, "items").at(0).at("price"));
    set_period(changed, {period.end, period_end(changed.at("billing_cycle_anchor"), recurring, period.end)});
    changed["latest_invoice"] = invoice;
  });
  make_invoice(shop, subscription, "subscription_cycle", lines_of(subscription, period_of(subscription)),
               invoice);
  settle_later(shop, invoice);
  plan_period(shop, subscription);
}

}  // namespace

Json make_customer(Shop& shop, const std::function<void(Json&)>& fill) {
  Customer customer;
  customer.id = shop.make_id("cus_");
  customer.created = shop.now();
  Json json = to_json(customer, shop.shape());
  json["currency"] = nullptr;
  fill(json);
  shop.tell("customer.created", json);
  return json;
}

Json attach_card(Shop& shop, Json& customer, bool as_default) {
  PaymentMethod method;
  method.id = shop.make_id("pm_");
  method.customer = customer.at("id");
  method.last4 = "4242";
  method.expires = 2034;
  method.created = shop.now();
  const Json json = to_json(method, shop.shape());
  shop.tell("payment_method.attached", json);
  if (as_default)
    shop.change("customer.updated", customer,
                [&](Json& changed) { changed["invoice_settings"]["default_payment_method"] = method.id; });
  return json;
}

bool is_live(const Json& subscription) {
  const std::string status = subscription.at("status");
  return status != "canceled" && status != "incomplete_expired";
}

const Json& recurring_of(const Json& price) { return at(price, "recurring"); }

Period period_of(const Json& subscription) {
  const Json& items = list_of(subscription, "items");
  if (items.empty()) return {};
  return {time_of(items.at(0), "current_period_start").value_or(0),
          time_of(items.at(0), "current_period_end").value_or(0)};
}

Seconds period_end(Seconds anchor, const Json& recurring, Seconds after) {
  const std::string interval = text_of(recurring, "interval").value_or("month");
  const auto count = static_cast<int>(integer_of(recurring, "interval_count").value_or(1));
  if (interval == "month" || interval == "year")
    return next_end(anchor, interval == "year" ? 12 * count : count, after);
  const Seconds step = (interval == "week" ? 7 * kDay : kDay) * count;
  return anchor + ((after - anchor) / step + 1) * step;
}

Json item_json(Shop& shop, const std::string& subscription, const Order& order, Period period) {
  return {{"id", shop.make_id("si_")},        {"object", "subscription_item"},
          {"billing_thresholds", nullptr},    {"created", shop.now()},
          {"current_period_end", period.end}, {"current_period_start", period.start},
          {"discounts", Json::array()},       {"metadata", Json::object()},
          {"plan", plan_of(order.price)},     {"price", order.price},
          {"quantity", order.quantity},       {"subscription", subscription},
          {"tax_rates", Json::array()}};
}

void set_items(Json& subscription, Json items) {
  const bool single = items.size() == 1;
  subscription["plan"] = single ? plan_of(items.at(0).at("price")) : Json(nullptr);
  subscription["quantity"] = single ? items.at(0).at("quantity") : Json(nullptr);
  subscription["items"] = list_json(
      std::move(items), "/v1/subscription_items?subscription=" + subscription.at("id").get<std::string>());
}

void set_period(Json& subscription, Period period) {
  for (Json& item : subscription["items"]["data"]) {
    item["current_period_start"] = period.start;
    item["current_period_end"] = period.end;
  }
}

std::vector<LineDraft> lines_of(const Json& subscription, Period period) {
  std::vector<LineDraft> lines;
  const bool free = subscription.at("status") == "trialing";
  for (const Json& item : list_of(subscription, "items")) {
    LineDraft line;
    line.price = item.at("price");
    line.quantity = item.value("quantity", 1);
    line.amount = free ? 0 : integer_of(line.price, "unit_amount").value_or(0) * line.quantity;
    line.period = period;
    line.item = item.at("id");
    line.description = std::to_string(line.quantity) + " \u00d7 " +
                       text_of(line.price, "nickname").value_or(line.price.at("id").get<std::string>());
    lines.push_back(std::move(line));
  }
  return lines;
}

Json begin_subscription(Shop& shop, const SubscriptionStart& start) {
  const Seconds now = shop.now();
  const Json customer = shop.get("customer", start.customer);
  Subscription s;
  s.id = shop.make_id("sub_");
  s.customer = start.customer;
  s.created = now;
  s.anchor = start.trial_end.value_or(now);
  s.status = start.trial_end ? "trialing" : "incomplete";
  s.payment_method = id_of(customer["invoice_settings"], "default_payment_method");
  if (start.trial_end) {
    s.trial_start = now;
    s.trial_end = start.trial_end;
  }
  Json json = to_json(s, shop.shape());
  const Json& recurring = recurring_of(start.items.front().price);
  const Period period{now, start.trial_end.value_or(period_end(now, recurring, now))};
  Json items = Json::array();
  for (const Order& order : start.items) items.push_back(item_json(shop, s.id, order, period));
  set_items(json, std::move(items));
  set_currency(json, start.items.front().price.at("currency"));
  json["metadata"] = start.metadata;
  if (!start.description.empty()) json["description"] = start.description;
  json["trial_settings"]["end_behavior"]["missing_payment_method"] = start.missing_payment_method;
  const std::string invoice_id = shop.make_id("in_");
  json["latest_invoice"] = invoice_id;
  shop.tell("customer.subscription.created", json);
  Json invoice = make_invoice(shop, json, "subscription_create", lines_of(json, period), invoice_id);
  finalize_invoice(shop, invoice);
  if (start.trial_end || has_card(shop, json) || invoice["amount_due"] == 0) pay_invoice(shop, invoice);
  plan_period(shop, json);
  if (!start.trial_end)
    shop.at(now + 23 * kHour, [&shop, id = s.id, invoice_id] {
      Json subscription = shop.get("subscription", id);
      if (subscription["status"] != "incomplete") return;
      shop.change("customer.subscription.updated", subscription,
                  [](Json& changed) { changed["status"] = "incomplete_expired"; });
      Json open = shop.get("invoice", invoice_id);
      void_invoice(shop, open);
    });
  return shop.get("subscription", s.id);
}

Json end_subscription(Shop& shop, Json subscription, const char* reason) {
  set_schedule_over(shop, id_of(subscription, "schedule"), "canceled");
  subscription["status"] = "canceled";
  subscription["ended_at"] = shop.now();
  if (subscription["canceled_at"].is_null()) subscription["canceled_at"] = shop.now();
  subscription["cancellation_details"]["reason"] = reason;
  shop.tell("customer.subscription.deleted", subscription);
  return subscription;
}

void set_cancel_at_period_end(Shop& shop, Json& changed, bool ends) {
  changed["cancel_at_period_end"] = ends;
  changed["cancel_at"] = ends ? Json(period_of(changed).end) : Json(nullptr);
  changed["canceled_at"] = ends ? Json(shop.now()) : Json(nullptr);
  changed["cancellation_details"]["reason"] = ends ? Json("cancellation_requested") : Json(nullptr);
}

Json activate(Shop& shop, Json subscription, Seconds anchor, const char* reason) {
  const std::string invoice = shop.make_id("in_");
  shop.change("customer.subscription.updated", subscription, [&](Json& changed) {
    if (changed["status"] == "trialing") changed["trial_end"] = anchor;
    changed["status"] = "active";
    changed["billing_cycle_anchor"] = anchor;
    const Json& recurring = recurring_of(list_of(changed, "items").at(0).at("price"));
    set_period(changed, {anchor, period_end(anchor, recurring, anchor)});
    changed["latest_invoice"] = invoice;
  });
  plan_period(shop, subscription);
  return make_invoice(shop, subscription, reason, lines_of(subscription, period_of(subscription)), invoice);
}

void plan_period(Shop& shop, const Json& subscription) {
  const std::string id = subscription.at("id");
  Json& cycle = shop.note(id)["cycle"];
  cycle = cycle.is_null() ? 1 : cycle.get<int>() + 1;
  const auto still = [&shop, id, cycle = cycle.get<int>()](void (*happening)(Shop&, Json)) {
    return [&shop, id, cycle, happening] {
      const auto found = shop.find("subscription", id);
      if (found && is_live(*found) && shop.note(id)["cycle"] == cycle) happening(shop, *found);
    };
  };
  const Period period = period_of(subscription);
  if (subscription.at("status") == "trialing" && period.end - shop.now() > 3 * kDay)
    shop.at(period.end - 3 * kDay, still([](Shop& s, Json trial) {
              if (trial["status"] == "trialing") s.tell("customer.subscription.trial_will_end", trial);
            }));
  shop.at(period.end, still(&renew));
  const auto cancel_at = time_of(subscription, "cancel_at");
  if (cancel_at && *cancel_at < period.end)
    shop.at(*cancel_at, still([](Shop& s, Json ending) {
      if (time_of(ending, "cancel_at").value_or(kEndOfTime) <= s.now())
        end_subscription(s, std::move(ending), "cancellation_requested");
    }));
}

}  // namespace billing::simulation
