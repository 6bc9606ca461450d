// The operator's page: who may come in, which page a request leads to, and what is answered when something
// goes wrong. It has an address, connections and limits of its own, so that it never delays a webhook.
#pragma once

#include <memory>

#include "worker/listener.hpp"
#include "worker/operator/session.hpp"
#include "worker/operator/sign_ins.hpp"
#include "worker/operator/visit.hpp"
#include "worker/runtime.hpp"

namespace billing::worker::operators {

class Desk {
 public:
  Desk(Runtime& runtime, const Pages& worker);

  // Throws ConfigError.
  void listen(std::chrono::seconds patience) { listener_.listen(runtime_.config->operator_listen, patience); }
  void use_tls(TlsContext context) { listener_.use_tls(std::move(context)); }
  void start() { listener_.start(); }
  void stop() { listener_.stop(); }
  // Whether something that was asked for is not answered yet.
  bool busy() const { return answering_.use_count() > 1; }
  void sweep(Clock::time_point now) { connections_->sweep(now); }

 private:
  void take(boost::asio::ip::tcp::socket socket, const TlsContext& tls);
  boost::asio::awaitable<Response> answer(std::shared_ptr<Visit> visit);
  std::optional<Response> answer_at_once(Visit& visit);
  boost::asio::awaitable<Response> answer_program(Visit& visit, std::string token);
  boost::asio::awaitable<Response> answer_person(Visit& visit);
  boost::asio::awaitable<Response> visit_page(Visit& visit);
  boost::asio::awaitable<Response> change(Visit& visit, bool program);
  Response sign_in(Visit& visit);
  Response sign_out(Visit& visit);
  Response sign_in_page(Visit& visit, const std::string& complaint);

  Runtime& runtime_;
  const Pages& worker_;
  SignIns sign_ins_;
  std::shared_ptr<Connections> connections_;
  std::shared_ptr<int> sessions_ = std::make_shared<int>(0);  // each holds it, too
  std::shared_ptr<int> answering_ = std::make_shared<int>(0);
  Listener listener_;
};

}  // namespace billing::worker::operators
