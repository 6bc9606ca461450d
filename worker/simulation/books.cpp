#include "worker/simulation/books.hpp"

#include <algorithm>

namespace billing::simulation {

void Books::keep(const Emitted& event) {
  advance(event.created);
  const std::lock_guard lock(mutex_);
  if (event.snapshot.empty()) return;
  Json object = Json::parse(event.snapshot);
  const std::string type = text_of(object, "object").value_or("");
  // An invoice that is only to come has no id: it cannot be asked for.
  if (!object.contains("id")) return;
  // A subscription that is "deleted" is canceled, and goes on being answered.
  put(type, std::move(object), event.type.ends_with(".deleted") && type != "subscription");
}

void Books::advance(Seconds time) {
  const std::lock_guard lock(mutex_);
  if (time <= last_) return;
  last_ = time;
  last_at_ = std::chrono::steady_clock::now();
}

Seconds Books::now() const {
  const std::lock_guard lock(mutex_);
  const auto since = std::chrono::steady_clock::now() - last_at_;
  return last_ + std::chrono::duration_cast<std::chrono::seconds>(since).count();
}

void Books::put(const std::string& type, Json object, bool deleted) {
  Shelf& shelf = shelves_[type];
  const std::string id = text_of(object, "id").value_or("");
  const auto [found, added] = shelf.by_id.try_emplace(id);
  Entry& entry = found->second;
  if (added) {
    entry.created = time_of(object, "created").value_or(0);
    entry.number = ++count_;
    shelf.by_age[{entry.created, entry.number}] = id;
  }
  entry.deleted = entry.deleted || deleted;
  entry.object = entry.deleted ? Json{{"id", id}, {"object", type}, {"deleted", true}} : std::move(object);
  if (entry.deleted) shelf.by_age.erase({entry.created, entry.number});
}

std::optional<Json> Books::find(const std::string& type, const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto shelf = shelves_.find(type);
  if (shelf == shelves_.end()) return std::nullopt;
  const auto found = shelf->second.by_id.find(id);
  if (found == shelf->second.by_id.end()) return std::nullopt;
  return found->second.object;
}

std::optional<Books::Page> Books::list(const Query& query) const {
  const std::lock_guard lock(mutex_);
  Page page;
  const auto found = shelves_.find(query.type);
  if (found == shelves_.end()) return query.starting_after.empty() ? std::optional(page) : std::nullopt;
  const Shelf& shelf = found->second;
  auto place = std::make_reverse_iterator(shelf.by_age.lower_bound({query.until, 0}));
  if (!query.starting_after.empty()) {
    const auto last = shelf.by_id.find(query.starting_after);
    if (last == shelf.by_id.end()) return std::nullopt;
    place = std::make_reverse_iterator(shelf.by_age.lower_bound({last->second.created, last->second.number}));
  }
  for (; place != shelf.by_age.rend() && place->first.first >= query.from; ++place) {
    const Json& object = shelf.by_id.at(place->second).object;
    const bool fits = std::all_of(query.members.begin(), query.members.end(), [&](const auto& member) {
      return text_of(object, member.first.c_str()) == member.second;
    });
    const auto& [name, value] = query.without;
    if (!fits || (!name.empty() && text_of(object, name.c_str()) == value)) continue;
    if (page.objects.size() == query.limit) {
      page.has_more = true;
      break;
    }
    page.objects.push_back(object);
  }
  return page;
}

}  // namespace billing::simulation
