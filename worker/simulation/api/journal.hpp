// The account's events of the last 30 days, and to whom each has still to be told.
// https://docs.stripe.com/api/events
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "worker/simulation/books.hpp"

namespace billing::simulation {

class Journal {
 public:
  // `pending` are the endpoints that have still to acknowledge it.
  void keep(const Emitted& event, std::set<std::string> pending);
  void delivered(const std::string& event_id, const std::string& endpoint);
  // An endpoint that is no more acknowledges nothing.
  void forget(const std::string& endpoint);

  std::optional<std::string> find(const std::string& event_id) const;

  struct Query {
    std::vector<std::string> types;        // a star stands for what is left; none: all
    std::optional<bool> delivery_success;  // false: somebody has still to acknowledge it
    Seconds from = 0, until = kEndOfTime;  // created, `until` excluded
    std::size_t limit = 10;
    std::string starting_after, ending_before;
  };
  // Newest first; nothing when starting_after or ending_before is unknown.
  std::optional<Books::Page> list(const Query& query) const;

  struct Undelivered {
    Emitted event;
    std::set<std::string> endpoints;
  };
  // Oldest first.
  std::vector<Undelivered> undelivered() const;

 private:
  using Place = std::pair<Seconds, std::uint64_t>;
  struct Entry {
    std::string id, type, payload;
    std::set<std::string> pending;
  };

  static bool fits(const Entry& entry, const Query& query);

  mutable std::mutex mutex_;
  std::map<Place, Entry> entries_;
  std::unordered_map<std::string, Place> places_;
  std::uint64_t count_ = 0;
};

}  // namespace billing::simulation
