// The HTTP API for applications' front ends: who asks, whether he may, and who answers.
// docs/http-api.md
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>

#include "worker/api/call.hpp"
#include "worker/api/calls.hpp"
#include "worker/api/keys.hpp"
#include "worker/runtime.hpp"

namespace billing::worker::api {

class Api {
 public:
  // `client`: none without a key; then nothing is asked of Stripe.
  Api(Runtime& runtime, const stripe::Client* client, Outbox& outbox);

  static constexpr std::size_t kMaxBody = 64 * 1024;

  // Null when the path is none of the API's.
  const Route* find(const std::string& path) const;
  boost::asio::awaitable<Response> answer(Request request);
  // A request that cannot be read.
  Response refuse(const Refusal& refusal, const Request& request);

 private:
  boost::asio::awaitable<Response> run(Request& request);
  boost::asio::awaitable<Identity> identify(const Request& request);
  void limit(const Call& call);
  void note(const Request& request, const Response& response, const std::string& code, Clock::duration took);
  Response preflight(const Request& request) const;
  void allow_origin(const Request& request, Response& response) const;

  Runtime& runtime_;
  Keys keys_;
  Calls calls_;
  Database database_;
  Outbox& outbox_;
  std::unique_ptr<stripe::Client> stripe_;
};

}  // namespace billing::worker::api
