#include "functions/audit.hpp"

#include <algorithm>
#include <tuple>

#include "functions/arguments.hpp"
#include "pg/spi.hpp"

namespace billing::audit {

namespace {

#define INSERT_ENTRIES                                                                                    \
  "INSERT INTO @audit_logs AS a (user_id, fact, action, subject, actor, reason, event_id, event_created," \
  "  details)"                                                                                            \
  " SELECT r.user_id, r.fact, r.action, r.subject, r.actor, r.reason, r.event_id, r.event_created,"       \
  "  r.details::jsonb"                                                                                    \
  " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)"                                                      \
  "  r(user_id, fact, action, subject, actor, reason, event_id, event_created, details)"                  \
  " ON CONFLICT (user_id, fact) DO UPDATE SET actor = excluded.actor, reason = excluded.reason,"          \
  "  event_id = excluded.event_id, event_created = excluded.event_created, details = excluded.details"

pg::Statement insert(INSERT_ENTRIES
                     " WHERE (excluded.event_created, excluded.event_id) < (a.event_created, a.event_id)");
pg::Statement replace(
    INSERT_ENTRIES
    " WHERE (a.actor, a.reason, a.event_id, a.event_created, a.details) IS DISTINCT FROM"
    "  (excluded.actor, excluded.reason, excluded.event_id, excluded.event_created, excluded.details)");
#undef INSERT_ENTRIES

pg::Statement unique_text("SELECT pg_catalog.gen_random_uuid()::text");

std::optional<std::string> unless_empty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

}  // namespace

Entry told_by(const std::string& user_id, const Activity& activity, const Event& event) {
  Entry entry;
  entry.user_id = user_id;
  entry.fact = activity.once ? activity.action + ":" + activity.subject : event.id + ":" + activity.action;
  entry.action = activity.action;
  entry.subject = activity.subject;
  entry.actor = "stripe";
  entry.event_id = event.id;
  entry.event_created = event.created;
  if (activity.details.is_object()) entry.details = activity.details;
  return entry;
}

Entry done_by_hand(const std::string& user_id, const std::string& action, const std::string& subject,
                   const std::string& reason) {
  Entry entry;
  entry.user_id = user_id;
  entry.fact = action + ":" + unique_text.run().text(0, 0);
  entry.action = action;
  entry.subject = subject;
  entry.actor = calling_role();
  entry.reason = reason;
  return entry;
}

namespace {

void write_with(pg::Statement& statement, const std::vector<Entry>& entries, bool replacing) {
  pg::Texts user_id, fact, action, subject, actor, reason, event_id, details;
  pg::Times created;
  for (const Entry& entry : entries) {
    if (entry.replaces != replacing) continue;
    user_id.push_back(entry.user_id);
    fact.push_back(entry.fact);
    action.push_back(entry.action);
    subject.push_back(unless_empty(entry.subject));
    actor.push_back(entry.actor);
    reason.push_back(unless_empty(entry.reason));
    event_id.push_back(unless_empty(entry.event_id));
    created.add(entry.event_created);
    details.push_back(to_text(entry.details));
  }
  if (!fact.empty()) statement.run(user_id, fact, action, subject, actor, reason, event_id, created, details);
}

}  // namespace

void write(std::vector<Entry> entries) {
  // One statement may not touch a row twice: of the tellings in this batch only the earliest goes in.
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.user_id, a.fact, a.event_created, a.event_id) <
           std::tie(b.user_id, b.fact, b.event_created, b.event_id);
  });
  const auto same = [](const Entry& a, const Entry& b) { return a.user_id == b.user_id && a.fact == b.fact; };
  entries.erase(std::unique(entries.begin(), entries.end(), same), entries.end());
  write_with(insert, entries, false);
  write_with(replace, entries, true);
}

}  // namespace billing::audit
