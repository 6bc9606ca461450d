// The client against the simulated account's API, through real sockets, with what goes wrong on the way.
#include "worker/stripe/client.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <set>

#include "worker/simulation/api_server.hpp"
#include "worker/simulation/history.hpp"

namespace billing::stripe {
namespace {

namespace asio = boost::asio;
using simulation::ApiServer;
using simulation::Books;

Books& books() {
  static auto* filled = [] {
    auto* made = new Books;
    simulation::Scenario scenario;
    scenario.customers = 150;
    scenario.snapshots = true;
    simulation::History history(scenario);
    while (const auto event = history.next()) made->keep(*event);
    return made;
  }();
  return *filled;
}

std::vector<Json> in_books(const char* type, std::size_t limit) {
  Books::Query query;
  query.type = type;
  query.limit = limit;
  std::vector<Json> objects;
  const auto page = books().list(query);
  for (const std::string& text : page->objects) objects.push_back(Json::parse(text));
  return objects;
}

class StripeClient : public testing::Test {
 protected:
  void serve(double faults = 0) {
    simulation::ServeOptions options;
    options.address = "127.0.0.1:0";
    options.faults = faults;
    server_ = std::make_unique<ApiServer>(options, books(), journal_);
  }
  ClientOptions options() const {
    ClientOptions options;
    options.base = server_ ? server_->url() : "http://127.0.0.1:1";
    options.secret_key = "sk_test_unit";
    options.requests_per_second = 10000;
    options.first_wait = std::chrono::milliseconds(10);
    return options;
  }
  template <typename Result>
  Result run(asio::awaitable<Result> task) {
    std::optional<Result> result;
    asio::co_spawn(io_, std::move(task), [&](const std::exception_ptr& failure, Result found) {
      if (failure) std::rethrow_exception(failure);
      result = std::move(found);
    });
    io_.restart();
    io_.run();
    return std::move(*result);
  }
  Answer get(const std::string& path, Json parameters = Json::object()) {
    Client client(io_, options());
    return run(client.call({"GET", path, std::move(parameters), "", ""}));
  }
  std::multiset<std::string> ids(const std::string& path, Json parameters = Json::object()) {
    Client client(io_, options());
    std::multiset<std::string> found;
    // Named: what a coroutine refers to must outlive it.
    const auto take = [&found](Json object) -> asio::awaitable<bool> {
      found.insert(text_of(object, "id").value_or(""));
      co_return true;
    };
    const Answer answer = run(client.list({"GET", path, std::move(parameters), "", ""}, take));
    EXPECT_TRUE(answer.ok());
    return found;
  }

