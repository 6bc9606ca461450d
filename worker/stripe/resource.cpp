#include "worker/stripe/resource.hpp"

#include <algorithm>

namespace billing::stripe {
namespace {

constexpr Resource kResources[] = {{"charge", "charges"},
                                   {"checkout.session", "checkout/sessions"},
                                   {"credit_note", "credit_notes"},
                                   {"customer", "customers"},
                                   {"dispute", "disputes"},
                                   {"invoice", "invoices"},
                                   {"invoice_payment", "invoice_payments"},
                                   {"payment_intent", "payment_intents"},
                                   {"payment_method", "payment_methods"},
                                   {"price", "prices"},
                                   {"product", "products"},
                                   {"refund", "refunds"},
                                   {"subscription", "subscriptions"},
                                   {"subscription_schedule", "subscription_schedules"},
                                   {"test_helpers.test_clock", "test_helpers/test_clocks"},
                                   {"webhook_endpoint", "webhook_endpoints"}};

}  // namespace

std::span<const Resource> resources() { return kResources; }

const Resource* find_resource(std::string_view type) {
  const auto found = std::find_if(std::begin(kResources), std::end(kResources),
                                  [&](const Resource& resource) { return resource.type == type; });
  return found == std::end(kResources) ? nullptr : found;
}

}  // namespace billing::stripe
