#include "core/ordering.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "core/test_clock.hpp"

namespace billing {
namespace {

struct Status {
  std::string_view name;
  bool terminal = false;
};

// Statuses in the order in which an object usually passes through them.
// https://docs.stripe.com/api/subscriptions/object#subscription_object-status and its siblings
constexpr std::array kSubscription = {Status{"incomplete"},
                                      Status{"trialing"},
                                      Status{"paused"},
                                      Status{"active"},
                                      Status{"past_due"},
                                      Status{"unpaid"},
                                      Status{"incomplete_expired", true},
                                      Status{"canceled", true}};
constexpr std::array kInvoice = {Status{"draft"}, Status{"open"}, Status{"uncollectible"},
                                 Status{"void", true}, Status{"paid", true}};
constexpr std::array kPaymentIntent = {Status{"requires_payment_method"}, Status{"requires_confirmation"},
                                       Status{"requires_action"},         Status{"processing"},
                                       Status{"requires_capture"},        Status{"canceled", true},
                                       Status{"succeeded", true}};
constexpr std::array kCharge = {Status{"pending"}, Status{"failed"}, Status{"succeeded"}};
constexpr std::array kRefund = {Status{"pending"}, Status{"requires_action"}, Status{"succeeded"},
                                Status{"canceled", true}, Status{"failed", true}};
constexpr std::array kDispute = {Status{"warning_needs_response"},
                                 Status{"warning_under_review"},
                                 Status{"warning_closed"},
                                 Status{"needs_response"},
                                 Status{"under_review"},
                                 Status{"won"},
                                 Status{"lost"}};
constexpr std::array kCheckoutSession = {Status{"open"}, Status{"expired", true}, Status{"complete", true}};
constexpr std::array kSchedule = {Status{"not_started"}, Status{"active"}, Status{"released", true},
                                  Status{"canceled", true}, Status{"completed", true}};
constexpr std::array kClock = {Status{"advancing"}, Status{"internal_failure"}, Status{"ready"}};
constexpr std::array kInvoicePayment = {Status{"open"}, Status{"canceled"}, Status{"paid"}};

std::span<const Status> statuses_of(std::string_view object_type) {
  if (object_type == "subscription") return kSubscription;
  if (object_type == "invoice") return kInvoice;
  if (object_type == "payment_intent" || object_type == "setup_intent") return kPaymentIntent;
  if (object_type == "charge") return kCharge;
  if (object_type == "refund") return kRefund;
  if (object_type == "dispute") return kDispute;
  if (object_type == "checkout.session") return kCheckoutSession;
  if (object_type == "subscription_schedule") return kSchedule;
  if (object_type == "invoice_payment") return kInvoicePayment;
  if (object_type == kTestClock) return kClock;
  return {};
}

// Position counted from 1, and the status itself; {0, nullptr} when unknown.
std::pair<int, const Status*> find_status(const std::string& object_type, const Json& object) {
  const Json& status = at(object, "status");
  if (!status.is_string()) return {0, nullptr};
  const std::span<const Status> statuses = statuses_of(object_type);
  const auto found = std::find_if(statuses.begin(), statuses.end(), [&](const Status& candidate) {
    return candidate.name == status.get_ref<const std::string&>();
  });
  if (found == statuses.end()) return {0, nullptr};
  return {static_cast<int>(found - statuses.begin()) + 1, &*found};
}

}  // namespace

Rank rank_of(const Event& event) {
  Rank rank;
  rank.finality = is_deletion(event.type) ? 2 : is_terminal(event.object_type, event.object) ? 1 : 0;
  rank.created = event.created;
  rank.origin = event.type.ends_with(".created") ? 1 : 2;
  rank.lifecycle = lifecycle_rank(event.object_type, event.object);
  rank.event_id = event.id;
  return rank;
}

bool is_terminal(const std::string& object_type, const Json& object) {
  const Status* status = find_status(object_type, object).second;
  return status != nullptr && status->terminal;
}

int lifecycle_rank(const std::string& object_type, const Json& object) {
  return find_status(object_type, object).first;
}

}  // namespace billing
