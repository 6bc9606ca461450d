// The agenda, the clock and the telling.
#include "worker/simulation/account.hpp"

#include <algorithm>
#include <utility>

#include "core/customer_link.hpp"

namespace billing::simulation {

Account::Account(const World& world, std::uint64_t number)
    : world_(world), random_(world.scenario.seed, number) {
  const Scenario& scenario = world.scenario;
  const Seconds length = scenario.end - scenario.start;
  shape_.livemode = scenario.livemode;
  const std::size_t version = random_.weighted({40, 40, 20});
  shape_.version = version == 0 ? kOldVersion : version == 1 ? kClover : kEndive;
  user_id_ = "user_" + std::to_string(number);
  // Most are there for most of the time.
  const double skew = static_cast<double>(random_.below(1'000'000)) / 1e6;
  at(scenario.start + 60 + static_cast<Seconds>(skew * skew * 0.9 * static_cast<double>(length)),
     [this] { arrive(); });
  if (random_.chance(scenario.upgrades))
    at(scenario.start + random_.between(0, length), [this] {
      note("api_version_changed");
      shape_.version = shape_.version.basil ? kEndive : kClover;
    });
}

void Account::at(Seconds when, std::function<void()> happening) {
  when = std::max(when, now_);
  if (when <= world_.scenario.end) agenda_.emplace(when, std::move(happening));
}

void Account::later(Seconds least, Seconds most, std::function<void()> happening) {
  at(now_ + random_.between(least, most), std::move(happening));
}

void Account::step(std::vector<Emitted>& events) {
  events_ = &events;
  const auto first = agenda_.begin();
  // What came before may have taken some seconds.
  now_ = std::max(first->first, now_ + 1);
  const std::function<void()> happening = std::move(first->second);
  agenda_.erase(first);
  burst_ = random_.chance(world_.scenario.bursts);
  if (random_.chance(world_.scenario.noise)) emit_noise();
  happening();
}

void Account::emit(std::string_view type, const Json& object, const Json& previous) {
  events_->push_back(make_event(random_, type, object, previous, now_, shape_));
  events_->back().held_back = held_back_;
  Tally::count(world_.tally.types, type);
  Tally::count(world_.tally.versions, shape_.version.name);
  const std::string object_type = text_of(object, "object").value_or("");
  if (const auto evidence = link_evidence(object_type, object)) {
    const std::string customer = object_type == "customer" ? id_of(object, "id") : id_of(object, "customer");
    if (!customer.empty() && named_.insert(customer).second)
      Tally::count(world_.tally.evidence, evidence->source);
  }
}

void Account::emit_noise() {
  if (random_.chance(0.5) || subscriptions_.empty()) {
    Tally::count(world_.tally.happenings, "unknown_event");
    events_->push_back(unknown_event(random_, now_, shape_));
  } else {
    Tally::count(world_.tally.happenings, "other_mode");
    Json subscription = to_json(subscriptions_.back(), shape_);
    events_->push_back(other_mode_event(random_, user_id_, std::move(subscription), now_, shape_));
  }
  Tally::count(world_.tally.types, events_->back().type);
}

void Account::told(Subscription& s, const std::string& status_before) {
  s.told = now_;
  s.told_version = shape_.version.name;
  if (status_before != s.status) Tally::count(world_.tally.paths, status_before + ">" + s.status);
}

}  // namespace billing::simulation
