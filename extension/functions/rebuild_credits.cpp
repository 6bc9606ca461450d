#include "functions/rebuild_credits.hpp"

#include <map>
#include <set>

#include "core/event.hpp"
#include "functions/credit_follow.hpp"
#include "functions/rebuild_rows.hpp"
#include "pg/spi.hpp"

namespace billing::rebuild {

namespace {

pg::Statement read_users(
    "SELECT l.stripe_customer_id, l.user_id FROM @stripe_customer_links l"
    " WHERE l.stripe_customer_id = ANY ($1) AND l.user_id IS NOT NULL");
// A trial is told by the event that began it alone: by now the mirror may say otherwise.
pg::Statement read_beginnings(
    "SELECT e.stripe_customer_id, p.payload FROM @stripe_events e JOIN @stripe_event_payloads p"
    "  ON p.stripe_event_id = e.stripe_event_id AND p.stripe_created = e.stripe_created"
    " WHERE e.stripe_customer_id = ANY ($1) AND e.livemode = $2 AND " HAD_EFFECT
    " AND e.event_type IN ('customer.subscription.created', 'customer.subscription.updated')"
    " ORDER BY e.stripe_created, e.stripe_event_id");

}  // namespace

void follow_credits(const std::vector<std::string>& customers, const Settings& settings) {
  using credits::follow::Subject;
  const pg::Texts wanted(customers.begin(), customers.end());
  std::map<std::string, std::string> user_of;
  std::set<Subject> subjects;
  {
    const pg::Rows rows = read_users.run(wanted);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::string customer = rows.text(i, 0);
      const std::string user = rows.text(i, 1);
      user_of[customer] = user;
      subjects.insert({Subject::Kind::customer, customer, user, customer});
    }
  }
  std::vector<credits::follow::Trial> trials;
  const pg::Rows rows = read_beginnings.run(wanted, settings.live);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto user = user_of.find(rows.text(i, 0));
    if (user == user_of.end()) continue;
    const Event event = parse_event(rows.view(i, 1));
    if (!begins_trial(event)) continue;
    trials.push_back({user->second, read_subscription(event.object)});
    trials.back().subscription.account = event.account;
    trials.back().subscription.customer_id = user->first;
  }
  credits::follow::apply({std::move(subjects), std::move(trials), {}}, settings, true);
}

}  // namespace billing::rebuild
