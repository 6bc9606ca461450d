#include "worker/reconcile/reconciliation.hpp"

#include <boost/asio/use_awaitable.hpp>

#include "worker/calls.hpp"
#include "worker/stripe/object_fetch.hpp"
#include "worker/stripe/resource.hpp"

namespace billing::reconcile {

namespace asio = boost::asio;
using worker::integer;
using worker::plain_text;
using worker::Reply;
using worker::these;

namespace {

constexpr std::size_t kMostEvents = 50;  // of one call: an event may be large
constexpr const char* kTypes[] = {
    "product", "price",          "customer",        "subscription",    "subscription_schedule",
    "invoice", "payment_intent", "charge",          "invoice_payment", "refund",
    "dispute", "credit_note",    "checkout.session"};

// Of what nobody here asks after, nothing is missing.
bool is_ours(const Json& event) {
  const std::string type = text_of(at(at(event, "data"), "object"), "object").value_or("");
  return stripe::find_resource(type) != nullptr || type == "entitlements.active_entitlement_summary";
}

}  // namespace

Reconciliation::Reconciliation(asio::io_context& io, const worker::Config& config, stripe::Client& client)
    : io_(io), live_mode_(config.live_mode), client_(client), store_(io, config.connection, config.schema) {}

asio::awaitable<Json> Reconciliation::run(Request request) {
  Json options = {{"dry_run", request.dry_run}};
  if (request.every) options["every"] = std::to_string(*request.every) + " seconds";
  const Reply begun = co_await worker::call_again(
      store_, io_,
      "begin_stripe_reconciliation($1::pg_catalog.bool,"
      " pg_catalog.make_interval(secs => $2::pg_catalog.float8), $3::pg_catalog.jsonb)",
      these(plain_text(live_mode_ ? "t" : "f"), integer(request.span), plain_text(options.dump())));
  Json answer = worker::answer_of(begun);
  if (!flag_of(answer, "success")) co_return answer;
  id_ = integer_of(answer, "reconciliation_id").value_or(0);
  since_ = integer_of(answer, "since").value_or(0);

  Json held;
  if (request.after_restore) {
    const Reply reply = co_await worker::call_again(
        store_, io_, "hold_stripe_requests($1)", these(plain_text("pg_billing reconcile --after-restore")));
    held = std::stoll(reply.rows.at(0).at(0).value_or("0"));
  }
  co_await read_events(true);
  co_await read_events(false);
  for (const char* type : kTypes) {
    Json parameters = {{"created", {{"gte", since_}}}};
    if (std::string_view(type) == "subscription") parameters["status"] = "all";
    co_await read_objects(type, std::move(parameters));
  }
  const Reply customers = co_await worker::call_again(
      store_, io_, "stripe_reconciliation_customers($1::pg_catalog.int4)", these(integer(id_)));
  for (const auto& row : customers.rows) {
    Json parameters = {{"customer", row.at(0).value_or("")}, {"status", "all"}};
    co_await read_objects("subscription", std::move(parameters));
  }
  const Reply finished = co_await worker::call_again(
      store_, io_, "finish_stripe_reconciliation($1::pg_catalog.int4, nullif($2, ''))",
      these(integer(id_), plain_text(error_)));
  answer = worker::answer_of(finished);
  if (request.after_restore) answer["held"] = held;
  co_return answer;
}

asio::awaitable<std::optional<stripe::Answer>> Reconciliation::page(stripe::Call call) {
  const std::string path = call.path;
  stripe::Answer answer = co_await client_.call(std::move(call));
  std::string error;
  if (!answer.ok())
    error = stripe::error_text(answer);
  else if (!at(answer.body, "data").is_array() || !answer.read_after)
    error = "the answer is no list with a date";
  if (error.empty()) co_return answer;
  if (answer.status == 401) throw worker::CommandError("Stripe does not take the key: " + error);
  if (error_.empty()) error_ = path + ": " + error;
  co_return std::nullopt;
}

asio::awaitable<void> Reconciliation::read_events(bool undelivered) {
  stripe::Call call;
  call.path = "/v1/events";
  call.parameters = {{"limit", 100}, {"created", {{"gte", since_}}}};
  if (undelivered) call.parameters["delivery_success"] = false;
  for (;;) {
    const auto answer = co_await page(call);
    if (!answer) co_return;
    const Json& data = at(answer->body, "data");
    std::vector<std::string> payloads;
    for (const Json& event : data)
      if (is_ours(event)) payloads.push_back(event.dump());
    for (std::size_t first = 0; first < payloads.size(); first += kMostEvents) {
      const std::size_t end = std::min(payloads.size(), first + kMostEvents);
      const std::vector<std::string_view> part(payloads.begin() + static_cast<std::ptrdiff_t>(first),
                                               payloads.begin() + static_cast<std::ptrdiff_t>(end));
      co_await worker::call_again(store_, io_,
                                  "reconcile_stripe_events($1::pg_catalog.int4, $2::pg_catalog.text[])",
                                  these(integer(id_), worker::text_array(part)));
    }
    if (data.empty() || !flag_of(answer->body, "has_more")) co_return;
    call.parameters["starting_after"] = text_of(data.back(), "id").value_or("");
  }
}

asio::awaitable<void> Reconciliation::read_objects(std::string type, Json parameters) {
  stripe::Call call;
  call.path = "/v1/" + std::string(stripe::find_resource(type)->path);
  call.parameters = std::move(parameters);
  call.parameters["limit"] = 100;
  for (;;) {
    auto answer = co_await page(call);
    if (!answer) co_return;
    Json objects = std::move(answer->body["data"]);
    const std::string last = objects.empty() ? "" : text_of(objects.back(), "id").value_or("");
    for (Json& object : objects) {
      const stripe::Answer whole = co_await stripe::complete_lists(client_, "", object);
      if (!whole.ok() && error_.empty()) error_ = call.path + ": " + stripe::error_text(whole);
    }
    if (!objects.empty()) co_await compare(std::move(objects), *answer->read_after);
    if (last.empty() || !flag_of(answer->body, "has_more")) co_return;
    call.parameters["starting_after"] = last;
  }
}

asio::awaitable<void> Reconciliation::compare(Json objects, Seconds read_after) {
  const std::string text = objects.dump();
  co_await worker::call_again(
      store_, io_, "reconcile_stripe_objects($1::pg_catalog.int4, $2, $3::pg_catalog.int8, $4)",
      these(integer(id_), plain_text(text), integer(read_after), plain_text(stripe::kApiVersion)));
}

}  // namespace billing::reconcile
