// Credits as readers see them: computed when something is due, never written.
#pragma once

#include <optional>
#include <string>

#include "core/credit_account.hpp"
#include "settings.hpp"

namespace billing::credits {

struct Balances {
  Amount balance = 0;
  Amount held = 0;
  Amount available = 0;
  Amount debt = 0;
  bool usable_without_subscription = false;  // some of it, at least
};

// Through SPI, in a session, at the user's own time.
Balances read_balances(const std::string& user_id, const Settings& settings, Instant now);
// At another instant, whatever test clocks show: in the future (what time alone will do), or in the past
// (what was so then).
Balances read_balances_at(const std::string& user_id, const Settings& settings, Instant as_of, Instant now);

// A state that is read now.
struct Standing {
  TimestampTz now = 0;  // the user's own
  bool has_access = false;
  const Jsonb* state = nullptr;
};

// What such a state says about credits: from the account's row alone where that tells enough, otherwise
// computed. Nothing for users without credits, whose state says so already.
std::optional<Balances> current_balances(Oid schema, const std::string& user_id, const Settings& settings,
                                         const Standing& standing);

}  // namespace billing::credits
