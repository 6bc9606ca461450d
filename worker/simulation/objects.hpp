// The objects of a simulated Stripe account: what there is to say about each, whatever the API version.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/instant.hpp"

namespace billing::simulation {

using Metadata = std::map<std::string, std::string>;
using Time = std::optional<Seconds>;

struct Period {
  Seconds start = 0;
  Seconds end = 0;
};

struct Product {
  std::string id, name, description;
  Seconds created = 0, updated = 0;
  Metadata metadata;
};

struct Price {
  std::string id, product, nickname, lookup_key;
  std::int64_t unit_amount = 0;  // in cents
  int months = 1;                // 12 for a yearly price
  Seconds created = 0;
  bool active = true;
  Metadata metadata;
  // Not part of the snapshot: what its metadata, or its product's, come to.
  std::int64_t credits = 0;  // a month and unit
  std::int64_t trial_credits = 0;
};

// What names the user of a customer.
enum class Evidence { checkout, late_checkout, subscription, invoice, customer, none };

struct Customer {
  std::string id, email, name, phone, country;
  std::string payment_method;  // the default one
  Metadata metadata;
  Seconds created = 0;
  bool delinquent = false;
  // Not part of the snapshot:
  bool deleted = false;
  Evidence evidence = Evidence::none;
};

struct PaymentMethod {
  std::string id, customer, last4;
  std::int64_t expires = 0;  // year
  Seconds created = 0;
};

struct Phase {
  const Price* price = nullptr;
  std::int64_t quantity = 1;
  Period period;
};

struct Schedule {
  std::string id, customer, subscription, status = "active", end_behavior = "release";
  std::vector<Phase> phases;
  std::size_t current = 0;
  Seconds created = 0;
  Time over;  // released, canceled or completed

  bool running() const { return status == "active"; }
};

struct Item {
  std::string id;
  const Price* price = nullptr;
  std::int64_t quantity = 1;
  Seconds created = 0;
  Seconds start = 0;  // its period ends with the subscription's
};

struct Line {
  std::string id, item, description;
  const Price* price = nullptr;
  std::int64_t quantity = 1;
  std::int64_t amount = 0;
  Period period;
  bool proration = false;
};

// What one invoice paid for.
struct Paid {
  Seconds until = 0;
  bool returned = false;  // refunded in full, or lost in a dispute
  std::string invoice;
  Seconds created = 0;          // the invoice
  std::int64_t credits = 0;     // of its whole periods, prorations aside
  bool by_interval = false;     // they come month by month, and a change ends what has still to come
  bool partly_covered = false;  // another period's credits may stand for some of them
};

struct Subscription {
  std::string id, customer, status, latest_invoice, payment_method, pause_behavior, cancellation_reason;
  Metadata metadata;
  std::vector<Item> items;
  Seconds created = 0;
  Seconds anchor = 0;
  Period period;
  Time trial_start, trial_end, cancel_at, canceled_at, ended_at, resumes_at;
  bool cancel_at_period_end = false;
  bool by_invoice = false;       // collection_method send_invoice
  Schedule* schedule = nullptr;  // the one that steers it
  // Not part of the snapshot:
  Customer* owner = nullptr;
  std::vector<Line> pending;      // prorations for the next invoice
  std::set<std::string> overdue;  // invoices
  std::vector<std::shared_ptr<Paid>> paid;
  Time items_changed;  // the last time
  unsigned cycle = 0;  // counts up when a planned renewal is no longer the right one
  Seconds told = 0;    // time and API version of its last event
  std::string_view told_version;

  bool live() const { return status != "canceled" && status != "incomplete_expired"; }
  bool runs() const { return status == "active" || status == "trialing"; }
  bool ending() const { return cancel_at_period_end || cancel_at.has_value(); }
  int months() const { return items.front().price->months; }
};

struct Invoice {
  std::string id, number, customer, reason, status = "draft";
  std::string subscription;  // "" for a one-off
  Metadata subscription_metadata;
  std::vector<Line> lines;
  Seconds created = 0;
  Period period;
  std::int64_t amount_paid = 0;
  int attempts = 0;
  bool by_invoice = false;
  Time next_attempt, due, finalized, paid, voided, uncollectible;
  std::string payment_intent, charge, payment;  // pi_..., ch_..., inpay_...

  std::int64_t total() const {
    std::int64_t sum = 0;
    for (const Line& line : lines) sum += line.amount;
    return sum;
  }
  std::int64_t amount_due() const { return total() > 0 ? total() : 0; }
};

struct PaymentIntent {
  std::string id, customer, invoice, status = "requires_payment_method", method, charge, error;
  std::int64_t amount = 0;
  Seconds created = 0;
  Time canceled;
};

struct Refund {
  std::string id, charge, payment_intent, status = "succeeded", reason;
  std::int64_t amount = 0;
  Seconds created = 0;
};

struct Charge {
  std::string id, customer, invoice, payment_intent, status = "succeeded", method, failure, dispute;
  std::int64_t amount = 0;
  std::vector<Refund> refunds;
  Seconds created = 0;

  std::int64_t amount_refunded() const {
    std::int64_t sum = 0;
    for (const Refund& refund : refunds)
      if (refund.status != "failed") sum += refund.amount;
    return sum;
  }
};

struct Dispute {
  std::string id, charge, payment_intent, status = "needs_response", reason;
  std::int64_t amount = 0;
  std::vector<std::int64_t> transactions;  // what moved, in cents
  Seconds created = 0;
};

struct CheckoutSession {
  std::string id, customer, subscription, invoice, user_id, email;
  std::string status = "complete", payment_status = "paid";
  std::int64_t amount = 0;
  Seconds created = 0;
};

// The payment of an invoice, an object of its own since basil.
struct InvoicePayment {
  const Invoice& invoice;
};

}  // namespace billing::simulation
