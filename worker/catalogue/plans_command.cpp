#include "worker/catalogue/plans_command.hpp"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <iostream>

#include "worker/catalogue/database_side.hpp"
#include "worker/config.hpp"
#include "worker/stripe_access.hpp"

namespace billing::catalogue {

namespace asio = boost::asio;
using worker::ConfigError;

namespace {

constexpr int kThereAreChanges = 3;
constexpr const char* kHelp = R"(pg_billing plans brings Stripe and the database to what a plans file says.

Usage:
  pg_billing plans plan FILE [--environment NAME]     show what differs; exit code 3 when something does
  pg_billing plans apply FILE [--environment NAME]    show it and do it

  --yes       apply in live mode without asking
  --untried   apply in an environment although this catalogue was not applied in the one before it

FILE is JSON; docs/plans.md shows one. Nothing is deleted: a price whose amount changes is replaced by a new one,
and stays for whoever has it. Settings are those of pg_billing serve: STRIPE_SECRET_KEY, STRIPE_LIVE_MODE, and
PG_BILLING_OPERATOR_DATABASE_URL (else DATABASE_URL) for a role of kind admin.
)";

struct Wish {
  bool apply = false;
  bool yes = false;
  bool untried = false;
  std::string file;
  std::string environment;
};

bool take_switch(std::vector<std::string>& arguments, const char* name) {
  return std::erase(arguments, name) > 0;
}

Wish read_wish(std::vector<std::string>& arguments) {
  constexpr const char* kHint = "pg_billing plans plan FILE, or plans apply FILE";
  Wish wish;
  if (arguments.empty() || (arguments.front() != "plan" && arguments.front() != "apply"))
    throw ConfigError(
        arguments.empty() ? "plans: what is to be done?" : "plans: unknown command " + arguments.front(),
        kHint);
  wish.apply = arguments.front() == "apply";
  arguments.erase(arguments.begin());
  wish.yes = take_switch(arguments, "--yes");
  wish.untried = take_switch(arguments, "--untried");
  const auto named = std::find(arguments.begin(), arguments.end(), "--environment");
  if (named != arguments.end()) {
    if (named + 1 == arguments.end()) throw ConfigError("--environment needs a value", "--environment NAME");
    wish.environment = *(named + 1);
    arguments.erase(named, named + 2);
  }
  if (arguments.empty() || arguments.front().starts_with("--"))
    throw ConfigError("plans: which file?", kHint);
  wish.file = arguments.front();
  arguments.erase(arguments.begin());
  return wish;
}

// The webhook's secret is nothing to this.
worker::Config read_config(worker::Sources sources) {
  constexpr const char* kSecret = "STRIPE_WEBHOOK_SECRET";
  if (worker::lookup(sources, kSecret).empty()) sources.flags[kSecret] = "whsec_unused";
  worker::Config config = worker::load_config(sources);
  if (config.secret_key.empty())
    throw ConfigError("STRIPE_SECRET_KEY is not set", "set it to the account's sk_... or rk_...");
  const std::string url = worker::lookup(sources, "PG_BILLING_OPERATOR_DATABASE_URL");
  if (!url.empty()) {
    auto connection = worker::parse_connection_string(url);
    if (!connection)
      throw ConfigError("PG_BILLING_OPERATOR_DATABASE_URL is not a connection string that libpq understands",
                        "write postgresql://user@host:5432/database");
    config.connection = std::move(*connection);
  }
  return config;
}

void show(const Catalogue& catalogue, const std::vector<PlanChange>& plans, const ShopPlan& shop) {
  const auto details = [](const std::vector<std::string>& lines) {
    for (const std::string& line : lines) std::cout << "      " << line << '\n';
  };
  std::cout << catalogue.environment.name << " (" << (catalogue.environment.live ? "live" : "test")
            << " mode)\n";
  for (const PlanChange& plan : plans) {
    std::cout << "  " << (plan.made ? '+' : '~') << " plan " << plan.plan_id << " in the database\n";
    details(plan.details);
  }
  for (const Change& change : shop.changes) {
    std::cout << "  " << change.sign << ' ' << change.what << " at Stripe\n";
    details(change.details);
  }
  const std::size_t count = plans.size() + shop.changes.size();
  if (count == 0)
    std::cout << "  nothing to change\n";
  else
    std::cout << count << (count == 1 ? " change\n" : " changes\n");
}

void ask_in_live_mode(const Catalogue& catalogue, const Wish& wish) {
  if (!catalogue.environment.live || wish.yes) return;
  if (isatty(STDIN_FILENO) == 0)
    throw ConfigError("live mode, and nobody to ask", "pass --yes once the changes above have been read");
  std::cout << "Live mode. Type " << catalogue.environment.name << " to go on: " << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  if (answer != catalogue.environment.name) throw ConfigError("nothing was changed", "it was not confirmed");
}

class Run {
 public:
  Run(asio::io_context& io, const worker::Config& config, const Wish& wish, const Catalogue& catalogue)
      : wish_(wish),
        catalogue_(catalogue),
        client_(worker::make_client(io, config)),
        store_(io, config.connection, config.schema) {}

