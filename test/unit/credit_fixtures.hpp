// Prices and invoices for the tests of credit grants, in the shapes before and since basil.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "core/calendar.hpp"
#include "core/credit_plan.hpp"
#include "fixtures.hpp"

namespace billing::credits::fixtures {

using billing::fixtures::kDay;
using billing::fixtures::list;

// 2026-01-01, and the starts of the months after it.
inline Seconds month(int months) { return add_units(billing::fixtures::kStart, Unit::month, months); }
inline Seconds day(int days) { return billing::fixtures::kStart + days * kDay; }

inline Json price_json(const std::string& id, Json metadata, const std::string& interval = "month",
                       std::int64_t unit_amount = 2900) {
  Json price = billing::fixtures::price(id, "prod_" + id);
  price["metadata"] = std::move(metadata);
  price["recurring"]["interval"] = interval;
  price["unit_amount"] = unit_amount;
  return price;
}

inline Catalogue catalogue(const std::vector<Json>& prices) {
  Catalogue catalogue;
  for (const Json& price : prices) catalogue[price["id"]] = read_price(price, nullptr);
  return catalogue;
}

// Monthly: basic 100, pro 300, max 900, free 10. Annual: basic_year 1200, pro_year 3600, and by the month
// pro_drip 300 and max_drip 900.
inline Catalogue plans() {
  return catalogue({price_json("basic", {{"credits", "100"}}), price_json("pro", {{"credits", "300"}}),
                    price_json("max", {{"credits", "900"}}),
                    price_json("free", {{"credits", "10"}}, "month", 0), price_json("none", Json::object()),
                    price_json("basic_year", {{"credits", "1200"}}, "year"),
                    price_json("pro_year", {{"credits", "3600"}}, "year"),
                    price_json("pro_drip", {{"credits", "300"}, {"credit_interval", "month"}}, "year"),
                    price_json("max_drip", {{"credits", "900"}, {"credit_interval", "month"}}, "year")});
}

struct Line {
  std::string id;
  std::string price;
  Seconds start = 0;
  Seconds end = 0;
  std::int64_t amount = 2900;
  std::int64_t quantity = 1;
  std::string item = "si_1";
  bool proration = false;
  bool credits_earlier = false;
  bool discounted = false;
};

// A full period, and the two sides of a proration.
inline Line period(const std::string& id, const std::string& price, Seconds start, Seconds end,
                   std::int64_t quantity = 1) {
  return {id, price, start, end, 2900, quantity};
}
inline Line unused(const std::string& id, const std::string& price, Seconds start, Seconds end,
                   std::int64_t quantity = 1) {
  Line line{id, price, start, end, -1000, quantity};
  line.proration = line.credits_earlier = true;
  return line;
}
inline Line remaining(const std::string& id, const std::string& price, Seconds start, Seconds end,
                      std::int64_t quantity = 1) {
  Line line{id, price, start, end, 2000, quantity};
  line.proration = true;
  return line;
}

inline Json old_line(const Line& line) {
  Json json = {{"id", line.id},
               {"object", "line_item"},
               {"amount", line.amount},
               {"period", {{"start", line.start}, {"end", line.end}}},
               {"plan", {{"id", line.price}, {"object", "plan"}}},
               {"price", {{"id", line.price}, {"object", "price"}}},
               {"proration", line.proration},
               {"quantity", line.quantity},
               {"subscription", "sub_1"},
               {"type", line.proration ? "invoiceitem" : "subscription"}};
  if (!line.item.empty()) json["subscription_item"] = line.item;
  if (line.credits_earlier) json["proration_details"] = {{"credited_items", {{"invoice", "in_0"}}}};
  if (line.discounted) json["discount_amounts"] = Json::array({{{"amount", 0}, {"discount", "di_1"}}});
  return json;
}

inline Json new_line(const Line& line) {
  Json details = {{"proration", line.proration},
                  {"proration_details", {{"credited_items", nullptr}}},
                  {"subscription", "sub_1"}};
  if (line.credits_earlier) {
    details["proration_details"]["credited_items"] = {{"invoice", "in_0"},
                                                      {"invoice_line_items", Json::array({"il_0"})}};
  }
  if (!line.item.empty()) details["subscription_item"] = line.item;
  Json json = {{"id", line.id},
               {"object", "line_item"},
               {"amount", line.amount},
               {"parent", {{"type", "subscription_item_details"}, {"subscription_item_details", details}}},
               {"period", {{"start", line.start}, {"end", line.end}}},
               {"pricing", {{"type", "price_details"}, {"price_details", {{"price", line.price}}}}},
               {"quantity", line.quantity}};
  if (line.discounted) json["discount_amounts"] = Json::array({{{"amount", 0}, {"discount", "di_1"}}});
  return json;
}

inline Json invoice(const std::string& id, Seconds created, const std::string& reason,
                    const std::vector<Line>& lines, bool old = false) {
  Json json = {{"id", id},           {"object", "invoice"}, {"amount_paid", 2900}, {"billing_reason", reason},
               {"created", created}, {"customer", "cus_1"}, {"status", "paid"}};
  Json elements = Json::array();
  for (const Line& line : lines) elements.push_back(old ? old_line(line) : new_line(line));
  json["lines"] = list(std::move(elements));
  if (old) {
    json["paid"] = true;
    json["subscription"] = "sub_1";
  } else {
    json["parent"] = {{"type", "subscription_details"},
                      {"subscription_details", {{"subscription", "sub_1"}}}};
  }
  return json;
}

inline Json create(const std::vector<Line>& lines, Seconds created = month(0)) {
  return invoice("in_1", created, "subscription_create", lines);
}
inline Json update(const std::string& id, Seconds created, const std::vector<Line>& lines) {
  return invoice(id, created, "subscription_update", lines);
}
inline Json cycle(const std::string& id, Seconds created, const std::vector<Line>& lines) {
  return invoice(id, created, "subscription_cycle", lines);
}

// A month of `price`, and a change of it to another on that day.
inline Json base(const std::string& price, std::int64_t quantity = 1) {
  return create({period("il_1", price, month(0), month(1), quantity)});
}
inline Json change(const std::string& id, Seconds at, const std::string& from, const std::string& to,
                   std::int64_t from_quantity = 1, std::int64_t to_quantity = 1) {
  return update(id, at,
                {unused("il_" + id + "_u", from, at, month(1), from_quantity),
                 remaining("il_" + id + "_r", to, at, month(1), to_quantity)});
}
inline Amount prorated(Amount delta, Seconds at) { return delta * (month(1) - at) / (month(1) - month(0)); }

// A new period by a subscription_update.
inline Json restart(const std::string& id, Seconds at, Seconds until, const std::string& to,
                    std::int64_t quantity = 1) {
  return update(id, at, {period("il_" + id, to, at, until, quantity)});
}
inline Seconds after_year(Seconds at) { return add_units(at, Unit::year, 1); }
inline Seconds after_month(Seconds at) { return add_units(at, Unit::month, 1); }

// What is due, without what came to nothing.
inline std::vector<PlannedGrant> due(const std::vector<Json>& invoices, const Catalogue& prices = plans()) {
  std::vector<const Json*> pointers;
  for (const Json& invoice : invoices) pointers.push_back(&invoice);
  std::vector<PlannedGrant> plan = plan_invoices(pointers, prices);
  plan.erase(
      std::remove_if(plan.begin(), plan.end(), [](const PlannedGrant& one) { return one.amount == 0; }),
      plan.end());
  return plan;
}

// The amount of the grant with that key; 0 when there is none.
inline Amount amount_of(const std::vector<PlannedGrant>& plan, const std::string& key) {
  for (const PlannedGrant& grant : plan) {
    if (grant.key == key) return grant.amount;
  }
  return 0;
}

inline const PlannedGrant* find(const std::vector<PlannedGrant>& plan, const std::string& key) {
  for (const PlannedGrant& grant : plan) {
    if (grant.key == key) return &grant;
  }
  return nullptr;
}

inline Amount total(const std::vector<PlannedGrant>& plan) {
  Amount sum = 0;
  for (const PlannedGrant& grant : plan) sum += grant.amount;
  return sum;
}

inline Json to_json(const std::vector<PlannedGrant>& plan) {
  Json all = Json::array();
  for (const PlannedGrant& grant : plan) {
    all.push_back({{"key", grant.key},
                   {"amount", grant.amount},
                   {"full", grant.full},
                   {"effective_at", grant.effective_at},
                   {"expires_at", grant.expires_at.value_or(-1)},
                   {"series", grant.series},
                   {"cycle_start", grant.cycle_start},
                   {"price", grant.price_id},
                   {"source", grant.source},
                   {"rule", grant.rule}});
  }
  return all;
}

}  // namespace billing::credits::fixtures
