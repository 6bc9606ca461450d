// The API's own connections to the database, with the worker's role: a few, opened when somebody asks. What
// they do never stands in the way of a webhook, which has others.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "core/json.hpp"
#include "worker/runtime.hpp"
#include "worker/store.hpp"

namespace billing::worker::api {

class Database {
 public:
  explicit Database(Runtime& runtime);

  // One statement that may be run twice: a connection that was lost is replaced, once. "{s}" becomes the
  // extension's schema. Throws Failure.
  boost::asio::awaitable<Reply> ask(std::string sql, std::vector<Parameter> parameters);
  // The one value that it returns, as it is; "" when it is null.
  template <typename... Texts>
  boost::asio::awaitable<std::string> text(std::string sql, const Texts&... values) {
    return text_of(std::move(sql), {plain_text(std::string(values))...});
  }
  template <typename... Texts>
  boost::asio::awaitable<Json> json(std::string sql, const Texts&... values) {
    return json_of(std::move(sql), {plain_text(std::string(values))...});
  }
  // Events that were fetched. Throws Failure.
  boost::asio::awaitable<Store::Results> process(std::vector<std::string> payloads);

  boost::asio::awaitable<std::string> text_of(std::string sql, std::vector<Parameter> parameters);
  boost::asio::awaitable<Json> json_of(std::string sql, std::vector<Parameter> parameters);

 private:
  // Holds a connection; gives it back at its end.
  class Lease;
  boost::asio::awaitable<std::unique_ptr<Lease>> take();
  boost::asio::awaitable<void> open(Store& store);
  void give_back(std::unique_ptr<Store> store);

  Runtime& runtime_;
  std::vector<std::unique_ptr<Store>> idle_;
  std::uint64_t taken_ = 0;
  std::list<boost::asio::steady_timer*> waiting_;
};

}  // namespace billing::worker::api
