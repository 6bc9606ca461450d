// Checkout sessions, and their payment. https://docs.stripe.com/api/checkout/sessions
#include "worker/simulation/api/checkout.hpp"
#include "worker/simulation/api/item_change.hpp"
#include "worker/simulation/api/routes.hpp"
#include "worker/simulation/calendar.hpp"

namespace billing::simulation {
namespace {

const std::initializer_list<std::string_view> kCreate = {"allow_promotion_codes",
                                                         "automatic_tax",
                                                         "billing_address_collection",
                                                         "cancel_url",
                                                         "client_reference_id",
                                                         "consent_collection",
                                                         "currency",
                                                         "custom_text",
                                                         "customer",
                                                         "customer_creation",
                                                         "customer_email",
                                                         "customer_update",
                                                         "expires_at",
                                                         "line_items",
                                                         "locale",
                                                         "metadata",
                                                         "mode",
                                                         "origin_context",
                                                         "payment_intent_data",
                                                         "payment_method_collection",
                                                         "payment_method_types",
                                                         "phone_number_collection",
                                                         "saved_payment_method_options",
                                                         "subscription_data",
                                                         "submit_type",
                                                         "success_url",
                                                         "tax_id_collection",
                                                         "ui_mode"};

bool recurs(const Order& order) { return !recurring_of(order.price).is_null(); }

void check_orders(const std::vector<Order>& orders, const std::string& mode) {
  bool any = false;
  for (const Order& order : orders) {
    any = any || recurs(order);
    if (mode == "payment" && recurs(order))
      throw invalid(
          "You specified `payment` mode but passed a recurring price. Either switch to `subscription` "
          "mode or use only one-time prices.",
          "mode");
    if (order.price.at("currency") != orders.front().price.at("currency"))
      throw invalid("All prices on a Checkout Session must be in the same currency.", "line_items");
  }
  if (mode == "subscription" && !any)
    throw invalid("You must provide at least one recurring price in `subscription` mode when using prices.",
                  "mode");
}

Json line_items(Shop& shop, const std::string& session_id, const std::vector<Order>& orders) {
  Json items = Json::array();
  for (const Order& order : orders) {
    const std::int64_t amount = integer_of(order.price, "unit_amount").value_or(0) * order.quantity;
    items.push_back({{"id", shop.make_id("li_")},
                     {"object", "item"},
                     {"amount_discount", 0},
                     {"amount_subtotal", amount},
                     {"amount_tax", 0},
                     {"amount_total", amount},
                     {"currency", order.price.at("currency")},
                     {"description", at(order.price, "nickname")},
                     {"price", order.price},
                     {"quantity", order.quantity}});
  }
  return list_json(std::move(items), "/v1/checkout/sessions/" + session_id + "/line_items");
}

void name_payer(Shop& shop, Json& session, const Parameters& given) {
  const std::string customer = given.text("customer");
  const std::string email = given.text("customer_email");
  if (!customer.empty() && !email.empty())
    throw invalid("You may only specify one of these parameters: customer, customer_email.", "customer");
  if (!customer.empty()) shop.get_named("customer", customer, "customer");
  session["customer"] = or_null(customer);
  session["customer_email"] = or_null(email);
  session["customer_details"] =
      email.empty() ? Json(nullptr) : Json{{"address", nullptr}, {"email", email}, {"name", nullptr}};
}

// What the subscription will be made with, checked now: later there is nobody to tell.
Json subscription_data(Shop& shop, const Parameters& data) {
  data.allow({"billing_cycle_anchor", "default_tax_rates", "description", "invoice_settings", "metadata",
              "proration_behavior", "trial_end", "trial_period_days", "trial_settings"});
  Json kept = Json::object();
  data.merge_metadata(kept);
  kept["description"] = data.text("description");
  if (const auto days = data.integer("trial_period_days", 1)) kept["trial_days"] = *days;
  if (const auto end = data.integer("trial_end", 1)) {
    if (*end < shop.now() + 2 * kDay)
      throw invalid("The `trial_end` date has to be at least 2 days in the future.",
                    data.name_of("trial_end"));
    kept["trial_end"] = *end;
  }
  kept["missing_payment_method"] =
      data.object("trial_settings").object("end_behavior").text("missing_payment_method", "create_invoice");
  return kept;
}

Json create(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow(kCreate);
  const std::string mode = given.one_of("mode", {"payment", "subscription"});
  if (mode.empty()) static_cast<void>(given.required("mode"));
  const std::vector<Order> orders = read_orders(shop, given, "line_items");
  if (orders.empty()) throw invalid("Missing required param: line_items.", "line_items", "parameter_missing");
  check_orders(orders, mode);
  if (mode == "payment" && given.has("subscription_data"))
    throw invalid("You can not pass `subscription_data` in `payment` mode.", "subscription_data");
  CheckoutSession made;
  made.id = shop.make_id(shop.shape().livemode ? "cs_live_" : "cs_test_");
  made.created = shop.now();
  made.status = "open";
  made.payment_status = "unpaid";
  made.user_id = given.text("client_reference_id");
  for (const Order& order : orders)
    made.amount += integer_of(order.price, "unit_amount").value_or(0) * order.quantity;
  Json session = to_json(made, shop.shape());
  name_payer(shop, session, given);
  given.merge_metadata(session);
  session["mode"] = mode;
  session["currency"] = orders.front().price.at("currency");
  session["success_url"] = given.required("success_url");
  session["cancel_url"] = or_null(given.text("cancel_url"));
  given.copy(session, {"locale", "submit_type", "billing_address_collection"});
  session["customer_creation"] =
      mode == "payment" ? given.text("customer_creation", "if_required") : "always";
  session["payment_method_collection"] = given.text("payment_method_collection", "always");
  session["ui_mode"] = "hosted";
  session["url"] = shop.url() + "/c/pay/" + made.id;
  const Seconds expires = given.integer("expires_at", 1).value_or(made.created + kDay);
  if (expires < made.created + 1800 || expires > made.created + kDay)
    throw invalid(
        "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session "
        "creation.",
        "expires_at");
  session["expires_at"] = expires;
  Json& note = shop.note(made.id);
  note["line_items"] = line_items(shop, made.id, orders);
  note["subscription"] = subscription_data(shop, given.object("subscription_data"));
  Json intent = Json::object();
  given.object("payment_intent_data").merge_metadata(intent);
  note["payment"] = intent["metadata"];
  shop.keep(session);
  shop.at(expires, [&shop, id = made.id] {
    Json open = shop.get("checkout.session", id);
    if (open["status"] != "open") return;
    open["status"] = "expired";
    open["url"] = nullptr;
    shop.tell("checkout.session.expired", open);
  });
  return session;
}

Json update(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"metadata"});
  Json session = shop.get("checkout.session", call.id());
  given.merge_metadata(session);
  shop.keep(session);
  return session;
}

