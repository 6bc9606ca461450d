#include "worker/simulation/books.hpp"

#include <algorithm>
#include <array>

namespace billing::simulation {
namespace {

// The first kOwners of them have an index of their own: the lists of one customer must not cost more because
// there are others.
constexpr std::array<std::string_view, 14> kMembers = {
    "customer", "subscription", "product", "invoice",    "charge", "payment_intent", "status",
    "active",   "lookup_key",   "email",   "event_name", "id",     "type",           "price"};
constexpr std::size_t kOwners = 3;

// An id, whole objects' ids, and what is no text as JSON writes it.
std::string member_of(const Json& object, std::string_view name) {
  const std::string key(name);
  if (key == "subscription" && !object.contains("subscription"))
    return id_of(at(at(object, "parent"), "subscription_details"), "subscription");
  if (key == "customer" && object.value("object", "") == "customer") return "";
  const Json& value = at(object, key.c_str());
  if (value.is_null()) return "";
  if (value.is_object()) return id_of(object, key.c_str());
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

bool Books::knows_member(std::string_view name) {
  return std::find(kMembers.begin(), kMembers.end(), name) != kMembers.end();
}

void Books::keep(const Emitted& event) {
  advance(event.created);
  if (event.snapshot.empty()) return;
  const Json object = Json::parse(event.snapshot);
  const std::string type = text_of(object, "object").value_or("");
  // An invoice that is only to come has no id: it cannot be asked for.
  if (!object.contains("id")) return;
  // A subscription that is "deleted" is canceled, and goes on being answered.
  put(type, object, event.type.ends_with(".deleted") && type != "subscription");
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

void Books::unplace(Shelf& shelf, const Entry& entry) {
  const Place place{entry.created, entry.number};
  shelf.by_age.erase(place);
  for (std::size_t i = 0; i < kOwners && i < entry.members.size(); ++i)
    if (const auto owner = shelf.by_owner.find(entry.members[i]); owner != shelf.by_owner.end())
      owner->second.erase(place);
}

void Books::put(const std::string& type, const Json& object, bool deleted) {
  const std::lock_guard lock(mutex_);
  Shelf& shelf = shelves_[type];
  const std::string id = text_of(object, "id").value_or("");
  const auto [found, added] = shelf.by_id.try_emplace(id);
  Entry& entry = found->second;
  if (added) {
    entry.created = time_of(object, "created").value_or(0);
    entry.number = ++count_;
  } else {
    unplace(shelf, entry);
  }
  entry.deleted = entry.deleted || deleted;
  if (entry.deleted) {
    entry.text = Json{{"id", id}, {"object", type}, {"deleted", true}}.dump();
    entry.members.clear();
    return;
  }
  entry.text = object.dump();
  entry.members.clear();
  for (const std::string_view name : kMembers) entry.members.push_back(member_of(object, name));
  const Place place{entry.created, entry.number};
  shelf.by_age[place] = &entry;
  for (std::size_t i = 0; i < kOwners; ++i)
    if (!entry.members[i].empty()) shelf.by_owner[entry.members[i]][place] = &entry;
}

void Books::remove(const std::string& type, const std::string& id) {
  const std::lock_guard lock(mutex_);
  Shelf& shelf = shelves_[type];
  const auto found = shelf.by_id.find(id);
  if (found == shelf.by_id.end()) return;
  unplace(shelf, found->second);
  shelf.by_id.erase(found);
}

std::optional<Json> Books::find(const std::string& type, const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto shelf = shelves_.find(type);
  if (shelf == shelves_.end()) return std::nullopt;
  const auto found = shelf->second.by_id.find(id);
  if (found == shelf->second.by_id.end()) return std::nullopt;
  return Json::parse(found->second.text);
}

bool Books::fits(const Entry& entry, const Query& query) {
  const auto value = [&](const std::string& name) {
    const auto place = std::find(kMembers.begin(), kMembers.end(), name) - kMembers.begin();
    return entry.members[static_cast<std::size_t>(place)];
  };
  const bool all = std::all_of(query.members.begin(), query.members.end(), [&](const auto& member) {
    return member.second.count(value(member.first)) > 0;
  });
  return all && (query.without.first.empty() || value(query.without.first) != query.without.second);
}

const Books::Places& Books::places(const Shelf& shelf, const Query& query) {
  static const Places none;
  for (std::size_t i = 0; i < kOwners; ++i) {
    const auto member = query.members.find(std::string(kMembers[i]));
    if (member == query.members.end() || member->second.size() != 1) continue;
    const auto owner = shelf.by_owner.find(*member->second.begin());
    return owner == shelf.by_owner.end() ? none : owner->second;
  }
  return shelf.by_age;
}

std::optional<Books::Page> Books::list(const Query& query) const {
  const std::lock_guard lock(mutex_);
  Page page;
  const bool goes_on = !query.starting_after.empty() || !query.ending_before.empty();
  const auto found = shelves_.find(query.type);
  if (found == shelves_.end()) return goes_on ? std::nullopt : std::optional(page);
  const Shelf& shelf = found->second;
  const Places& all = places(shelf, query);
  Place first{query.from, 0};
  Place end{query.until, 0};
  const auto place_of = [&](const std::string& id) -> std::optional<Place> {
    const auto entry = shelf.by_id.find(id);
    if (entry == shelf.by_id.end()) return std::nullopt;
    return Place{entry->second.created, entry->second.number};
  };
  if (!query.starting_after.empty()) {
    const auto place = place_of(query.starting_after);
    if (!place) return std::nullopt;
    end = std::min(end, *place);
  }
  const auto take = [&](const Entry& entry) {
    if (!fits(entry, query)) return true;
    page.has_more = page.objects.size() == query.limit;
    if (!page.has_more) page.objects.push_back(entry.text);
    return !page.has_more;
  };
  if (!query.ending_before.empty()) {
    // The other way round: what is next newer, told newest first again.
    const auto place = place_of(query.ending_before);
    if (!place) return std::nullopt;
    first = std::max(first, Place{place->first, place->second + 1});
    for (auto i = all.lower_bound(first); i != all.end() && i->first < end && take(*i->second);) ++i;
    std::reverse(page.objects.begin(), page.objects.end());
    return page;
  }
  auto place = std::make_reverse_iterator(all.lower_bound(end));
  for (; place != all.rend() && place->first >= first && take(*place->second);) ++place;
  return page;
}

}  // namespace billing::simulation
