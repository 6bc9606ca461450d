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
  // What is true at this moment, and what the database has told.
  Metrics::Now now(std::size_t http_connections) const;
  const Metrics& metrics() const { return runtime_.metrics; }
  const std::string& extension_version() const { return housekeeping_.extension_version(); }
  const std::string& mode() const { return housekeeping_.mode(); }

 private:
  Response ready() const;
  Response scrape(std::size_t http_connections) const;

  Runtime& runtime_;
  const Batcher& batcher_;
  Housekeeping& housekeeping_;
};

}  // namespace billing::worker
