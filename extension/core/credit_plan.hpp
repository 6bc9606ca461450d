// Which credits Stripe's objects grant, and which of them their refunds and disputes take back. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/credit_account.hpp"
#include "core/subscription.hpp"

namespace billing::credits {

// What a price says about credits: attributes from its metadata, those that are absent there from its
// product's, and those that are absent there too from the plan that the price is. A value that can't be used
// is listed in `problems` and counts as absent; on the price it hides the product's, since what was meant is
// not known.
//   credits          whole number, per unit and period (or per credit_interval)
//   credits_per      unit (default) | subscription
//   credit_interval  day | week | month: accrues within a longer period; default: the whole period at once
//   credit_rollover  none (default) | all | a whole number: how much of what is left is carried over
//   credit_priority  whole number, default 50; lower is burnt first
//   upgrade_credits  prorated_delta (default) | none | full_delta
//   trial_credits    whole number, default 0
//   grant_on         paid (default) | finalized
struct CreditRule {
  std::optional<Amount> credits;
  bool per_subscription = false;
  std::string interval;  // "" = whole period
  Rollover rollover;
  int priority = 50;
  enum class Upgrade { prorated_delta, none, full_delta } upgrade = Upgrade::prorated_delta;
  Amount trial_credits = 0;
  bool on_finalized = false;
  std::vector<std::string> problems;
};

// A price as the mirror knows it.
struct Price {
  std::string id;
  std::string product_id;
  bool metered = false;
  std::string interval;  // day, week, month, year; "" for a one-time price
  std::int64_t interval_count = 1;
  std::optional<Amount> unit_amount;  // minor units
  CreditRule rule;
};
// `price` is a price or (legacy) plan object; `product` the product object, or null when it is not known;
// `plan` the attributes that a plan of ours says, or null.
Price read_price(const Json& price, const Json& product, const Json& plan = nullptr);
// What is wrong with a plan's attributes: "" when nothing.
std::string problem_of(const Json& plan);
using Catalogue = std::map<std::string, Price>;

// The ids of the prices that an invoice's lines need; embedded price objects (before basil) included.
std::vector<std::string> prices_of(const Json& invoice);
// Whole price objects embedded in an object: subscription items, invoice lines. Each has an id.
std::vector<Json> embedded_prices(const std::string& object_type, const Json& object);

// What each price concerned says, for people. The same terms grant the same again: none of the prices that
// both know says anything else.
using Terms = std::map<std::string, std::string>;
bool same_terms(const Terms& one, const Terms& other);

// One grant that should exist.
struct PlannedGrant {
  std::string key;                    // (invoice, line, rule); unique within an account
  Amount amount = 0;                  // what is due of it, as far as it is known; 0 = nothing
  Amount full = 0;                    // what it would be if there were no other invoices
  Instant effective_at = 0;           // 0 = as soon as it is known
  std::optional<Seconds> expires_at;  // without the slack that billing.renewal_slack adds
  bool requires_subscription = true;
  std::string subscription_id;
  std::string invoice_id;
  std::string series;
  Seconds cycle_start = 0;
  Rollover rollover;
  int priority = 50;
  std::string category = "paid";
  std::string source;  // invoice, upgrade, trial, checkout
  std::string price_id;
  std::string description;
  Terms terms;
  bool depends = false;  // its amount depends on the subscription's other invoices
  Json rule;             // what was applied: for people, kept with the grant
};

// The grants of all invoices of one subscription that are given, in any order: of all those whose times
// overlap, as they depend on each other. A line whose price is not in the catalogue plans nothing.
//
// - Only subscription_create, subscription_cycle (or `subscription`, its name once), subscription_update, and
//   quote_accept of a subscription. The price decides, not what was paid; but what a trial made costs nothing
//   and grants nothing here.
// - A full period grants credits x quantity. On a subscription_update, the part of it that is not covered: by
//   an earlier period of the same price and at least the quantity, or of the same item at no lower rate and
//   for no shorter period. So monthly to annual grants in full, and going back and forth nothing new. Annual
//   to monthly of the same rate or less takes nothing and grants nothing until renewal, which then ends the
//   annual lot.
// - The lot of a full period ends its item's older ones, unless it is worth less than they were: then it
//   takes their place in the series, and both go on until the next period.
// - Prorations grant what exceeds the level before, for as long as it did, as a share of the cycle; never
//   what the item was granted up to in that cycle already. Changes of one invoice count together, as they are
//   paid together: up and at once down is nothing. A downgrade takes nothing. In the invoice of the next
//   cycle, when the time is over, the lot joins that cycle's. upgrade_credits is the newest price's.
// - Credits that come by credit_interval are planned ahead. In cycles longer than a month, what a change to a
//   smaller plan or a new period has left no payment for is cut: its later intervals become 0, and those of
//   the smaller plan come instead.
// - An item that is replaced by another at the same second is the same item to these rules.
// - A grant is in the result even when its amount is 0, so that what was granted before can be taken back.
//   `full` is without the other invoices.
std::vector<PlannedGrant> plan_invoices(const std::vector<const Json*>& invoices, const Catalogue& catalogue);
// Whether the invoice counts: paid, or finalized (open, uncollectible or void too) where the price says so.
bool may_grant(const Json& invoice);
// When it was paid, else finalized, else created: what billing.grants_since is compared with.
Seconds granted_at(const Json& invoice);

// Trial credits of a subscription: once per person, so the key is "trial". The first paid period of the item
// that brought them ends them.
// The subscription is as the event told it that begins_trial.
std::optional<PlannedGrant> plan_trial(const Subscription& subscription, const Catalogue& catalogue);

// A checkout session in payment mode: a pack. Credits from the session's metadata `credits`, else from the
// prices of its line items (when expanded) or of its metadata `price_id`.
std::optional<PlannedGrant> plan_checkout(const Json& session, const Catalogue& catalogue);
std::vector<std::string> prices_of_checkout(const Json& session);

// What was paid back, in minor units.
struct Reversal {
  Amount paid = 0;
  Amount refunded = 0;        // refunds and credit notes
  Amount disputed = 0;        // open disputes whose funds are withdrawn
  Amount lost = 0;            // disputes lost
  bool void_invoice = false;  // void or uncollectible: nothing was paid after all
};
// Whether all that was paid went back for good. What is in an open dispute may still be won.
bool went_back(const Reversal& reversal);
// `charges` paid for the invoice or session, each with its refunds and disputes; null members are left out.
struct ChargeFacts {
  Json charge;                 // null when only refunds or disputes are known
  Seconds charge_created = 0;  // of the event that the charge's snapshot is from
  std::vector<Json> refunds;
  std::vector<Seconds> refund_created;  // of the events, same order
  std::vector<Json> disputes;
};
Reversal read_reversal(const Json& invoice_or_session, const std::vector<ChargeFacts>& charges,
                       const std::vector<Json>& credit_notes);
enum class DebtPolicy { dispute, always, never };  // billing.clawback_debt
// Of a grant of `amount`: what is to be taken back in all, and how much of that may become debt.
struct ReversalTarget {
  Amount target = 0;
  Amount debt_limit = 0;
};
ReversalTarget reversal_target(const Reversal& reversal, Amount amount, DebtPolicy policy);

}  // namespace billing::credits
