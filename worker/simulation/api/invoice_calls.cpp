// Invoices: paid, previewed, read line by line. https://docs.stripe.com/api/invoices
#include "worker/simulation/api/item_change.hpp"
#include "worker/simulation/api/routes.hpp"

namespace billing::simulation {
namespace {

Json pay(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"forgive", "mandate", "off_session", "paid_out_of_band", "payment_method", "source"});
  Json invoice = shop.get("invoice", call.id());
  if (invoice["status"] == "paid") throw invalid("Invoice is already paid", "", "invoice_already_paid");
  if (invoice["status"] == "void") throw invalid("Invoice is void and can't be paid.");
  if (!pay_invoice(shop, invoice))
    throw CallError(402, "card_error", "card_declined", "Your card has insufficient funds.")
        .declined("insufficient_funds");
  return invoice;
}

Json finalize(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"auto_advance"});
  Json invoice = shop.get("invoice", call.id());
  if (invoice["status"] != "draft")
    throw invalid("This invoice is already finalized, you can't re-finalize a non-draft invoice.", "",
                  "invoice_not_editable");
  finalize_invoice(shop, invoice);
  return invoice;
}

Json void_open(Shop& shop, const Call& call) {
  Json invoice = shop.get("invoice", call.id());
  if (invoice["status"] != "open" && invoice["status"] != "uncollectible")
    throw invalid("You can only pass in open or uncollectible invoices. This invoice isn't open.");
  void_invoice(shop, invoice);
  return invoice;
}

// The next invoice of a subscription, with a change that is not made.
Json preview(Shop& shop, const Call& call) {
  const Parameters given(call.parameters);
  given.allow({"automatic_tax", "currency", "customer", "preview_mode", "schedule", "subscription",
               "subscription_details"});
  Json subscription = shop.get_named("subscription", given.required("subscription"), "subscription");
  if (!is_live(subscription))
    throw invalid("No upcoming invoices for customer: " + id_of(subscription, "customer"), "",
                  "invoice_upcoming_none");
  const Parameters details = given.object("subscription_details");
  details.allow({"billing_cycle_anchor", "cancel_at", "cancel_at_period_end", "cancel_now", "items",
                 "proration_behavior", "proration_date", "trial_end"});
  const ItemChange change = read_item_change(shop, subscription, details);
  std::vector<LineDraft> lines = prorations(subscription, change);
  const Period period = period_of(subscription);
  if (change.changes()) set_items(subscription, change.items);
  const bool ends =
      details.flag("cancel_at_period_end").value_or(flag_of(subscription, "cancel_at_period_end"));
  const bool at_once = change.proration == "always_invoice" && change.changes() && !change.restarts;
  if (!at_once && !ends) {
    const Json& recurring = recurring_of(list_of(subscription, "items").at(0).at("price"));
    const Seconds start = change.restarts ? change.when : period.end;
    const Seconds anchor = change.restarts ? start : subscription.at("billing_cycle_anchor").get<Seconds>();
    Json next = subscription;
    if (!change.restarts && next["status"] == "trialing") next["status"] = "active";
    for (LineDraft& line : lines_of(next, {start, period_end(anchor, recurring, start)}))
      lines.push_back(std::move(line));
  }
  return preview_invoice(shop, subscription, lines);
}

Json lines(Shop& shop, const Call& call) { return shop.get("invoice", call.id()).at("lines"); }

constexpr Route kRoutes[] = {{"POST", "invoices/create_preview", preview},
                             {"POST", "invoices/*/finalize", finalize},
                             {"POST", "invoices/*/pay", pay},
                             {"POST", "invoices/*/void", void_open},
                             {"GET", "invoices/*/lines", lines}};

}  // namespace

std::span<const Route> invoice_routes() { return kRoutes; }

}  // namespace billing::simulation
