#include "worker/simulation/simulate.hpp"

#include <cstdlib>
#include <iostream>
#include <optional>
#include <stdexcept>

#include "core/signature.hpp"
#include "worker/config.hpp"
#include "worker/simulation/options.hpp"
#include "worker/simulation/output.hpp"
#include "worker/text.hpp"

namespace billing::simulation {
namespace {

std::string read_secret(const std::string& variable) {
  const char* value = std::getenv(variable.c_str());
  const std::string secret = value == nullptr ? "" : worker::split(value, ',').front();
  if (const std::string problem = secret_problem(secret); !problem.empty())
    throw worker::ConfigError(variable + " " + problem,
                              "set it to the endpoint's signing secret (whsec_...)");
  return secret;
}

// An account tells of its other mode, but does not list it.
bool is_of_mode(const Emitted& event, bool livemode) {
  const std::string member =
      std::string(R"(},"livemode":)") + (livemode ? "true" : "false") + R"(,"pending_)";
  return event.payload.find(member) != std::string::npos;
}

}  // namespace

int run_simulate(const std::vector<std::string>& arguments) {
  Options options = parse_options(arguments);
  if (options.help) {
    std::cout << options_help();
    return 0;
  }
  if (!options.post.url.empty()) options.post.secret = read_secret(options.secret_variable);

  History history(options.scenario);
  Books books;
  Journal journal;
  std::optional<ApiServer> server;
  const bool posts = !options.post.url.empty();
  if (!options.serve.address.empty()) {
    options.serve.post_url = options.post.url;
    options.serve.post_secret = options.post.secret;
    server.emplace(options.serve, books, journal);
    std::cerr << "serving the account's API on " << server->url() << std::endl;
  }
  const auto made = [&] {
    std::optional<Emitted> event = history.next();
    if (event && server) {
      books.keep(*event);
      if (is_of_mode(*event, options.scenario.livemode))
        journal.keep(*event, posts ? std::set<std::string>{kPostTarget} : std::set<std::string>{});
    }
    return event;
  };
  Delivery delivery(made, options.delivery, options.scenario.seed);
  std::optional<Output> output;
  if (!options.out.empty() && options.out != "-") output.emplace(options.out);
  const auto next = [&] {
    std::optional<Emitted> event = delivery.next();
    if (event && output) output->write(*event);
    return event;
  };

  int code = 0;
  options.post.acknowledged = [&](const Emitted& event) { journal.delivered(event.id, kPostTarget); };
  if (!posts) {
    std::ios::sync_with_stdio(false);
    while (const std::optional<Emitted> event = next())
      if (!output && !server) std::cout << event->payload << '\n';
    if (!std::cout.flush()) throw std::runtime_error("could not write all events to standard output");
  } else {
    const PostReport report = post(options.post, next);
    print(std::cout, report);
    code = report.given_up == 0 ? 0 : 1;
  }
  const Seconds as_of = options.as_of.value_or(history.end());
  if (output) output->finish(history, delivery.counts(), as_of);
  if (server) {
    books.advance(history.end());
    std::cerr << "the history has ended" << std::endl;
    server->wait();
  }
  return code;
}

}  // namespace billing::simulation
