// check_entitlement, require_entitlement, get_user_entitlements: readers, which never write.
#include "functions/entitlement_call.hpp"
#include "pg/spi.hpp"

using namespace billing;
using namespace billing::entitlements;

namespace {

Instant statement_instant() { return pg::from_timestamptz(GetCurrentStatementStartTimestamp()); }

CapAnswer checked(FunctionCallInfo fcinfo, const std::string& user_id) {
  const std::string feature = feature_argument(fcinfo, 1);
  const std::int64_t required = count_argument(fcinfo, 2, "required", 0);
  const Oid schema = pg::function_schema(fcinfo);
  pg::Session session(schema, pg::Session::Access::read_only);
  return Asked(user_id, feature, settings(schema), statement_instant(), Asked::From::stored)
      .told(feature, required);
}

}  // namespace

PG_BILLING_FUNCTION(check_entitlement) {
  const std::string user_id = user_argument(fcinfo, 0);
  return answer_datum(user_id, checked(fcinfo, user_id));
}

PG_BILLING_FUNCTION(require_entitlement) {
  const std::string user_id = user_argument(fcinfo, 0);
  const CapAnswer told = checked(fcinfo, user_id);
  if (told.allowed) PG_RETURN_VOID();
  const Json answer = answer_json(user_id, told);
  const auto text = [&](const char* key) { return text_of(answer, key).value_or(""); };
  Json detail;
  for (const char* key :
       {"user_id", "feature", "reason", "next_step", "limit", "used", "remaining", "next_reset_at"})
    detail[key] = answer[key];
  throw pg::SqlError(MAKE_SQLSTATE('P', 'T', '4', '0', '2'),
                     "entitlement required: " + text("user_id") + " may not use " + text("feature") + " (" +
                         text("reason") + ")",
                     "Next step: " + text("next_step") + ".", to_text(detail));
}

PG_BILLING_FUNCTION(get_user_entitlements) {
  const std::string user_id = user_argument(fcinfo, 0);
  const Oid schema = pg::function_schema(fcinfo);
  Json json = {{"user_id", user_id}, {"plans", Json::array()}, {"features", Json::object()}};
  {
    pg::Session session(schema, pg::Session::Access::read_only);
    Asked asked(user_id, "", settings(schema), statement_instant(), Asked::From::stored);
    for (const HeldPlan& held : held_in_order(asked.found().holdings)) json["plans"].push_back(held.plan->id);
    for (const std::string& feature : feature_names(asked.found().holdings, *asked.found().plans)) {
      Json answer = asked.answer(feature, 1);
      answer.erase("user_id");
      answer.erase("feature");
      json["features"][feature] = std::move(answer);
    }
  }
  return jsonb_datum(json);
}
