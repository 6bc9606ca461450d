// billing_notifications: what applications are told of their users, written in the transaction of what
// happened.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/credit_account.hpp"
#include "core/notification.hpp"
#include "functions/work.hpp"
#include "settings.hpp"

namespace billing::notifications {

// While one exists nothing is written: what a rebuild, or taking over old data, brings about is no news.
class Silence {
 public:
  Silence() { ++depth_; }
  ~Silence() { --depth_; }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;
  static bool holds() { return depth_ > 0; }

 private:
  static int depth_;
};

struct Entry {
  std::string user_id;
  Notice notice;
  std::string event_id;  // "" when no event told of it
  std::string account;   // Stripe's, of an invoice's event
};

// What happened before is history: billing.notify_since, for a user whose customer was imported the import.
Seconds since(const Settings& settings);

// Writes those that are not there yet, and wakes whoever delivers them.
void write(const std::vector<Entry>& entries, const Settings& settings);

// What brings about that states are computed anew.
struct Occasion {
  enum class Kind {
    event,  // Stripe's events
    hand,   // somebody's call
    time,   // nothing but time, as far as is known
  } kind = Kind::time;
  struct Cause {
    std::string event_id;
    Seconds created = 0;  // of the newest event
    Seconds since = 0;    // what is older is history for this user
  };
  std::map<std::string, Cause> causes;  // by user
};

// What a batch of events tells, beside what it makes of users' access.
class News {
 public:
  explicit News(const Settings& settings) : settings_(settings) { occasion_.kind = Occasion::Kind::event; }
  // Takes note of an event of a user, whose effect may come now or later. What is older than `imported_at`
  // was told by another system.
  void hear(const std::string& user_id, const Work& work, const std::optional<Instant>& imported_at);
  // What an event itself tells that has its effect now.
  void tell(const std::string& user_id, const Work& work);
  // What payments tell; `events` are those that bring an object, by its id.
  void add(const std::string& user_id, std::vector<Notice> notices,
           const std::map<std::string, const Event*>& events);
  const Occasion& occasion() const { return occasion_; }
  void write();

 private:
  const Settings& settings_;
  Occasion occasion_;
  std::vector<Entry> entries_;
};

// The anchor of a user, with what was told of the user's access.
struct Anchor {
  Json told;
  std::optional<Instant> due;
};

// Collects what is told of users whose states are computed, and keeps what was told in their anchors.
class AccessTeller {
 public:
  AccessTeller(const Occasion& occasion, const Settings& settings)
      : occasion_(occasion), settings_(settings) {}
  void judge(const std::string& user_id, const Anchor& anchor, const Json& state, const UserState& user,
             const std::vector<Subscription>& subscriptions, const std::vector<AccessGrant>& grants,
             Instant now, std::optional<Instant> clock_time);
  void write();

 private:
  bool is_history(const std::string& user_id);

  const Occasion& occasion_;
  const Settings& settings_;
  std::vector<Entry> entries_;
  std::map<std::string, Anchor> changed_;
};

// Tells of the accounts whose balance has fallen to a threshold, and notes it in them. Before they are saved.
void tell_of_low_credits(const std::vector<credits::Account*>& accounts);

}  // namespace billing::notifications
