// POST portal: where customers see to their cards, invoices and subscriptions themselves.
#include "worker/api/call.hpp"
#include "worker/config.hpp"

namespace billing::worker::api {

namespace asio = boost::asio;

asio::awaitable<Response> answer_portal(Call& call) {
  stripe::Client& client = call.client();
  const std::string back = call.landing("return_url", call.config->return_url);
  const Json begun = co_await call.database.json("SELECT {s}.begin_api_portal($1, $2::pg_catalog.int4)",
                                                 call.user.user_id, kMostWrites);
  if (begun.contains("retry_in")) too_many(begun);
  const std::string customer = text_of(begun, "stripe_customer_id").value_or("");
  if (customer.empty())
    throw Failure(
        {409, "no_customer", "nothing has been bought yet", "begin with a checkout", "", "", 0, {}});
  stripe::Call wanted;
  wanted.method = "POST";
  wanted.path = "/v1/billing_portal/sessions";
  wanted.parameters = {{"customer", customer}, {"return_url", back}};
  const stripe::Answer answer = co_await client.call(std::move(wanted));
  if (!answer.ok()) stripe_refused(call, answer);
  const Json& url = at(answer.body, "url");
  co_return answer_with(Json{{"url", url}, {"portal_url", url}});
}

}  // namespace billing::worker::api
