#include "worker/simulation/delivery.hpp"

#include <limits>
#include <utility>

namespace billing::simulation {
namespace {

// Streams apart from those of the accounts.
constexpr std::uint64_t kFates = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kPositions = kFates - 1;

}  // namespace

Delivery::Delivery(Source source, const DeliveryOptions& options, std::uint64_t seed)
    : source_(std::move(source)), options_(options), fates_(seed, kFates), positions_(seed, kPositions) {}

// Only what has to be compared is held.
std::size_t Delivery::capacity() const {
  if (options_.order == Order::stripe) return 1;
  const bool window = options_.order == Order::shuffled && options_.window > 0;
  return window ? options_.window : std::numeric_limits<std::size_t>::max();
}

void Delivery::fill() {
  while (!exhausted_ && waiting_.size() < capacity()) {
    if (std::optional<Emitted> event = source_())
      admit(std::move(*event));
    else
      exhausted_ = true;
  }
}

void Delivery::admit(Emitted event) {
  ++counts_.made;
  if (event.held_back) {
    ++counts_.held_back;
    last_.push_back(std::move(event));
    return;
  }
  if (fates_.chance(options_.near_duplicates)) {
    ++counts_.made;
    ++counts_.near_duplicates;
    waiting_.push_back(told_again(fates_, event));
  }
  if (fates_.chance(options_.drop)) {
    ++counts_.dropped;
    if (!options_.lose) last_.push_back(std::move(event));
    return;
  }
  if (fates_.chance(options_.duplicates)) {
    ++counts_.duplicates;
    if (options_.order == Order::stripe)
      again_.emplace(counts_.delivered + 1 + positions_.below(200), event);
    else
      waiting_.push_back(event);
  }
  waiting_.push_back(std::move(event));
}

Emitted Delivery::take() {
  if (options_.order == Order::shuffled) {
    Emitted& chosen = waiting_[positions_.below(waiting_.size())];
    std::swap(chosen, waiting_.back());
  }
  if (options_.order == Order::stripe) std::swap(waiting_.front(), waiting_.back());
  Emitted event = std::move(waiting_.back());
  waiting_.pop_back();
  return event;
}

std::optional<Emitted> Delivery::next() {
  fill();
  std::optional<Emitted> event;
  const bool due = !again_.empty() && again_.begin()->first <= counts_.delivered;
  if (due || (waiting_.empty() && !again_.empty())) {
    event = std::move(again_.begin()->second);
    again_.erase(again_.begin());
  } else if (!waiting_.empty()) {
    event = take();
  } else if (!last_.empty()) {
    event = std::move(last_.front());
    last_.pop_front();
  } else {
    return std::nullopt;
  }
  ++counts_.delivered;
  return event;
}

}  // namespace billing::simulation
