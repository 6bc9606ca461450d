#include "functions/imported_sources.hpp"

#include <algorithm>

#include "core/fields.hpp"
#include "core/test_clock.hpp"
#include "pg/row_reader.hpp"
#include "pg/spi.hpp"

namespace billing::credits {

namespace {

// $5: when what was paid earlier grants nothing anyway, which a current period overrules.
pg::Statement note(
    "INSERT INTO @credit_imported_sources AS m (stripe_account, livemode, object_id, current_since)"
    " SELECT k.account, $6, k.id, k.since FROM unnest($1, $2, $3, $4) k(account, id, paid_at, since)"
    " WHERE NOT EXISTS (SELECT FROM @stripe_objects o WHERE o.stripe_account = k.account AND o.livemode = $6"
    "   AND o.object_type IN ('invoice', 'checkout.session') AND o.object_id = k.id"
    "   AND (o.object ->> 'status' = 'paid' OR o.object -> 'paid' = 'true'"
    "        OR o.object ->> 'payment_status' IN ('paid', 'no_payment_required')))"
    "  OR k.since IS NOT NULL AND (k.paid_at < to_timestamp($5) OR EXISTS (SELECT FROM "
    "@credit_imported_sources s"
    "   WHERE s.stripe_account = k.account AND s.livemode = $6 AND s.object_id = k.id))"
    " ORDER BY k.account, k.id"
    " ON CONFLICT (stripe_account, livemode, object_id) DO UPDATE SET current_since = excluded.current_since"
    "  WHERE m.current_since IS NULL AND excluded.current_since IS NOT NULL");
pg::RowReader noted("credit_imported_sources", "credit_imported_sources_pkey", "current_since");

bool is_paid(const Event& event) {
  if (event.object_type == "invoice") return fields::invoice_is_paid(event.object);
  const std::string status = text_of(event.object, "payment_status").value_or("");
  return event.object_type == "checkout.session" && (status == "paid" || status == "no_payment_required");
}

bool has_current_line(const Json& invoice, Seconds at) {
  const Json& lines = list_of(invoice, "lines");
  return std::any_of(lines.begin(), lines.end(), [&](const Json& line) {
    const auto start = time_of(billing::at(line, "period"), "start");
    const auto end = time_of(billing::at(line, "period"), "end");
    return start && end && *start <= at && at < *end;
  });
}

}  // namespace

void note_imported(const std::vector<Work*>& works, const Settings& settings) {
  pg::Texts account, id;
  pg::Times paid_at, since;
  for (const Work* work : works) {
    const Event& event = *work->event;
    if (!event.import || event.object_id.empty() || !is_paid(event)) continue;
    const ImportTerms& terms = *event.import;
    const bool by_clock = !test_clock_of(event.object).empty();
    const bool is_invoice = event.object_type == "invoice";
    const Seconds paid = is_invoice ? granted_at(event.object) : time_of(event.object, "created").value_or(0);
    // What is paid while the import runs is news, whoever tells of it first.
    if (paid >= terms.began && !by_clock) continue;
    account.push_back(event.account);
    id.push_back(event.object_id);
    paid_at.add(paid);
    since.add(is_invoice && terms.current_period && has_current_line(event.object, terms.began)
                  ? std::optional(terms.began)
                  : std::nullopt);
  }
  if (id.empty()) return;
  const Seconds granting = settings.grants_since.value_or(settings.installed_at);
  note.run(account, id, paid_at, since, granting, settings.live);
}

void ImportedSources::read(const std::vector<std::string>& accounts, const std::vector<std::string>& ids,
                           bool live) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const pg::Rows rows =
        noted.find({pg::parameter(accounts[i]), pg::parameter(live), pg::parameter(ids[i])});
    if (!rows.empty()) current_since_[{accounts[i], ids[i]}] = rows.maybe_seconds(0, 0).value_or(0);
  }
}

bool ImportedSources::contains(const std::string& account, const std::string& id) const {
  return current_since_.count({account, id}) > 0;
}

bool ImportedSources::grants(const std::string& account, const PlannedGrant& grant) const {
  const auto found = current_since_.find({account, grant.invoice_id});
  if (found == current_since_.end() || found->second == 0) return false;
  // Of a year that is paid at once, the months that are over were the former system's.
  return !grant.expires_at || *grant.expires_at > found->second;
}

}  // namespace billing::credits
