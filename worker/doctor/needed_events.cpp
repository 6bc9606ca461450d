#include "worker/doctor/needed_events.hpp"

#include <algorithm>

namespace billing::doctor {
namespace {

constexpr std::string_view kAccess = "subscriptions are not followed: access stays as it was";
constexpr std::string_view kCreditNotes = "what was credited outside of refunds is not known";
constexpr std::string_view kDisputes = "disputes take back neither credits nor access";
constexpr std::string_view kInvoices = "overdue and written-off invoices look as if they were still open";
constexpr std::string_view kLinks = "customers are not linked to users by their checkout";
constexpr std::string_view kNames = "no link by the customer's metadata";
constexpr std::string_view kPayments = "payments and enrollments without an invoice are not recorded";
constexpr std::string_view kPrices = "plans by lookup key and credits by a price's metadata are not known";
constexpr std::string_view kProducts = "plans and credits by a product's metadata are not known";
constexpr std::string_view kRefunds = "refunds take back neither credits nor access";
constexpr std::string_view kSchedules = "scheduled_change does not tell of changes to come";

constexpr NeededEvent kNeeded[] = {
    {"charge.captured", kPayments},
    {"charge.dispute.closed", kDisputes},
    {"charge.dispute.created", kDisputes},
    {"charge.dispute.funds_reinstated", kDisputes},
    {"charge.dispute.funds_withdrawn", kDisputes},
    {"charge.dispute.updated", kDisputes},
    {"charge.failed", kPayments},
    {"charge.refunded", kRefunds},
    {"charge.succeeded", kPayments},
    {"charge.updated", kPayments},
    {"checkout.session.async_payment_failed", "delayed payments that fail are not noticed"},
    {"checkout.session.async_payment_succeeded", "delayed payments bring nothing"},
    {"checkout.session.completed", kLinks},
    {"checkout.session.expired", "checkouts that were left look open"},
    {"credit_note.created", kCreditNotes},
    {"credit_note.updated", kCreditNotes},
    {"credit_note.voided", kCreditNotes},
    {"customer.created", kNames},
    {"customer.deleted", "a deleted customer keeps access"},
    {"customer.subscription.created", kAccess},
    {"customer.subscription.deleted", kAccess},
    {"customer.subscription.paused", kAccess},
    {"customer.subscription.resumed", kAccess},
    {"customer.subscription.trial_will_end", "nobody is told that a trial ends"},
    {"customer.subscription.updated", kAccess},
    {"customer.updated", kNames},
    {"entitlements.active_entitlement_summary.updated", "Stripe's own entitlements are not known"},
    {"invoice.created", kInvoices},
    {"invoice.deleted", kInvoices},
    {"invoice.finalized", kInvoices},
    {"invoice.marked_uncollectible", kInvoices},
    {"invoice.paid", "no credits are granted, and no period counts as paid"},
    {"invoice.payment_action_required", "nobody is told that a payment needs their action"},
    {"invoice.payment_failed", "nobody is told that a payment failed"},
    {"invoice.updated", kInvoices},
    {"invoice.voided", kInvoices},
    {"invoice_payment.paid", "nothing says which payment paid an invoice: refunds take back nothing"},
    {"payment_intent.canceled", kPayments},
    {"payment_intent.payment_failed", kPayments},
    {"payment_intent.succeeded", kPayments},
    {"price.created", kPrices},
    {"price.deleted", kPrices},
    {"price.updated", kPrices},
    {"product.created", kProducts},
    {"product.deleted", kProducts},
    {"product.updated", kProducts},
    {"refund.created", kRefunds},
    {"refund.failed", "a refund that fails after all still takes back credits"},
    {"refund.updated", kRefunds},
    {"subscription_schedule.canceled", kSchedules},
    {"subscription_schedule.completed", kSchedules},
    {"subscription_schedule.created", kSchedules},
    {"subscription_schedule.released", kSchedules},
    {"subscription_schedule.updated", kSchedules},
};
static_assert(std::is_sorted(std::begin(kNeeded), std::end(kNeeded),
                             [](const NeededEvent& a, const NeededEvent& b) { return a.type < b.type; }));

}  // namespace

std::span<const NeededEvent> needed_events() { return kNeeded; }

std::vector<NeededEvent> missing_events(const Json& enabled_events) {
  const auto enabled = [&](std::string_view type) {
    return std::find(enabled_events.begin(), enabled_events.end(), Json(type)) != enabled_events.end();
  };
  std::vector<NeededEvent> missing;
  if (enabled("*")) return missing;
  for (const NeededEvent& needed : kNeeded)
    if (!enabled(needed.type)) missing.push_back(needed);
  return missing;
}

}  // namespace billing::doctor
