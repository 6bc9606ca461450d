#include "functions/holdings.hpp"

#include <algorithm>
#include <numeric>

#include "functions/access_grants.hpp"
#include "functions/awaited_subscriptions.hpp"
#include "functions/cached_row.hpp"
#include "functions/stored_holdings.hpp"
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

// What gives access, and what does not any more; newest first.
void add_plans(Found& found, const std::vector<Subscription>& subscriptions, const UserState& state,
               const std::vector<AccessGrant>& grants) {
  std::vector<std::size_t> order(subscriptions.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return is_newer(subscriptions[a], subscriptions[b]); });
  for (const std::size_t i : order) {
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

// What is beside the plans that somebody bought or was given.
void add_others(Found& found, const std::string& user_id, const Settings& settings, Instant now) {
  found.holdings.default_plan = found.plans->default_plan();
  found.holdings.stripe_features = stripe_entitlements::read(user_id, settings.live);
  add_settings(found, user_id, now);
}

}  // namespace

Found read(const std::string& user_id, const Settings& settings, Instant now) {
  Found found;
  found.now = test_clocks::time_of(user_id, settings.access, now);
  found.plans = plans_of(settings);
  const std::vector<Subscription> owned = subscriptions::read(user_id, settings.live);
  const std::vector<AccessGrant> grants = access_grants::read(user_id);
  const bool awaited = awaited::read(user_id, settings.live);
  add_plans(found, owned, judge_user(owned, settings.access, now, grants, awaited), grants);
  add_others(found, user_id, settings, now);
  return found;
}

Found read_stored(const std::string& user_id, const Settings& settings, Instant now) {
  const Oid schema = pg::Session::current().schema();
  const char* user = user_id.data();
  const std::size_t length = user_id.size();
  const std::int64_t generation = settings.generation;
  CachedRow row;
  pg::guard([&] {
    row = find_cached_row(schema, user, length, pg::to_timestamptz(now), generation, CachedRow::Part::plans);
  });
  if (row.result != CachedRow::Result::hit || row.plans == nullptr) return read(user_id, settings, now);
  Found found;
  found.plans = plans_of(settings);
  auto known = stored_holdings::from_text({row.plans, row.plans_size}, *found.plans);
  if (!known) return read(user_id, settings, now);
  found.now = pg::from_timestamptz(row.time);
  found.holdings.plans = std::move(known->plans);
  found.standing = std::move(known->standing);
  add_others(found, user_id, settings, now);
  return found;
}

std::string stored_text(const std::vector<Subscription>& subscriptions, const UserState& state,
                        const std::vector<AccessGrant>& grants, const Settings& settings) {
  Found found;
  found.plans = plans_of(settings);
  add_plans(found, subscriptions, state, grants);
  return stored_holdings::to_text(found.holdings, found.standing);
}

}  // namespace billing::holdings
