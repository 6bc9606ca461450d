#include "core/payment_activity.hpp"

#include <string_view>

namespace billing {
namespace {

std::string status_of(const Event& event) { return text_of(event.object, "status").value_or(""); }

struct Line {
  const char* action = nullptr;
  const char* amount = nullptr;      // the member that says how much
  const char* enrollment = nullptr;  // what becomes of what was bought; null when nothing
  bool of_invoices_too = false;
};

// A dispute that moved funds; an inquiry does not.
bool is_inquiry(const Event& dispute) { return status_of(dispute).starts_with("warning_"); }

Line dispute_closed(const Event& event) {
  const std::string status = status_of(event);
  if (status == "lost") return {"dispute_lost", "amount", "enrollment_revoked", true};
  if (status == "won") return {"dispute_won", "amount", "enrollment_reinstated", true};
  return {"dispute_closed", "amount", nullptr, true};
}

Line line_of(const Event& event) {
  const std::string_view type = event.type;
  const bool is_charge_of_intent =
      event.object_type == "charge" && !id_of(event.object, "payment_intent").empty();
  if (type == "payment_intent.succeeded")
    return {"payment_succeeded", "amount_received", "enrollment_activated"};
  if (type == "payment_intent.payment_failed") return {"payment_failed", "amount"};
  // The payment intent tells of its charges' outcome.
  if (type == "charge.succeeded" && !is_charge_of_intent && at(event.object, "captured") != false)
    return {"payment_succeeded", "amount", "enrollment_activated"};
  if (type == "charge.captured" && !is_charge_of_intent)
    return {"payment_succeeded", "amount_captured", "enrollment_activated"};
  if (type == "charge.failed" && !is_charge_of_intent) return {"payment_failed", "amount"};
  if (type == "checkout.session.completed" &&
      text_of(event.object, "payment_status") == "no_payment_required" &&
      id_of(event.object, "payment_intent").empty())
    return {nullptr, "amount_total", "enrollment_activated"};
  if (type == "charge.refunded")
    return {"payment_refunded", "amount_refunded",
            flag_of(event.object, "refunded") ? "enrollment_refunded" : nullptr, true};
  if (type == "charge.dispute.created")
    return {"payment_disputed", "amount", is_inquiry(event) ? nullptr : "enrollment_suspended", true};
  if (type == "charge.dispute.closed") return dispute_closed(event);
  return {};
}

void add_text(Json& details, const char* name, const std::string& value) {
  if (!value.empty()) details[name] = value;
}

}  // namespace

const std::vector<std::string>& payment_line_types(bool stands_alone) {
  static const std::vector<std::string> of_invoices = {"charge.dispute.closed", "charge.dispute.created",
                                                       "charge.refunded"};
  static const std::vector<std::string> all = {"charge.captured",
                                               "charge.dispute.closed",
                                               "charge.dispute.created",
                                               "charge.failed",
                                               "charge.refunded",
                                               "charge.succeeded",
                                               "checkout.session.completed",
                                               "payment_intent.payment_failed",
                                               "payment_intent.succeeded"};
  return stands_alone ? all : of_invoices;
}

const std::vector<std::string>& payment_line_actions() {
  static const std::vector<std::string> actions = {
      "dispute_closed",      "dispute_lost",          "dispute_won",        "enrollment_activated",
      "enrollment_refunded", "enrollment_reinstated", "enrollment_revoked", "enrollment_suspended",
      "payment_disputed",    "payment_failed",        "payment_refunded",   "payment_succeeded"};
  return actions;
}

std::vector<Activity> payment_activities(const Event& event, const std::string& payment_id,
                                         const Payment& payment, bool stands_alone) {
  std::vector<Activity> activities;
  const Line line = line_of(event);
  if (!stands_alone && !line.of_invoices_too) return activities;
  Json details = Json::object();
  details["payment_id"] = payment_id;
  if (line.action != nullptr) {
    Activity& made = activities.emplace_back(Activity{line.action, payment_id, false, details});
    add_text(made.details, "status", status_of(event));
    if (const auto amount = integer_of(event.object, line.amount)) made.details["amount"] = *amount;
    add_text(made.details, "currency", text_of(event.object, "currency").value_or(""));
    if (stands_alone && !payment.items.empty()) made.details["items"] = payment.items;
  }
  if (stands_alone && line.enrollment != nullptr)
    for (const std::string& item : payment.items)
      activities.push_back({line.enrollment, item, false, details});
  return activities;
}

}  // namespace billing
