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
                  ",\"mode\":" + json_string(housekeeping_.mode()) +
                  (runtime_.config->shadow ? ",\"shadow\":true}\n" : "}\n");
  return response;
}

Metrics::Now Pages::now(std::size_t http_connections) const {
  Metrics::Now now;
  now.queue_events = batcher_.waiting();
  now.queue_bytes = runtime_.bodies.used();
  now.http_connections = http_connections;
  now.database_connections = batcher_.open_lanes();
  now.ready = !problem();
  now.shadow = runtime_.config->shadow;
  return now;
}

Response Pages::scrape(std::size_t http_connections) const {
  Response response;
  response.body = runtime_.metrics.render(now(http_connections));
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  return response;
}

boost::asio::awaitable<Response> Pages::render(Page page, std::size_t http_connections) const {
  if (page == Page::ready) co_return ready();
  if (page == Page::metrics) {
    co_await housekeeping_.renew_figures();
    co_return scrape(http_connections);
  }
  Response response;
  response.body = "{\"alive\":true,\"version\":\"" PG_BILLING_VERSION "\"}\n";
  co_return response;
}

}  // namespace billing::worker
