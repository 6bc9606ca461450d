// Random input for properties: JSON as an attacker or a future API version might send it, and subscriptions
// whose instants lie close enough together to coincide.
#pragma once

#include <rapidcheck.h>

#include <limits>
#include <string>
#include <vector>

#include "core/ordering.hpp"
#include "core/subscription_state.hpp"
#include "fixtures.hpp"

namespace billing {

// What RapidCheck prints of a counterexample.
inline void showValue(const Subscription& one, std::ostream& out) {
  const UserState state = judge_user({one}, {}, kBeginningOfTime);
  out << to_text(state_json("user_1", {one}, state));
}
inline void showValue(const AccessRules& rules, std::ostream& out) {
  out << "grace " << rules.past_due_grace << ", slack " << rules.renewal_slack << ", until paid through "
      << rules.canceled_until_paid_through;
}
inline void showValue(const Rank& rank, std::ostream& out) {
  out << rank.finality << ' ' << rank.created << ' ' << rank.origin << ' ' << rank.lifecycle << ' '
      << rank.event_id;
}

}  // namespace billing

namespace billing::generators {

// Every key that some accessor looks at, so that random objects get past the first look.
inline rc::Gen<std::string> key() {
  return rc::gen::elementOf(std::vector<std::string>{"id",
                                                     "object",
                                                     "type",
                                                     "created",
                                                     "customer",
                                                     "status",
                                                     "metadata",
                                                     "user_id",
                                                     "data",
                                                     "items",
                                                     "lines",
                                                     "has_more",
                                                     "price",
                                                     "plan",
                                                     "product",
                                                     "lookup_key",
                                                     "quantity",
                                                     "unit_amount",
                                                     "amount",
                                                     "currency",
                                                     "recurring",
                                                     "interval",
                                                     "current_period_start",
                                                     "current_period_end",
                                                     "trial_start",
                                                     "trial_end",
                                                     "cancel_at",
                                                     "cancel_at_period_end",
                                                     "canceled_at",
                                                     "ended_at",
                                                     "pause_collection",
                                                     "behavior",
                                                     "resumes_at",
                                                     "latest_invoice",
                                                     "schedule",
                                                     "subscription",
                                                     "parent",
                                                     "subscription_details",
                                                     "subscription_item_details",
                                                     "invoice_item_details",
                                                     "proration",
                                                     "period",
                                                     "start",
                                                     "end",
                                                     "pricing",
                                                     "price_details",
                                                     "paid",
                                                     "charge",
                                                     "payment_intent",
                                                     "payments",
                                                     "payment",
                                                     "is_default",
                                                     "invoice",
                                                     "coupon",
                                                     "source",
                                                     "phases",
                                                     "current_phase",
                                                     "start_date",
                                                     "end_date",
                                                     "client_reference_id",
                                                     "previous_attributes",
                                                     "livemode",
                                                     "account",
                                                     "api_version",
                                                     "related_object",
                                                     "context",
                                                     "plans",
                                                     "amount_paid",
                                                     "amount_due",
                                                     "amount_total",
                                                     "attempt_count",
                                                     "other",
                                                     ""});
}

inline rc::Gen<std::string> text() {
  return rc::gen::weightedOneOf<std::string>(
      {{3, rc::gen::elementOf(std::vector<std::string>{"",
                                                       "cus_1",
                                                       "sub_1",
                                                       "in_1",
                                                       "pi_1",
                                                       "user_1",
                                                       "customer",
                                                       "subscription",
                                                       "invoice",
                                                       "paid",
                                                       "active",
                                                       "trialing",
                                                       "past_due",
                                                       "canceled",
                                                       "incomplete",
                                                       "open",
                                                       "event",
                                                       "v2.core.event",
                                                       "subscription_item_details",
                                                       "2026-01-31T10:00:00.123Z",
                                                       "entitlements.active_entitlement_summary",
                                                       "pm_1M9HtjJDP...",
                                                       "\xef\xbf\xbd",
                                                       "na\xc3\xafve \xf0\x9f\x92\xb3"})},
       {1, rc::gen::string<std::string>()}});
}

inline rc::Gen<std::int64_t> integer() {
  return rc::gen::weightedOneOf<std::int64_t>(
      {{3, rc::gen::map(rc::gen::inRange(-20, 20),
                        [](int day) { return fixtures::kStart + day * fixtures::kDay; })},
       {1, rc::gen::elementOf(std::vector<std::int64_t>{0, -1, 1, std::numeric_limits<std::int64_t>::min(),
                                                        std::numeric_limits<std::int64_t>::max(), kLastSecond,
                                                        kLastSecond + 1})},
       {1, rc::gen::arbitrary<std::int64_t>()}});
}

inline Json any_json(int depth) {
  switch (*rc::gen::inRange(0, depth > 0 ? 11 : 6)) {
    case 0:
      return nullptr;
    case 1:
      return *rc::gen::arbitrary<bool>();
    case 2:
      return *rc::gen::elementOf(std::vector<double>{0.5, -1e300, 1e18, 1767225600.0});
    case 3:
      return *rc::gen::element(std::uint64_t{1} << 63, std::numeric_limits<std::uint64_t>::max());
    case 4:
      return *integer();
    case 5:
      return *text();
    case 6:
    case 7: {
      Json array = Json::array();
      for (int left = *rc::gen::inRange(0, 4); left > 0; --left) array.push_back(any_json(depth - 1));
      return array;
    }
    default: {
      Json object = Json::object();
      for (int left = *rc::gen::inRange(0, 8); left > 0; --left) object[*key()] = any_json(depth - 1);
      return object;
    }
  }
}

inline rc::Gen<Json> json(int depth = 5) {
  return rc::gen::exec([depth] { return any_json(depth); });
}

// A well-formed object of which some members, at any depth, are replaced, removed or added.
inline void damage(Json& value, int depth) {
  if (value.is_structured() && !value.empty() && depth > 0 && *rc::gen::inRange(0, 8) != 0) {
    const auto steps = *rc::gen::inRange<std::size_t>(0, value.size());
    auto member = value.begin();
    std::advance(member, steps);
    damage(*member, depth - 1);
  } else if (value.is_object() && *rc::gen::arbitrary<bool>()) {
    value[*key()] = any_json(2);
  } else {
    value = any_json(2);
  }
}

inline rc::Gen<Json> damaged(const Json& value) {
  return rc::gen::exec([value] {
    Json copy = value;
    for (int left = *rc::gen::inRange(0, 4); left > 0; --left) damage(copy, 6);
    return copy;
  });
}

inline rc::Gen<std::string> status() {
  return rc::gen::elementOf(std::vector<std::string>{"incomplete", "incomplete_expired", "trialing", "active",
                                                     "past_due", "unpaid", "paused", "canceled", "",
                                                     "frozen"});
}

inline rc::Gen<Seconds> near_time() {
  return rc::gen::map(rc::gen::inRange(-12, 12),
                      [](int day) { return fixtures::kStart + day * fixtures::kDay; });
}

inline std::optional<Seconds> maybe_time() {
  if (*rc::gen::inRange(0, 3) == 0) return std::nullopt;
  return *rc::gen::weightedOneOf<Seconds>({{20, near_time()}, {1, integer()}});
}

inline rc::Gen<Subscription> subscription() {
  return rc::gen::exec([] {
    Subscription one;
    one.id = "sub_" + std::to_string(*rc::gen::inRange(0, 5));
    one.customer_id = "cus_1";
    one.status = *status();
    one.period_start = maybe_time();
    one.period_end = maybe_time();
    one.next_renewal = maybe_time();
    one.trial_end = maybe_time();
    one.cancel_at_period_end = *rc::gen::inRange(0, 4) == 0;
    if (*rc::gen::inRange(0, 4) == 0) one.cancel_at = maybe_time();
    one.canceled_at = maybe_time();
    one.ended_at = maybe_time();
    one.pause_behavior = *rc::gen::element<std::string>("", "void");
    one.pause_resumes_at = maybe_time();
    one.created = maybe_time();
    one.paid_through = maybe_time();
    one.customer_deleted = *rc::gen::inRange(0, 10) == 0;
    if (*rc::gen::arbitrary<bool>()) {
      one.scheduled_change = {{"effective_at", iso_time(*near_time())}, {"price_id", "price_2"}};
    }
    one.event_created = *near_time();
    one.ambiguous = *rc::gen::inRange(0, 5) == 0;
    for (int left = *rc::gen::inRange(0, 3); left > 0; --left) one.items.emplace_back();
    return one;
  });
}

inline rc::Gen<AccessRules> rules() {
  return rc::gen::exec([] {
    AccessRules rules;
    rules.past_due_grace = *rc::gen::element<Seconds>(0, 86400, 7 * 86400, kEndOfTime);
    rules.renewal_slack = *rc::gen::element<Seconds>(0, 3600, 3 * 86400, kEndOfTime);
    rules.canceled_until_paid_through = *rc::gen::arbitrary<bool>();
    rules.accept_payments = *rc::gen::arbitrary<bool>();
    return rules;
  });
}

inline rc::Gen<Instant> now() {
  return rc::gen::exec([] {
    const Seconds second = *rc::gen::weightedOneOf<Seconds>({{20, near_time()}, {1, integer()}});
    return later_by(instant(second), *rc::gen::element<Instant>(-1, 0, 1, 43'200'000'000));
  });
}

}  // namespace billing::generators
