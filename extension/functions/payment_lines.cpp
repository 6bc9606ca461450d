#include "functions/payment_lines.hpp"

#include <algorithm>

#include "core/payment_activity.hpp"
#include "functions/audit.hpp"
#include "pg/spi.hpp"

namespace billing::payments {

namespace {

pg::Statement read_history(
    "SELECT p.payload FROM @stripe_events e JOIN @stripe_event_payloads p"
    "  ON p.stripe_event_id = e.stripe_event_id AND p.stripe_created = e.stripe_created"
    " WHERE e.object_id = ANY ($1) AND e.event_type = ANY ($2) AND e.livemode = $3 AND e.outcome = "
    "'processed'");
// Lines of events whose payload is gone stay: nothing else tells of them any more.
pg::Statement delete_untrue(
    "DELETE FROM @audit_logs a USING unnest($1, $2) k(user_id, payment)"
    " WHERE a.user_id = k.user_id AND a.actor = 'stripe' AND a.action = ANY ($3)"
    "  AND a.details ->> 'payment_id' = k.payment"
    "  AND NOT EXISTS (SELECT FROM unnest($4, $5) t(user_id, fact) WHERE t.user_id = a.user_id AND t.fact = "
    "a.fact)"
    "  AND EXISTS (SELECT FROM @stripe_event_payloads p WHERE p.stripe_event_id = a.event_id"
    "   AND p.stripe_created = a.event_created)");
pg::Statement delete_of_others(
    "DELETE FROM @audit_logs a USING unnest($1, $2) k(user_id, payment)"
    " WHERE a.user_id = k.user_id AND a.actor = 'stripe' AND a.action = ANY ($3)"
    "  AND a.details ->> 'payment_id' = k.payment");

pg::Texts texts(const std::vector<std::string>& values) { return pg::Texts(values.begin(), values.end()); }

bool leaves_lines(const Event& event, bool stands_alone) {
  const std::vector<std::string>& types = payment_line_types(stands_alone);
  return std::binary_search(types.begin(), types.end(), event.type);
}

audit::Entry entry_of(const std::string& user_id, const Activity& activity, const Event& event) {
  audit::Entry entry = audit::told_by(user_id, activity, event);
  entry.replaces = true;  // what it bought, say, may be told later
  if (activity.action.starts_with("enrollment_")) entry.fact += ":" + activity.subject;
  return entry;
}

}  // namespace

Lines::Lines(const std::vector<Work*>& works) {
  for (const Work* work : works) {
    if (!leaves_lines(*work->event, true)) continue;
    const Id id = touched_by(*work->event);
    if (!id.second.empty()) news_[id].push_back(&*work->event);
  }
}

void Lines::add(const std::string& user_id, const Id& id, const Known& known, const Payment& payment) {
  Told told{user_id, id, payment, stands_alone(payment, known.sources), {}};
  const auto name = [&](const Json& object) {
    if (const auto named = text_of(object, "id")) told.objects.insert(*named);
  };
  for (const credits::ChargeFacts& facts : known.sources.charges) {
    name(facts.charge);
    for (const Json& dispute : facts.disputes) name(dispute);
  }
  // An invoice tells of the rest.
  if (told.stands_alone) {
    told.objects.insert(id.second);
    for (const CheckoutFacts& checkout : known.sources.checkouts) name(checkout.session);
  }
  told_.push_back(std::move(told));
}

void Lines::drop(const std::string& user_id, const Id& id) { dropped_.emplace_back(user_id, id.second); }

void Lines::write(const std::set<std::pair<std::string, std::string>>& changed, bool live) const {
  if (!dropped_.empty()) {
    pg::Texts users, payments;
    for (const auto& [user, payment] : dropped_) {
      users.push_back(user);
      payments.push_back(payment);
    }
    delete_of_others.run(users, payments, texts(payment_line_actions()));
  }
  std::vector<audit::Entry> entries;
  const auto tell = [&](const Told& told, const Event& event) {
    for (const Activity& activity :
         payment_activities(event, told.id.second, told.payment, told.stands_alone))
      entries.push_back(entry_of(told.user_id, activity, event));
  };
  std::vector<const Told*> due;
  std::map<Id, const Told*> of_object;
  std::set<std::string> objects[2];  // of those that invoices tell of, and of the others
  for (const Told& told : told_) {
    const auto news = news_.find(told.id);
    const std::size_t before = entries.size();
    if (news != news_.end())
      for (const Event* event : news->second) tell(told, *event);
    if (entries.size() == before && changed.count({told.user_id, told.id.second}) == 0) continue;
    due.push_back(&told);
    for (const std::string& object : told.objects) {
      of_object[{told.id.first, object}] = &told;
      objects[told.stands_alone].insert(object);
    }
  }
  if (due.empty()) return;
  for (const bool alone : {false, true}) {
    if (objects[alone].empty()) continue;
    const pg::Rows rows = read_history.run(pg::texts(objects[alone]), texts(payment_line_types(alone)), live);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const Event event = parse_event(rows.view(i, 0));
      const auto told = of_object.find({event.account, event.object_id});
      if (told != of_object.end()) tell(*told->second, event);
    }
  }
  pg::Texts users, payments, tellers, facts;
  for (const Told* told : due) {
    users.push_back(told->user_id);
    payments.push_back(told->id.second);
  }
  for (const audit::Entry& entry : entries) {
    tellers.push_back(entry.user_id);
    facts.push_back(entry.fact);
  }
  delete_untrue.run(users, payments, texts(payment_line_actions()), tellers, facts);
  audit::write(std::move(entries));
}

}  // namespace billing::payments
