#include "worker/doctor/facts.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "core/signature.hpp"
#include "worker/store.hpp"
#include "worker/stripe_access.hpp"

namespace billing::doctor {
namespace {

namespace asio = boost::asio;

Seconds local_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Lists of initialisers stay out of coroutines: GCC 12 does not take them there.
Json only_active() { return {{"active", true}}; }

stripe::Call look_up_call(const std::string& kind, const std::string& reference) {
  stripe::Call call;
  call.path = kind == "product" ? "/v1/products/" + reference : "/v1/prices";
  if (kind == "price") call.path += "/" + reference;
  if (kind == "lookup_key") {
    call.parameters = only_active();
    call.parameters["lookup_keys"] = Json::array({reference});
  }
  return call;
}

worker::Problem problem_of(const worker::Reply& reply) {
  return {"database_error", reply.error ? reply.error->message : "the connection to the database was lost",
          reply.error && !reply.error->hint.empty() ? reply.error->hint : "see the server's log"};
}

stripe::HttpRequest knock_request(const worker::Config& config, const std::string& url) {
  const std::string& secret = config.endpoints.front().secrets.front();
  stripe::HttpRequest request;
  request.method = "POST";
  request.url = url;
  request.body = std::string("pg_billing doctor\0", 18);
  request.certificates = config.api_certificates;
  request.limit = std::chrono::seconds(10);
  request.headers = {"Stripe-Signature: " + sign(request.body, secret, local_now()),
                     "Content-Type: application/json; charset=utf-8", "Expect:"};
  return request;
}

asio::awaitable<void> ask_database(asio::io_context& io, const worker::Config& config, Facts& facts) {
  worker::Store store(io, config.connection, config.schema);
  facts.database_problem = co_await store.open();
  if (facts.database_problem) co_return;
  const worker::Reply reply = co_await store.setup_facts();
  if (!reply.ok() || reply.rows.empty() || !reply.rows[0][0]) {
    facts.database_problem = problem_of(reply);
    co_return;
  }
  facts.database = Json::parse(*reply.rows[0][0]);
  facts.database_ahead = static_cast<Seconds>(facts.database.value("now", 0.0)) - local_now();
}

// Everything on a list; what is wrong with the key shows at the first.
asio::awaitable<void> list(stripe::Client& client, const char* path, Json parameters,
                           std::vector<Json>& found, Facts& facts) {
  if (facts.stripe_problem) co_return;
  stripe::Call call;
  call.path = path;
  call.parameters = std::move(parameters);
  const auto take = [&found](Json object) -> asio::awaitable<bool> {
    found.push_back(std::move(object));
    co_return true;
  };
  const stripe::Answer answer = co_await client.list(std::move(call), take);
  if (!answer.ok()) facts.stripe_problem = answer.error;
}

asio::awaitable<void> look_up(stripe::Client& client, std::string kind, std::string reference, Facts& facts) {
  stripe::Call call = look_up_call(kind, reference);
  const stripe::Answer answer = co_await client.call(std::move(call));
  if (!answer.ok() && answer.status != 404) {
    facts.stripe_problem = answer.error;
    co_return;
  }
  Json object = answer.ok() ? answer.body : Json(nullptr);
  if (kind == "lookup_key") {
    const Json& data = list_of(answer.body, "data");
    object = data.empty() ? Json(nullptr) : data.at(0);
  }
  facts.references[kind + ":" + reference] = std::move(object);
}

asio::awaitable<void> ask_stripe(stripe::Client& client, Facts& facts) {
  stripe::Call call;
  call.path = "/v1/account";
  const stripe::Answer account = co_await client.call(std::move(call));
  if (!account.ok()) {
    facts.stripe_problem = account.error;
    co_return;
  }
  facts.account = account.body;
  // read_after is up to two seconds early.
  if (account.read_after) facts.ahead = local_now() - *account.read_after - 1;
  co_await list(client, "/v1/webhook_endpoints", Json::object(), facts.endpoints, facts);
  co_await list(client, "/v1/prices", only_active(), facts.prices, facts);
  co_await list(client, "/v1/billing_portal/configurations", Json::object(), facts.portals, facts);
  const Json& plans = list_of(facts.database, "plans");
  for (const Json& plan : plans)
    for (const Json& price : list_of(plan, "prices"))
      if (!facts.stripe_problem)
        co_await look_up(client, price.at("kind").get<std::string>(),
                         price.at("reference").get<std::string>(), facts);
}

// A body that no worker stores, but refuses only once it has found the signature right.
asio::awaitable<void> knock(asio::io_context& io, const worker::Config& config, Facts& facts) {
  stripe::Transfers transfers(io);
  stripe::HttpRequest request = knock_request(config, facts.url);
  const stripe::HttpResponse response = co_await transfers.perform(std::move(request));
  const Json body = Json::parse(response.body, nullptr, false);
  facts.self_test = text_of(at(body, "error"), "reason")
                        .value_or(response.status == 0 ? "unreachable: " + response.error
                                                       : "status " + std::to_string(response.status));
}

asio::awaitable<void> ask_everybody(asio::io_context& io, const worker::Config& config, Facts& facts) {
  co_await ask_database(io, config, facts);
  const auto client = worker::make_client(io, config);
  if (client) co_await ask_stripe(*client, facts);
  if (!facts.url.empty()) co_await knock(io, config, facts);
}

}  // namespace

Facts gather_facts(const worker::Sources& sources) {
  Facts facts;
  worker::Config config;
  try {
    config = worker::load_config(sources);
  } catch (const worker::ConfigError& error) {
    facts.settings_problem = worker::Problem{"settings", error.what(), error.hint()};
    return facts;
  }
  facts.live = config.live_mode;
  facts.has_key = !config.secret_key.empty();
  facts.has_publishable_key = !config.publishable_key.empty();
  facts.url = config.webhook_url;
  asio::io_context io;
  std::exception_ptr failure;
  asio::co_spawn(io, ask_everybody(io, config, facts),
                 [&](const std::exception_ptr& thrown) { failure = thrown; });
  io.run();
  if (failure) std::rethrow_exception(failure);
  return facts;
}

}  // namespace billing::doctor
