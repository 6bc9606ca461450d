#include "settings.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "core/credit_alarm.hpp"
#include "functions/installation.hpp"
#include "functions/plan_store.hpp"
#include "functions/test_clocks.hpp"
#include "pg/boundary.hpp"
#include "pg/known_relation.hpp"
#include "pg/spi.hpp"
#include "pg/time_zone.hpp"

namespace billing {

namespace {

[[noreturn]] void reject(const std::string& name, const std::string& value, const std::string& hint) {
  throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                     "invalid value for setting \"" + name + "\": \"" + value + "\"", hint);
}

// PostgreSQL's own interval syntax; months and years, whose length varies, are refused.
Seconds duration(const std::string& name, const std::string& value) {
  Interval* interval = nullptr;
  try {
    interval = pg::guard([&] {
      return DatumGetIntervalP(DirectFunctionCall3(interval_in, CStringGetDatum(value.c_str()),
                                                   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
    });
  } catch (const pg::Error&) {
    reject(name, value, "Use an interval such as '7 days' or '300 seconds'.");
  }
  if (interval->month != 0) reject(name, value, "Months vary in length: give it in days.");
  const std::int64_t seconds = interval->day * INT64CONST(86400) + interval->time / 1'000'000;
  if (seconds < 0 || seconds > 36500 * INT64CONST(86400))
    reject(name, value, "Use an interval between 0 and 36500 days.");
  return seconds;
}

// What is kept for ever is not dropped at all.
void check_retention(const std::string& name, const std::string& value) {
  if (value == "forever") return;
  if (duration(name, value) < 86400)
    reject(name, value, "Keep it for a day at least: '365 days', or 'forever'.");
}

bool choice(const std::string& name, const std::string& value, const char* no, const char* yes) {
  if (value == yes) return true;
  if (value == no) return false;
  reject(name, value, std::string("Use '") + no + "' or '" + yes + "'.");
}

struct Setting {
  SettingInfo info;
  void (*apply)(Settings& settings, const std::string& name, const std::string& value);
};

const Setting kSettings[] = {
    {{"accept_payments", "on",
      "whether new purchases are offered: off makes can_purchase false for everybody"},
     [](Settings& s, const std::string& n, const std::string& v) {
       s.access.accept_payments = choice(n, v, "off", "on");
     }},
    {{"audit_retention", "forever",
      "how long audit_logs are kept, which metrics count from; 'forever' or an interval"},
     [](Settings&, const std::string& n, const std::string& v) { check_retention(n, v); }},
    {{"cache_ttl", "300 seconds", "how long a cached state may be served before it is recomputed"},
     [](Settings& s, const std::string& n, const std::string& v) { s.cache_ttl = duration(n, v); }},
    {{"canceled_access", "ended_at",
      "when a canceled subscription loses access: 'ended_at', or 'paid_through' the period that was paid"},
     [](Settings& s, const std::string& n, const std::string& v) {
       s.access.canceled_until_paid_through = choice(n, v, "ended_at", "paid_through");
     }},
    {{"clawback_debt", "dispute",
      "when credits that are taken back and were spent already become debt: after a lost 'dispute', 'always' "
      "or 'never'"},
     [](Settings& s, const std::string& n, const std::string& v) {
       using credits::DebtPolicy;
       if (v == "always" || v == "never")
         s.clawback_debt = v == "always" ? DebtPolicy::always : DebtPolicy::never;
       else if (v == "dispute")
         s.clawback_debt = DebtPolicy::dispute;
       else
         reject(n, v, "Use 'dispute', 'always' or 'never'.");
     }},
    {{"credits_low_thresholds", "none",
      "balances that credits_low tells of when credits fall to them: 'none', or numbers such as '100, 10'"},
     [](Settings& s, const std::string& n, const std::string& v) {
       const auto thresholds = credits::parse_thresholds(v == "none" ? "" : v);
       if (!thresholds || (v != "none" && thresholds->empty()))
         reject(n, v, "Use 'none', or at most 20 whole numbers with commas between them: '100, 10'.");
       s.low_credits = *thresholds;
     }},
    {{"grants_since", "installation",
      "what was paid earlier grants no credits: 'installation' of the extension, or a time such as "
      "'2026-01-31T00:00:00Z'"},
     [](Settings& s, const std::string& n, const std::string& v) {
       s.grants_since = v == "installation" ? std::nullopt : parse_iso_time(v);
       if (v != "installation" && !s.grants_since)
         reject(n, v, "Use 'installation', or a time in ISO 8601 with its zone: '2026-01-31T00:00:00Z'.");
     }},
    {{"log_retention", "90 days", "how long histories of maintenance are kept; 'forever' or an interval"},
     [](Settings&, const std::string& n, const std::string& v) { check_retention(n, v); }},
    {{"mode", "test", "events of the other mode ('test' or 'live') are stored, but have no effect"},
     [](Settings& s, const std::string& n, const std::string& v) { s.live = choice(n, v, "test", "live"); }},
    {{"notifications", "on", "whether billing_notifications are written at all"},
     [](Settings& s, const std::string& n, const std::string& v) {
       s.notifications = choice(n, v, "off", "on");
     }},
    {{"notify_limit", "7 days",
      "how long a notification is tried before it is given up: what is older than this is no news"},
     [](Settings&, const std::string& n, const std::string& v) { duration(n, v); }},
    {{"notify_since", "installation",
      "what happened earlier is history, and told to nobody: 'installation' of the extension, or a time such "
      "as "
      "'2026-01-31T00:00:00Z'"},
     [](Settings& s, const std::string& n, const std::string& v) {
       s.notify_since = v == "installation" ? std::nullopt : parse_iso_time(v);
       if (v != "installation" && !s.notify_since)
         reject(n, v, "Use 'installation', or a time in ISO 8601 with its zone: '2026-01-31T00:00:00Z'.");
     }},
    {{"notify_wake_up", "on",
      "whether NOTIFY wakes who delivers notifications; off: they poll, and PREPARE TRANSACTION is possible"},
     [](Settings& s, const std::string& n, const std::string& v) {
       s.notify_wake_up = choice(n, v, "off", "on");
     }},
    {{"parked_limit", "90 days", "how long an event waits for what it needs before it is given up as failed"},
     [](Settings& s, const std::string& n, const std::string& v) { s.parked_limit = duration(n, v); }},
    {{"past_due_grace", "7 days",
      "how long a past_due subscription keeps access, from the start of the unpaid period"},
     [](Settings& s, const std::string& n, const std::string& v) {
       s.access.past_due_grace = duration(n, v);
     }},
    {{"payload_retention", "365 days",
      "how long events' payloads are kept, at least billing.parked_limit; 'forever' or an interval"},
     [](Settings&, const std::string& n, const std::string& v) { check_retention(n, v); }},
    {{"payment_retention", "2557 days",
      "when it is forgotten who paid: not the payment itself; 'forever' or an interval"},
     [](Settings&, const std::string& n, const std::string& v) { check_retention(n, v); }},
    {{"renewal_slack", "3 days",
      "how long a payer keeps access past the period's end while the renewal is on its way"},
     [](Settings& s, const std::string& n, const std::string& v) {
       s.access.renewal_slack = duration(n, v);
     }},
    {{"retry_limit", "10", "how often an event is tried before it is given up"},
     [](Settings& s, const std::string& n, const std::string& v) {
       char* end = nullptr;
       const long number = std::strtol(v.c_str(), &end, 10);
       if (v.empty() || *end != '\0' || number < 2 || number > 1000)
         reject(n, v, "Use a number from 2 to 1000.");
       s.retry_limit = number;
     }},
    {{"scope", "all", "which objects are ours: 'all', or {\"products\": [...], \"metadata\": {...}}"},
     [](Settings& s, const std::string& n, const std::string& v) {
       try {
         s.scope = parse_scope(v);
       } catch (const JsonError& error) {
         reject(n, v, error.what());
       }
     }},
    {{"time_zone", "UTC", "whose calendar days, weeks, months and years of usage follow: 'Europe/Berlin'"},
     [](Settings& s, const std::string& n, const std::string& v) {
       if (!pg::is_time_zone(v)) reject(n, v, "Use a name of pg_timezone_names, such as 'Europe/Berlin'.");
       s.time_zone = v;
     }},
    {{"unmapped_price_access", "off",
      "whether a subscription gives access though its price is mapped to no plan, once there are plans"},
     [](Settings& s, const std::string& n, const std::string& v) {
       s.access.unmapped_price_access = choice(n, v, "off", "on");
     }},
};

const Setting* find_setting(const std::string& name) {
  for (const Setting& setting : kSettings)
    if (name == setting.info.name) return &setting;
  return nullptr;
}

struct StoredSetting {
  std::string name;
  std::string value;
  bool null;
  std::int64_t generation;
};

// Copies one row's columns out; plain data, called under guard().
struct RawSetting {
  char* name;
  char* value;
  std::int64_t generation;
};

// Reads the whole (tiny) table with a snapshot of this moment: what a copy is kept of must not be what an old
// snapshot of the transaction sees. A catalog snapshot is that, and may be taken in parallel mode too.
std::vector<StoredSetting> scan(Oid relation_id) {
  constexpr int kMax = 64;
  RawSetting raw[kMax];
  int count = 0;
  pg::guard([&] {
    Relation relation = table_open(relation_id, AccessShareLock);
    Snapshot snapshot = RegisterSnapshot(GetCatalogSnapshot(relation_id));
    TableScanDesc rows = table_beginscan(relation, snapshot, 0, nullptr);
    TupleDesc description = RelationGetDescr(relation);
    while (HeapTuple tuple = heap_getnext(rows, ForwardScanDirection)) {
      bool null = false;
      if (count == kMax) break;
      raw[count].name = TextDatumGetCString(heap_getattr(tuple, 1, description, &null));
      Datum value = heap_getattr(tuple, 2, description, &null);
      raw[count].value = null ? nullptr : TextDatumGetCString(value);
      raw[count].generation = DatumGetInt64(heap_getattr(tuple, 3, description, &null));
      ++count;
    }
    table_endscan(rows);
    UnregisterSnapshot(snapshot);
    table_close(relation, AccessShareLock);
  });
  std::vector<StoredSetting> stored;
  for (int i = 0; i < count; ++i)
    stored.push_back({raw[i].name, raw[i].value != nullptr ? raw[i].value : "", raw[i].value == nullptr,
                      raw[i].generation});
  return stored;
}

pg::KnownRelation settings_table("billing_settings");
std::unique_ptr<Settings> kept;
Oid kept_relation = InvalidOid;
bool kept_valid = false;
bool watching = false;

void forget(Datum, Oid relation) {
  if (relation == InvalidOid || relation == kept_relation) kept_valid = false;
}

}  // namespace

const std::vector<SettingInfo>& setting_infos() {
  static const std::vector<SettingInfo> infos = [] {
    std::vector<SettingInfo> made;
    for (const Setting& setting : kSettings) made.push_back(setting.info);
    return made;
  }();
  return infos;
}

std::vector<std::pair<std::string, std::string>> setting_values(Oid schema) {
  settings(schema);
  std::vector<std::pair<std::string, std::string>> values;
  for (const Setting& setting : kSettings) values.emplace_back(setting.info.name, setting.info.default_value);
  for (const StoredSetting& stored : scan(kept_relation))
    for (auto& [name, value] : values)
      if (name == stored.name && !stored.null) value = stored.value;
  return values;
}

void check_setting(const std::string& name, const std::string& value) {
  const Setting* setting = find_setting(name);
  if (setting == nullptr) {
    std::string names;
    for (const Setting& known : kSettings)
      names += (names.empty() ? "" : ", ") + std::string(known.info.name);
    throw pg::SqlError(ERRCODE_UNDEFINED_OBJECT, "unknown setting \"" + name + "\"",
                       "Settings are: " + names + ".");
  }
  Settings scratch;
  setting->apply(scratch, name, value);
}

const Settings& settings(Oid schema) {
  // A change that has been committed counts from here on, also inside a transaction that has begun before.
  const Oid relation = pg::guard([&] {
    AcceptInvalidationMessages();
    return settings_table.oid(schema);
  });
  if (kept_valid && relation == kept_relation) return *kept;
  if (!watching) {
    pg::guard([] { CacheRegisterRelcacheCallback(forget, Datum(0)); });
    watching = true;
  }
  if (relation == InvalidOid)
    throw pg::SqlError(ERRCODE_UNDEFINED_TABLE, "table billing_settings does not exist",
                       "Restore it, or create the extension again.");
  // Marked valid before the scan, so that an invalidation that arrives during it is not lost.
  kept_relation = relation;
  kept_valid = true;
  try {
    auto fresh = std::make_unique<Settings>();
    for (const Setting& setting : kSettings)
      setting.apply(*fresh, setting.info.name, setting.info.default_value);
    for (const StoredSetting& stored : scan(relation)) {
      fresh->generation = std::max(fresh->generation, stored.generation);
      const Setting* setting = find_setting(stored.name);
      if (setting != nullptr && !stored.null) setting->apply(*fresh, stored.name, stored.value);
    }
    fresh->installed_at = installed_at(schema);
    fresh->access.plans = plan_store::load(schema);
    if (!fresh->live) fresh->access.clocks = test_clocks::load(schema);
    kept = std::move(fresh);
  } catch (...) {
    kept_valid = false;
    throw;
  }
  return *kept;
}

const Settings& last_settings(Oid schema) {
  const bool known =
      kept && pg::guard([&] { return get_relname_relid("billing_settings", schema); }) == kept_relation;
  return known ? *kept : settings(schema);
}

}  // namespace billing
