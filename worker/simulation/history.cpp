#include "worker/simulation/history.hpp"

#include <algorithm>

namespace billing::simulation {
namespace {

Scenario with_end(Scenario scenario) {
  if (scenario.end == 0) scenario.end = add_months(scenario.start, scenario.months);
  return scenario;
}

}  // namespace

History::History(const Scenario& scenario)
    : scenario_(with_end(scenario)),
      random_(scenario.seed, 0),
      catalogue_(random_, scenario.start),
      end_(scenario_.end) {
  const Shape shape{kClover, scenario_.livemode};
  std::vector<Emitted> events = catalogue_.events(random_, scenario_.end, shape);
  for (Emitted& event : events) {
    if (scenario_.snapshots) event.snapshot = Json::parse(event.payload)["data"]["object"].dump();
    Tally::count(tally_.types, event.type);
    Tally::count(tally_.versions, shape.version.name);
  }
  add(events);
  for (std::uint64_t number = 1; number <= scenario_.customers; ++number) {
    accounts_.emplace_back(World{scenario_, catalogue_, tally_}, number);
    due_.push({accounts_.back().next(), accounts_.size() - 1});
  }
}

void History::add(std::vector<Emitted>& events) {
  for (Emitted& event : events) {
    end_ = std::max(end_, event.created);
    ready_.push({count_++, std::move(event)});
  }
  events.clear();
}

std::optional<Emitted> History::next() {
  // An event is next when nothing earlier can happen any more.
  while (!due_.empty() && (ready_.empty() || ready_.top().event.created >= due_.top().when)) {
    const Due due = due_.top();
    due_.pop();
    Account& account = accounts_[due.account];
    if (due.when == kEndOfTime) continue;
    account.step(made_);
    add(made_);
    due_.push({account.next(), due.account});
  }
  if (ready_.empty()) return std::nullopt;
  // The queue gives up its top only as a constant.
  Emitted event = std::move(const_cast<Ready&>(ready_.top()).event);
  ready_.pop();
  return event;
}

}  // namespace billing::simulation
