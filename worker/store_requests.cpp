// The outbox's statements.
#include "worker/store.hpp"

namespace billing::worker {

namespace asio = boost::asio;

namespace {

// An answer is applied like an event, and may wait for a user's lock as one.
constexpr auto kLimit = std::chrono::seconds(30);

}  // namespace

asio::awaitable<Reply> Store::claim_requests(std::size_t rows) {
  return database_.query(
      "SELECT request_id, method, path, parameters, stripe_account, livemode, purpose, fetch_id FROM " +
          function("claim_stripe_requests(") + std::to_string(rows) + ")",
      {}, kLimit);
}

std::vector<Store::StripeRequest> Store::stripe_requests(const Reply& reply) {
  std::vector<StripeRequest> requests;
  for (const auto& row : reply.rows) {
    const auto text = [&](std::size_t column) { return row.at(column).value_or(""); };
    Json parameters = Json::parse(text(3), nullptr, false);
    if (!parameters.is_object()) parameters = Json::object();
    requests.push_back(
        {text(0), text(1), text(2), std::move(parameters), text(4), text(5) == "t", text(6), text(7)});
  }
  return requests;
}

asio::awaitable<Reply> Store::finish_request(std::string id, Json answer,
                                             std::optional<std::string> payload) {
  std::vector<Parameter> parameters;
  parameters.push_back(plain_text(std::move(id)));
  parameters.push_back(json_text(to_text(answer)));
  if (payload) parameters.push_back(plain_text(std::move(*payload)));
  return database_.query("SELECT " + function(payload ? "finish_stripe_request($1, $2::pg_catalog.jsonb, $3)"
                                                      : "finish_stripe_request($1, $2::pg_catalog.jsonb)"),
                         std::move(parameters), kLimit);
}

asio::awaitable<Reply> Store::postpone_request(std::string id, Json error, bool unsent) {
  std::vector<Parameter> parameters;
  parameters.push_back(plain_text(std::move(id)));
  parameters.push_back(json_text(to_text(error)));
  parameters.push_back(plain_text(unsent ? "t" : "f"));
  return database_.query(
      "SELECT " + function("postpone_stripe_request($1, $2::pg_catalog.jsonb, $3::pg_catalog.bool)"),
      std::move(parameters), kLimit);
}

asio::awaitable<Reply> Store::push_usage() {
  return database_.query("SELECT " + function("push_stripe_usage()"), {}, kLimit);
}

asio::awaitable<Reply> Store::stripe_request(std::string id) {
  std::vector<Parameter> parameters;
  parameters.push_back(plain_text(std::move(id)));
  return database_.query("SELECT " + function("stripe_request($1)"), std::move(parameters), kLimit);
}

}  // namespace billing::worker
