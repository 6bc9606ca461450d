// trial_usage: who has tried what, kept whatever becomes of the subscription.
#pragma once

#include <string>
#include <vector>

#include "functions/subscriptions.hpp"

namespace billing::trials {

// Records those of these that began with a trial. Of several tellings of one trial the earliest start stays,
// so that the order in which they come does not matter. The users' anchors are locked.
void record(const std::vector<subscriptions::Owned>& told);

// Whether somebody who had a trial and was erased comes back as this user.
bool is_known_from_before_erasure(const std::string& user_id);

}  // namespace billing::trials
