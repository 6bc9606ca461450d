// The user's customer at Stripe.
#include "worker/api/call.hpp"

namespace billing::worker::api {

namespace asio = boost::asio;

asio::awaitable<std::string> customer_of(Call& call, Json known) {
  if (const auto customer = text_of(known, "stripe_customer_id")) co_return *customer;
  const Json made = co_await perform(call, text_of(known, "request_id").value_or(""));
  const std::string customer = text_of(at(made, "response"), "id").value_or("");
  if (!customer.empty()) co_return customer;
  // Somebody else has linked one meanwhile, or nobody is there to make one.
  const Json again =
      co_await call.database.json("SELECT {s}.get_or_create_stripe_customer($1, NULL)", call.user.user_id);
  if (const auto linked = text_of(again, "stripe_customer_id")) co_return *linked;
  throw Failure(
      {503, "stripe_unreachable", "the customer is not made yet", "try again in a moment", "", "", 0, {}});
}

}  // namespace billing::worker::api
