// The user's customer at Stripe.
#include "worker/api/call.hpp"

namespace billing::worker::api {

namespace asio = boost::asio;

namespace {

// As the database takes them; another one is none.
std::string address_of(const Identity& user) {
  const std::size_t at = user.email.find('@');
  const bool one = at != std::string::npos && at > 0 && at + 1 < user.email.size() &&
                   user.email.find('@', at + 1) == std::string::npos &&
                   user.email.find_first_of(" \t\r\n\v\f") == std::string::npos;
  return one ? user.email : "";
}

}  // namespace

asio::awaitable<std::string> customer_of(Call& call) {
  constexpr const char* kKnown = "SELECT {s}.get_or_create_stripe_customer($1, nullif($2, ''))";
  const std::string address = address_of(call.user);
  const Json known = co_await call.database.json(kKnown, call.user.user_id, address);
  if (const auto customer = text_of(known, "stripe_customer_id")) co_return *customer;
  const Json made = co_await perform(call, text_of(known, "request_id").value_or(""));
  const std::string customer = text_of(at(made, "response"), "id").value_or("");
  if (!customer.empty()) co_return customer;
  // Somebody else has linked one meanwhile, or nobody is there to make one.
  const Json again = co_await call.database.json(kKnown, call.user.user_id, address);
  if (const auto linked = text_of(again, "stripe_customer_id")) co_return *linked;
  throw Failure(
      {503, "stripe_unreachable", "the customer is not made yet", "try again in a moment", "", "", 0, {}});
}

}  // namespace billing::worker::api
