// What an event is about.
#pragma once

#include <string>

#include "functions/mirror.hpp"
#include "functions/work.hpp"
#include "settings.hpp"

namespace billing {

// Events of the other mode and of other people's products have no effect.
void judge_admission(Work& work, const Settings& settings);

// Whether the event can change rows of a user, so that its customer's link has to be locked: the link is the
// mutex of everything that belongs to the customer, and is there (as a placeholder) before a user is.
bool concerns_user(const Work& work);

// Something that may say that what an invoice paid went back.
bool tells_of_payback(const Event& event);

// A customer that is on a test clock.
bool names_clock(const Event& event);

// An invoice payment that says which invoice it pays.
bool pays_invoice(const Event& event);
mirror::Key invoice_of(const Event& invoice_payment);

// The subscription whose row the event's object feeds; "" when none.
std::string subscription_of(const Event& event);

}  // namespace billing
