// process_stripe_events, process_stripe_event, receive_stripe_webhook, retry_stripe_events,
// replay_stripe_event.
#include <algorithm>
#include <set>
#include <vector>

#include "core/signature.hpp"
#include "functions/arguments.hpp"
#include "functions/audit.hpp"
#include "functions/batch.hpp"
#include "functions/inbox.hpp"
#include "pg/spi.hpp"

using namespace billing;

namespace {

constexpr std::size_t kMaxEvents = 200;
constexpr std::size_t kMaxBytes = 4 * 1024 * 1024;
constexpr int kRetryPart = 100;

void check_bytes(std::size_t bytes) {
  if (bytes > kMaxBytes)
    throw pg::SqlError(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                       "the payloads of one call are too large together: " + std::to_string(bytes) + " bytes",
                       "Pass at most " + std::to_string(kMaxBytes) + " bytes at a time.");
}

struct Slice {
  const char* data;
  std::size_t size;
  bool null;
};

// The elements of a text[] argument; valid as long as the call.
std::vector<std::string_view> payloads_argument(FunctionCallInfo fcinfo) {
  if (PG_ARGISNULL(0))
    throw pg::SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, "payloads must not be null",
                       "Pass an array of webhook bodies.");
  int count = 0;
  const Slice* slices = pg::guard([&]() -> const Slice* {
    ArrayType* array = PG_GETARG_ARRAYTYPE_P(0);
    Datum* elements = nullptr;
    bool* nulls = nullptr;
    deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
    Slice* made = static_cast<Slice*>(palloc(sizeof(Slice) * (static_cast<std::size_t>(count) + 1)));
    for (int i = 0; i < count; ++i) {
      made[i].null = nulls[i];
      if (nulls[i]) continue;
      text* value = DatumGetTextPP(elements[i]);
      made[i].data = VARDATA_ANY(value);
      made[i].size = VARSIZE_ANY_EXHDR(value);
    }
    return made;
  });
  if (static_cast<std::size_t>(count) > kMaxEvents)
    throw pg::SqlError(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                       "too many payloads in one call: " + std::to_string(count),
                       "Pass at most " + std::to_string(kMaxEvents) + ".");
  std::vector<std::string_view> payloads;
  std::size_t bytes = 0;
  for (int i = 0; i < count; ++i) {
    if (slices[i].null)
      throw pg::SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, "payload " + std::to_string(i + 1) + " is null",
                         "Leave out what was not received.");
    payloads.emplace_back(slices[i].data, slices[i].size);
    bytes += slices[i].size;
  }
  check_bytes(bytes);
  return payloads;
}

// {"endpoint": "name"} for all, or {"endpoints": ["name", ...]} for each.
void set_endpoints(std::vector<Work>& works, const Json& options) {
  const Json& each = list_of(options, "endpoints");
  if (options.contains("endpoints") && (!options["endpoints"].is_array() || each.size() != works.size()))
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       "option \"endpoints\" must be an array of " + std::to_string(works.size()) + " names",
                       "Pass one name per payload, or \"endpoint\" for all.");
  for (const Json& name : each)
    if (!name.is_string() && !name.is_null())
      throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                         "option \"endpoints\" must hold names, not " + to_text(name), "Quote the names.");
  const std::string all = text_option(options, "endpoint");
  for (std::size_t i = 0; i < works.size(); ++i)
    works[i].endpoint = i < each.size() && each[i].is_string() ? each[i].get<std::string>() : all;
}

std::vector<Work*> pointers(std::vector<Work>& works) {
  std::vector<Work*> all;
  for (Work& work : works) all.push_back(&work);
  return all;
}

std::vector<Told> process(std::vector<Work>& works, Oid schema) {
  require_safe_transaction();
  for (Work& work : works) read_payload(work);
  pg::Session session(schema, pg::Session::Access::read_write);
  return apply_batch(pointers(works), settings(schema));
}

