// set_billing_setting, get_billing_settings.
#include "settings.hpp"

#include "functions/arguments.hpp"
#include "functions/audit.hpp"
#include "pg/spi.hpp"

using namespace billing;

PG_BILLING_FUNCTION(set_billing_setting) {
  // A writer at a time, so that generations are without ties; readers go on.
  static pg::Statement lock("LOCK TABLE @billing_settings IN SHARE ROW EXCLUSIVE MODE");
  static pg::Statement write(
      "INSERT INTO @billing_settings AS s (name, value, generation, reason, actor)"
      " SELECT $1, $2, coalesce(max(g.generation), 0) + 1, $3, $4 FROM @billing_settings g"
      " ON CONFLICT (name) DO UPDATE SET value = excluded.value, generation = excluded.generation,"
      "  reason = excluded.reason, actor = excluded.actor, updated_at = now()");
  static pg::Statement read("SELECT s.value FROM @billing_settings s WHERE s.name = $1");
  const std::string name = text_argument(fcinfo, 0, "name");
  const std::string reason = text_argument(fcinfo, 2, "reason");
  std::optional<std::string> value;
  if (!PG_ARGISNULL(1)) value = text_argument(fcinfo, 1, "value");
  if (reason.empty())
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "reason must not be empty",
                       "Say why it changes: the reason is kept in audit_logs.");
  if (value) {
    check_setting(name, *value);
  } else {
    bool known = false;
    for (const SettingInfo& info : setting_infos()) known = known || name == info.name;
    if (!known) check_setting(name, "");
  }
  const Oid schema = pg::function_schema(fcinfo);
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    lock.run();
    const pg::Rows before = read.run(name);
    const std::optional<std::string> old = before.empty() ? std::nullopt : before.maybe_text(0, 0);
    write.run(name, value, reason, calling_role());
    audit::Entry entry = audit::done_by_hand("", "setting_changed", name, reason);
    entry.details = {{"old", old ? Json(*old) : Json(nullptr)},
                     {"new", value ? Json(*value) : Json(nullptr)}};
    audit::write({entry});
  }
  // Sent at commit: every backend forgets its copy before its next look.
  pg::guard([&] { CacheInvalidateRelcacheByRelid(get_relname_relid("billing_settings", schema)); });
  PG_RETURN_VOID();
}

PG_BILLING_FUNCTION(get_billing_settings) {
  const Oid schema = pg::function_schema(fcinfo);
  const std::vector<std::pair<std::string, std::string>> values = setting_values(schema);
  const std::vector<SettingInfo>& infos = setting_infos();
  pg::guard([&] {
    materialize(fcinfo);
    ReturnSetInfo* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    for (std::size_t i = 0; i < infos.size(); ++i) {
      Datum row[4] = {CStringGetTextDatum(infos[i].name), CStringGetTextDatum(values[i].second.c_str()),
                      CStringGetTextDatum(infos[i].default_value), CStringGetTextDatum(infos[i].description)};
      bool nulls[4] = {false, false, false, false};
      tuplestore_putvalues(result->setResult, result->setDesc, row, nulls);
    }
  });
  return Datum(0);
}
