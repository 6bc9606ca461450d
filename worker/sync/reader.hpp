// Reads parts of an import, one after the other, on a database connection of its own.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "worker/calls.hpp"
#include "worker/config.hpp"
#include "worker/store.hpp"
#include "worker/stripe/client.hpp"
#include "worker/sync/progress.hpp"

namespace billing::sync {

// What the readers of one import share.
struct Import {
  boost::asio::io_context& io;
  const worker::Config& config;
  stripe::Client& client;
  Progress& progress;
  std::string owner;
  int run_id = 0;
  int parallel = 1;
  int reading = 0;  // how many have a part in hand
};

class Reader {
 public:
  explicit Reader(Import& import);

  // Until nothing is left that anybody could read.
  boost::asio::awaitable<void> run();

 private:
  struct Slice {
    int id = 0;
    std::string type;
    bool per_customer = false;
    Json parameters;
    std::optional<Seconds> from, until, last_created;
    std::string last_object;
    double share = 0;  // of the whole
  };
  struct Page {
    Json objects = Json::array();
    Seconds read_after = 0;
    std::string last_object;
    std::optional<Seconds> last_created;
    bool done = false;
  };

  boost::asio::awaitable<bool> claim();
  boost::asio::awaitable<void> read_list();
  boost::asio::awaitable<void> read_customers();
  boost::asio::awaitable<void> keep(Page page);
  boost::asio::awaitable<void> split(Seconds now);
  boost::asio::awaitable<void> leave(const stripe::Answer& answer);
  boost::asio::awaitable<bool> has_features();
  struct OfCustomer {
    Json objects = Json::array();
    stripe::Answer answer;
  };
  boost::asio::awaitable<void> read_all_of(const std::vector<std::string>& customers,
                                           std::vector<OfCustomer>& found);
  boost::asio::awaitable<stripe::Answer> read_of_customer(const std::string& customer, Json& objects);
  boost::asio::awaitable<worker::Reply> ask(const char* call, std::vector<worker::Parameter> parameters);
  bool is_by_time() const { return slice_.type != "webhook_endpoint"; }

  Import& import_;
  worker::Store store_;
  Slice slice_;
};

}  // namespace billing::sync
