// What the simulated account holds at this moment: the last snapshot of every object. Filled by the thread
// that makes the history and by what API calls do, read by those that answer for it.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "worker/simulation/event.hpp"

namespace billing::simulation {

class Books {
 public:
  // An event has been made.
  void keep(const Emitted& event);
  // The account has come to this time, whether anything has happened or not.
  void advance(Seconds time);

  // The account's clock: the last thing that happened, and real time from then on.
  Seconds now() const;

  // Keeps an object as it is from now on; `type` is what it says in "object". One that was deleted becomes
  // {"id", "object", "deleted": true}: found, but in no list.
  void put(const std::string& type, const Json& object, bool deleted = false);
  // It never was.
  void remove(const std::string& type, const std::string& id);
  std::optional<Json> find(const std::string& type, const std::string& id) const;

  struct Query {
    std::string type;
    std::map<std::string, std::set<std::string>>
        members;                                  // one of which each object has: customer, status...
    std::pair<std::string, std::string> without;  // and what it has not
    Seconds from = 0, until = kEndOfTime;         // created, `until` excluded
    std::size_t limit = 10;
    std::string starting_after, ending_before;
  };
  struct Page {
    std::vector<std::string> objects;  // as JSON
    bool has_more = false;
  };
  // Newest first, as Stripe lists; nothing when starting_after or ending_before is unknown.
  std::optional<Page> list(const Query& query) const;

  // By which members a list may be narrowed down.
  static bool knows_member(std::string_view name);

 private:
  struct Entry {
    Seconds created = 0;
    std::uint64_t number = 0;
    std::string text;
    std::vector<std::string> members;  // as in the table of members; empty where it has none
    bool deleted = false;
  };
  // By what is newer: created, then the order of making.
  using Place = std::pair<Seconds, std::uint64_t>;
  using Places = std::map<Place, const Entry*>;
  struct Shelf {
    std::unordered_map<std::string, Entry> by_id;
    Places by_age;
    std::map<std::string, Places, std::less<>> by_owner;  // customer, subscription or product
  };

  static void unplace(Shelf& shelf, const Entry& entry);
  static bool fits(const Entry& entry, const Query& query);
  static const Places& places(const Shelf& shelf, const Query& query);

  mutable std::mutex mutex_;
  std::map<std::string, Shelf> shelves_;
  std::uint64_t count_ = 0;
  Seconds last_ = 0;
  std::chrono::steady_clock::time_point last_at_ = std::chrono::steady_clock::now();
};

}  // namespace billing::simulation
