// A request on its way to its page.
#include "worker/operator/visit.hpp"

#include <boost/asio/use_awaitable.hpp>

namespace billing::worker::operators {

namespace asio = boost::asio;

asio::awaitable<Json> Visit::ask(std::string sql, Connections::Values values) {
  if (!lease_) lease_ = co_await connections_->take();
  role = lease_->role();
  Json found = co_await lease_->rows(std::move(sql), std::move(values));
  co_return found;
}

asio::awaitable<Answer> Visit::try_ask(std::string sql, Connections::Values values) {
  Answer answer;
  try {
    answer.rows = co_await ask(std::move(sql), std::move(values));
  } catch (const Failure& failure) {
    answer.failure = failure;
  }
  co_return answer;
}

}  // namespace billing::worker::operators
