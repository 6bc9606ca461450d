#include "worker/simulation/api/journal.hpp"

#include <algorithm>

#include "worker/simulation/calendar.hpp"

namespace billing::simulation {
namespace {

constexpr Seconds kKept = 30 * kDay;

// As it is answered: how many endpoints it is still on its way to.
std::string shown(const std::string& payload, std::size_t pending) {
  constexpr std::string_view kMember = R"("pending_webhooks":)";
  std::string text = payload;
  const std::size_t place = text.rfind(kMember);
  if (place != std::string::npos) text.replace(place + kMember.size(), 1, std::to_string(pending));
  return text;
}

bool is_of(const std::string& type, const std::string& wanted) {
  const std::size_t star = wanted.find('*');
  return star == std::string::npos ? type == wanted : type.starts_with(wanted.substr(0, star));
}

}  // namespace

void Journal::keep(const Emitted& event, std::set<std::string> pending) {
  const std::lock_guard lock(mutex_);
  const Place place{event.created, ++count_};
  places_[event.id] = place;
  entries_[place] = {event.id, event.type, event.payload, std::move(pending)};
  while (entries_.begin()->first.first < entries_.rbegin()->first.first - kKept) {
    places_.erase(entries_.begin()->second.id);
    entries_.erase(entries_.begin());
  }
}

void Journal::delivered(const std::string& event_id, const std::string& endpoint) {
  const std::lock_guard lock(mutex_);
  const auto found = places_.find(event_id);
  if (found != places_.end()) entries_[found->second].pending.erase(endpoint);
}

void Journal::forget(const std::string& endpoint) {
  const std::lock_guard lock(mutex_);
  for (auto& [place, entry] : entries_) entry.pending.erase(endpoint);
}

std::optional<std::string> Journal::find(const std::string& event_id) const {
  const std::lock_guard lock(mutex_);
  const auto found = places_.find(event_id);
  if (found == places_.end()) return std::nullopt;
  const Entry& entry = entries_.at(found->second);
  return shown(entry.payload, entry.pending.size());
}

bool Journal::fits(const Entry& entry, const Query& query) {
  if (query.delivery_success && *query.delivery_success != entry.pending.empty()) return false;
  return query.types.empty() || std::any_of(query.types.begin(), query.types.end(),
                                            [&](const auto& wanted) { return is_of(entry.type, wanted); });
}

std::optional<Books::Page> Journal::list(const Query& query) const {
  const std::lock_guard lock(mutex_);
  Books::Page page;
  Place first{query.from, 0};
  Place end{query.until, 0};
  if (!query.starting_after.empty()) {
    const auto found = places_.find(query.starting_after);
    if (found == places_.end()) return std::nullopt;
    end = std::min(end, found->second);
  }
  const auto take = [&](const Entry& entry) {
    if (!fits(entry, query)) return true;
    page.has_more = page.objects.size() == query.limit;
    if (!page.has_more) page.objects.push_back(shown(entry.payload, entry.pending.size()));
    return !page.has_more;
  };
  if (!query.ending_before.empty()) {
    const auto found = places_.find(query.ending_before);
    if (found == places_.end()) return std::nullopt;
    first = std::max(first, Place{found->second.first, found->second.second + 1});
    for (auto i = entries_.lower_bound(first); i != entries_.end() && i->first < end && take(i->second);) ++i;
    std::reverse(page.objects.begin(), page.objects.end());
    return page;
  }
  auto place = std::make_reverse_iterator(entries_.lower_bound(end));
  for (; place != entries_.rend() && place->first >= first && take(place->second);) ++place;
  return page;
}

std::vector<Journal::Undelivered> Journal::undelivered() const {
  const std::lock_guard lock(mutex_);
  std::vector<Undelivered> all;
  for (const auto& [place, entry] : entries_) {
    if (entry.pending.empty()) continue;
    Emitted event;
    event.created = place.first;
    event.id = entry.id;
    event.type = entry.type;
    event.payload = entry.payload;
    all.push_back({std::move(event), entry.pending});
  }
  return all;
}

}  // namespace billing::simulation
