// A user's credits: what there is, where it comes from, and the statement.
#include <boost/asio/use_awaitable.hpp>

#include "worker/operator/fragments.hpp"
#include "worker/operator/pages.hpp"

namespace billing::worker::operators {
namespace {

constexpr std::size_t kRows = 50;

constexpr const char* kGrants =
    "SELECT g.grant_id, g.amount, g.remaining, g.held, g.category, g.source, g.stripe_invoice_id, "
    "g.description,"
    " g.effective_at AT TIME ZONE 'UTC' AS effective_at,"
    " CASE WHEN isfinite(g.expires_at) THEN g.expires_at AT TIME ZONE 'UTC' END AS expires_at"
    " FROM {s}.credit_grants g WHERE g.user_id = $1 AND g.live ORDER BY g.grant_id DESC LIMIT 100";

// credit_statement() of the time that this page's entries are of: a long ledger is not read as a whole.
constexpr const char* kStatement = R"sql(
WITH shown AS (
    SELECT min(t.created_at) AS first, max(t.created_at) AS last, min(t.transaction_id) AS lowest
      FROM (SELECT c.transaction_id, c.created_at FROM {s}.credit_transactions c
             WHERE c.user_id = $1 AND c.transaction_id < $2::bigint ORDER BY c.transaction_id DESC LIMIT 51) t)
SELECT s.transaction_id, s.created_at AT TIME ZONE 'UTC' AS created_at, s.transaction_type, s.amount, s.balance_after,
       s.debt_after, s.description, s.actor_id, s.grants
  FROM shown, {s}.credit_statement($1, shown.first, shown.last + interval '1 microsecond') s
 WHERE s.transaction_id >= shown.lowest AND s.transaction_id < $2::bigint
 ORDER BY s.transaction_id DESC)sql";

std::string grants_of(const Json& entry) {
  std::string text;
  for (const Json& grant : at(entry, "grants")) {
    if (at(grant, "grant_id").is_null()) continue;
    text += (text.empty() ? "" : ", ") + counted(at(grant, "amount")) + " of grant " +
            words(at(grant, "grant_id"));
  }
  return text;
}

void put_balance(Visit& visit, const Json& balance, const std::string& user) {
  Facts facts(visit);
  facts.add_code("User", user, Link("/user").with("id", user));
  facts.add("Available", counted(at(balance, "available")));
  facts.add("Balance", counted(at(balance, "balance")));
  facts.add("Held", counted(at(balance, "held")));
  facts.add("Debt", counted(at(balance, "debt")));
}

void put_grants(Visit& visit, const Json& grants) {
  Html& html = visit.html;
  const Section section(visit, "Grants");
  if (grants.empty()) {
    put_empty(html, "No grant has anything left.", "Plans, credit packs and grant_credits() make them.");
    return;
  }
  Table table(visit, "What is left, the newest first",
              {"#Grant", "#Left", "#Held", "#Of", "Category", "Source", "From", "Until", "For"});
  for (const Json& grant : grants) {
    const auto row = table.row();
    html.put("th", {{"scope", "row"}, {"class", "number"}}, words(at(grant, "grant_id")));
    for (const char* column : {"remaining", "held", "amount"}) table.add_number(counted(at(grant, column)));
    table.add(words(at(grant, "category")));
    table.add(words(at(grant, "source")));
    table.add_time(at(grant, "effective_at"));
    table.add_time(at(grant, "expires_at"));
    const std::string description = words(at(grant, "description"));
    table.add(description.empty() ? words(at(grant, "stripe_invoice_id")) : description);
  }
}

void put_statement(Visit& visit, Json entries, const std::string& user) {
  Html& html = visit.html;
  const Section section(visit, "Statement");
  if (entries.empty()) {
    put_empty(html, "The ledger has no entry of this user.", "The first grant begins it.");
    return;
  }
  const bool more = entries.size() > kRows;
  if (more) entries.erase(entries.end() - 1);
  {
    Table table(
        visit, "The ledger, the latest entry first",
        {"#Entry", "When", "What", "#Amount", "#Balance after", "#Debt after", "By", "For", "Grants"});
    for (const Json& entry : entries) {
      const auto row = table.row();
      html.put("th", {{"scope", "row"}, {"class", "number"}}, words(at(entry, "transaction_id")));
      table.add_time(at(entry, "created_at"));
      table.add(words(at(entry, "transaction_type")));
      const Json& amount = at(entry, "amount");
      table.add_number((amount.get<std::int64_t>() > 0 ? "+" : "") + counted(amount));
      table.add_number(counted(at(entry, "balance_after")));
      table.add_number(at(entry, "debt_after") == 0 ? "" : counted(at(entry, "debt_after")));
      table.add(words(at(entry, "actor_id")));
      {
        const auto cell = html.open("td", {{"class", "wide"}});
        const std::string description = words(at(entry, "description"));
        html.text(description.empty() ? "–" : description);
      }
      table.add(grants_of(entry));
    }
  }
  const auto pager = html.open("nav", {{"class", "pager"}, {"aria-label", "More entries"}});
  if (!visit.request.query.get("before").empty())
    html.link(Link("/credits").with("user", user), "Back to the latest");
  if (more)
    html.link(Link("/credits").with("user", user).with("before", words(at(entries.back(), "transaction_id"))),
              "Older entries");
}

}  // namespace

Void put_credits(Visit& visit) {
  const std::string user = visit.request.query.get("user");
  if (user.empty()) throw Failure(400, "the address names no user", "Look for one under Users.");
  std::string before = visit.request.query.get("before");
  if (before.empty()) before = "9223372036854775807";
  const Json told = co_await visit.rows("SELECT {s}.get_credit_balance($1) AS balance", user);
  const Json grants = co_await visit.rows(kGrants, user);
  Json entries = co_await visit.rows(kStatement, user, before);
  visit.title = "Credits of " + user;
  put_balance(visit, at(told.front(), "balance"), user);
  put_grants(visit, grants);
  put_statement(visit, std::move(entries), user);
}

}  // namespace billing::worker::operators
