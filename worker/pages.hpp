// /healthz, /readyz and /metrics.
#pragma once

#include "worker/batcher.hpp"
#include "worker/housekeeping.hpp"
#include "worker/response.hpp"
#include "worker/runtime.hpp"
#include "worker/webhook.hpp"

namespace billing::worker {

class Pages {
 public:
  Pages(Runtime& runtime, const Batcher& batcher, Housekeeping& housekeeping)
      : runtime_(runtime), batcher_(batcher), housekeeping_(housekeeping) {}

  boost::asio::awaitable<Response> render(Page page, std::size_t http_connections) const;
  // What keeps the worker from being ready, or nothing.
  std::optional<Problem> problem() const;

 private:
  Response ready() const;
  Response metrics(std::size_t http_connections) const;

  Runtime& runtime_;
  const Batcher& batcher_;
  Housekeeping& housekeeping_;
};

}  // namespace billing::worker
