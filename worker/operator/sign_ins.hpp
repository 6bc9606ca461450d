// Who is signed in to the operator's page. All in memory: a restart signs everybody out.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace billing::worker::operators {

// Of tokens and of cookies the SHA-256 is kept, in hex, and compared.
struct SignIn {
  using Clock = std::chrono::steady_clock;
  std::string token;  // its digest: who takes a token out of the settings ends what it opened
  std::string form_key;
  Clock::time_point opened;
  Clock::time_point seen;
  std::string notice;  // shown once, on the next page
};

class SignIns {
 public:
  using Clock = SignIn::Clock;
  static constexpr auto kLongest = std::chrono::hours(12);
  static constexpr auto kIdle = std::chrono::hours(1);

  // The digest of the token among `tokens` that this one is, in constant time; "" when it is none.
  static std::string recognise(std::string_view given, const std::vector<std::string>& tokens);

  // Whether another try is allowed from this address: ten wrong ones a minute are enough for anybody.
  bool may_try(const std::string& remote, Clock::time_point now);
  void note_failure(const std::string& remote, Clock::time_point now);

  // Returns the value for the cookie, 256 random bits.
  std::string open(std::string token, Clock::time_point now);
  // The one of this cookie, as long as it lasts and its token is still one of `tokens`.
  SignIn* find(std::string_view cookie, const std::vector<std::string>& tokens, Clock::time_point now);
  void close(std::string_view cookie);

 private:
  std::map<std::string, SignIn> open_;  // by the digest of the cookie's value
  std::map<std::string, std::deque<Clock::time_point>> failures_;
};

// Says whether two texts are the same in a time that does not tell where they differ.
bool same(std::string_view one, std::string_view other);

}  // namespace billing::worker::operators
