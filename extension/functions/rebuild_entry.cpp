// rebuild_billing_state: the whole, part by part.
#include <map>
#include <set>

#include "functions/arguments.hpp"
#include "functions/audit.hpp"
#include "functions/batch.hpp"
#include "functions/rebuild.hpp"
#include "functions/rebuild_rows.hpp"
#include "pg/spi.hpp"
#include "pg/subtransaction.hpp"

using namespace billing;

namespace {

// What the inbox knows and the mirror has lost altogether; normally nothing.
pg::Statement read_lost(
    "SELECT DISTINCT e.stripe_customer_id, e.object_id FROM @stripe_events e"
    " WHERE e.object_id IS NOT NULL AND e.object_type IS NOT NULL"
    "  AND " HAD_EFFECT
    "  AND NOT EXISTS (SELECT FROM @stripe_objects o WHERE o.stripe_account = e.stripe_account"
    "   AND o.livemode = e.livemode AND o.object_type = e.object_type AND o.object_id = e.object_id)");
pg::Statement next_customers(
    "SELECT DISTINCT o.stripe_customer_id FROM @stripe_objects o"
    " WHERE o.stripe_customer_id > $1 ORDER BY o.stripe_customer_id LIMIT 50");
pg::Statement next_objects(
    "SELECT DISTINCT o.object_id FROM @stripe_objects o"
    " WHERE o.stripe_customer_id IS NULL AND o.object_id > $1 ORDER BY o.object_id LIMIT 50");

class Rebuild {
 public:
  Rebuild(Oid schema, bool apply) : schema_(schema), apply_(apply) {}

  std::vector<rebuild::Difference> run() {
    std::map<std::string, std::vector<std::string>> lost;  // by customer, "" for none
    {
      pg::Session session(schema_, pg::Session::Access::read_write);
      const pg::Rows rows = read_lost.run();
      for (std::size_t i = 0; i < rows.size(); ++i) lost[rows.text(i, 0)].push_back(rows.text(i, 1));
    }
    // First what belongs to nobody: what an invoice paid, say, is part of what follows for its customer.
    rebuild::Part nowhere{{}, {}};
    move_lost(lost, "", nowhere);
    if (!nowhere.objects.empty()) look_at(nowhere, "objects without customer that the mirror has lost");
    for (std::vector<std::string> ids = next(next_objects, ""); !ids.empty();
         ids = next(next_objects, ids.back()))
      look_at({{}, ids}, "objects up to " + ids.back());
    for (std::vector<std::string> ids = next(next_customers, ""); !ids.empty();
         ids = next(next_customers, ids.back())) {
      rebuild::Part part{ids, {}};
      for (const std::string& id : ids) move_lost(lost, id, part);
      look_at(part, "customers up to " + ids.back());
    }
    while (!lost.empty()) {
      rebuild::Part part{{lost.begin()->first}, {}};
      move_lost(lost, part.customers[0], part);
      look_at(part, "customer " + part.customers[0]);
    }
    return std::move(found_);
  }

 private:
  static void move_lost(std::map<std::string, std::vector<std::string>>& lost, const std::string& customer,
                        rebuild::Part& part) {
    const auto objects = lost.find(customer);
    if (objects == lost.end()) return;
    part.objects.insert(part.objects.end(), objects->second.begin(), objects->second.end());
    lost.erase(objects);
  }

  std::vector<std::string> next(pg::Statement& statement, const std::string& after) {
    pg::Session session(schema_, pg::Session::Access::read_write);
    const pg::Rows rows = statement.run(after);
    std::vector<std::string> ids;
    for (std::size_t i = 0; i < rows.size(); ++i) ids.push_back(rows.text(i, 0));
    return ids;
  }

  // What would be repaired: the repair is undone, and its locks end, with the subtransaction.
  std::vector<rebuild::Difference> confirm(const rebuild::Part& part) {
    std::vector<rebuild::Difference> found;
    const auto failure = pg::attempt([&] {
      found = rebuild::repair(part, settings(schema_));
      throw pg::SqlError(ERRCODE_SUCCESSFUL_COMPLETION, "");
    });
    if (failure && failure->code != ERRCODE_SUCCESSFUL_COMPLETION) failure->rethrow();
    for (rebuild::Difference& one : found) one.repaired = false;
    return found;
  }

  // One part in a session of its own, so that memory does not grow with the whole.
  void look_at(const rebuild::Part& part, const std::string& where) {
    pg::guard([] { CHECK_FOR_INTERRUPTS(); });
    std::vector<rebuild::Difference> differences;
    {
      pg::Session session(schema_, pg::Session::Access::read_write);
      differences = rebuild::compare(part, settings(schema_));
      if (!differences.empty())
        differences = apply_ ? rebuild::repair(part, settings(schema_)) : confirm(part);
    }
    parts_ += 1;
    const std::string progress = "rebuild_billing_state: part " + std::to_string(parts_) + ", " + where +
                                 ", " + std::to_string(found_.size() + differences.size()) +
                                 " differences so far";
    pg::guard([&] {
      pgstat_report_activity(STATE_RUNNING, progress.c_str());
      if (!differences.empty() || parts_ % 100 == 0)
        ereport(NOTICE, (errmsg_internal("%s", progress.c_str())));
    });
    found_.insert(found_.end(), differences.begin(), differences.end());
  }

  Oid schema_;
  bool apply_;
  std::size_t parts_ = 0;
  std::vector<rebuild::Difference> found_;
};

// Keeps who repaired how much.
void tell_repairs(const std::vector<rebuild::Difference>& found, Oid schema) {
  std::map<std::string, int> repaired;
  for (const rebuild::Difference& one : found)
    if (one.repaired) ++repaired[one.table];
  if (repaired.empty()) return;
  pg::Session session(schema, pg::Session::Access::read_write);
  audit::Entry entry = audit::done_by_hand("", "billing_state_rebuilt", "", "");
  entry.details = repaired;
  audit::write({entry});
}

}  // namespace

PG_BILLING_FUNCTION(rebuild_billing_state) {
  if (PG_ARGISNULL(0))
    throw pg::SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, "apply must not be null",
                       "Leave it out to see what differs; true repairs it.");
  require_safe_transaction();
  const Oid schema = pg::function_schema(fcinfo);
  const std::vector<rebuild::Difference> found = Rebuild(schema, PG_GETARG_BOOL(0)).run();
  tell_repairs(found, schema);
  struct Line {
    const char* table;
    Datum key;
    const char* kind;
    Datum stored;
    Datum rebuilt;
    bool no_stored;
    bool no_rebuilt;
    bool repaired;
  };
  std::vector<Line> lines;
  for (const rebuild::Difference& one : found)
    lines.push_back({one.table.c_str(), jsonb_datum(to_text(one.key)), one.kind.c_str(),
                     jsonb_datum(to_text(one.stored)), jsonb_datum(to_text(one.rebuilt)),
                     one.stored.is_null(), one.rebuilt.is_null(), one.repaired});
  const Line* first = lines.data();
  const std::size_t count = lines.size();
  pg::guard([&] {
    materialize(fcinfo);
    ReturnSetInfo* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    for (std::size_t i = 0; i < count; ++i) {
      Datum values[6] = {CStringGetTextDatum(first[i].table),
                         first[i].key,
                         CStringGetTextDatum(first[i].kind),
                         first[i].stored,
                         first[i].rebuilt,
                         BoolGetDatum(first[i].repaired)};
      bool nulls[6] = {false, false, false, first[i].no_stored, first[i].no_rebuilt, false};
      tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    }
  });
  return Datum(0);
}
