// What the simulated account holds at this moment: the last snapshot of every object, and its events. Filled
// by the thread that makes the history, read by those that answer for it.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>
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

  // `type` as in an object's "object". What was deleted is {"id", "object", "deleted": true}.
  std::optional<Json> find(const std::string& type, const std::string& id) const;

  struct Query {
    std::string type;
    std::map<std::string, std::string> members;   // what the objects must have: customer, status...
    std::pair<std::string, std::string> without;  // and what they must not
    Seconds from = 0, until = kEndOfTime;         // created, `until` excluded
    std::size_t limit = 10;
    std::string starting_after;
  };
  struct Page {
    std::vector<Json> objects;
    bool has_more = false;
  };
  // Newest first, as Stripe lists; nothing when starting_after is unknown.
  std::optional<Page> list(const Query& query) const;

 private:
  struct Entry {
    Seconds created = 0;
    std::uint64_t number = 0;
    Json object;
    bool deleted = false;
  };
  // By what is newer: created, then the order of making.
  using Place = std::pair<Seconds, std::uint64_t>;
  struct Shelf {
    std::map<std::string, Entry> by_id;
    std::map<Place, std::string> by_age;
  };

  void put(const std::string& type, Json object, bool deleted);

  mutable std::mutex mutex_;
  std::map<std::string, Shelf> shelves_;
  std::uint64_t count_ = 0;
  Seconds last_ = 0;
  std::chrono::steady_clock::time_point last_at_ = std::chrono::steady_clock::now();
};

}  // namespace billing::simulation
