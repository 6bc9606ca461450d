// link_stripe_customer, fix_customer_links, check_user_id.
#include <map>
#include <set>

#include "core/customer_link.hpp"
#include "core/payer.hpp"
#include "functions/arguments.hpp"
#include "functions/audit.hpp"
#include "functions/batch.hpp"
#include "functions/links.hpp"
#include "functions/notifications.hpp"
#include "pg/spi.hpp"

using namespace billing;

namespace {

void check_customer(const std::string& customer) {
  const bool is_payer =
      customer.compare(0, 4, "cus_") == 0 ? customer.size() > 4 : is_guest(customer) && customer.size() > 3;
  if (customer.size() > 255 || !is_payer)
    throw pg::SqlError(
        ERRCODE_INVALID_PARAMETER_VALUE, "not a Stripe customer id: \"" + shorten(customer) + "\"",
        "It starts with cus_, that of a guest's payment with pi_, ch_, py_ or cs_; arguments are "
        "(user_id, stripe_customer_id).");
}

// Binds these customers and applies what waited for them. Returns how many events were waiting.
std::int64_t link(const std::map<std::string, LinkEvidence>& links, Oid schema, const std::string& actor,
                  const std::string& reason) {
  static pg::Statement waiting(
      "SELECT count(*) FROM @stripe_events WHERE NOT processed AND waiting_for = ANY ($1)");
  pg::Texts keys;
  for (const auto& [customer, evidence] : links) keys.push_back("customer:" + customer);
  const std::int64_t before = waiting.run(keys).number(0, 0);
  BatchOptions options;
  options.wait_for_locks = true;
  options.links = links;
  options.actor = actor;
  options.reason = reason;
  apply_batch({}, settings(schema), options);
  return before - waiting.run(keys).number(0, 0);
}

Datum fix_links(Oid schema) {
  static pg::Statement evidence(
      "SELECT o.stripe_customer_id, o.object_type, o.object::text, o.event_created, o.object_id"
      " FROM @stripe_objects o LEFT JOIN @stripe_customer_links l ON l.stripe_customer_id = "
      "o.stripe_customer_id"
      " WHERE l.user_id IS NULL AND o.stripe_customer_id IS NOT NULL AND o.object IS NOT NULL"
      "  AND (o.object_type IN ('customer', 'subscription', 'invoice', 'checkout.session')"
      "   OR o.object_type IN ('payment_intent', 'charge') AND o.stripe_customer_id ~ '^(pi|ch|py)_')"
      " ORDER BY o.event_created, o.object_id");
  static pg::Statement unlinked(
      "SELECT c.id, c.waiting FROM (SELECT l.stripe_customer_id AS id, (SELECT count(*) FROM @stripe_events e"
      "  WHERE NOT e.processed AND e.waiting_for = 'customer:' || l.stripe_customer_id) AS waiting"
      "  FROM @stripe_customer_links l WHERE l.user_id IS NULL"
      "  UNION SELECT o.object_id, 0 FROM @stripe_objects o WHERE o.object_type = 'customer' AND NOT "
      "o.deleted"
      "   AND NOT EXISTS (SELECT FROM @stripe_customer_links l WHERE l.stripe_customer_id = o.object_id)) c"
      " ORDER BY c.waiting DESC, c.id");
  require_safe_transaction();
  Json json;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    // The strongest evidence of each customer, then the earliest.
    std::map<std::string, LinkEvidence> found;
    {
      const pg::Rows rows = evidence.run();
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto told = link_evidence(rows.text(i, 1), parse_json(rows.view(i, 2)));
        if (!told) continue;
        const auto [at, inserted] = found.emplace(rows.text(i, 0), *told);
        if (!inserted && told->priority < at->second.priority) at->second = *told;
      }
    }
    std::int64_t applied = 0;
    if (!found.empty()) applied = link(found, schema, calling_role(), "fix_customer_links");
    const pg::Rows rows = unlinked.run();
    Json examples = Json::array();
    for (std::size_t i = 0; i < rows.size() && i < 20; ++i)
      examples.push_back({{"stripe_customer_id", rows.text(i, 0)},
                          {"waiting_events", rows.number(i, 1)},
                          {"reason", "no client_reference_id and no metadata.user_id"},
                          {"next_step", "link_stripe_customer"}});
    json = {{"linked", found.size()},
            {"events_applied", applied},
            {"unlinked", rows.size()},
            {"unlinked_customers", examples}};
  }
  return jsonb_datum(to_text(json));
}

}  // namespace

PG_BILLING_FUNCTION(check_user_id) {
  user_argument(fcinfo, 0);
  PG_RETURN_VOID();
}

PG_BILLING_FUNCTION(link_stripe_customer) {
  std::string user_id = user_argument(fcinfo, 0);
  const std::string customer = text_argument(fcinfo, 1, "stripe_customer_id");
  const Json options = options_argument(fcinfo, 2, {"reason"});
  const std::string reason = text_option(options, "reason");
  check_customer(customer);
  const Oid schema = pg::function_schema(fcinfo);
  require_safe_transaction();
  Json json;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    user_id = links::current_name(user_id);
    const auto locked = links::lock({customer}, true);
    const std::optional<std::string>& linked = locked.at(customer).user_id;
    if (linked && *linked != user_id)
      throw pg::SqlError(ERRCODE_UNIQUE_VIOLATION,
                         customer + " is already linked to " + *linked + ", not " + user_id,
                         "A customer never moves between users silently: SELECT explain_user('" + *linked +
                             "') shows what depends on it.");
    std::int64_t applied = 0;
    // Saying again what is so settles what named somebody else.
    if (linked && locked.at(customer).conflict) {
      links::clear_conflict(customer);
      audit::write({audit::done_by_hand(user_id, "link_conflict_resolved", customer, reason)});
    }
    if (!linked)
      applied = link({{customer, LinkEvidence{user_id, "manual", -1}}}, schema, calling_role(), reason);
    json = {{"user_id", user_id},
            {"stripe_customer_id", customer},
            {"status", linked ? "exists" : "linked"},
            {"events_applied", applied}};
  }
  return jsonb_datum(to_text(json));
}

PG_BILLING_FUNCTION(fix_customer_links) { return fix_links(pg::function_schema(fcinfo)); }

// What an import has brought is no news.
PG_BILLING_FUNCTION(fix_imported_customer_links) {
  const notifications::Silence silence;
  return fix_links(pg::function_schema(fcinfo));
}
