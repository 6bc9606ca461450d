#include "worker/simulation/truth.hpp"

#include "core/scheduled_change.hpp"

#include <algorithm>

namespace billing::simulation {
namespace {

Shape last_shape(const Account& account, const Subscription& s) {
  const Version version = s.told_version == kOldVersion.name ? kOldVersion
                          : s.told_version == kClover.name   ? kClover
                                                             : kEndive;
  return {version, account.livemode()};
}

Time paid_through(const Subscription& s) {
  Time latest;
  for (const auto& paid : s.paid)
    if (!paid->returned) latest = std::max(latest.value_or(paid->until), paid->until);
  return latest;
}

// A change, or a period that began anew, left no payment for some of what comes by interval. How much of that
// was granted before it was known depends on the order.
bool is_cut(const Subscription& s, const Paid& paid) {
  return paid.by_interval && (s.items_changed >= paid.created ||
                              std::any_of(s.paid.begin(), s.paid.end(), [&](const auto& other) {
                                return other->created > paid.created && other->created < paid.until;
                              }));
}

}  // namespace

std::vector<billing::Subscription> true_subscriptions(const Account& account) {
  std::vector<billing::Subscription> all;
  for (const Subscription& s : account.subscriptions()) {
    const Shape shape = last_shape(account, s);
    billing::Subscription one = read_subscription(to_json(s, shape));
    one.event_created = s.told;
    one.customer_deleted = s.owner->deleted;
    one.paid_through = paid_through(s);
    if (s.schedule != nullptr) one.scheduled_change = change_by_schedule(to_json(*s.schedule, shape));
    all.push_back(std::move(one));
  }
  return all;
}

Json true_credits(const Account& account) {
  Json credits = Json::object();
  if (account.trial_credits() > 0) credits["trial"] = account.trial_credits();
  for (const Subscription& s : account.subscriptions()) {
    for (const auto& paid : s.paid) {
      const bool told = !paid->partly_covered && !is_cut(s, *paid);
      credits[paid->invoice] = told ? Json(paid->credits) : Json(nullptr);
    }
  }
  return credits;
}

Json true_state(const Account& account, Seconds as_of) {
  const std::vector<billing::Subscription> subscriptions = true_subscriptions(account);
  const UserState state = judge_user(subscriptions, AccessRules{}, instant(as_of));
  Json json = Json::object();
  json["user_id"] = account.user_id();
  json["as_of"] = iso_time(as_of);
  json["state"] = state_json(account.user_id(), subscriptions, state);
  Json& customers = json["customers"] = Json::array();
  for (const Customer& customer : account.customers()) customers.push_back(customer.id);
  Json& credits = json["credits"] = true_credits(account);
  std::int64_t granted = 0;
  for (const Json& amount : credits)
    if (!amount.is_null()) granted += amount.get<std::int64_t>();
  json["credits_granted"] = granted;
  Json& list = json["subscriptions"] = Json::array();
  for (std::size_t i = 0; i < subscriptions.size(); ++i) {
    const Subscription& s = account.subscriptions()[i];
    const Time through = subscriptions[i].paid_through;
    Json one = Json::object();
    one["stripe_subscription_id"] = s.id;
    one["stripe_customer_id"] = s.customer;
    one["status"] = s.status;
    one["customer_deleted"] = s.owner->deleted;
    one["event_created"] = iso_time(s.told);
    one["paid_through"] = through ? Json(iso_time(*through)) : Json(nullptr);
    one["object"] = to_json(s, last_shape(account, s));
    list.push_back(std::move(one));
  }
  return json;
}

std::vector<Json> missing_links(const Account& account) {
  std::vector<Json> links;
  for (const Customer& customer : account.customers())
    if (!account.is_named(customer))
      links.push_back({{"user_id", account.user_id()}, {"stripe_customer_id", customer.id}});
  return links;
}

}  // namespace billing::simulation
