// Redaction of events, and its functions in SQL: redact_personal_data, redact_metadata, hmac_sha256,
// rebuild_customers.
#include "functions/redaction.hpp"

#include <set>

#include "core/redaction.hpp"
#include "core/signature.hpp"
#include "functions/arguments.hpp"
#include "functions/mirror.hpp"
#include "functions/rebuild.hpp"
#include "pg/spi.hpp"

namespace billing::redaction {

namespace {

// $1 keys. Whose row somebody holds FOR UPDATE is busy: only erase_user() and its like do.
#define OWNERS(table, key)                                                                                   \
  "WITH held AS MATERIALIZED (SELECT t." key " AS id, t.user_id, t.erased_at FROM @" table " t WHERE t." key \
  " = ANY ($1) ORDER BY t." key                                                                              \
  " FOR KEY SHARE SKIP LOCKED)"                                                                              \
  " SELECT t." key                                                                                           \
  ", h.id IS NULL, CASE WHEN h.id IS NULL THEN t.user_id ELSE h.user_id END,"                                \
  "  CASE WHEN h.id IS NULL THEN t.erased_at ELSE h.erased_at END IS NOT NULL FROM @" table                  \
  " t LEFT JOIN held h ON h.id = t." key " WHERE t." key " = ANY ($1)"
pg::Statement hold_links(OWNERS("stripe_customer_links", "stripe_customer_id"));
pg::Statement hold_users(OWNERS("billing_users", "user_id"));
pg::Statement read_links(
    "SELECT l.stripe_customer_id, false, l.user_id, true FROM @stripe_customer_links l"
    " WHERE l.stripe_customer_id = ANY ($1) AND l.erased_at IS NOT NULL");
pg::Statement update_payloads(
    "UPDATE @stripe_event_payloads p SET payload = r.payload FROM unnest($1, $2, $3) r(id, created, payload)"
    " WHERE p.stripe_event_id = r.id AND p.stripe_created = r.created");

pg::Statement read_aliases("SELECT a.user_id FROM @user_aliases a WHERE a.now_user_id = $1");

struct Owner {
  bool busy = false;
  std::string user_id;
  bool erased = false;
};
using Owners = std::map<std::string, Owner>;

void add(Owners& owners, pg::Statement& statement, const std::set<std::string>& keys) {
  if (keys.empty()) return;
  const pg::Rows rows = statement.run(pg::texts(keys));
  for (std::size_t i = 0; i < rows.size(); ++i)
    owners[rows.text(i, 0)] = {rows.flag(i, 1), rows.text(i, 2), rows.flag(i, 3)};
}

// A checkout that was left before anybody became a customer is about whom it names.
std::string named_by(const Event& session) {
  if (session.object_type != "checkout.session") return "";
  const std::optional<std::string> named = text_of(session.object, "client_reference_id");
  return named ? *named : text_of(at(session.object, "metadata"), "user_id").value_or("");
}

std::vector<Work*> told(const std::vector<Work*>& works) {
  std::vector<Work*> told;
  for (Work* work : works)
    if (work->event && work->event->object.is_object() && work->outcome != Outcome::duplicate)
      told.push_back(work);
  return told;
}

std::set<std::string> kept_metadata(const Settings& settings) {
  std::set<std::string> kept;
  for (const auto& [key, value] : settings.scope.metadata) kept.insert(key);
  return kept;
}

class Eraser {
 public:
  explicit Eraser(const Settings& settings) { redaction_.kept = kept_metadata(settings); }

  void erase(Work& work, const std::string& user_id) {
    if (redaction_.user_id != user_id) {
      redaction_.user_id = user_id;
      redaction_.aliases = {user_id};
      const pg::Rows rows = read_aliases.run(user_id);
      for (std::size_t i = 0; i < rows.size(); ++i) redaction_.aliases.insert(rows.text(i, 0));
    }
    Json whole = parse_json(work.payload);
    redact(whole, redaction_);
    std::string text = to_text(whole);
    if (text == work.payload) return;
    if (work.stored && work.keep_payload) {
      ids_.push_back(work.id);
      created_.add(work.event->created);
      payloads_.push_back(text);
    }
    work.redacted = std::move(text);
    work.payload = work.redacted;
    work.event = parse_event(work.payload);
  }

  void write() const {
    if (!ids_.empty()) update_payloads.run(ids_, created_, payloads_);
  }

