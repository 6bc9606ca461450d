// GET prices and config: for everybody.
#include "worker/api/call.hpp"
#include "worker/config.hpp"

namespace billing::worker::api {

namespace asio = boost::asio;

namespace {

// Anybody may ask: the database is asked once in a while.
constexpr auto kFresh = std::chrono::seconds(2);

struct Shown {
  std::string text;
  Clock::time_point until{};
};

}  // namespace

asio::awaitable<Response> answer_prices(Call& call) {
  static Shown shown;
  if (Clock::now() >= shown.until) {
    std::string text = co_await call.database.text("SELECT {s}.api_prices()");
    shown = {std::move(text), Clock::now() + kFresh};
  }
  Response response;
  response.body = shown.text + "\n";
  co_return response;
}

asio::awaitable<Response> answer_config(Call& call) {
  const std::string& key = call.config->publishable_key;
  const Json shown = key.empty() ? Json() : Json(key);
  co_return answer_with(Json{{"publishable_key", shown},
                             {"publishableKey", shown},
                             {"mode", call.config->live_mode ? "live" : "test"}});
}

}  // namespace billing::worker::api
