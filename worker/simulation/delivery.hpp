// In which order, how often and whether at all events arrive.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>

#include "worker/simulation/event.hpp"

namespace billing::simulation {

enum class Order { stripe, shuffled, reversed };

struct DeliveryOptions {
  Order order = Order::stripe;
  std::size_t window = 0;      // shuffled: among so many events; 0 = among all of them
  double duplicates = 0;       // share of events that arrive a second time
  double near_duplicates = 0;  // share of changes told again under another event id
  double drop = 0;             // share of events that do not arrive when they should...
  bool lose = false;           // ...and never after, instead of at the end
};

class Delivery {
 public:
  using Source = std::function<std::optional<Emitted>()>;

  Delivery(Source source, const DeliveryOptions& options, std::uint64_t seed);

  std::optional<Emitted> next();

  struct Counts {
    std::uint64_t made = 0;  // distinct events, near duplicates included
    std::uint64_t delivered = 0, duplicates = 0, near_duplicates = 0, dropped = 0, held_back = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  std::size_t capacity() const;
  void fill();
  void admit(Emitted event);
  Emitted take();

  Source source_;
  DeliveryOptions options_;
  // Two streams, so that what is delivered does not depend on the order in which it is.
  Random fates_;
  Random positions_;
  Counts counts_;
  bool exhausted_ = false;
  std::deque<Emitted> waiting_;
  std::multimap<std::uint64_t, Emitted> again_;  // duplicates, by how many deliveries come first
  std::deque<Emitted> last_;
};

}  // namespace billing::simulation
