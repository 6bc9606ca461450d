#include "functions/credit_sources.hpp"

#include <algorithm>

#include "core/fields.hpp"

namespace billing::credits::follow {

namespace {

#define SOURCE_COLUMNS                                                                        \
  "SELECT o.stripe_account, o.object_type, o.object_id, o.stripe_customer_id, o.object FROM " \
  "@stripe_objects o "
pg::Statement sources_by_id(SOURCE_COLUMNS
                            "WHERE o.stripe_customer_id = ANY ($1) AND o.object_type = ANY ($2)"
                            " AND o.object_id = ANY ($3) AND o.livemode = $4 AND o.object IS NOT NULL");
pg::Statement sources_of_customers(SOURCE_COLUMNS
                                   "WHERE o.stripe_customer_id = ANY ($1) AND o.object_type = ANY ($2)"
                                   " AND o.livemode = $3 AND o.object IS NOT NULL");
// Those that reach beyond an instant, and those that pay for no whole period.
pg::Statement invoices_of_subscriptions(
    SOURCE_COLUMNS
    "JOIN unnest($1, $2) k(subscription, since) ON o.parent_id = k.subscription AND o.object_type = 'invoice'"
    " WHERE o.livemode = $3 AND o.object IS NOT NULL AND (o.paid_until IS NULL OR o.paid_until > k.since)"
    "  AND o.object_id <> ALL ($4)");
#undef SOURCE_COLUMNS

const pg::Texts kSourceTypes = {"invoice", "checkout.session"};

}  // namespace

std::map<std::string, Source> Sources::read(const std::set<std::string>& customers,
                                            const std::set<std::string>& ids,
                                            const std::set<std::string>& whole,
                                            std::set<std::string>& reviewed) {
  const std::set<std::string> others = take_brought(customers, ids);
  if (!others.empty()) add(sources_by_id.run(pg::texts(customers), kSourceTypes, pg::texts(others), live_));
  if (!whole.empty()) add(sources_of_customers.run(pg::texts(whole), kSourceTypes, live_));
  for (const auto& [id, source] : sources_) reviewed.insert(id);
  add_siblings();
  return std::move(sources_);
}

// Returns the ids that are left.
std::set<std::string> Sources::take_brought(const std::set<std::string>& customers,
                                            const std::set<std::string>& ids) {
  std::set<std::string> left = ids;
  for (const auto& [key, event] : brought_) {
    const bool grants = key.type == "invoice" || key.type == "checkout.session";
    if (!grants || key.livemode != live_ || customers.count(event->customer_id) == 0) continue;
    const auto user = user_of_.find(event->customer_id);
    if (left.erase(key.id) > 0 && user != user_of_.end())
      sources_[key.id] = {
          user->second, event->customer_id,
          key.account,  key.type,
          key.id,       std::shared_ptr<const Json>(std::shared_ptr<const Json>(), &event->object)};
  }
  return left;
}

// What an invoice grants depends on the others of its subscription whose time overlaps: all of them, and
// theirs.
void Sources::add_siblings() {
  std::map<std::string, Seconds> known;
  for (;;) {
    std::map<std::string, Seconds> since;  // by subscription
    for (const auto& [id, source] : sources_) {
      if (source.type != "invoice") continue;
      const std::string subscription = fields::invoice_subscription(*source.object);
      const auto [place, inserted] = since.emplace(subscription, kLastSecond);
      for (const Json& line : list_of(*source.object, "lines"))
        place->second = std::min(place->second, time_of(at(line, "period"), "start").value_or(kLastSecond));
    }
    since.erase("");
    if (since == known) return;
    pg::Texts subscriptions;
    pg::Times times;
    for (const auto& [subscription, time] : since) {
      subscriptions.push_back(subscription);
      times.add(time);
    }
    pg::Texts known_ids;
    for (const auto& [id, source] : sources_) known_ids.push_back(id);
    add(invoices_of_subscriptions.run(subscriptions, times, live_, known_ids));
    known = std::move(since);
  }
}

void Sources::add(const pg::Rows& rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto user = user_of_.find(rows.text(i, 3));
    if (user == user_of_.end() || sources_.count(rows.text(i, 2)) > 0) continue;
    sources_[rows.text(i, 2)] = {user->second,    rows.text(i, 3),
                                 rows.text(i, 0), rows.text(i, 1),
                                 rows.text(i, 2), std::make_shared<const Json>(rows.document(i, 4))};
  }
}

}  // namespace billing::credits::follow
