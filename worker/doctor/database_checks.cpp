// What is wrong with the settings and the database.
#include "worker/doctor/check.hpp"

namespace billing::doctor {
namespace {

constexpr std::int64_t kLongParked = 86400;

Finding no_database() { return unknown("the database cannot be asked"); }

std::string in_schema(const Facts& facts, const std::string& call) {
  return "SELECT " + text_of(facts.database, "schema").value_or("public") + "." + call;
}

}  // namespace

Finding judge_settings(const Facts& facts) {
  if (!facts.settings_problem) return {Verdict::ok, "they can be used", "", ""};
  return {Verdict::failed, facts.settings_problem->message, "the worker does not start with these settings",
          facts.settings_problem->next_step};
}

Finding judge_publishable_key(const Facts& facts) {
  if (facts.settings_problem) return unknown("the settings cannot be used");
  if (facts.has_publishable_key) return {Verdict::ok, "it is of the right mode", "", ""};
  return {Verdict::warning, "STRIPE_PUBLISHABLE_KEY is not set",
          "front ends that ask the worker for it get none, and its mode is not checked",
          "set STRIPE_PUBLISHABLE_KEY to the pk_... of the same account and mode"};
}

Finding judge_database(const Facts& facts) {
  if (facts.settings_problem) return unknown("the settings cannot be used");
  if (!facts.database_problem) return {Verdict::ok, "it takes events", "", ""};
  return {Verdict::failed, facts.database_problem->message, "webhooks are answered with 503 and come again",
          facts.database_problem->next_step};
}

Finding judge_versions(const Facts& facts) {
  if (!facts.knows_database()) return no_database();
  const std::string version = text_of(facts.database, "version").value_or("");
  if (version == PG_BILLING_VERSION) return {Verdict::ok, "both are " + version, "", ""};
  return {Verdict::failed, "the worker is " PG_BILLING_VERSION ", the extension is " + version,
          "one of them was updated without the other",
          "ALTER EXTENSION pg_billing UPDATE; or install the worker of " + version};
}

Finding judge_mode(const Facts& facts) {
  if (!facts.knows_database()) return no_database();
  const std::string mode = text_of(facts.database, "mode").value_or("");
  const std::string wanted = facts.live ? "live" : "test";
  if (mode == wanted) return {Verdict::ok, "keys and database are in " + mode + " mode", "", ""};
  return {Verdict::failed, "the keys are of " + wanted + " mode, the database is in " + mode + " mode",
          "events of the other mode are stored and have no effect",
          in_schema(facts, "set_billing_setting('mode', '" + wanted + "', 'as the keys')")};
}

Finding judge_maintenance(const Facts& facts) {
  if (!facts.knows_database()) return no_database();
  const Json& missing = at(facts.database, "missing_jobs");
  if (missing.is_null())
    return {Verdict::warning, "pg_cron is not in this database",
            "caches, expired credits and old payloads are cleaned up only by whoever calls for it",
            "SELECT jobname, schedule, command FROM " + text_of(facts.database, "schema").value_or("public") +
                ".maintenance_jobs() -- for cron.schedule_in_database(), where pg_cron is"};
  if (missing.empty()) return {Verdict::ok, "all jobs of pg_cron are there", "", ""};
  std::string names;
  for (const Json& name : missing) names += (names.empty() ? "" : ", ") + name.get<std::string>();
  return {
      Verdict::failed, "jobs of pg_cron are missing or switched off: " + names,
      "schedule_maintenance() was not run, or not since the update",
      "SELECT * FROM " + text_of(facts.database, "schema").value_or("public") + ".schedule_maintenance()"};
}

Finding judge_parked(const Facts& facts) {
  if (!facts.knows_database()) return no_database();
  Finding finding{Verdict::ok, "no event waits", "", ""};
  std::string list;
  for (const Json& parked : list_of(facts.database, "parked")) {
    const std::int64_t oldest = integer_of(parked, "oldest_seconds").value_or(0);
    list += (list.empty() ? "" : "; ") + std::to_string(integer_of(parked, "events").value_or(0)) +
            " for a " + text_of(parked, "waiting_for").value_or("") + ", the oldest since " +
            std::to_string(oldest / 3600) + " h";
    finding.verdict =
        oldest > kLongParked || finding.verdict == Verdict::failed ? Verdict::failed : Verdict::warning;
  }
  if (list.empty()) return finding;
  finding.message = "events wait: " + list;
  finding.cause = "their customer has no user yet, or what they refer to never came";
  finding.command = in_schema(facts, "fix_customer_links()") +
                    "; SELECT waiting_for, count(*) FROM stripe_events WHERE NOT processed GROUP BY 1";
  return finding;
}

Finding judge_grace(const Facts& facts) {
  if (!facts.knows_database()) return no_database();
  const std::int64_t late = integer_of(facts.database, "late_retries").value_or(0);
  const std::string grace = text_of(facts.database, "grace").value_or("");
  if (late == 0)
    return {Verdict::ok, "no retry of a payment is planned beyond the grace of " + grace, "", ""};
  return {
      Verdict::failed,
      std::to_string(late) + " unpaid invoices will be tried again after the grace of " + grace + " is over",
      "Stripe goes on collecting from people who have lost access by then",
      in_schema(facts, "set_billing_setting('past_due_grace', '21 days', 'as long as the retries')") +
          "; or shorten the retries in the Dashboard under Billing, Revenue recovery"};
}

}  // namespace billing::doctor
