// /healthz, /readyz and /metrics.
#include "worker/pages.hpp"

#include "worker/text.hpp"

namespace billing::worker {

std::optional<Problem> Pages::problem() const {
  if (runtime_.draining) return Problem{"draining", "the worker is shutting down", "ask another worker"};
  if (auto found = housekeeping_.problem()) return found;
  return batcher_.problem();
}

Response Pages::ready() const {
  if (const auto found = problem()) return refused(unavailable(*found));
  Response response;
  response.body = "{\"ready\":true,\"version\":\"" PG_BILLING_VERSION "\",\"extension_version\":" +
                  json_string(housekeeping_.extension_version()) +
                  ",\"mode\":" + json_string(housekeeping_.mode()) + "}\n";
  return response;
}

Response Pages::render(Page page, std::size_t http_connections) const {
  Response response;
  switch (page) {
    case Page::health: response.body = "{\"alive\":true,\"version\":\"" PG_BILLING_VERSION "\"}\n"; break;
    case Page::ready: return ready();
    case Page::metrics: {
      Metrics::Now now;
      now.queue_events = batcher_.waiting();
      now.queue_bytes = runtime_.bodies.used();
      now.http_connections = http_connections;
      now.database_connections = batcher_.open_lanes();
      now.ready = !problem();
      response.body = runtime_.metrics.render(now);
      response.content_type = "text/plain; version=0.0.4; charset=utf-8";
      break;
    }
  }
  return response;
}

}  // namespace billing::worker
