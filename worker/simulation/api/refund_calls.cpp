// Refunds. https://docs.stripe.com/api/refunds
#include "worker/simulation/api/invoicing.hpp"
#include "worker/simulation/api/parameters.hpp"
#include "worker/simulation/api/routes.hpp"

namespace billing::simulation {
namespace {

std::string in_currency(std::int64_t amount) {
  const std::string cents = std::to_string(amount % 100);
  return "$" + std::to_string(amount / 100) + "." + (cents.size() < 2 ? "0" : "") + cents;
}

Json charge_of(Shop& shop, const Parameters& given) {
  if (given.has("charge")) return shop.get_named("charge", given.text("charge"), "charge");
  if (!given.has("payment_intent"))
    throw invalid(
        "One of the following params should be provided for this request: payment_intent or charge.", "",
        "parameter_missing");
  const Json intent = shop.get_named("payment_intent", given.text("payment_intent"), "payment_intent");
  if (id_of(intent, "latest_charge").empty() || intent.at("status") != "succeeded")
    throw invalid("This PaymentIntent (" + intent.at("id").get<std::string>() +
                  ") does not have a successful charge to refund.");
  return shop.get("charge", id_of(intent, "latest_charge"));
}

Json create(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"amount", "charge", "instructions_email", "metadata", "payment_intent", "reason"});
  Json charge = charge_of(shop, given);
  const std::string id = charge.at("id");
  const std::int64_t left =
      charge.at("amount").get<std::int64_t>() - charge.at("amount_refunded").get<std::int64_t>();
  if (charge.at("status") != "succeeded") throw invalid("Charge " + id + " has not succeeded.", "charge");
  if (flag_of(charge, "disputed"))
    throw invalid("Charge " + id + " has been charged back; cannot issue a refund.", "charge",
                  "charge_disputed");
  if (left == 0) throw invalid("Charge " + id + " has already been refunded.", "", "charge_already_refunded");
  const std::int64_t amount = given.integer("amount", 1).value_or(left);
  if (amount > left)
    throw invalid("Refund amount (" + in_currency(amount) +
                      ") is greater than unrefunded amount on charge (" + in_currency(left) + ")",
                  "amount");
  Refund refund;
  refund.id = shop.make_id("re_");
  refund.charge = id;
  refund.payment_intent = id_of(charge, "payment_intent");
  refund.amount = amount;
  refund.reason = given.one_of("reason", {"duplicate", "fraudulent", "requested_by_customer"});
  refund.created = shop.now();
  Json json = to_json(refund, shop.shape());
  json["currency"] = charge.at("currency");
  given.merge_metadata(json);
  shop.change("charge.refunded", charge, [&](Json& changed) {
    changed["amount_refunded"] = changed["amount_refunded"].get<std::int64_t>() + amount;
    changed["refunded"] = changed["amount_refunded"] == changed["amount"];
  });
  shop.tell("refund.created", json);
  return json;
}

Json update(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"metadata"});
  Json refund = shop.get("refund", call.id());
  shop.change("refund.updated", refund, [&](Json& changed) { given.merge_metadata(changed); });
  return refund;
}

constexpr Route kRoutes[] = {{"POST", "refunds", create}, {"POST", "refunds/*", update}};

}  // namespace

std::span<const Route> refund_routes() { return kRoutes; }

}  // namespace billing::simulation
