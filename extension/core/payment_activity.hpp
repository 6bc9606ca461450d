// What events of payments mean to people: lines in audit_logs, of the payment and of what it bought.
#pragma once

#include <string>
#include <vector>

#include "core/activity.hpp"
#include "core/payment.hpp"

namespace billing {

// The types of events that leave such lines, sorted: fewer where an invoice tells of the payment.
const std::vector<std::string>& payment_line_types(bool stands_alone);
// Every action of such a line.
const std::vector<std::string>& payment_line_actions();

// What an event tells of the payment, known as it is now: an attempt and its outcome where no invoice tells
// of it, refunds and disputes of every payment, and what becomes of each thing that it bought. A pure
// function of both.
std::vector<Activity> payment_activities(const Event& event, const std::string& payment_id,
                                         const Payment& payment, bool stands_alone);

}  // namespace billing