 private:
  Redaction redaction_;
  pg::Texts ids_, payloads_;
  pg::Times created_;
};

}  // namespace

void apply(const std::vector<Work*>& works, const std::map<std::string, links::Link>& locked,
           const Settings& settings) {
  const std::vector<Work*> all = told(works);
  std::map<const Work*, std::string> owner_of;
  std::vector<Work*> nobodys;
  std::set<std::string> customers, users;
  for (Work* work : all)
    (work->customer.empty() ? nobodys.push_back(work) : void(owner_of[work] = work->customer));
  if (!nobodys.empty()) owner_of.merge(mirror::owners_named_by(nobodys));
  Owners owners, named;
  for (const auto& [work, customer] : owner_of) {
    const auto link = locked.find(customer);
    if (link == locked.end())
      customers.insert(customer);
    else if (link->second.erased)
      owners[customer] = {false, link->second.user_id.value_or(""), true};
  }
  for (const Work* work : nobodys)
    if (const std::string user = named_by(*work->event); !user.empty() && owner_of.count(work) == 0)
      users.insert(user);
  add(owners, hold_links, customers);
  add(named, hold_users, users);
  Eraser eraser(settings);
  for (Work* work : all) {
    const bool is_owned = owner_of.count(work) > 0;
    const std::string key = is_owned ? owner_of[work] : named_by(*work->event);
    const Owners& among = is_owned ? owners : named;
    const auto owner = among.find(key);
    if (owner == among.end()) continue;
    if (owner->second.erased)
      eraser.erase(*work, owner->second.user_id);
    else if (owner->second.busy && !work->settled)
      work->defer((is_owned ? "link:" : "user:") + key, key + " is being changed in another transaction");
  }
  eraser.write();
}

void look(const std::vector<Work*>& works, const Settings& settings) {
  std::set<std::string> customers;
  const std::vector<Work*> all = told(works);
  for (const Work* work : all)
    if (!work->customer.empty()) customers.insert(work->customer);
  Owners owners;
  add(owners, read_links, customers);
  Eraser eraser(settings);
  for (Work* work : all)
    if (const auto owner = owners.find(work->customer); owner != owners.end())
      eraser.erase(*work, owner->second.user_id);
  eraser.write();
}

}  // namespace billing::redaction

using namespace billing;

namespace {

// Ledgers keep what they say themselves of where something came from.
const std::set<std::string> kOfLedgers = {"amount", "checkout_session_id", "feature",        "invoice_id",
                                          "pays",   "stripe_customer_id",  "subscription_id"};

}  // namespace

PG_BILLING_FUNCTION(redact_personal_data) {
  const std::string payload = text_argument(fcinfo, 0, "payload");
  Redaction redaction;
  if (!PG_ARGISNULL(1)) redaction.user_id = text_argument(fcinfo, 1, "user_id");
  if (!PG_ARGISNULL(2)) redaction.names = texts_argument(fcinfo, 2);
  const Oid schema = pg::function_schema(fcinfo);
  {
    pg::Session session(schema, pg::Session::Access::read_only);
    redaction.kept = redaction::kept_metadata(settings(schema));
  }
  try {
    Json whole = parse_json(payload);
    redact(whole, redaction);
    return text_datum(to_text(whole));
  } catch (const JsonError&) {
    return text_datum("null");  // nobody can say what it holds
  }
}

PG_BILLING_FUNCTION(redact_metadata) {
  Json metadata = json_argument(fcinfo, 0, "metadata");
  Redaction redaction;
  redaction.kept = kOfLedgers;
  redact_metadata(metadata, redaction);
  return jsonb_datum(to_text(metadata.is_null() ? Json::object() : metadata));
}

PG_BILLING_FUNCTION(hmac_sha256) {
  return text_datum(keyed_hash(text_argument(fcinfo, 0, "key"), text_argument(fcinfo, 1, "message")));
}

PG_BILLING_FUNCTION(rebuild_customers) {
  const std::set<std::string> customers = texts_argument(fcinfo, 0);
  const std::set<std::string> objects = texts_argument(fcinfo, 1);
  const Oid schema = pg::function_schema(fcinfo);
  pg::Session session(schema, pg::Session::Access::read_write);
  rebuild::repair({{customers.begin(), customers.end()}, {objects.begin(), objects.end()}}, settings(schema));
  PG_RETURN_VOID();
}
