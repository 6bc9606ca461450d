// apply_imported_objects: a page of a list of Stripe's API takes effect, and nobody is told of it.
#include <map>
#include <vector>

#include "core/fetch.hpp"
#include "functions/arguments.hpp"
#include "functions/batch.hpp"
#include "functions/notifications.hpp"
#include "pg/spi.hpp"

using namespace billing;

namespace {

constexpr std::size_t kMaxObjects = 200;

pg::Statement next_ids(
    "SELECT 'fetch_' || lpad(nextval($1::regclass)::text, 19, '0') FROM generate_series(1, $2)");

Json objects_argument(FunctionCallInfo fcinfo) {
  Json objects;
  try {
    objects = parse_json(text_argument(fcinfo, 0, "objects"));
  } catch (const JsonError& error) {
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE, std::string("objects is not JSON: ") + error.what(),
                       "Pass the member \"data\" of a list of Stripe's API.");
  }
  if (!objects.is_array() || objects.size() > kMaxObjects)
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       "objects is not an array of at most " + std::to_string(kMaxObjects) + " objects",
                       "Pass the member \"data\" of a list of Stripe's API.");
  for (const Json& object : objects)
    if (text_of(object, "object").value_or("").empty())
      throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                         "an element of objects has no \"object\": " + shorten(to_text(object)),
                         "Pass the member \"data\" of a list of Stripe's API.");
  return objects;
}

std::vector<std::string> payloads_of(Json& objects, const Json& options, Seconds read_after, Oid schema) {
  pg::Session session(schema, pg::Session::Access::read_write);
  const std::string sequence = std::string(session.quoted_schema()) + ".stripe_fetch_ids";
  const pg::Rows ids = next_ids.run(sequence, static_cast<std::int64_t>(objects.size()));
  Fetch fetch;
  fetch.began = read_after;
  fetch.api_version = text_option(options, "api_version");
  fetch.account = text_option(options, "account");
  fetch.livemode = flag_option(options, "livemode");
  if (const Json& began = at(options, "import_began"); began.is_number_integer())
    fetch.import = ImportTerms{began.get<Seconds>(), text_option(options, "grants") == "current-period"};
  std::vector<std::string> payloads;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    fetch.id = ids.text(i, 0);
    fetch.object = std::move(objects[i]);
    payloads.push_back(fetch_payload(fetch));
  }
  return payloads;
}

}  // namespace

PG_BILLING_FUNCTION(apply_imported_objects) {
  Json objects = objects_argument(fcinfo);
  if (PG_ARGISNULL(1))
    throw pg::SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, "read_after must not be null",
                       "Pass when the request for the list began.");
  const Seconds read_after = pg::from_timestamptz(PG_GETARG_TIMESTAMPTZ(1)) / 1'000'000;
  const Json options = options_argument(
      fcinfo, 2, {"api_version", "account", "livemode", "import_began", "grants", "endpoint"});
  const Oid schema = pg::function_schema(fcinfo);
  require_safe_transaction();
  const std::vector<std::string> payloads = payloads_of(objects, options, read_after, schema);
  std::vector<Work> works(payloads.size());
  std::vector<Work*> pointers;
  for (std::size_t i = 0; i < works.size(); ++i) {
    works[i].ordinal = static_cast<int>(i) + 1;
    works[i].payload = payloads[i];
    works[i].endpoint = text_option(options, "endpoint");
    read_payload(works[i]);
    pointers.push_back(&works[i]);
  }
  // What waited for a customer who is linked now is news: it is applied as a retry, by itself.
  BatchOptions apart;
  std::optional<notifications::Silence> silence;
  if (options.contains("import_began")) {
    apart.apply_waiting = false;
    // For another page, which is soon done; whoever holds a lock for longer defers an event by a second.
    apart.wait_for_locks = true;
    silence.emplace();
  }
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    apply_batch(pointers, settings(schema), apart);
  }
  Json outcomes = Json::object();
  std::string error;
  for (const Work& work : works) {
    Json& count = outcomes[name_of(work.outcome)];
    count = count.is_null() ? 1 : count.get<int>() + 1;
    if (work.outcome == Outcome::failed && error.empty()) error = work.error;
  }
  return jsonb_datum(
      to_text({{"outcomes", outcomes}, {"error", error.empty() ? Json(nullptr) : Json(error)}}));
}
