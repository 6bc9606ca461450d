// One client connection: reads requests within their limits and deadlines, and answers each in turn.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <variant>

#include "worker/batcher.hpp"
#include "worker/pages.hpp"
#include "worker/request.hpp"
#include "worker/response.hpp"
#include "worker/runtime.hpp"
#include "worker/transport.hpp"

namespace billing::worker {

class Session;

// The open sessions. Deadlines are looked at here, a few times a second for all of them, which costs a request
// nothing but a stored time.
class Sessions {
 public:
  void sweep(Clock::time_point now);
  // Ends the connections that are between two requests.
  void end_idle();
  std::size_t size() const { return open_.size(); }

 private:
  friend class Session;
  std::unordered_set<Session*> open_;
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Runtime& runtime, Batcher& batcher, const Pages& pages, std::shared_ptr<Sessions> sessions,
          Transport transport);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void start();

 private:
  friend class Sessions;

  // What reading ended with, when it did not end well.
  struct Gone {};
  template <typename Value>
  using Read = std::variant<Value, Refusal, Gone>;

  // What a request is told, and what the log is told about it.
  struct Exchange {
    Clock::time_point started;
    Clock::time_point deadline;
    RequestHead head;
    Response response;
    std::string event_id;
    std::string event_type;
  };

  boost::asio::awaitable<void> run();
  boost::asio::awaitable<bool> serve_one();
  boost::asio::awaitable<bool> first_byte();
  boost::asio::awaitable<Read<RequestHead>> read_head(Exchange& exchange);
  boost::asio::awaitable<Read<std::string>> read_body(Exchange& exchange);
  boost::asio::awaitable<void> handle(Exchange& exchange);
  boost::asio::awaitable<std::optional<Refusal>> accept_webhook(Exchange& exchange, const Endpoint& endpoint);
  void refuse(Exchange& exchange, const Refusal& refusal);
  void lose(Exchange& exchange);
  boost::asio::awaitable<bool> respond(Exchange& exchange);
  boost::asio::awaitable<void> part();

  bool timed_out(const char* what, Clock::time_point limit) const;
  bool hold(std::size_t bytes);
  void release();

  Runtime& runtime_;
  Batcher& batcher_;
  const Pages& pages_;
  std::shared_ptr<Sessions> sessions_;
  std::shared_ptr<const Config> config_;  // as it was when the request began
  Transport transport_;
  std::string input_;  // read and not used yet
  std::size_t held_ = 0;
  Clock::time_point deadline_;
  bool late_ = false;
  bool idle_ = false;
  bool ending_ = false;
};

}  // namespace billing::worker
