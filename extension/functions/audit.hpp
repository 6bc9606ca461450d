// audit_logs: what happened to users, one row per fact.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/activity.hpp"
#include "core/event.hpp"

namespace billing::audit {

struct Entry {
  std::string user_id;  // "" for the installation as a whole
  std::string fact;     // natural key
  std::string action;
  std::string subject;
  std::string actor;
  std::string reason;
  std::string event_id;
  std::optional<Seconds> event_created;
  Json details = Json::object();
  bool replaces = false;  // stands for what was told before, also where that was earlier
};

Entry told_by(const std::string& user_id, const Activity& activity, const Event& event);
// An entry of something done by hand, which happens anew each time.
Entry done_by_hand(const std::string& user_id, const std::string& action, const std::string& subject,
                   const std::string& reason);

// Of several tellings of one fact the earliest event is kept, whichever came first.
void write(std::vector<Entry> entries);

}  // namespace billing::audit
