#include "functions/holdings.hpp"

#include <algorithm>

#include "functions/access_grants.hpp"
#include "functions/awaited_subscriptions.hpp"
#include "functions/stripe_entitlements.hpp"
#include "functions/subscriptions.hpp"
#include "functions/test_clocks.hpp"
#include "pg/row_reader.hpp"
#include "pg/spi.hpp"

namespace billing::holdings {

namespace {

pg::Statement settings_by_hand(
    "SELECT e.feature, e.setting FROM @user_entitlements e"
    " WHERE e.user_id = $1 AND (e.until IS NULL OR e.until > $2)");

pg::RowReader all_by_hand("user_entitlements", "user_entitlements_pkey", "feature setting until");

// What is set by hand and has not ended.
void add_settings(Found& found, const std::string& user_id, Instant now) {
  const bool direct = all_by_hand.usable();
  const pg::Rows rows =
      direct ? all_by_hand.find({pg::parameter(user_id)}) : settings_by_hand.run(user_id, pg::Time{now});
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (direct && rows.maybe_number(i, 2).value_or(kEndOfTime) <= now) continue;
    UserSetting setting;
    if (!rows.null(i, 1)) setting.feature = parse_feature(rows.text(i, 0), rows.document(i, 1));
    found.holdings.by_hand[rows.text(i, 0)] = std::move(setting);
  }
}

std::shared_ptr<const Plans> plans_of(const Settings& settings) {
  static const auto none = std::make_shared<const Plans>();
  return settings.access.plans ? settings.access.plans : none;
}

std::optional<BillingPeriod> period_of(const Subscription& subscription) {
  if (!subscription.period_start || !subscription.period_end) return std::nullopt;
  return BillingPeriod{*subscription.period_start, *subscription.period_end};
}

// What gives access, and what does not any more.
void add_plans(Found& found, std::vector<Subscription> subscriptions, const std::vector<AccessGrant>& grants,
               bool awaited, const Settings& settings, Instant now) {
  std::sort(subscriptions.begin(), subscriptions.end(), is_newer);
  const UserState state = judge_user(subscriptions, settings.access, now, grants, awaited);
  for (std::size_t i = 0; i < subscriptions.size(); ++i) {
    const Subscription& subscription = subscriptions[i];
    const bool has_access = state.each[i].has_access;
    found.standing.has_subscription = found.standing.has_subscription || has_access;
    for (const PlanShare& share : found.plans->plans_of(subscription)) {
      if (has_access)
        found.holdings.plans.push_back(
            {HeldPlan::Via::subscription, share.plan, share.quantity, period_of(subscription)});
      else
        found.standing.lapsed.push_back(share.plan);
    }
  }
  // Also that of an add-on, which is no access by itself.
  for (std::size_t i = 0; i < grants.size(); ++i) {
    const Plan* plan = found.plans->find(grants[i].plan);
    if (plan != nullptr && state.granted[i].state == "active")
      found.holdings.plans.push_back({HeldPlan::Via::grant, plan});
  }
  if (found.standing.has_subscription) return;
  found.standing.reason = state.effective.reason;
  found.standing.next_step = state.effective.next_step;
}

}  // namespace

Found read(const std::string& user_id, const Settings& settings, Instant now) {
  Found found;
  found.now = test_clocks::time_of(user_id, settings.access, now);
  found.plans = plans_of(settings);
  found.holdings.default_plan = found.plans->default_plan();
  add_plans(found, subscriptions::read(user_id, settings.live), access_grants::read(user_id),
            awaited::read(user_id, settings.live), settings, now);
  found.holdings.stripe_features = stripe_entitlements::read(user_id, settings.live);
  add_settings(found, user_id, now);
  return found;
}

}  // namespace billing::holdings
