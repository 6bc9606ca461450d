// Receives the connections that bring webhooks: serves them, up to the limit, and turns away what is beyond
// it.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <memory>

#include "worker/session.hpp"

namespace billing::worker {

class Reception {
 public:
  Reception(Runtime& runtime, Batcher& batcher, const Pages& pages, api::Api& api,
            std::shared_ptr<Sessions> sessions);
  void take(boost::asio::ip::tcp::socket socket, const TlsContext& tls);

 private:
  void serve(boost::asio::ip::tcp::socket socket, const TlsContext& tls);
  void turn_away(boost::asio::ip::tcp::socket socket, bool tls);

  Runtime& runtime_;
  Batcher& batcher_;
  const Pages& pages_;
  api::Api& api_;
  std::shared_ptr<Sessions> sessions_;
};

}  // namespace billing::worker
