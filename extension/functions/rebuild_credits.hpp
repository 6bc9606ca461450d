// Grants of credits in a rebuild: those that events determine, and what is missing of them.
#pragma once

#include <string>
#include <vector>

#include "settings.hpp"

namespace billing::rebuild {

inline constexpr const char* kCreditGrants = "credit_grants";

// Key, image and version of the grants of the users of customers $1, but for those made by hand. The image is
// what the events determine: not what became of the grant, nor when it was written down.
#define GRANTS_OF_CUSTOMERS                                                                            \
  "SELECT jsonb_build_object('user_id', g.user_id, 'grant_key', g.grant_key)::text,"                   \
  "  jsonb_build_object('user_id', g.user_id, 'grant_key', g.grant_key, 'amount', g.amount,"           \
  "   'category', g.category, 'source', g.source, 'stripe_subscription_id', g.stripe_subscription_id," \
  "   'stripe_invoice_id', g.stripe_invoice_id, 'series', g.series, 'cycle_start', g.cycle_start,"     \
  "   'rollover', g.rollover, 'rule', g.rule, 'requires_subscription', g.requires_subscription,"       \
  "   'priority', g.priority)::text, g.xmin::text"                                                     \
  " FROM @credit_grants g WHERE g.source <> 'manual' AND g.grant_key NOT LIKE '%:manual' "             \
  "AND g.user_id IN"                                                                                   \
  "  (SELECT l.user_id FROM @stripe_customer_links l WHERE l.stripe_customer_id = ANY ($1))"

// Grants what the mirror and the stored events of these customers determine and is not there, by the code
// that grants always. Their links are locked.
void follow_credits(const std::vector<std::string>& customers, const Settings& settings);

}  // namespace billing::rebuild
