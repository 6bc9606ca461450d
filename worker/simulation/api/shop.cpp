#include "worker/simulation/api/shop.hpp"

#include <algorithm>
#include <limits>

namespace billing::simulation {
namespace {

// A stream apart from those of the users and of delivery.
constexpr std::uint64_t kStream = std::numeric_limits<std::uint64_t>::max() - 2;

}  // namespace

Shop::Shop(Books& books, Journal& journal, std::uint64_t seed, bool livemode)
    : books_(books), journal_(journal), random_(seed, kStream) {
  shape_.livemode = livemode;
  account = {{"id", random_.id("acct_").substr(0, 21)},
             {"object", "account"},
             {"business_profile", {{"name", "Example Ltd"}, {"url", "https://shop.example"}}},
             {"business_type", "company"},
             {"capabilities", {{"card_payments", "active"}, {"transfers", "active"}}},
             {"charges_enabled", true},
             {"country", "IE"},
             {"default_currency", "eur"},
             {"details_submitted", true},
             {"email", "owner@shop.example"},
             {"metadata", Json::object()},
             {"payouts_enabled", true},
             {"requirements",
              {{"currently_due", Json::array()}, {"disabled_reason", nullptr}, {"past_due", Json::array()}}},
             {"settings", {{"dashboard", {{"display_name", "Example"}, {"timezone", "Etc/UTC"}}}}},
             {"type", "standard"}};
}

std::optional<Json> Shop::find(std::string_view type, const std::string& id) const {
  return books_.find(std::string(type), id);
}

Json Shop::get(std::string_view type, const std::string& id, const std::string& param, int status) const {
  std::optional<Json> object = find(type, id);
  if (!object || flag_of(*object, "deleted")) throw no_such(type, id, param, status);
  return *std::move(object);
}

std::vector<Json> Shop::all(const std::string& type, const char* member, const std::string& value) const {
  Books::Query query;
  query.type = type;
  query.limit = std::numeric_limits<std::size_t>::max();
  if (*member != '\0') query.members[member] = {value};
  std::vector<Json> objects;
  const auto page = books_.list(query);
  if (page)
    for (const std::string& text : page->objects) objects.push_back(Json::parse(text));
  return objects;
}

void Shop::keep(const Json& object) {
  books_.put(object.at("object").get<std::string>(), object, flag_of(object, "deleted"));
}

void Shop::remove(const Json& object) {
  books_.remove(object.at("object").get<std::string>(), object.at("id").get<std::string>());
}

void Shop::tell(std::string_view event, const Json& object) {
  emit(event, object, nullptr);
  if (object.contains("id")) keep(object);
}

bool Shop::change(std::string_view event, Json& object, const std::function<void(Json&)>& make) {
  const Json before = object;
  make(object);
  const Json previous = difference(before, object);
  if (previous.empty()) return false;
  emit(event, object, previous);
  keep(object);
  return true;
}

void Shop::emit(std::string_view type, const Json& object, const Json& previous) {
  Emitted event;
  event.created = now();
  event.id = make_id("evt_");
  event.type = type;
  event.payload = event_payload(event.id, type, object, previous, event.created, shape_, cause_);
  std::set<std::string> pending;
  for (const auto& [id, target] : targets_)
    if (target.enabled && (target.types.count("*") > 0 || target.types.count(event.type) > 0))
      pending.insert(id);
  journal_.keep(event, pending);
  if (!delivering_ || !send_) return;
  for (const std::string& target : pending) send_(event, target);
}

std::size_t Shop::send_again() {
  std::size_t count = 0;
  for (const Journal::Undelivered& undelivered : journal_.undelivered()) {
    for (const std::string& target : undelivered.endpoints) {
      if (send_) send_(undelivered.event, target);
      ++count;
    }
  }
  return count;
}

void Shop::at(Seconds when, std::function<void()> happening) {
  agenda_.emplace(std::max(when, now()), std::move(happening));
}

void Shop::run_due() {
  const Seconds until = books_.now();
  const Cause cause = std::exchange(cause_, Cause{});
  while (!agenda_.empty() && agenda_.begin()->first <= until) {
    const auto first = agenda_.begin();
    pinned_ = first->first;
    const std::function<void()> happening = std::move(first->second);
    agenda_.erase(first);
    happening();
  }
  pinned_.reset();
  cause_ = cause;
}

void Shop::travel(Seconds to) {
  if (prepare_) std::exchange(prepare_, nullptr)();
  books_.advance(to);
  run_due();
}

}  // namespace billing::simulation
