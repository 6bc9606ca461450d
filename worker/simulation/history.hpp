// The history of a whole Stripe account: everybody's events, in the order in which they were made.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <queue>
#include <vector>

#include "worker/simulation/account.hpp"

namespace billing::simulation {

class History {
 public:
  // The end may be left 0: it is `months` after the start then.
  explicit History(const Scenario& scenario);
  History(const History&) = delete;
  History& operator=(const History&) = delete;

  // The next event; nothing at the end. Only what the agendas hold is in memory.
  std::optional<Emitted> next();

  // Complete once next() has returned nothing.
  const Tally& tally() const { return tally_; }
  const std::deque<Account>& accounts() const { return accounts_; }
  const Scenario& scenario() const { return scenario_; }
  // The end of the history, or its last event when that is later.
  Seconds end() const { return end_; }

 private:
  struct Ready {
    std::uint64_t number;  // of events made, so that those of one second keep their order
    Emitted event;
    bool operator>(const Ready& other) const {
      return event.created != other.event.created ? event.created > other.event.created
                                                  : number > other.number;
    }
  };
  struct Due {
    Seconds when;
    std::size_t account;
    bool operator>(const Due& other) const {
      return when != other.when ? when > other.when : account > other.account;
    }
  };
  template <typename T>
  using Earliest = std::priority_queue<T, std::vector<T>, std::greater<>>;

  void add(std::vector<Emitted>& events);

  Scenario scenario_;
  Tally tally_;
  Random random_;
  Catalogue catalogue_;
  std::deque<Account> accounts_;
  Earliest<Due> due_;
  Earliest<Ready> ready_;
  std::vector<Emitted> made_;
  std::uint64_t count_ = 0;
  Seconds end_ = 0;
};

}  // namespace billing::simulation
