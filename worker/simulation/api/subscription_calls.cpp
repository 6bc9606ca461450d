// Subscriptions. https://docs.stripe.com/api/subscriptions
#include <algorithm>

#include "worker/simulation/api/item_change.hpp"
#include "worker/simulation/api/parameters.hpp"
#include "worker/simulation/api/routes.hpp"
#include "worker/simulation/api/subscribing.hpp"
#include "worker/simulation/calendar.hpp"

namespace billing::simulation {
namespace {

const std::initializer_list<std::string_view> kUpdate = {"billing_cycle_anchor",
                                                         "cancel_at",
                                                         "cancel_at_period_end",
                                                         "cancellation_details",
                                                         "default_payment_method",
                                                         "description",
                                                         "items",
                                                         "metadata",
                                                         "off_session",
                                                         "pause_collection",
                                                         "payment_behavior",
                                                         "proration_behavior",
                                                         "proration_date",
                                                         "trial_end"};

Json create(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"customer", "items", "metadata", "trial_period_days", "trial_end", "trial_settings",
               "default_payment_method", "payment_behavior", "off_session", "description",
               "collection_method", "proration_behavior"});
  SubscriptionStart start;
  start.customer = shop.get_named("customer", given.required("customer"), "customer").at("id");
  start.items = read_orders(shop, given);
  if (start.items.empty()) throw invalid("Missing required param: items.", "items", "parameter_missing");
  Json with_metadata = Json::object();
  given.merge_metadata(with_metadata);
  start.metadata = with_metadata["metadata"];
  start.description = given.text("description");
  if (const auto days = given.integer("trial_period_days", 1)) start.trial_end = shop.now() + *days * kDay;
  if (const auto end = given.integer("trial_end", 1)) start.trial_end = *end;
  const Parameters behavior = given.object("trial_settings").object("end_behavior");
  start.missing_payment_method = behavior.text("missing_payment_method", "create_invoice");
  const Json customer = shop.get("customer", start.customer);
  const bool has_card = !id_of(customer["invoice_settings"], "default_payment_method").empty();
  if (!has_card && !start.trial_end && given.text("payment_behavior") != "default_incomplete")
    throw invalid(
        "This customer has no attached payment source or default payment method. Please consider "
        "adding a default payment method.",
        "", "resource_missing");
  return begin_subscription(shop, start);
}

void refuse_scheduled(const Json& subscription, const char* what) {
  const std::string schedule = id_of(subscription, "schedule");
  if (schedule.empty()) return;
  throw invalid("The subscription is managed by the subscription schedule `" + schedule +
                "`, and updating any " + what +
                " directly is not allowed. Please update the schedule instead.");
}

void change_end(Shop& shop, Json& changed, const Parameters& given) {
  if (given.has("cancel_at_period_end") || given.has("cancel_at"))
    refuse_scheduled(changed, "cancelation behavior");
  if (const auto ends = given.flag("cancel_at_period_end")) set_cancel_at_period_end(shop, changed, *ends);
  if (given.has("cancel_at")) {
    const auto when = given.integer("cancel_at", 1);
    set_cancel_at_period_end(shop, changed, when.has_value());
    changed["cancel_at_period_end"] = false;
    changed["cancel_at"] = or_null(when);
  }
  given.object("cancellation_details").copy(changed["cancellation_details"], {"comment", "feedback"});
}

Json update(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow(kUpdate);
  Json subscription = shop.get("subscription", call.id());
  const bool canceled = !is_live(subscription);
  if (canceled && (given.has("items") || given.has("cancel_at_period_end") || given.has("trial_end")))
    throw invalid("A canceled subscription can only update its cancellation_details and metadata.");
  const ItemChange items = read_item_change(shop, subscription, given);
  const bool ends_trial = given.text("trial_end") == "now" && subscription["status"] == "trialing";
  const auto trial_end = given.text("trial_end") == "now" ? std::nullopt : given.integer("trial_end", 1);
  if (items.changes()) refuse_scheduled(subscription, "items");
  const auto edit = [&](Json& changed) {
    given.merge_metadata(changed);
    given.copy(changed, {"description", "default_payment_method"});
    if (given.has("pause_collection")) {
      const Parameters pause = given.object("pause_collection");
      const std::string behavior = pause.one_of("behavior", {"keep_as_draft", "mark_uncollectible", "void"});
      changed["pause_collection"] =
          behavior.empty()
              ? Json(nullptr)
              : Json{{"behavior", behavior}, {"resumes_at", or_null(pause.integer("resumes_at"))}};
    }
    change_end(shop, changed, given);
    if (!trial_end) return;
    changed["trial_end"] = *trial_end;
    changed["status"] = "trialing";
    changed["billing_cycle_anchor"] = *trial_end;
    if (changed["trial_start"].is_null()) changed["trial_start"] = shop.now();
    set_period(changed, {period_of(changed).start, *trial_end});
  };
  if (items.changes() || ends_trial) {
    subscription = change_items(shop, std::move(subscription), items, ends_trial, edit);
  } else if (shop.change("customer.subscription.updated", subscription, edit) && !canceled) {
    plan_period(shop, subscription);
  }
  return shop.get("subscription", call.id());
}

Json cancel(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"cancellation_details", "invoice_now", "prorate"});
  Json subscription = shop.get("subscription", call.id());
  // Stripe does not find what is over already.
  if (!is_live(subscription)) throw no_such("subscription", call.id());
  given.object("cancellation_details").copy(subscription["cancellation_details"], {"comment", "feedback"});
  return end_subscription(shop, std::move(subscription), "cancellation_requested");
}

Json resume(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"billing_cycle_anchor", "proration_behavior", "proration_date"});
  const Json subscription = shop.get("subscription", call.id());
  if (subscription.at("status") != "paused")
    throw invalid("You cannot resume a subscription that is not paused. The subscription's status is " +
                  subscription.at("status").get<std::string>() + ".");
  Json invoice = activate(shop, subscription, shop.now(), "subscription_cycle");
  shop.tell("customer.subscription.resumed", shop.get("subscription", call.id()));
  pay_invoice(shop, invoice);
  return shop.get("subscription", call.id());
}

constexpr Route kRoutes[] = {{"POST", "subscriptions", create},
                             {"POST", "subscriptions/*", update},
                             {"DELETE", "subscriptions/*", cancel},
                             {"POST", "subscriptions/*/resume", resume}};

}  // namespace

std::span<const Route> subscription_routes() { return kRoutes; }

}  // namespace billing::simulation
