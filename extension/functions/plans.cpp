// upsert_plan, retire_plan, get_plan, export_plans.
#include "functions/arguments.hpp"
#include "functions/audit.hpp"
#include "functions/plan_store.hpp"
#include "pg/spi.hpp"

using namespace billing;

namespace {

billing::Plan plan_argument(FunctionCallInfo fcinfo, int index) {
  const Json json = json_argument(fcinfo, index, "plan");
  try {
    return parse_plan(json);
  } catch (const PlanError& error) {
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE, error.what(), error.hint);
  }
}

// What one plan has no other plan may have.
void check_against(const billing::Plan& plan, const std::vector<billing::Plan>& others) {
  for (const billing::Plan& other : others) {
    if (other.id == plan.id) continue;
    if (plan.is_default && other.is_default)
      throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                         "plan " + plan.id + " is to be the default plan, but " + other.id + " is",
                         "One plan at most is the default: change " + other.id + " first.");
    for (const PlanPrice& price : plan.prices)
      for (const PlanPrice& taken : other.prices)
        if (taken.kind == price.kind && taken.reference == price.reference)
          throw pg::SqlError(
              ERRCODE_INVALID_PARAMETER_VALUE,
              price.kind + " " + price.reference + " of plan " + plan.id + " is mapped to plan " + other.id,
              "A price is one plan: take it out of " + other.id + " first.");
  }
}

// Under the lock. Nothing is told, and nothing made anew, when nothing changes.
void change(const std::optional<billing::Plan>& before, const billing::Plan& plan, const std::string& action,
            const std::string& reason, Oid schema) {
  if (before && *before == plan) return;
  plan_store::write(plan);
  plan_store::announce(schema, reason.empty() ? action + " " + plan.id : reason);
  audit::Entry entry = audit::done_by_hand("", action, plan.id, reason);
  entry.details = {{"old", before ? plan_json(*before) : Json(nullptr)}, {"new", plan_json(plan)}};
  audit::write({entry});
}

std::optional<billing::Plan> find(const std::vector<billing::Plan>& plans, const std::string& id) {
  for (const billing::Plan& plan : plans)
    if (plan.id == id) return plan;
  return std::nullopt;
}

}  // namespace

PG_BILLING_FUNCTION(upsert_plan) {
  const billing::Plan plan = plan_argument(fcinfo, 0);
  const std::string reason = reason_argument(fcinfo, 1);
  const Oid schema = pg::function_schema(fcinfo);
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    plan_store::lock();
    const std::vector<billing::Plan> stored = plan_store::read_all();
    check_against(plan, stored);
    change(find(stored, plan.id), plan, "plan_changed", reason, schema);
  }
  return jsonb_datum(to_text(plan_json(plan)));
}

PG_BILLING_FUNCTION(retire_plan) {
  const std::string id = text_argument(fcinfo, 0, "plan_id");
  const std::string reason = reason_argument(fcinfo, 1);
  if (reason.empty())
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "reason must not be empty",
                       "Say why it is retired: the reason is kept in audit_logs.");
  const Oid schema = pg::function_schema(fcinfo);
  std::optional<billing::Plan> plan;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    plan_store::lock();
    const std::optional<billing::Plan> before = plan_store::read(id);
    if (!before)
      throw pg::SqlError(ERRCODE_NO_DATA_FOUND, "there is no plan \"" + shorten(id) + "\"",
                         "SELECT id FROM subscription_plans lists them.");
    plan = before;
    plan->active = false;
    change(before, *plan, "plan_retired", reason, schema);
  }
  return jsonb_datum(to_text(plan_json(*plan)));
}

PG_BILLING_FUNCTION(get_plan) {
  const std::string id = text_argument(fcinfo, 0, "plan_id");
  std::optional<billing::Plan> plan;
  {
    pg::Session session(pg::function_schema(fcinfo), pg::Session::Access::read_only);
    plan = plan_store::read(id);
  }
  if (!plan) PG_RETURN_NULL();
  return jsonb_datum(to_text(plan_json(*plan)));
}

PG_BILLING_FUNCTION(export_plans) {
  Json all = Json::array();
  {
    pg::Session session(pg::function_schema(fcinfo), pg::Session::Access::read_only);
    for (const billing::Plan& plan : plan_store::read_all()) all.push_back(plan_json(plan));
  }
  return jsonb_datum(to_text(all));
}
