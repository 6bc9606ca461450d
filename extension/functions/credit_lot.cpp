#include "functions/credit_lot.hpp"

namespace billing::credits {

Lot lot_of(const PlannedGrant& grant, bool followed, const Settings& settings) {
  Lot lot;
  lot.amount = grant.amount;
  lot.priority = grant.priority;
  lot.effective_at = grant.effective_at;
  if (grant.expires_at)
    lot.expires_at =
        instant(followed ? *grant.expires_at : later_by(*grant.expires_at, settings.access.renewal_slack));
  lot.requires_subscription = grant.requires_subscription;
  lot.subscription_id = grant.subscription_id;
  lot.series = grant.series;
  lot.cycle_start = instant(grant.cycle_start);
  lot.rollover = grant.rollover;
  lot.category = grant.category;
  lot.source = grant.source;
  lot.key = grant.key;
  lot.invoice_id = grant.invoice_id;
  lot.rule = grant.rule;
  if (!grant.terms.empty()) lot.rule["terms"] = grant.terms;
  if (grant.full > grant.amount) lot.rule["full"] = grant.full;
  return lot;
}

}  // namespace billing::credits
