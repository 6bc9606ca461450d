// The keys of the settings and of the key set they name, which changes while we run.
#pragma once

#include <sys/types.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <string>

#include "worker/api/jwk.hpp"
#include "worker/api/settings.hpp"
#include "worker/stripe/transfer.hpp"

namespace billing::worker::api {

class Keys {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Keys(boost::asio::io_context& io);

  // The settings must last until there is an answer.
  //
  // A set at a URL is fetched when it is first needed, and again after ten minutes; a file whenever it has
  // changed. What cannot be had leaves the keys that were there.
  boost::asio::awaitable<KeySet> current(const Settings& settings);
  // After a token with a key that is not known: providers sign with new keys at once. At most every ten
  // seconds, whoever asks: anybody can make up the id of a key.
  boost::asio::awaitable<KeySet> renewed(const Settings& settings);

 private:
  void look_at_file(const Settings& settings);
  boost::asio::awaitable<void> fetch(std::string url, Clock::duration not_within);

  stripe::Transfers transfers_;
  boost::asio::steady_timer fetched_;
  bool fetching_ = false;
  std::string source_;  // what the keys are from
  KeySet keys_;
  Clock::time_point tried_{};
  Clock::time_point renewed_{};
  struct timespec file_time_ {};
  off_t file_size_ = -1;
};

}  // namespace billing::worker::api
