#include "worker/doctor/webhook_command.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <iostream>

#include "core/signature.hpp"
#include "worker/config.hpp"
#include "worker/doctor/needed_events.hpp"
#include "worker/reconcile/command.hpp"
#include "worker/stripe_access.hpp"

namespace billing::doctor {
namespace {

namespace asio = boost::asio;
using worker::ConfigError;

constexpr const char* kPath = "/v1/webhook_endpoints";
// Whose an endpoint is, and which secret it signs with, without telling it.
constexpr const char* kOwner = "pg_billing";
constexpr const char* kSecret = "pg_billing_secret";

struct Wish {
  std::string what;           // register, enable, disable, rotate
  std::string secret_file;    // "" = standard output
  std::string since = "24h";  // enable: how far back it is made good
  bool adopt = false;
  bool finish = false;
};

bool take_switch(std::vector<std::string>& arguments, const char* name) {
  const auto found = std::find(arguments.begin(), arguments.end(), name);
  if (found == arguments.end()) return false;
  arguments.erase(found);
  return true;
}

Wish read_wish(std::vector<std::string>& arguments) {
  constexpr const char* kHint = "pg_billing webhook register | enable | disable | rotate [--finish]";
  if (arguments.empty()) throw ConfigError("webhook: what is to be done with it?", kHint);
  Wish wish;
  wish.what = arguments.front();
  arguments.erase(arguments.begin());
  if (wish.what != "register" && wish.what != "enable" && wish.what != "disable" && wish.what != "rotate")
    throw ConfigError("webhook: unknown command " + wish.what, kHint);
  wish.adopt = wish.what == "register" && take_switch(arguments, "--adopt");
  wish.finish = wish.what == "rotate" && take_switch(arguments, "--finish");
  const auto take_value = [&](const std::string& name, std::string& value) {
    const auto found = std::find(arguments.begin(), arguments.end(), name);
    if (found == arguments.end()) return;
    if (found + 1 == arguments.end()) throw ConfigError(name + " needs a value", name + " VALUE");
    value = *(found + 1);
    arguments.erase(found, found + 2);
  };
  take_value("--secret-file", wish.secret_file);
  if (wish.what == "enable") take_value("--since", wish.since);
  return wish;
}

// Registering comes before there is a secret.
worker::Config read_config(worker::Sources sources) {
  constexpr const char* kVariable = "STRIPE_WEBHOOK_SECRET";
  if (worker::lookup(sources, kVariable).empty()) sources.flags[kVariable] = "whsec_";
  worker::Config config = worker::load_config(sources);
  if (config.secret_key.empty())
    throw ConfigError("STRIPE_SECRET_KEY is not set", "set it to the account's sk_... or rk_...");
  if (config.webhook_url.empty())
    throw ConfigError("PG_BILLING_WEBHOOK_URL is not set",
                      "set it to the public address of the webhook path: https://your.host/stripe/webhook");
  return config;
}

std::string fingerprint(const std::string& secret) { return keyed_hash("pg_billing", secret).substr(0, 16); }

// To a new file that nobody else reads, or to whoever asked for it.
void hand_over(const std::string& secret, const std::string& file) {
  if (file.empty()) {
    std::cout << "STRIPE_WEBHOOK_SECRET=" << secret << '\n';
    return;
  }
  const int descriptor = open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const std::string line = "STRIPE_WEBHOOK_SECRET=" + secret + "\n";
  const bool written =
      descriptor >= 0 && write(descriptor, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  if (descriptor >= 0) close(descriptor);
  if (!written) {
    // It is told only once: better here than nowhere.
    std::cout << line;
    throw ConfigError("cannot write " + file, "choose a file that does not exist yet");
  }
  std::cout << "the secret is in " << file << '\n';
}

class Registrar {
 public:
  Registrar(asio::io_context& io, const worker::Config& config, Wish wish)
      : config_(config), wish_(std::move(wish)), client_(worker::make_client(io, config)) {}

  asio::awaitable<void> run() {
    co_await look();
    if (wish_.what == "register")
      co_await enroll();
    else if (own_.empty())
      throw ConfigError("Stripe has no endpoint of this worker's for " + config_.webhook_url,
                        "pg_billing webhook register");
    else if (wish_.what == "rotate")
      co_await rotate();
    else
      co_await set_disabled(wish_.what == "disable");
  }

 private:
  asio::awaitable<Json> ask(std::string method, std::string path, Json parameters) {
    stripe::Call call;
    call.method = std::move(method);
    call.path = std::move(path);
    call.parameters = std::move(parameters);
    stripe::Answer answer = co_await client_->call(std::move(call));
    if (answer.error)
      throw ConfigError("Stripe answers: " + answer.error->message,
                        "pg_billing doctor looks at the key and the account");
    co_return std::move(answer.body);
  }

  asio::awaitable<void> look() {
    stripe::Call call;
    call.path = kPath;
    const auto take = [this](Json endpoint) -> asio::awaitable<bool> {
      if (text_of(at(endpoint, "metadata"), kOwner) == config_.webhook_url)
        own_.push_back(std::move(endpoint));
      else if (text_of(endpoint, "url") == config_.webhook_url)
        foreign_ = id_of(endpoint, "id");
      co_return true;
    };
    const stripe::Answer answer = co_await client_->list(std::move(call), take);
    if (answer.error)
      throw ConfigError("Stripe answers: " + answer.error->message,
                        "pg_billing doctor looks at the key and the account");
  }

  // Lists of initialisers stay out of coroutines: GCC 12 does not take them there.
  static Json member(const char* name, Json value) {
    Json object = Json::object();
    object[name] = std::move(value);
    return object;
  }

  // What every endpoint of ours has.
  Json wanted() const {
    Json list = Json::array();
    for (const NeededEvent& needed : needed_events()) list.push_back(needed.type);
    return {{"enabled_events", std::move(list)}, {"metadata", {{kOwner, config_.webhook_url}}}};
  }

  asio::awaitable<void> make() {
    Json parameters = wanted();
    parameters["url"] = config_.webhook_url;
    parameters["api_version"] = stripe::kApiVersion;
    parameters["description"] = "pg_billing";
    const Json made = co_await ask("POST", kPath, std::move(parameters));
    const std::string secret = text_of(made, "secret").value_or("");
    std::cout << "made " << id_of(made, "id") << " for " << config_.webhook_url << '\n';
    hand_over(secret, wish_.secret_file);
    const std::string path = std::string(kPath) + "/" + id_of(made, "id");
    Json signs = member("metadata", member(kSecret, fingerprint(secret)));
    co_await ask("POST", path, std::move(signs));
  }

  // What is there gets all events; what is not there is made.
  asio::awaitable<void> enroll() {
    std::string id = own_.empty() ? "" : id_of(own_.front(), "id");
    if (id.empty() && !foreign_.empty()) {
      if (!wish_.adopt)
        throw ConfigError("the endpoint " + foreign_ + " has this address and was not made by pg_billing",
                          "pg_billing webhook register --adopt takes it over, with its secret");
      id = foreign_;
    }
    if (id.empty()) {
      co_await make();
      co_return;
    }
    const std::string path = std::string(kPath) + "/" + id;
    co_await ask("POST", path, wanted());
    std::cout << id << " gets all events that are needed; its secret stays\n";
  }

  asio::awaitable<void> set_disabled(bool disabled) {
    for (const Json& endpoint : own_) {
      const std::string id = id_of(endpoint, "id");
      const std::string path = std::string(kPath) + "/" + id;
      co_await ask("POST", path, member("disabled", disabled));
      std::cout << id << (disabled ? " is disabled\n" : " is enabled\n");
    }
  }

  // A second endpoint beside the first, and later the end of the first: no event is without a valid secret.
  asio::awaitable<void> rotate() {
    if (!wish_.finish) {
      if (own_.size() > 1)
        throw ConfigError("a rotation is under way: there are " + std::to_string(own_.size()) + " endpoints",
                          "pg_billing webhook rotate --finish");
      co_await make();
      std::cout << "now: put this secret first in STRIPE_WEBHOOK_SECRET, a comma and the old one behind it; "
                   "send the worker SIGHUP; then pg_billing webhook rotate --finish\n";
      co_return;
    }
    const std::string wanted = fingerprint(config_.endpoints.front().secrets.front());
    const auto kept = std::find_if(own_.begin(), own_.end(), [&](const Json& endpoint) {
      return text_of(at(endpoint, "metadata"), kSecret) == wanted;
    });
    // Newest first, as Stripe lists.
    if (kept != own_.begin())
      throw ConfigError("the first secret in STRIPE_WEBHOOK_SECRET is not that of the newest endpoint",
                        "put the new secret first, and send the worker SIGHUP");
    for (auto old = own_.begin() + 1; old != own_.end(); ++old) {
      const std::string id = id_of(*old, "id");
      co_await ask("DELETE", std::string(kPath) + "/" + id, Json::object());
      std::cout << "deleted " << id << "; its secret may go from STRIPE_WEBHOOK_SECRET\n";
    }
  }

  const worker::Config& config_;
  Wish wish_;
  std::unique_ptr<stripe::Client> client_;
  std::vector<Json> own_;  // newest first
  std::string foreign_;    // of the same address, but not ours
};

}  // namespace

int run_webhook(std::vector<std::string> arguments) {
  const Wish wish = read_wish(arguments);
  const worker::Config config = read_config(worker::parse_arguments(arguments));
  asio::io_context io;
  Registrar registrar(io, config, wish);
  std::exception_ptr failure;
  asio::co_spawn(io, registrar.run(), [&](const std::exception_ptr& thrown) { failure = thrown; });
  io.run();
  if (failure) std::rethrow_exception(failure);
  if (wish.what != "enable") return 0;
  // Stripe sends nothing of what happened meanwhile.
  arguments.insert(arguments.end(), {"--since", wish.since});
  return reconcile::run_reconcile(arguments);
}

}  // namespace billing::doctor
