#include "functions/credit_existing.hpp"

#include <string_view>

#include "core/credit_chain.hpp"
#include "pg/row_reader.hpp"

namespace billing::credits::follow {

namespace {

pg::Statement existing_grants(
    "SELECT g.user_id, g.grant_id, g.grant_key, g.stripe_invoice_id, g.amount, g.reversed, g.reversal_target,"
    "  g.reversal_debt, g.source, (g.rule ->> 'full')::bigint, (g.rule -> 'terms')::text,"
    "  g.metadata ->> 'stripe_customer_id', g.cycle_start FROM @credit_grants g"
    " WHERE g.user_id = ANY ($1) AND (g.stripe_invoice_id IS NOT NULL OR g.grant_key IS NOT NULL)"
    " ORDER BY g.user_id, g.grant_id");

pg::RowReader any_grants("credit_grants", "credit_grants_pkey", "grant_id");

}  // namespace

ExistingGrants read_existing(const std::set<std::string>& users) {
  ExistingGrants found;
  std::set<std::string> owners = users;
  std::erase_if(owners, [](const std::string& user) { return !any_grants.any({pg::parameter(user)}); });
  if (owners.empty()) return found;
  const pg::Rows rows = existing_grants.run(pg::texts(owners));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Existing grant;
    grant.id = rows.number(i, 1);
    grant.key = rows.text(i, 2);
    grant.invoice_id = rows.text(i, 3);
    grant.amount = rows.number(i, 4);
    grant.reversed = rows.number(i, 5);
    grant.target = {rows.number(i, 6), rows.number(i, 7)};
    grant.source = rows.text(i, 8);
    grant.full = rows.maybe_number(i, 9).value_or(grant.amount);
    if (const std::string terms = rows.text(i, 10); !terms.empty())
      grant.terms = Json::parse(terms).get<Terms>();
    grant.customer_id = rows.text(i, 11);
    grant.cycle_start = rows.maybe_number(i, 12).value_or(0);
    found[rows.text(i, 0)].push_back(std::move(grant));
  }
  return found;
}

std::string line_of(const std::string& key) {
  for (const char* rule : {":period", ":upgrade"})
    if (const std::size_t at = key.rfind(rule); at != std::string::npos)
      return key.substr(0, at + std::string_view(rule).size());
  return first_key(key);
}

}  // namespace billing::credits::follow
