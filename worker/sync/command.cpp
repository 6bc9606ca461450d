#include "worker/sync/command.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdlib>
#include <iostream>

#include "worker/config.hpp"
#include "worker/stripe/object_fetch.hpp"
#include "worker/stripe_access.hpp"
#include "worker/sync/options.hpp"
#include "worker/sync/reader.hpp"

namespace billing::sync {

namespace asio = boost::asio;

namespace {

constexpr int kInterrupted = 130;

// Before anything is written: a key that is refused leaves nothing behind.
asio::awaitable<void> try_key(stripe::Client& client) {
  stripe::Call call;
  call.path = "/v1/products";
  call.parameters["limit"] = 1;
  const stripe::Answer answer = co_await client.call(std::move(call));
  if (answer.status == 401)
    throw worker::ConfigError(
        "Stripe does not take the key in STRIPE_SECRET_KEY: " + stripe::error_text(answer),
        "copy a secret or restricted key (sk_..., rk_...) from the Stripe Dashboard");
  if (answer.status == 0)
    throw worker::CommandError("Stripe's API cannot be reached: " + stripe::error_text(answer));
}

[[noreturn]] void refuse(const Json& answer) {
  throw worker::ConfigError(text_of(answer, "reason").value_or("refused"),
                            text_of(answer, "next_step").value_or(""));
}

asio::awaitable<Json> begin(Import& import, worker::Store& store, const Options& options) {
  Json asked = Json::object();
  if (!options.grants.empty()) asked["grants"] = options.grants;
  if (options.restart) asked["restart"] = true;
  const worker::Reply reply = co_await worker::call_again(
      store, import.io, "begin_stripe_sync($1::pg_catalog.bool, $2, $3::pg_catalog.jsonb)",
      worker::these(worker::plain_text(import.config.live_mode ? "t" : "f"), worker::plain_text(import.owner),
                    worker::plain_text(asked.dump())));
  Json answer = Json::parse(reply.rows.at(0).at(0).value_or("{}"));
  if (!flag_of(answer, "success")) refuse(answer);
  import.run_id = static_cast<int>(integer_of(answer, "run_id").value_or(0));
  import.progress.resume(static_cast<std::uint64_t>(integer_of(answer, "objects").value_or(0)),
                         at(answer, "share").is_number() ? at(answer, "share").get<double>() : 0);
  if (text_of(answer, "status") == "resumed")
    import.progress.note("going on with the import that was begun at " +
                         text_of(answer, "began_at").value_or(""));
  co_return answer;
}

// They outlive whoever waits for them: one may fail while others are at work.
struct Readers {
  std::vector<std::unique_ptr<Reader>> all;
  std::exception_ptr failure;
  int left = 0;
};

asio::awaitable<void> read_all(Import& import) {
  const auto readers = std::make_shared<Readers>();
  const auto done = std::make_shared<asio::steady_timer>(import.io, asio::steady_timer::time_point::max());
  readers->left = import.parallel;
  for (int i = 0; i < import.parallel; ++i) {
    readers->all.push_back(std::make_unique<Reader>(import));
    asio::co_spawn(import.io, readers->all.back()->run(), [readers, done](const std::exception_ptr& thrown) {
      if (thrown && !readers->failure) readers->failure = thrown;
      --readers->left;
      done->cancel();
    });
  }
  while (readers->left > 0 && !readers->failure)
    co_await done->async_wait(asio::as_tuple(asio::use_awaitable));
  if (readers->failure) std::rethrow_exception(readers->failure);
}

// What met another transaction's lock is tried again until it has taken effect.
asio::awaitable<Json> finish(Import& import, worker::Store& store) {
  constexpr int kMostTries = 120;
  for (int tries = 1;; ++tries) {
    for (std::size_t rows = 1; rows > 0;) {
      const worker::Reply retried = co_await worker::call_again(store, import.io, "retry_stripe_events(500)",
                                                                std::vector<worker::Parameter>());
      rows = retried.rows.size();
    }
    const worker::Reply reply = co_await worker::call_again(
        store, import.io, "finish_stripe_sync($1::pg_catalog.int4, $2)",
        worker::these(worker::integer(import.run_id), worker::plain_text(import.owner)));
    Json report = Json::parse(reply.rows.at(0).at(0).value_or("{}"));
    if (text_of(report, "status") != "deferred" || tries == kMostTries) co_return report;
    co_await worker::pause(import.io, std::chrono::seconds(1));
  }
}

asio::awaitable<Json> run(Import& import, const Options& options) {
  worker::Store store(import.io, import.config.connection, import.config.schema);
  co_await worker::open_again(store, import.io);
  co_await try_key(import.client);
  co_await begin(import, store, options);
  co_await read_all(import);
  co_return co_await finish(import, store);
}

std::int64_t number(const Json& object, const char* name) { return integer_of(object, name).value_or(0); }

void print(const Json& report) {
  std::int64_t failed = 0;
  for (const auto& [type, counts] : at(report, "types").items()) {
    failed += number(counts, "failed");
    if (number(counts, "objects") == 0) continue;
    std::cout << type << ": " << number(counts, "objects");
    if (number(counts, "parked") > 0) std::cout << ", of which " << number(counts, "parked") << " wait";
    if (number(counts, "failed") > 0) std::cout << ", of which " << number(counts, "failed") << " failed";
    std::cout << "\n";
  }
  if (text_of(report, "status") == "deferred") std::cout << text_of(report, "reason").value_or("") << "\n";
  for (const Json& one : list_of(report, "unread"))
    std::cout << "not read: " << text_of(one, "object_type").value_or("") << ": "
              << text_of(one, "error").value_or("") << "\n";
  const Json& links = at(report, "links");
  std::cout << "customers without a user: " << number(links, "unlinked") << "\n";
  for (const Json& one : list_of(links, "unlinked_customers"))
    std::cout << "  " << text_of(one, "stripe_customer_id").value_or("") << ": "
              << text_of(one, "reason").value_or("") << "; " << text_of(one, "next_step").value_or("")
              << "\n";
  if (failed > 0)
    std::cout << "events that failed are tried again by the worker; "
                 "SELECT * FROM stripe_events WHERE endpoint = 'sync' AND outcome = 'failed'\n";
  if (!list_of(report, "unread").empty()) std::cout << "run pg_billing sync again to read what is missing\n";
}

}  // namespace

int run_sync(const std::vector<std::string>& arguments) {
  const Options options = parse_options(arguments);
  if (options.help) {
    std::cout << options_help();
    return 0;
  }
  const worker::Config config = worker::load_config(worker::parse_arguments(options.settings), false);
  if (config.secret_key.empty())
    throw worker::ConfigError("STRIPE_SECRET_KEY is not set",
                              "set it to a secret or restricted key (sk_..., rk_...) that may read");
  asio::io_context io{1};
  Progress progress(options.json);
  const auto client = worker::make_client(io, config);
  Import import{io, config, *client, progress, stripe::make_idempotency_key()};
  import.parallel = options.parallel;

  Json report;
  std::exception_ptr failure;
  bool interrupted = false;
  asio::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([&](const boost::system::error_code& error, int) {
    if (error) return;
    interrupted = true;
    io.stop();
  });
  asio::co_spawn(io, run(import, options), [&](const std::exception_ptr& thrown, Json answer) {
    failure = thrown;
    report = std::move(answer);
    signals.cancel();
    io.stop();
  });
  io.run();
  // Readers may be in the middle of something: what they hold ends with the process.
  if (interrupted) {
    progress.note("interrupted; pg_billing sync goes on from here");
    std::_Exit(kInterrupted);
  }
  if (failure) worker::end_by(failure);
  progress.end();
  report["objects_a_second"] = static_cast<std::int64_t>(progress.rate());
  if (options.json)
    std::cout << report.dump() << std::endl;
  else
    print(report);
  return flag_of(report, "success") ? 0 : 1;
}

}  // namespace billing::sync
