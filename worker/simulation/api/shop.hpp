// The account while it is served: its objects as what API calls, payers and the passing of time make of them.
// Every change of an object is told by an event. One thread only.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "worker/simulation/api/call.hpp"
#include "worker/simulation/api/journal.hpp"

namespace billing::simulation {

// Who is told of events.
struct Target {
  std::string url, secret;
  std::set<std::string> types;  // "*" is all of them
  bool enabled = true;
};

class Shop {
 public:
  Shop(Books& books, Journal& journal, std::uint64_t seed, bool livemode);
  Shop(const Shop&) = delete;
  Shop& operator=(const Shop&) = delete;

  // Its clock. Within what is due it stands still at the time for which that was planned.
  Seconds now() const { return pinned_ ? *pinned_ : books_.now(); }
  const Shape& shape() const { return shape_; }
  const Books& books() const { return books_; }
  Journal& journal() { return journal_; }
  Random& random() { return random_; }
  std::string make_id(std::string_view prefix) { return random_.id(prefix); }

  std::optional<Json> find(std::string_view type, const std::string& id) const;
  // Throws CallError: no such object.
  Json get(std::string_view type, const std::string& id, const std::string& param = "id",
           int status = 404) const;
  // Nothing but the parameter's name and value say which one is meant.
  Json get_named(std::string_view type, const std::string& id, const std::string& param) const {
    return get(type, id, param, 400);
  }
  std::vector<Json> all(const std::string& type, const char* member, const std::string& value) const;

  // Keeps an object without a word.
  void keep(const Json& object);
  void remove(const Json& object);
  // An event about the object as it is, which is kept so.
  void tell(std::string_view event, const Json& object);
  // Changes an object and tells how it was before; nothing is told when nothing has changed.
  bool change(std::string_view event, Json& object, const std::function<void(Json&)>& make);

  // What is no part of any snapshot, by the object's id.
  Json& note(const std::string& id) { return notes_[id]; }

  // Time: what is planned, what is due, and a leap ahead.
  void at(Seconds when, std::function<void()> happening);
  void run_due();
  void travel(Seconds to);
  // Called before the first leap: whatever was there before the account was served has its own plans.
  void before_travel(std::function<void()> prepare) { prepare_ = std::move(prepare); }

  // Webhooks.
  std::map<std::string, Target>& targets() { return targets_; }
  void set_delivering(bool delivering) { delivering_ = delivering; }
  bool delivering() const { return delivering_; }
  void on_send(std::function<void(const Emitted&, const std::string& target)> send) {
    send_ = std::move(send);
  }
  // Everything that somebody has not acknowledged, once more. Returns how much that is.
  std::size_t send_again();

  void set_cause(Cause cause) { cause_ = std::move(cause); }
  void set_url(std::string url) { url_ = std::move(url); }
  const std::string& url() const { return url_; }

  // What tests switch by hand.
  std::set<std::string> declining;  // customers whose cards are declined
  Json account;

 private:
  void emit(std::string_view event, const Json& object, const Json& previous);

  Books& books_;
  Journal& journal_;
  Random random_;
  Shape shape_;
  std::string url_;
  Cause cause_;
  std::map<std::string, Json> notes_;
  std::multimap<Seconds, std::function<void()>> agenda_;
  std::optional<Seconds> pinned_;
  std::function<void()> prepare_;
  std::map<std::string, Target> targets_;
  bool delivering_ = true;
  std::function<void(const Emitted&, const std::string&)> send_;
};

}  // namespace billing::simulation
