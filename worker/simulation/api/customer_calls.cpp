// Customers and their payment methods. https://docs.stripe.com/api/customers
#include "worker/simulation/api/parameters.hpp"
#include "worker/simulation/api/routes.hpp"
#include "worker/simulation/api/subscribing.hpp"

namespace billing::simulation {
namespace {

const std::initializer_list<std::string_view> kParameters = {"address",
                                                             "balance",
                                                             "cash_balance",
                                                             "description",
                                                             "email",
                                                             "invoice_prefix",
                                                             "invoice_settings",
                                                             "metadata",
                                                             "name",
                                                             "next_invoice_sequence",
                                                             "payment_method",
                                                             "phone",
                                                             "preferred_locales",
                                                             "shipping",
                                                             "tax",
                                                             "tax_exempt",
                                                             "test_clock",
                                                             "validate",
                                                             "individual_name",
                                                             "business_name"};

void fill(Shop& shop, Json& customer, const Parameters& given) {
  given.copy(customer, {"email", "name", "phone", "description", "address", "shipping", "tax_exempt"});
  given.merge_metadata(customer);
  const std::string method = given.object("invoice_settings").text("default_payment_method");
  if (method.empty()) return;
  const Json found = shop.get_named("payment_method", method, "invoice_settings[default_payment_method]");
  if (id_of(found, "customer") != customer["id"])
    throw invalid("The customer does not have a payment method with the ID " + method +
                      ". The payment method must be attached to the customer.",
                  "invoice_settings[default_payment_method]", "resource_missing");
  customer["invoice_settings"]["default_payment_method"] = method;
}

Json create(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow(kParameters);
  return make_customer(shop, [&](Json& customer) { fill(shop, customer, given); });
}

Json update(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow(kParameters);
  Json customer = shop.get("customer", call.id());
  shop.change("customer.updated", customer, [&](Json& changed) { fill(shop, changed, given); });
  return customer;
}

Json remove(Shop& shop, const Call& call) {
  Json customer = shop.get("customer", call.id());
  for (const Json& subscription : shop.all("subscription", "customer", call.id()))
    if (is_live(subscription)) end_subscription(shop, subscription, "cancellation_requested");
  shop.tell("customer.deleted", customer);
  const Json gone = {{"id", call.id()}, {"object", "customer"}, {"deleted", true}};
  shop.keep(gone);
  return gone;
}

// pm_card_visa and its like are Stripe's cards for tests: each use makes a method of its own.
Json attach(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"customer"});
  Json customer = shop.get_named("customer", given.required("customer"), "customer");
  if (call.id().starts_with("pm_card_")) {
    if (call.id() == "pm_card_chargeDeclined")
      throw CallError(402, "card_error", "card_declined", "Your card was declined.")
          .declined("generic_decline");
    return attach_card(shop, customer, false);
  }
  Json method = shop.get("payment_method", call.id(), "payment_method");
  method["customer"] = customer["id"];
  shop.tell("payment_method.attached", method);
  return method;
}

Json detach(Shop& shop, const Call& call) {
  Json method = shop.get("payment_method", call.id(), "payment_method");
  const std::string owner = id_of(method, "customer");
  if (owner.empty())
    throw invalid(
        "The payment method you provided is not attached to a customer so detachment is impossible.");
  shop.change("payment_method.detached", method, [](Json& changed) { changed["customer"] = nullptr; });
  Json customer = shop.get("customer", owner);
  if (id_of(customer["invoice_settings"], "default_payment_method") == call.id())
    shop.change("customer.updated", customer,
                [](Json& changed) { changed["invoice_settings"]["default_payment_method"] = nullptr; });
  return method;
}

constexpr Route kRoutes[] = {{"POST", "customers", create},
                             {"POST", "customers/*", update},
                             {"DELETE", "customers/*", remove},
                             {"POST", "payment_methods/*/attach", attach},
                             {"POST", "payment_methods/*/detach", detach}};

}  // namespace

std::span<const Route> customer_routes() { return kRoutes; }

}  // namespace billing::simulation
