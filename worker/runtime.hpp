// What the parts of a running worker share. One thread, hence no locks.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>

#include "worker/config.hpp"
#include "worker/metrics.hpp"

namespace billing::worker {

using Clock = std::chrono::steady_clock;

// Bytes of request bodies in memory, from the first one read to the answer.
class Budget {
 public:
  bool take(std::size_t bytes, std::size_t limit) {
    if (used_ + bytes > limit) return false;
    used_ += bytes;
    return true;
  }
  void give_back(std::size_t bytes) { used_ -= bytes; }
  std::size_t used() const { return used_; }

 private:
  std::size_t used_ = 0;
};

struct Runtime {
  explicit Runtime(std::shared_ptr<const Config> settings) : config(std::move(settings)) {}

  std::shared_ptr<const Config> config;  // replaced at SIGHUP; who needs it for longer keeps a copy
  Metrics metrics;
  Budget bodies;
  bool draining = false;
  // Last, so that what still waits in it when the worker ends goes before what it refers to.
  boost::asio::io_context io{1};
};

}  // namespace billing::worker