Json outcome_json(const Work& work) {
  return {{"stripe_event_id", work.id},
          {"outcome", name_of(work.outcome)},
          {"error", work.error.empty() ? Json(nullptr) : Json(work.error)}};
}

Datum process_one(const std::string& payload, const Json& options, Oid schema) {
  check_bytes(payload.size());
  std::vector<Work> works(1);
  works[0].ordinal = 1;
  works[0].payload = payload;
  works[0].endpoint = text_option(options, "endpoint");
  process(works, schema);
  return jsonb_datum(to_text(outcome_json(works[0])));
}

// One row of a materialised result: with the ordinal where the function has one, null for what was not
// passed.
struct ResultRow {
  int ordinal;
  const char* texts[5];  // id, outcome, error, type and activity; null for none
};

Datum return_rows(FunctionCallInfo fcinfo, const std::vector<Told>& told, bool with_ordinal) {
  const auto unless_empty = [](const std::string& text) { return text.empty() ? nullptr : text.c_str(); };
  std::vector<ResultRow> rows;
  for (const Told& one : told)
    rows.push_back({one.ordinal,
                    {one.id.c_str(), name_of(one.outcome), unless_empty(one.error), unless_empty(one.type),
                     unless_empty(one.activity)}});
  const ResultRow* first = rows.data();
  const std::size_t count = rows.size();
  pg::guard([&] {
    materialize(fcinfo);
    ReturnSetInfo* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    for (std::size_t i = 0; i < count; ++i) {
      Datum values[6];
      bool nulls[6];
      int column = 0;
      if (with_ordinal) {
        nulls[column] = first[i].ordinal == 0;
        values[column++] = Int32GetDatum(first[i].ordinal);
      }
      for (const char* text : first[i].texts) {
        nulls[column] = text == nullptr;
        values[column++] = text == nullptr ? Datum(0) : CStringGetTextDatum(text);
      }
      tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    }
  });
  return Datum(0);
}

std::vector<std::string> webhook_secrets() {
  static pg::Statement read(
      "SELECT s.secret, s.name FROM @billing_webhook_secrets s ORDER BY s.name, s.secret");
  std::vector<std::string> secrets;
  const pg::Rows rows = read.run();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string problem = secret_problem(rows.view(i, 0));
    if (!problem.empty())
      throw pg::SqlError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                         "the webhook secret named \"" + rows.text(i, 1) + "\" " + problem,
                         "Delete its row from billing_webhook_secrets, and COPY it in again.");
    secrets.push_back(rows.text(i, 0));
  }
  return secrets;
}

}  // namespace

PG_BILLING_FUNCTION(process_stripe_events) {
  const std::vector<std::string_view> payloads = payloads_argument(fcinfo);
  const Json options = options_argument(fcinfo, 1, {"endpoint", "endpoints", "woken"});
  const bool with_woken = flag_option(options, "woken");
  std::vector<Work> works(payloads.size());
  for (std::size_t i = 0; i < payloads.size(); ++i) {
    works[i].ordinal = static_cast<int>(i) + 1;
    works[i].payload = payloads[i];
  }
  set_endpoints(works, options);
  const std::vector<Told> woken = process(works, pg::function_schema(fcinfo));
  std::vector<Told> all;
  for (const Work& work : works) all.push_back(told_of(work));
  if (with_woken) all.insert(all.end(), woken.begin(), woken.end());
  return return_rows(fcinfo, all, true);
}

PG_BILLING_FUNCTION(process_stripe_event) {
  const std::string payload = text_argument(fcinfo, 0, "payload");
  const Json options = options_argument(fcinfo, 1, {"endpoint"});
  return process_one(payload, options, pg::function_schema(fcinfo));
}

