#include "functions/awaited_subscriptions.hpp"

#include <set>

#include "pg/row_reader.hpp"
#include "pg/spi.hpp"

namespace billing::awaited {

namespace {

// Whether it is told of is what the user's row says: an event that waits for a lock has told nothing yet.
pg::Statement read_bought(
    "SELECT DISTINCT ON (k.user_id, o.parent_id) k.user_id, o.parent_id, k.customer, o.object_id,"
    "  o.stripe_account, o.livemode, o.event_created, (o.object -> 'metadata')::text"
    " FROM unnest($1, $2) k(customer, user_id) JOIN @stripe_objects o"
    "  ON o.stripe_customer_id = k.customer AND o.object_type = 'checkout.session'"
    " WHERE o.object ->> 'mode' = 'subscription' AND coalesce(o.object ->> 'status', 'complete') = 'complete'"
    "  AND jsonb_typeof(o.object -> 'subscription') IN ('string', 'object') AND o.parent_id IS NOT NULL"
    "  AND NOT EXISTS (SELECT FROM @user_subscriptions u"
    "   WHERE u.user_id = k.user_id AND u.stripe_subscription_id = o.parent_id)"
    "  AND NOT EXISTS (SELECT FROM @stripe_objects c WHERE c.stripe_account = o.stripe_account"
    "   AND c.livemode = o.livemode AND c.object_type = 'customer' AND c.object_id = k.customer AND "
    "c.deleted)"
    " ORDER BY k.user_id, o.parent_id, o.object_id");
pg::Statement delete_others(
    "DELETE FROM @awaited_subscriptions a USING unnest($1, $2) k(customer, user_id)"
    " WHERE a.user_id = k.user_id AND a.stripe_customer_id = k.customer"
    "  AND (a.user_id, a.stripe_subscription_id) NOT IN (SELECT * FROM unnest($3, $4))");
pg::Statement upsert(
    "INSERT INTO @awaited_subscriptions AS a (user_id, stripe_subscription_id, stripe_customer_id,"
    "  checkout_session_id, stripe_account, livemode, completed_at)"
    " SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7)"
    " ON CONFLICT (user_id, stripe_subscription_id) DO UPDATE SET"
    "  stripe_customer_id = excluded.stripe_customer_id, checkout_session_id = excluded.checkout_session_id,"
    "  stripe_account = excluded.stripe_account, livemode = excluded.livemode,"
    "  completed_at = excluded.completed_at"
    " WHERE (a.stripe_customer_id, a.checkout_session_id, a.stripe_account, a.livemode, a.completed_at)"
    "  IS DISTINCT FROM (excluded.stripe_customer_id, excluded.checkout_session_id, excluded.stripe_account,"
    "   excluded.livemode, excluded.completed_at)");
pg::Statement delete_told(
    "DELETE FROM @awaited_subscriptions a USING unnest($1, $2) k(user_id, subscription)"
    " WHERE a.user_id = k.user_id AND a.stripe_subscription_id = k.subscription");

// Nearly always nobody waits, and nobody has bought.
pg::RowReader awaited_by("awaited_subscriptions", "awaited_subscriptions_pkey", "livemode");
pg::RowReader sessions_of("stripe_objects", "stripe_objects_customer_idx", "object_id");

}  // namespace

bool may_buy(const Event& event) {
  return event.object_type == "checkout.session" && text_of(event.object, "mode") == "subscription";
}

void follow(const std::map<std::string, std::string>& user_of, const Scope& scope) {
  pg::Texts customers, users;
  for (const auto& [customer, user] : user_of) {
    if (!awaited_by.any({pg::parameter(user)}) &&
        !sessions_of.any({pg::parameter(customer), pg::parameter("checkout.session")}))
      continue;
    customers.push_back(customer);
    users.push_back(user);
  }
  if (users.empty()) return;
  pg::Texts user_id, id, customer, session, account;
  pg::Flags livemode;
  pg::Times completed_at;
  const pg::Rows rows = read_bought.run(customers, users);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    // A session does not tell its products: of a subscription that is not ours nothing will be told.
    if (!names_scope(scope, rows.null(i, 7) ? Json() : parse_json(rows.view(i, 7)))) continue;
    user_id.push_back(rows.text(i, 0));
    id.push_back(rows.text(i, 1));
    customer.push_back(rows.text(i, 2));
    session.push_back(rows.text(i, 3));
    account.push_back(rows.text(i, 4));
    livemode.push_back(rows.flag(i, 5) ? 1 : 0);
    completed_at.add(rows.maybe_seconds(i, 6));
  }
  delete_others.run(customers, users, user_id, id);
  if (!id.empty()) upsert.run(user_id, id, customer, session, account, livemode, completed_at);
}

void settle(const std::vector<subscriptions::Owned>& told) {
  pg::Texts user_id, id;
  for (const auto& [user, subscription] : told) {
    if (!awaited_by.any({pg::parameter(user)})) continue;
    user_id.push_back(user);
    id.push_back(subscription.id);
  }
  if (!id.empty()) delete_told.run(user_id, id);
}

std::set<std::string> read(const std::set<std::string>& users, bool live) {
  std::set<std::string> waiting;
  for (const std::string& user : users)
    if (read(user, live)) waiting.insert(user);
  return waiting;
}

bool read(const std::string& user_id, bool live) {
  const pg::Rows rows = awaited_by.find({pg::parameter(user_id)});
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows.flag(i, 0) == live) return true;
  return false;
}

}  // namespace billing::awaited
