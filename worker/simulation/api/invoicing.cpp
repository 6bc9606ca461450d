#include "worker/simulation/api/invoicing.hpp"

#include <deque>

#include "worker/simulation/api/subscribing.hpp"
#include "worker/simulation/calendar.hpp"

namespace billing::simulation {
namespace {

// The shape is that of the histories' invoices, which know their prices as structures.
Json invoice_json(Shop& shop, Invoice& invoice, const std::vector<LineDraft>& lines,
                  const std::string& currency) {
  std::deque<Price> prices;
  for (const LineDraft& draft : lines) {
    Price& price = prices.emplace_back();
    price.id = draft.price.at("id");
    price.product = id_of(draft.price, "product");
    price.unit_amount = integer_of(draft.price, "unit_amount").value_or(0);
    Line line;
    line.id = shop.make_id("il_");
    line.item = draft.item;
    line.description = draft.description;
    line.price = &price;
    line.quantity = draft.quantity;
    line.amount = draft.amount;
    line.period = draft.period;
    line.proration = draft.proration;
    invoice.lines.push_back(std::move(line));
  }
  Json json = to_json(invoice, shop.shape());
  set_currency(json, currency);
  return json;
}

Invoice invoice_of(Shop& shop, const Json& subscription, const char* reason) {
  Invoice invoice;
  invoice.customer = id_of(subscription, "customer");
  invoice.subscription = subscription.value("id", "");
  invoice.reason = reason;
  invoice.created = shop.now();
  const Period period = period_of(subscription);
  invoice.period = {period.start, period.start};
  invoice.subscription_metadata = subscription.value("metadata", Metadata{});
  invoice.by_invoice = subscription.value("collection_method", "") == "send_invoice";
  return invoice;
}

Json make_intent(Shop& shop, const std::string& customer, std::int64_t amount, const std::string& currency,
                 const Json& metadata) {
  PaymentIntent intent;
  intent.id = shop.make_id("pi_");
  intent.customer = customer;
  intent.amount = amount;
  intent.created = shop.now();
  Json json = to_json(intent, shop.shape());
  if (customer.empty()) json["customer"] = nullptr;
  json["metadata"] = metadata;
  json["client_secret"] = intent.id + "_secret_" + shop.make_id("").substr(0, 16);
  set_currency(json, currency);
  shop.tell("payment_intent.created", json);
  return json;
}

// Charges what the intent asks for. False: declined.
bool charge(Shop& shop, Json& intent, bool declined) {
  Charge charge;
  charge.id = shop.make_id("ch_");
  charge.customer = id_of(intent, "customer");
  charge.payment_intent = intent.at("id");
  charge.amount = intent.at("amount");
  charge.created = shop.now();
  if (!charge.customer.empty())
    if (const auto customer = shop.find("customer", charge.customer))
      charge.method = id_of(at(*customer, "invoice_settings"), "default_payment_method");
  if (charge.method.empty()) charge.method = shop.make_id("pm_");
  if (declined) {
    charge.status = "failed";
    charge.failure = "card_declined";
  }
  Json json = to_json(charge, shop.shape());
  json["metadata"] = intent["metadata"];
  if (charge.customer.empty()) json["customer"] = nullptr;
  set_currency(json, intent.at("currency"));
  shop.tell(declined ? "charge.failed" : "charge.succeeded", json);
  intent["latest_charge"] = charge.id;
  if (declined) {
    intent["status"] = "requires_payment_method";
    intent["last_payment_error"] = {{"charge", charge.id},
                                    {"code", "card_declined"},
                                    {"decline_code", "insufficient_funds"},
                                    {"message", "Your card has insufficient funds."},
                                    {"type", "card_error"}};
  } else {
    intent["status"] = "succeeded";
    intent["payment_method"] = charge.method;
    intent["amount_received"] = charge.amount;
    intent["last_payment_error"] = nullptr;
  }
  shop.tell(declined ? "payment_intent.payment_failed" : "payment_intent.succeeded", intent);
  return !declined;
}

void follow_payment(Shop& shop, const Json& invoice) {
  const std::string id = id_of(at(at(invoice, "parent"), "subscription_details"), "subscription");
  auto subscription = id.empty() ? std::nullopt : shop.find("subscription", id);
  if (!subscription) return;
  const std::string status = subscription->at("status");
  if (status == "incomplete" || status == "past_due" || status == "unpaid")
    shop.change("customer.subscription.updated", *subscription,
                [](Json& changed) { changed["status"] = "active"; });
}

// Four attempts, three days apart; then the subscription ends.
void follow_decline(Shop& shop, Json& invoice) {
  const std::string id = id_of(at(at(invoice, "parent"), "subscription_details"), "subscription");
  auto subscription = id.empty() ? std::nullopt : shop.find("subscription", id);
  if (!subscription || !is_live(*subscription)) return;
  if (subscription->at("status") == "active" || subscription->at("status") == "trialing")
    shop.change("customer.subscription.updated", *subscription,
                [](Json& changed) { changed["status"] = "past_due"; });
  if (subscription->at("status") != "past_due") return;
  const auto next = time_of(invoice, "next_payment_attempt");
  if (!next) {
    end_subscription(shop, *subscription, "payment_failed");
    return;
  }
  shop.at(*next, [&shop, invoice_id = invoice.at("id").get<std::string>()] {
    Json open = shop.get("invoice", invoice_id);
    if (open["status"] == "open") pay_invoice(shop, open);
  });
}

void tell_payment(Shop& shop, const Json& invoice, bool paid) {
  for (const Json& payment : list_of(invoice, "payments"))
    paid ? shop.tell("invoice_payment.paid", payment) : shop.keep(payment);
}

}  // namespace

void set_currency(Json& object, const std::string& currency) {
  if (object.is_object() && object.contains("currency")) object["currency"] = currency;
  if (object.is_object() || object.is_array())
    for (Json& member : object) set_currency(member, currency);
}

bool card_declines(const Shop& shop, const std::string& customer) {
  return shop.declining.count(customer) > 0 || shop.declining.count("*") > 0;
}

Json preview_invoice(Shop& shop, const Json& subscription, const std::vector<LineDraft>& lines) {
  Invoice invoice = invoice_of(shop, subscription, "upcoming");
  Json json = invoice_json(shop, invoice, lines, subscription.value("currency", "eur"));
  json["id"] = "upcoming_" + shop.make_id("in_");
  return json;
}

Json make_invoice(Shop& shop, const Json& subscription, const char* reason, std::vector<LineDraft> lines,
                  const std::string& id) {
  Invoice invoice = invoice_of(shop, subscription, reason);
  invoice.id = id;
  Json& pending = shop.note(subscription.at("id"))["pending"];
  for (const Json& draft : pending)
    lines.push_back({draft["price"],
                     draft["quantity"],
                     draft["amount"],
                     {draft["start"], draft["end"]},
                     draft["item"],
                     draft["description"],
                     true});
  pending = Json::array();
  Json json = invoice_json(shop, invoice, lines, subscription.value("currency", "eur"));
  shop.tell("invoice.created", json);
  return json;
}

void finalize_invoice(Shop& shop, Json& invoice) {
  if (invoice.at("status") != "draft") return;
  const std::int64_t due = invoice.at("amount_due");
  std::string intent;
  if (due > 0)
    intent =
        make_intent(shop, id_of(invoice, "customer"), due, invoice.at("currency"), Json::object()).at("id");
  shop.change("invoice.updated", invoice, [&](Json& changed) {
    const std::string id = changed["id"];
    changed["status"] = "open";
    changed["number"] = shop.make_id("").substr(0, 8) + "-0001";
    changed["ending_balance"] = 0;
    changed["status_transitions"]["finalized_at"] = shop.now();
    changed["webhooks_delivered_at"] = shop.now();
    changed["hosted_invoice_url"] = shop.url() + "/i/" + id;
    if (intent.empty()) return;
    const Json payment = {{"id", shop.make_id("inpay_")},
                          {"object", "invoice_payment"},
                          {"amount_paid", nullptr},
                          {"amount_requested", due},
                          {"created", shop.now()},
                          {"currency", changed["currency"]},
                          {"invoice", id},
                          {"is_default", true},
                          {"livemode", shop.shape().livemode},
                          {"payment", {{"payment_intent", intent}, {"type", "payment_intent"}}},
                          {"status", "open"},
                          {"status_transitions", {{"canceled_at", nullptr}, {"paid_at", nullptr}}}};
    changed["payments"] = list_json(Json::array({payment}), "/v1/invoice_payments?invoice=" + id);
  });
  for (const Json& payment : list_of(invoice, "payments")) shop.keep(payment);
  shop.tell("invoice.finalized", invoice);
}

bool pay_invoice(Shop& shop, Json& invoice) {
  finalize_invoice(shop, invoice);
  if (invoice.at("status") != "open" && invoice.at("status") != "uncollectible") return false;
  const std::int64_t due = invoice.at("amount_due");
  const std::string customer = id_of(invoice, "customer");
  if (due > 0) {
    const Json& payments = list_of(invoice, "payments");
    Json intent = shop.get("payment_intent", id_of(at(payments.at(0), "payment"), "payment_intent"));
    if (!charge(shop, intent, card_declines(shop, customer))) {
      shop.change("invoice.updated", invoice, [&](Json& changed) {
        const std::int64_t attempts = changed.value("attempt_count", 0) + 1;
        changed["attempt_count"] = attempts;
        changed["attempted"] = true;
        changed["next_payment_attempt"] = attempts < 4 ? Json(shop.now() + 3 * kDay) : Json(nullptr);
      });
      shop.tell("invoice.payment_failed", invoice);
      follow_decline(shop, invoice);
      return false;
    }
  }
  shop.change("invoice.updated", invoice, [&](Json& changed) {
    changed["status"] = "paid";
    changed["attempted"] = true;
    changed["auto_advance"] = false;
    changed["amount_paid"] = due;
    changed["amount_remaining"] = 0;
    changed["next_payment_attempt"] = nullptr;
    if (due > 0) changed["attempt_count"] = changed.value("attempt_count", 0) + 1;
    changed["status_transitions"]["paid_at"] = shop.now();
    for (Json& payment : changed["payments"]["data"]) {
      payment["status"] = "paid";
      payment["amount_paid"] = due;
      payment["status_transitions"]["paid_at"] = shop.now();
    }
  });
  shop.tell("invoice.paid", invoice);
  shop.tell("invoice.payment_succeeded", invoice);
  tell_payment(shop, invoice, true);
  follow_payment(shop, invoice);
  return true;
}

void void_invoice(Shop& shop, Json& invoice) {
  if (invoice.at("status") != "open" && invoice.at("status") != "uncollectible") return;
  shop.change("invoice.updated", invoice, [&](Json& changed) {
    changed["status"] = "void";
    changed["auto_advance"] = false;
    changed["next_payment_attempt"] = nullptr;
    changed["status_transitions"]["voided_at"] = shop.now();
    for (Json& payment : changed["payments"]["data"]) payment["status"] = "canceled";
  });
  tell_payment(shop, invoice, false);
  shop.tell("invoice.voided", invoice);
}

Json pay_once(Shop& shop, const std::string& customer, std::int64_t amount, const std::string& currency,
              const Json& metadata, bool declined) {
  Json intent = make_intent(shop, customer, amount, currency, metadata);
  charge(shop, intent, declined);
  return intent;
}

}  // namespace billing::simulation
