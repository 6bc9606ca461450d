// Looks for a user by whatever somebody has in hand, exactly.
#include <boost/asio/use_awaitable.hpp>

#include "worker/operator/fragments.hpp"
#include "worker/operator/pages.hpp"

namespace billing::worker::operators {
namespace {

// Where a user can be found quickly: by keys and indexes.
constexpr const char* kByKey = R"sql(
SELECT f.user_id, string_agg(DISTINCT f.how, ', ' ORDER BY f.how) AS how
  FROM (SELECT u.user_id, 'user id' AS how FROM {s}.billing_users u WHERE u.user_id = $1
        UNION ALL SELECT l.user_id, 'user id' FROM {s}.stripe_customer_links l WHERE l.user_id = $1
        UNION ALL SELECT a.now_user_id, 'former id (' || a.kind || ')' FROM {s}.user_aliases a WHERE a.user_id = $1
        UNION ALL SELECT l.user_id, 'customer' FROM {s}.stripe_customer_links l WHERE l.stripe_customer_id = $1
        UNION ALL SELECT p.user_id, 'address of a payment' FROM {s}.payments p WHERE p.customer_email = lower($1)
        UNION ALL SELECT p.user_id, 'address of a payment' FROM {s}.payments p WHERE p.customer_email = $1) f
 WHERE f.user_id IS NOT NULL GROUP BY 1 ORDER BY 1 LIMIT 100)sql";

// And where every row has to be looked at.
constexpr const char* kByAddress = R"sql(
SELECT f.user_id, string_agg(DISTINCT f.how, ', ' ORDER BY f.how) AS how
  FROM (SELECT u.user_id, 'address in billing_users' AS how FROM {s}.billing_users u WHERE lower(u.email) = lower($1)
        UNION ALL
        SELECT l.user_id, 'address of the customer' FROM {s}.stripe_objects o
          JOIN {s}.stripe_customer_links l ON l.stripe_customer_id = o.object_id
         WHERE o.object_type = 'customer' AND lower(o.object ->> 'email') = lower($1)) f
 WHERE f.user_id IS NOT NULL GROUP BY 1 ORDER BY 1 LIMIT 100)sql";

constexpr const char* kLately = R"sql(
SELECT a.user_id, max(a.created_at) AT TIME ZONE 'UTC' AS at, (array_agg(a.action ORDER BY a.created_at DESC))[1] AS action
  FROM (SELECT l.user_id, l.created_at, l.action FROM {s}.audit_logs l ORDER BY l.created_at DESC LIMIT 500) a
 WHERE a.user_id <> '' GROUP BY 1 ORDER BY 2 DESC LIMIT 20)sql";

void put_search(Visit& visit) {
  Html& html = visit.html;
  const auto form = html.open("form", {{"method", "get"},
                                       {"action", "/users"},
                                       {"class", "search"},
                                       {"role", "search"},
                                       {"aria-label", "Find a user"}});
  put_field(visit, {"q", "User id, customer id or e-mail address", visit.request.query.get("q"),
                    "The whole of it, exactly as it is."});
  html.put("button", {{"type", "submit"}}, "Find");
}

void put_found(Visit& visit, const Json& users) {
  Table table(visit, "Users that this is of", {"User", "Found by"});
  for (const Json& user : users) {
    const std::string id = words(at(user, "user_id"));
    const auto row = table.row();
    {
      const auto name = table.head();
      put_code(visit.html, id, Link("/user").with("id", id));
    }
    table.add(words(at(user, "how")));
  }
}

}  // namespace

Void put_users(Visit& visit) {
  visit.title = "Users";
  const std::string wanted = visit.request.query.get("q");
  Json found = Json::array();
  Json lately = Json::array();
  if (wanted.empty()) {
    lately = co_await visit.rows(kLately);
  } else {
    found = co_await visit.rows(kByKey, wanted);
    if (found.empty() && wanted.find('@') != std::string::npos)
      found = co_await visit.rows(kByAddress, wanted);
  }
  put_search(visit);
  Html& html = visit.html;
  if (!wanted.empty()) {
    if (found.empty())
      put_empty(html, "Nobody is found by " + wanted + ".",
                "A customer without a user is under Parked. A user exists here once an event, a link or your "
                "application has named them.");
    else
      put_found(visit, found);
    co_return;
  }
  const Section section(visit, "Lately");
  if (lately.empty()) {
    put_empty(html, "Nothing has happened to any user yet.",
              "Users show here with their first subscription, payment or link.");
    co_return;
  }
  Table table(visit, "Users that something has happened to last", {"When", "User", "What"});
  for (const Json& user : lately) {
    const std::string id = words(at(user, "user_id"));
    const auto row = table.row();
    table.add_time(at(user, "at"));
    {
      const auto name = table.head();
      put_code(html, id, Link("/user").with("id", id));
    }
    table.add_code(words(at(user, "action")));
  }
}

}  // namespace billing::worker::operators
