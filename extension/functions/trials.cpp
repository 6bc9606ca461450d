// is_trial_eligible.
#include "functions/trials.hpp"

#include "core/trial_eligibility.hpp"
#include "functions/arguments.hpp"
#include "functions/awaited_subscriptions.hpp"
#include "functions/plan_store.hpp"
#include "pg/spi.hpp"
#include "settings.hpp"

namespace billing::trials {

namespace {

// One statement may name each row once, and whatever is told together must not differ from what is told in
// turn.
pg::Statement insert(
    "INSERT INTO @trial_usage AS t (user_id, stripe_subscription_id, stripe_customer_id, stripe_account, "
    "livemode,"
    "  trial_start, trial_end, items)"
    " SELECT DISTINCT ON (r.user_id, r.id) r.user_id, r.id, r.customer, r.account, r.livemode, r.trial_start,"
    "  r.trial_end, r.items::jsonb"
    " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)"
    "  r(user_id, id, customer, account, livemode, trial_start, trial_end, items)"
    " ORDER BY r.user_id, r.id, r.trial_start, coalesce(r.trial_end, 'infinity'), r.items::jsonb"
    " ON CONFLICT (user_id, stripe_subscription_id) DO UPDATE SET trial_start = excluded.trial_start,"
    "  trial_end = excluded.trial_end, items = excluded.items"
    " WHERE (excluded.trial_start, coalesce(excluded.trial_end, 'infinity'), excluded.items) <"
    "  (t.trial_start, coalesce(t.trial_end, 'infinity'), t.items)");
pg::Statement select(
    "SELECT t.stripe_subscription_id, t.stripe_account, t.livemode, t.items::text FROM @trial_usage t"
    " WHERE t.user_id = $1 AND t.livemode = $2");

pg::Statement tried_before_erasure("SELECT @tried_before_erasure($1)");

}  // namespace

void record(const std::vector<subscriptions::Owned>& told) {
  pg::Texts user_id, id, customer, account, items;
  pg::Flags livemode;
  pg::Times trial_start, trial_end;
  for (const auto& [user, subscription] : told) {
    if (!subscription.trial_start || subscription.id.empty()) continue;
    user_id.push_back(user);
    id.push_back(subscription.id);
    customer.push_back(subscription.customer_id);
    account.push_back(subscription.account);
    livemode.push_back(subscription.livemode ? 1 : 0);
    trial_start.add(subscription.trial_start);
    trial_end.add(subscription.trial_end);
    items.push_back(to_text(subscriptions::items_json(subscription)));
  }
  if (!id.empty()) insert.run(user_id, id, customer, account, livemode, trial_start, trial_end, items);
}

std::vector<Subscription> read(const std::string& user_id, bool live) {
  std::vector<Subscription> tried;
  const pg::Rows rows = select.run(user_id, live);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Subscription one;
    one.id = rows.text(i, 0);
    one.account = rows.text(i, 1);
    one.livemode = rows.flag(i, 2);
    one.items = subscriptions::items_from(parse_json(rows.view(i, 3)));
    tried.push_back(std::move(one));
  }
  return tried;
}

bool is_known_from_before_erasure(const std::string& user_id) {
  return tried_before_erasure.run(user_id).flag(0, 0);
}

}  // namespace billing::trials

using namespace billing;

PG_BILLING_FUNCTION(is_trial_eligible) {
  const std::string user_id = user_argument(fcinfo, 0);
  const std::string plan = PG_ARGISNULL(1) ? "" : text_argument(fcinfo, 1, "plan");
  const Oid schema = pg::function_schema(fcinfo);
  TrialEligibility judged;
  {
    pg::Session session(schema, pg::Session::Access::read_only);
    const Settings& rules = settings(schema);
    const Plans none;
    const Plans& offered = rules.access.plans ? *rules.access.plans : none;
    if (!PG_ARGISNULL(1) && offered.find(plan) == nullptr)
      throw pg::SqlError(ERRCODE_NO_DATA_FOUND, "there is no plan \"" + shorten(plan) + "\"",
                         "SELECT id FROM subscription_plans lists them; leave it out for any of them.");
    judged = judge_trial(trials::read(user_id, rules.live), subscriptions::read(user_id, rules.live), offered,
                         plan, awaited::read(user_id, rules.live));
    if (judged.eligible && trials::is_known_from_before_erasure(user_id))
      judged = {false, "trial_used", "subscribe", 0};
  }
  return jsonb_datum(to_text(Json{{"user_id", user_id},
                                  {"eligible", judged.eligible},
                                  {"reason", judged.reason},
                                  {"next_step", judged.next_step},
                                  {"days", judged.days}}));
}
