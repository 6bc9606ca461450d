#include "functions/links.hpp"

#include <tuple>

#include "pg/row_reader.hpp"
#include "pg/spi.hpp"

namespace billing::links {

namespace {

// The two waiting forms, as separate kept plans.
#define LINK_COLUMNS                                                                                    \
  "SELECT l.stripe_customer_id, l.user_id, l.conflict_user_id IS NOT NULL, l.source, l.event_created, " \
  "l.event_id, CASE WHEN l.source = 'import' THEN l.linked_at END, l.erased_at IS NOT NULL"             \
  " FROM @stripe_customer_links l"
pg::Statement lock_links_skip(
    LINK_COLUMNS
    " WHERE l.stripe_customer_id = ANY ($1) ORDER BY l.stripe_customer_id FOR NO KEY UPDATE SKIP LOCKED");
pg::Statement lock_links_wait(
    LINK_COLUMNS " WHERE l.stripe_customer_id = ANY ($1) ORDER BY l.stripe_customer_id FOR NO KEY UPDATE");
pg::Statement read_link("SELECT l.user_id FROM @stripe_customer_links l WHERE l.stripe_customer_id = $1");
pg::RowReader link_rows("stripe_customer_links", "stripe_customer_links_pkey", "stripe_customer_id");
pg::Statement insert_links(
    "INSERT INTO @stripe_customer_links (stripe_customer_id)"
    " SELECT c.id FROM unnest($1) c(id) ORDER BY c.id COLLATE \"C\" ON CONFLICT DO NOTHING"
    " RETURNING stripe_customer_id");
pg::Statement bind_link(
    "UPDATE @stripe_customer_links SET user_id = $2, source = $3, event_id = $5, event_created = $6,"
    "  linked_at = coalesce(linked_at, now()), linked_by = coalesce(linked_by, $4) WHERE stripe_customer_id "
    "= $1");
pg::RowReader names_now("user_aliases", "user_aliases_pkey", "now_user_id");
pg::Statement move_link("UPDATE @stripe_customer_links SET user_id = $2 WHERE stripe_customer_id = $1");
pg::Statement record(
    "UPDATE @stripe_customer_links SET conflict_user_id = $2, conflict_source = $3, conflict_event_id = $4"
    " WHERE stripe_customer_id = $1");
pg::Statement clear(
    "UPDATE @stripe_customer_links SET conflict_user_id = NULL, conflict_source = NULL, conflict_event_id = "
    "NULL"
    " WHERE stripe_customer_id = $1");
pg::Statement lock_users_skip(
    "SELECT u.user_id FROM @billing_users u WHERE u.user_id = ANY ($1) ORDER BY u.user_id"
    " FOR NO KEY UPDATE SKIP LOCKED");
pg::Statement lock_users_wait(
    "SELECT u.user_id FROM @billing_users u WHERE u.user_id = ANY ($1) ORDER BY u.user_id FOR NO KEY UPDATE");
pg::RowReader user_rows("billing_users", "billing_users_pkey", "user_id");
pg::Statement insert_users(
    "INSERT INTO @billing_users (user_id) SELECT u.id FROM unnest($1) u(id) ORDER BY u.id COLLATE \"C\""
    " ON CONFLICT DO NOTHING RETURNING user_id");

std::set<std::string> without(const std::set<std::string>& all, const std::set<std::string>& some) {
  std::set<std::string> rest;
  for (const std::string& one : all)
    if (some.count(one) == 0) rest.insert(one);
  return rest;
}

}  // namespace

std::map<std::string, Link> lock(const std::set<std::string>& customers, bool wait) {
  std::map<std::string, Link> locked;
  pg::Statement& statement = wait ? lock_links_wait : lock_links_skip;
  const auto missing = [&] {
    std::set<std::string> rest;
    for (const std::string& customer : customers)
      if (locked.count(customer) == 0) rest.insert(customer);
    return rest;
  };
  const auto take = [&](const std::set<std::string>& some) {
    if (some.empty()) return;
    const pg::Rows rows = statement.run(pg::texts(some));
    for (std::size_t i = 0; i < rows.size(); ++i)
      locked[rows.text(i, 0)] = Link{rows.maybe_text(i, 1),
                                     {{rows.text(i, 1), rows.text(i, 3), link_priority(rows.view(i, 3))},
                                      rows.maybe_seconds(i, 4).value_or(0),
                                      rows.text(i, 5)},
                                     rows.flag(i, 2),
                                     rows.maybe_number(i, 6),
                                     rows.flag(i, 7)};
  };
  take(customers);
  // One that is there is busy: inserting it would wait for whoever changes it.
  std::set<std::string> absent = missing();
  std::erase_if(absent, [](const std::string& one) { return link_rows.any({pg::parameter(one)}); });
  if (!absent.empty()) {
    const pg::Rows inserted = insert_links.run(pg::texts(absent));
    for (std::size_t i = 0; i < inserted.size(); ++i) locked[inserted.text(i, 0)] = Link{};
  }
  // Whoever inserted the rest has committed by now, or holds its lock.
  take(missing());
  return locked;
}

std::string current_name(const std::string& user_id) {
  const pg::Rows rows = names_now.find({pg::parameter(user_id)});
  return rows.empty() ? user_id : rows.text(0, 0);
}

void follow_names(std::map<std::string, Link>& locked, std::vector<std::pair<std::string, Claim>>& claims) {
  std::set<std::string> named;
  for (const auto& [customer, link] : locked)
    if (link.user_id) named.insert(*link.user_id);
  for (const auto& [customer, claim] : claims) named.insert(claim.evidence.user_id);
  std::map<std::string, std::string> now;
  for (const std::string& name : named)
    if (const pg::Rows rows = names_now.find({pg::parameter(name)}); !rows.empty())
      now[name] = rows.text(0, 0);
  if (now.empty()) return;
  for (auto& [customer, claim] : claims)
    if (const auto name = now.find(claim.evidence.user_id); name != now.end())
      claim.evidence.user_id = name->second;
  // Linked while the user was being renamed.
  for (auto& [customer, link] : locked) {
    const auto name = link.user_id ? now.find(*link.user_id) : now.end();
    if (name == now.end()) continue;
    link.user_id = link.claim.evidence.user_id = name->second;
    move_link.run(customer, name->second);
  }
}

bool Claim::operator<(const Claim& other) const {
  return std::tie(evidence.priority, created, event_id) <
         std::tie(other.evidence.priority, other.created, other.event_id);
}

void bind(const std::string& customer, const Claim& claim, const std::string& actor) {
  const bool by_event = !claim.event_id.empty();
  bind_link.run(customer, claim.evidence.user_id, claim.evidence.source, actor,
                by_event ? std::optional(claim.event_id) : std::nullopt,
                pg::Time{by_event ? std::optional(instant(claim.created)) : std::nullopt});
}

void record_conflict(const std::string& customer, const Claim& claim) {
  record.run(customer, claim.evidence.user_id, claim.evidence.source,
             claim.event_id.empty() ? std::nullopt : std::optional(claim.event_id));
}

void clear_conflict(const std::string& customer) { clear.run(customer); }

std::optional<std::string> user_of(const std::string& customer) {
  const pg::Rows rows = read_link.run(customer);
  return rows.empty() ? std::nullopt : rows.maybe_text(0, 0);
}

void ensure_user(const std::string& user_id) { insert_users.run(pg::Texts{user_id}); }

std::set<std::string> lock_users(const std::set<std::string>& users, bool wait) {
  std::set<std::string> locked;
  pg::Statement& statement = wait ? lock_users_wait : lock_users_skip;
  const auto take = [&](const std::set<std::string>& some) {
    if (some.empty()) return;
    const pg::Rows rows = statement.run(pg::texts(some));
    for (std::size_t i = 0; i < rows.size(); ++i) locked.insert(rows.text(i, 0));
  };
  take(users);
  const std::set<std::string> missing = without(users, locked);
  if (missing.empty()) return locked;
  std::set<std::string> absent = missing;
  std::erase_if(absent, [](const std::string& one) { return user_rows.any({pg::parameter(one)}); });
  if (!absent.empty()) {
    const pg::Rows inserted = insert_users.run(pg::texts(absent));
    for (std::size_t i = 0; i < inserted.size(); ++i) locked.insert(inserted.text(i, 0));
  }
  take(without(missing, locked));
  return locked;
}

}  // namespace billing::links
