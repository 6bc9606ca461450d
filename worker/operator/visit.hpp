// A request on its way to its page: who asks, what the page is made of, and the way to the database.
#pragma once

#include <memory>
#include <optional>

#include "worker/operator/connections.hpp"
#include "worker/operator/html.hpp"
#include "worker/operator/request.hpp"
#include "worker/pages.hpp"

namespace billing::worker::operators {

// Rows, or why there are none: for the parts of a page that others must not suffer from.
struct Answer {
  Json rows = Json::array();
  std::optional<Failure> failure;
};

class Visit {
 public:
  Visit(Request its_request, const Pages& its_worker, std::shared_ptr<Connections> connections)
      : request(std::move(its_request)), worker(its_worker), connections_(std::move(connections)) {}

  const Request request;
  const Pages& worker;
  std::string form_key;  // what forms must bring along; "" for programs, whose token says who they are
  std::string notice;    // of what was done last
  Html html;             // what the page shows, below its heading
  std::string title;
  std::string role;  // in the database, once it was asked
  int status = 200;

  template <typename... Texts>
  boost::asio::awaitable<Json> rows(std::string sql, const Texts&... values) {
    return ask(std::move(sql), Connections::Values{std::string(values)...});
  }
  boost::asio::awaitable<Json> ask(std::string sql, Connections::Values values);
  template <typename... Texts>
  boost::asio::awaitable<Answer> try_rows(std::string sql, const Texts&... values) {
    return try_ask(std::move(sql), Connections::Values{std::string(values)...});
  }

  std::string next_id(Literal stem) { return std::string(stem.text()) + "-" + std::to_string(++ids_); }

 private:
  boost::asio::awaitable<Answer> try_ask(std::string sql, Connections::Values values);

  std::shared_ptr<Connections> connections_;
  std::unique_ptr<Connections::Lease> lease_;
  int ids_ = 0;
};

// What a form has brought about.
struct Done {
  Json answer;         // of the function, for programs
  std::string notice;  // for people
  std::string place;   // where they see it
};

}  // namespace billing::worker::operators