PG_BILLING_FUNCTION(receive_stripe_webhook) {
  const std::string payload = text_argument(fcinfo, 0, "payload");
  const std::string signature = text_argument(fcinfo, 1, "signature");
  const Json options = options_argument(fcinfo, 2, {"endpoint"});
  const Oid schema = pg::function_schema(fcinfo);
  std::vector<std::string> secrets;
  {
    pg::Session session(schema, pg::Session::Access::read_only);
    secrets = webhook_secrets();
  }
  if (secrets.empty())
    throw pg::SqlError(
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "no webhook secret is configured",
        "Fill billing_webhook_secrets with COPY ... FROM STDIN, so that no secret is in SQL text.");
  const auto now = pg::from_timestamptz(pg::guard([] { return GetCurrentTimestamp(); })) / 1'000'000;
  const SignatureVerdict verdict = verify_signature(payload, signature, secrets, now);
  // PT400 becomes HTTP 400 through PostgREST.
  if (verdict != SignatureVerdict::valid)
    throw pg::SqlError(MAKE_SQLSTATE('P', 'T', '4', '0', '0'),
                       std::string("invalid webhook signature: ") + name_of(verdict),
                       explain(verdict, secrets.size()));
  return process_one(payload, options, schema);
}

PG_BILLING_FUNCTION(retry_stripe_events) {
  const int limit = limit_argument(fcinfo, 0, "max_rows", 1000);
  const Oid schema = pg::function_schema(fcinfo);
  require_safe_transaction();
  // In parts, so that memory is bounded whatever the limit; a part that is not full was the last.
  std::vector<Told> done, woken;
  std::set<std::string> seen;
  for (bool more = true; more && static_cast<int>(done.size()) < limit;) {
    pg::Session session(schema, pg::Session::Access::read_write);
    const int part = std::min(kRetryPart, limit - static_cast<int>(done.size()));
    std::vector<inbox::Stored> stored = inbox::claim_due(settings(schema), part);
    const std::vector<Told> with_these = apply_stored(stored, settings(schema));
    woken.insert(woken.end(), with_these.begin(), with_these.end());
    more = static_cast<int>(stored.size()) == part;
    for (inbox::Stored& one : stored) {
      more = seen.insert(one.work.id).second && more;
      done.push_back(told_of(one.work));
    }
  }
  done.insert(done.end(), woken.begin(), woken.end());
  return return_rows(fcinfo, done, false);
}

PG_BILLING_FUNCTION(replay_stripe_event) {
  // Whose customer it is about by now, if anybody's.
  static pg::Statement read_user(
      "SELECT l.user_id FROM @stripe_events e JOIN @stripe_customer_links l"
      "  ON l.stripe_customer_id = e.stripe_customer_id WHERE e.stripe_event_id = $1 AND l.user_id IS NOT "
      "NULL");
  const std::string id = text_argument(fcinfo, 0, "stripe_event_id");
  const std::string reason = PG_ARGISNULL(1) ? "" : text_argument(fcinfo, 1, "reason");
  const Oid schema = pg::function_schema(fcinfo);
  require_safe_transaction();
  Json json;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    std::vector<inbox::Stored> stored = inbox::claim_one(id);
    if (stored.empty())
      throw pg::SqlError(ERRCODE_NO_DATA_FOUND, "there is no event \"" + id + "\"",
                         "SELECT stripe_event_id FROM stripe_events lists those received.");
    if (!stored[0].payload_kept)
      throw pg::SqlError(
          ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the payload of \"" + id + "\" is no longer stored",
          "Delete its row from stripe_events, and send it again from Stripe's dashboard within 30 days.");
    stored[0].work.tries = 0;
    stored[0].work.had_effect = stored[0].processed;
    apply_stored(stored, settings(schema));
    json = outcome_json(stored[0].work);
    const pg::Rows rows = read_user.run(id);
    audit::Entry entry =
        audit::done_by_hand(rows.empty() ? "" : rows.text(0, 0), "event_replayed", id, reason);
    entry.details = {{"outcome", json["outcome"]}};
    audit::write({entry});
  }
  return jsonb_datum(to_text(json));
}
