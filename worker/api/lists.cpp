// GET credits, invoices, payments: what a user sees of himself, a page at a time.
#include <charconv>

#include "worker/api/call.hpp"

namespace billing::worker::api {

namespace asio = boost::asio;

namespace {

asio::awaitable<Response> answer_page(Call& call, const char* function) {
  const std::string limit = call.request.query.get("limit");
  int rows = 20;
  const auto [end, error] = std::from_chars(limit.data(), limit.data() + limit.size(), rows);
  const bool whole = error == std::errc() && end == limit.data() + limit.size();
  if (!limit.empty() && (!whole || rows < 1 || rows > 100))
    throw Failure(invalid("limit", "limit must be a number from 1 to 100"));
  std::string text = co_await call.database.text(
      std::string("SELECT {s}.") + function + "($1, $2::pg_catalog.int4, nullif($3, ''))", call.user.user_id,
      std::to_string(rows), call.request.query.get("starting_after"));
  // The only refusal these know.
  if (text.starts_with("{\"reason\": \"unknown_row\""))
    throw Failure(invalid("starting_after", "starting_after is not the id of a row",
                          "pass the id of the last row of the page before"));
  Response response;
  response.body = std::move(text) + "\n";
  co_return response;
}

}  // namespace

asio::awaitable<Response> answer_credits(Call& call) { return answer_page(call, "api_credits"); }
asio::awaitable<Response> answer_invoices(Call& call) { return answer_page(call, "api_invoices"); }
asio::awaitable<Response> answer_payments(Call& call) { return answer_page(call, "api_payments"); }

}  // namespace billing::worker::api
