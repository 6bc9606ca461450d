#include "functions/stripe_entitlements.hpp"

#include <map>
#include <tuple>

#include "core/stripe_entitlements.hpp"
#include "pg/row_reader.hpp"
#include "pg/spi.hpp"

namespace billing::stripe_entitlements {

namespace {

#define SUMMARY_ROW \
  " @stripe_entitlements e WHERE e.stripe_account = $1 AND e.livemode = $2 AND e.stripe_customer_id = $3"
pg::Statement select_one("SELECT e.whole_at, e.seen::text FROM" SUMMARY_ROW);
#undef SUMMARY_ROW
pg::Statement upsert(
    "INSERT INTO @stripe_entitlements (stripe_account, livemode, stripe_customer_id, whole_at, seen)"
    " VALUES ($1, $2, $3, $4, $5::jsonb)"
    " ON CONFLICT (stripe_account, livemode, stripe_customer_id)"
    " DO UPDATE SET whole_at = excluded.whole_at, seen = excluded.seen, updated_at = now()");
// A deleted customer has nothing any more.
pg::Statement select_active(
    "SELECT o.object::text, e.whole_at, e.seen::text FROM @stripe_customer_links l"
    " JOIN @stripe_objects o ON o.stripe_customer_id = l.stripe_customer_id"
    "  AND o.object_type = 'entitlements.active_entitlement_summary'"
    " LEFT JOIN @stripe_entitlements e ON e.stripe_account = o.stripe_account AND e.livemode = o.livemode"
    "  AND e.stripe_customer_id = o.stripe_customer_id"
    " WHERE l.user_id = $1 AND o.livemode = $2 AND NOT o.deleted AND o.object IS NOT NULL"
    "  AND NOT EXISTS (SELECT FROM @stripe_objects c WHERE c.stripe_account = o.stripe_account"
    "   AND c.livemode = o.livemode AND c.object_type = 'customer' AND c.object_id = o.stripe_customer_id"
    "   AND c.deleted)");

// Whether there is anything to join: for most users there is not.
pg::RowReader customers_of("stripe_customer_links", "stripe_customer_links_user_idx", "stripe_customer_id");
pg::RowReader summaries_of("stripe_objects", "stripe_objects_customer_idx", "livemode");

pg::RowReader anything("stripe_entitlements", "stripe_entitlements_pkey", "stripe_customer_id");

bool may_have_any(const std::string& user_id) {
  // Whatever a summary allows has left a row here: where Stripe's entitlements are not used, nobody is asked.
  if (anything.is_vacant()) return false;
  if (!customers_of.usable() || !summaries_of.usable()) return true;
  const pg::Rows customers = customers_of.find({pg::parameter(user_id)});
  for (std::size_t i = 0; i < customers.size(); ++i)
    if (!summaries_of.find({pg::parameter(customers.view(i, 0)), pg::parameter(kEntitlementSummary)}).empty())
      return true;
  return false;
}

StripeEntitlements known_from(const pg::Rows& rows, std::size_t row, std::size_t column) {
  if (rows.null(row, column + 1)) return {};
  return read_seen(rows.maybe_seconds(row, column), parse_json(rows.view(row, column + 1)));
}

}  // namespace

void follow(const std::vector<Work*>& works) {
  using Key = std::tuple<std::string, bool, std::string>;
  std::map<Key, std::vector<const Event*>> told;
  for (const Work* work : works) {
    const Event& event = *work->event;
    if (event.object_type == kEntitlementSummary && !event.customer_id.empty())
      told[{event.account, event.livemode, event.customer_id}].push_back(&event);
  }
  for (const auto& [key, events] : told) {
    const auto& [account, livemode, customer] = key;
    const pg::Rows rows = select_one.run(account, livemode, customer);
    const StripeEntitlements before = rows.empty() ? StripeEntitlements{} : known_from(rows, 0, 0);
    StripeEntitlements after = before;
    for (const Event* event : events) fold_summary(after, event->object, event->created);
    if (after == before) continue;
    upsert.run(account, livemode, customer,
               pg::Time{after.whole_at ? std::optional(instant(*after.whole_at)) : std::nullopt},
               to_text(seen_json(after)));
  }
}

std::set<std::string> read(const std::string& user_id, bool live) {
  std::set<std::string> keys;
  if (!may_have_any(user_id)) return keys;
  const pg::Rows rows = select_active.run(user_id, live);
  for (std::size_t i = 0; i < rows.size(); ++i)
    keys.merge(active_features(known_from(rows, i, 1), parse_json(rows.view(i, 0))));
  return keys;
}

}  // namespace billing::stripe_entitlements