  asio::awaitable<int> run() {
    if (const auto problem = co_await store_.open()) throw ConfigError(problem->message, problem->next_step);
    const ShopPlan shop = co_await compare_with_stripe(*client_, catalogue_);
    const std::vector<PlanChange> plans = co_await compare_with_database(store_, catalogue_, shop);
    show(catalogue_, plans, shop);
    const bool changes = !plans.empty() || !shop.changes.empty();
    if (!wish_.apply) co_return changes ? kThereAreChanges : 0;
    Receipts receipts(wish_.file + ".applied");
    const std::string& after = catalogue_.environment.after;
    if (!after.empty() && !wish_.untried && !receipts.has(after, catalogue_.digest))
      throw ConfigError("this catalogue was not applied in " + after + " before",
                        "apply it there first, or pass --untried; " + wish_.file + ".applied says what was");
    if (changes) {
      ask_in_live_mode(catalogue_, wish_);
      co_await apply(plans, shop);
      std::cout << "done\n";
    }
    receipts.add(catalogue_.environment.name, catalogue_.digest);
    co_return 0;
  }

 private:
  // The database first: before a price is replaced, its plan knows it by its id.
  asio::awaitable<void> apply(const std::vector<PlanChange>& plans, const ShopPlan& shop) {
    const std::string reason = "plans apply, catalogue " + catalogue_.digest.substr(0, 12);
    for (const PlanChange& plan : plans) co_await store_plan(store_, plan, reason);
    std::vector<Json> objects;
    for (const Change& change : shop.changes) {
      Json made = co_await carry_out(*client_, change);
      const std::string type = text_of(made, "object").value_or("");
      if (type == "price" || type == "product") objects.push_back(std::move(made));
    }
    co_await store_objects(store_, objects, catalogue_.environment.live);
  }

  const Wish& wish_;
  const Catalogue& catalogue_;
  std::unique_ptr<stripe::Client> client_;
  worker::Store store_;
};

}  // namespace

int run_plans(std::vector<std::string> arguments) {
  if (std::find(arguments.begin(), arguments.end(), "--help") != arguments.end()) {
    std::cout << kHelp;
    return 0;
  }
  const Wish wish = read_wish(arguments);
  const worker::Config config = read_config(worker::parse_arguments(arguments));
  const Catalogue catalogue = read_catalogue(wish.file, wish.environment, config.live_mode);
  asio::io_context io{1};
  Run run(io, config, wish, catalogue);
  int code = 1;
  std::exception_ptr failure;
  asio::co_spawn(io, run.run(), [&](const std::exception_ptr& error, int result) {
    failure = error;
    code = result;
    io.stop();
  });
  io.run();
  if (failure) std::rethrow_exception(failure);
  return code;
}

}  // namespace billing::catalogue