Json expire(Shop& shop, const Call& call) {
  Json session = shop.get("checkout.session", call.id());
  if (session["status"] != "open")
    throw invalid(
        "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a "
        "status of " +
        session["status"].get<std::string>() + ".");
  session["status"] = "expired";
  session["url"] = nullptr;
  shop.tell("checkout.session.expired", session);
  return session;
}

Json items_of(Shop& shop, const Call& call) {
  shop.get("checkout.session", call.id());
  const Json& items = shop.note(call.id())["line_items"];
  return items.is_null() ? list_json(Json::array(), call.path) : items;
}

void complete(Shop& shop, Json& session, const std::string& payment_status) {
  session["status"] = "complete";
  session["payment_status"] = payment_status;
  session["url"] = nullptr;
  if (!session["customer"].is_null()) {
    const Json customer = shop.get("customer", session["customer"]);
    session["customer_details"] = {{"address", customer["address"]}, {"email", customer["email"]},
                                   {"name", customer["name"]},       {"phone", customer["phone"]},
                                   {"tax_exempt", "none"},           {"tax_ids", Json::array()}};
  }
  shop.tell("checkout.session.completed", session);
}

void pay_for_subscription(Shop& shop, Json& session) {
  const Json note = shop.note(session["id"]);
  const Json& data = note.at("subscription");
  SubscriptionStart start;
  start.customer = session["customer"];
  start.metadata = data.at("metadata");
  start.description = data.value("description", "");
  start.missing_payment_method = data.value("missing_payment_method", "create_invoice");
  if (data.contains("trial_days")) start.trial_end = shop.now() + data["trial_days"].get<Seconds>() * kDay;
  if (data.contains("trial_end")) start.trial_end = data["trial_end"].get<Seconds>();
  for (const Json& item : list_of(note, "line_items"))
    if (!recurring_of(item.at("price")).is_null())
      start.items.push_back({item.at("price"), item.value("quantity", 1)});
  const Json subscription = begin_subscription(shop, start);
  session["subscription"] = subscription.at("id");
  session["invoice"] = subscription.at("latest_invoice");
  const bool free = subscription.at("status") == "trialing";
  if (free) session["amount_total"] = session["amount_subtotal"] = 0;
  complete(shop, session, free ? "no_payment_required" : "paid");
}

constexpr Route kRoutes[] = {{"POST", "checkout/sessions", create},
                             {"POST", "checkout/sessions/*", update},
                             {"POST", "checkout/sessions/*/expire", expire},
                             {"GET", "checkout/sessions/*/line_items", items_of}};

}  // namespace

CheckoutResult pay_checkout(Shop& shop, const std::string& session_id, const std::string& email,
                            bool declined) {
  Json session = shop.get("checkout.session", session_id);
  if (session["status"] != "open") return {false, "This session is no longer open."};
  const bool subscribes = session["mode"] == "subscription";
  const std::string wanted = session["customer_email"].is_string() ? session["customer_email"] : Json(email);
  const Json& payment = shop.note(session_id)["payment"];
  std::string customer_id = id_of(session, "customer");
  if (declined || (!customer_id.empty() && card_declines(shop, customer_id))) {
    pay_once(shop, customer_id, session["amount_total"], session["currency"], payment, true);
    return {false, "Your card was declined."};
  }
  Json customer;
  if (!customer_id.empty()) {
    customer = shop.get("customer", customer_id);
  } else if (session["customer_creation"] == "always") {
    customer = make_customer(shop, [&](Json& made) {
      made["email"] = or_null(wanted);
      made["name"] = "Payer";
    });
    session["customer"] = customer["id"];
    customer_id = customer["id"];
  } else {
    session["customer_details"] = {{"address", nullptr}, {"email", or_null(wanted)}, {"name", "Payer"}};
  }
  if (!customer.is_null() && session["payment_method_collection"] != "if_required")
    attach_card(shop, customer, true);
  if (subscribes) {
    pay_for_subscription(shop, session);
  } else {
    const Json intent =
        pay_once(shop, customer_id, session["amount_total"], session["currency"], payment, false);
    session["payment_intent"] = intent["id"];
    complete(shop, session, "paid");
  }
  return {true, ""};
}

std::span<const Route> checkout_routes() { return kRoutes; }

}  // namespace billing::simulation