  asio::io_context io_;
  simulation::Journal journal_;
  std::unique_ptr<ApiServer> server_;
};

TEST_F(StripeClient, GetsAnObject) {
  serve();
  const Json expected = in_books("subscription", 1).at(0);
  const Answer answer = get("/v1/subscriptions/" + expected["id"].get<std::string>());
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, expected);
  EXPECT_TRUE(answer.request_id.starts_with("req_"));
  EXPECT_EQ(answer.attempts, 1);
  ASSERT_TRUE(answer.read_after);
  EXPECT_LT(*answer.read_after, books().now());
  EXPECT_GT(*answer.read_after, books().now() - 5);
}

TEST_F(StripeClient, KeepsWhatStripeSaysOfAnError) {
  serve();
  const Answer answer = get("/v1/customers/cus_nobody");
  EXPECT_EQ(answer.status, 404);
  ASSERT_TRUE(answer.error);
  EXPECT_EQ(answer.error->type, "invalid_request_error");
  EXPECT_EQ(answer.error->code, "resource_missing");
  EXPECT_EQ(answer.error->param, "id");
  EXPECT_EQ(answer.attempts, 1);
  EXPECT_EQ(get("/v1/customers", {{"limit", 101}}).error->param, "limit");
}

TEST_F(StripeClient, DoesNotShowAKeyThatIsRefused) {
  serve();
  ClientOptions wrong = options();
  wrong.secret_key = "sk_live_verysecret";
  Client client(io_, wrong);
  const Answer answer = run(client.call({"GET", "/v1/customers", Json::object(), "", ""}));
  EXPECT_EQ(answer.status, 401);
  EXPECT_EQ(answer.error->message.find("verysecret"), std::string::npos);
}

TEST_F(StripeClient, ListsEverythingOncePageAfterPage) {
  serve();
  const auto found = ids("/v1/invoices");
  const auto expected = in_books("invoice", 1'000'000);
  EXPECT_GT(expected.size(), 300u);
  EXPECT_EQ(found.size(), expected.size());
  for (const Json& object : expected) EXPECT_EQ(found.count(object["id"].get<std::string>()), 1u);
  const auto running = ids("/v1/subscriptions");
  const auto all = ids("/v1/subscriptions", {{"status", "all"}});
  EXPECT_LT(running.size(), all.size());
  EXPECT_TRUE(std::includes(all.begin(), all.end(), running.begin(), running.end()));
}

TEST_F(StripeClient, StopsWhenTheTakerHasEnough) {
  serve();
  Client client(io_, options());
  int count = 0;
  const auto take = [&count](Json) -> asio::awaitable<bool> { co_return ++count < 7; };
  run(client.list({"GET", "/v1/invoices", Json::object(), "", ""}, take));
  EXPECT_EQ(count, 7);
}

TEST_F(StripeClient, TriesAgainUntilItIsAnswered) {
  serve(0.4);
  int attempts = 0;
  Client client(io_, options());
  for (const Json& customer : in_books("customer", 8)) {
    const Answer answer = run(
        client.call({"GET", "/v1/customers/" + customer["id"].get<std::string>(), Json::object(), "", ""}));
    ASSERT_TRUE(answer.ok()) << answer.error->message;
    EXPECT_EQ(answer.body, customer);
    attempts += answer.attempts;
  }
  EXPECT_GT(attempts, 8);
}

TEST_F(StripeClient, SaysWhyThereIsNoAnswer) {
  Client client(io_, options());
  const auto began = std::chrono::steady_clock::now();
  const Answer answer = run(client.call({"GET", "/v1/customers", Json::object(), "", ""}));
  EXPECT_EQ(answer.status, 0);
  EXPECT_EQ(answer.error->type, "connection_error");
  EXPECT_NE(answer.error->message, "");
  EXPECT_EQ(answer.attempts, 6);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(20));
}

TEST_F(StripeClient, EndsInTimeWhateverIsToBeTriedAgain) {
  ClientOptions hasty = options();
  hasty.first_wait = std::chrono::milliseconds(400);
  hasty.whole_limit = std::chrono::milliseconds(1000);
  Client client(io_, hasty);
  const auto began = std::chrono::steady_clock::now();
  const Answer answer = run(client.call({"GET", "/v1/customers", Json::object(), "", ""}));
  EXPECT_EQ(answer.error->type, "connection_error");
  EXPECT_LT(answer.attempts, 6);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(2));
}

TEST_F(StripeClient, MayBeGivenUpInTheMiddle) {
  serve();
  asio::io_context io;
  auto client = std::make_unique<Client>(io, options());
  asio::co_spawn(io, client->call({"GET", "/v1/customers", Json::object(), "", ""}),
                 [](const std::exception_ptr&, const Answer&) {});
  io.poll();
  // The loop, and with it the call, goes before the client, as at the worker's end.
}

TEST_F(StripeClient, ManyAtOnceShareTheRate) {
  serve();
  ClientOptions slow = options();
  slow.requests_per_second = 20;
  Client client(io_, slow);
  int done = 0;
  for (int i = 0; i < 40; ++i)
    asio::co_spawn(io_, client.call({"GET", "/v1/prices", Json::object(), "", ""}),
                   [&done](const std::exception_ptr& failure, const Answer& answer) {
                     done += !failure && answer.ok();
                   });
  const auto began = std::chrono::steady_clock::now();
  io_.restart();
  io_.run();
  EXPECT_EQ(done, 40);
  // Twenty at once, and a second for the others.
  EXPECT_GT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(900));
}

}  // namespace
}  // namespace billing::stripe
