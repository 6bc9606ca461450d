// One client connection: reads requests within their limits and deadlines, and answers each in turn.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>
#include <unordered_set>

#include "worker/api/api.hpp"
#include "worker/batcher.hpp"
#include "worker/pages.hpp"
#include "worker/request.hpp"
#include "worker/response.hpp"
#include "worker/runtime.hpp"
#include "worker/transport.hpp"

namespace billing::worker {

class Session;

// The open sessions. Deadlines are looked at here, a few times a second for all of them, which costs a
// request nothing but a stored time.
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
  Session(Runtime& runtime, Batcher& batcher, const Pages& pages, api::Api& api,
          std::shared_ptr<Sessions> sessions, Transport transport);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void start();

 private:
  friend class Sessions;

  // A request on its way through: what is known of it, and the answer.
  struct Exchange {
    Clock::time_point started;
    Clock::time_point deadline;
    RequestHead head;
    bool is_page = false;              // no webhook
    const api::Route* call = nullptr;  // of the API
    bool body_unread = false;
    bool gone = false;  // the client left: nobody to answer
    Response response;
    std::string event_id;
    std::string event_type;
  };

  boost::asio::awaitable<void> run();
  boost::asio::awaitable<bool> serve_one();
  boost::asio::awaitable<bool> first_byte();
  // These answer by themselves and return false when the request does not get further.
  boost::asio::awaitable<bool> read_head(Exchange& exchange);
  boost::asio::awaitable<bool> read_body(Exchange& exchange, std::size_t limit, std::string& body);
  boost::asio::awaitable<void> handle(Exchange& exchange);
  boost::asio::awaitable<void> take_webhook(Exchange& exchange, const Endpoint& endpoint);
  boost::asio::awaitable<void> take_call(Exchange& exchange);
  boost::asio::awaitable<bool> read_more(Clock::time_point deadline, std::size_t limit);
  boost::asio::awaitable<bool> respond(Exchange& exchange);
  boost::asio::awaitable<void> part();

  api::Request call_of(const Exchange& exchange) const;

  // Why reading stopped: too late, or the client is gone.
  void stopped(Exchange& exchange, const char* reason, const char* what);
  void refuse(Exchange& exchange, const Refusal& refusal);
  bool hold(std::size_t bytes);
  void release();

  Runtime& runtime_;
  Batcher& batcher_;
  const Pages& pages_;
  api::Api& api_;
  std::shared_ptr<Sessions> sessions_;
  std::shared_ptr<const Config> config_;  // as it was when the request began
  Transport transport_;
  std::string input_;  // read and not used yet
  std::size_t held_ = 0;
  Clock::time_point deadline_;
  bool late_ = false;
  bool idle_ = false;
  bool first_ = true;    // no request yet
  bool linger_ = false;  // the client may still be sending
};

}  // namespace billing::worker
