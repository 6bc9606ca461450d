// The user's customer at Stripe.
#include "worker/api/call.hpp"
#include "worker/operator/sign_ins.hpp"

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
  const std::string address = address_of(call.user);
  const Json known = co_await call.database.json(
      "SELECT {s}.get_or_create_stripe_customer($1, nullif($2, ''))", call.user.user_id, address);
  if (const auto customer = text_of(known, "stripe_customer_id")) co_return *customer;
  stripe::Call wanted;
  wanted.method = "POST";
  wanted.path = "/v1/customers";
  wanted.parameters = {{"metadata", {{"user_id", call.user.user_id}}}};
  if (!address.empty()) wanted.parameters["email"] = address;
  wanted.idempotency_key = "pgb_customer_" + operators::digest(call.user.user_id + "\n" + address);
  const stripe::Answer answer = co_await call.client().call(std::move(wanted));
  if (!answer.ok()) stripe_refused(call, answer);
  const std::string customer = text_of(answer.body, "id").value_or("");
  co_await call.database.json("SELECT {s}.link_stripe_customer($1, $2)", call.user.user_id, customer);
  co_return customer;
}

}  // namespace billing::worker::api
