// The keys of the settings and of the key set they name.
#include "worker/api/keys.hpp"

#include <sys/stat.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fstream>
#include <sstream>

#include "worker/log.hpp"

namespace billing::worker::api {

namespace asio = boost::asio;

namespace {

constexpr auto kQuietly = asio::as_tuple(asio::use_awaitable);
constexpr auto kFresh = std::chrono::minutes(10);
constexpr auto kAgain = std::chrono::seconds(10);
constexpr auto kAfterFailure = std::chrono::seconds(5);
constexpr auto kFetchLimit = std::chrono::seconds(5);

KeySet with_secrets(const Settings& settings, const KeySet& keys) {
  KeySet all = keys;
  for (const std::string& secret : settings.secrets) all.push_back(secret_key(secret));
  return all;
}

void note(const std::string& problem, std::size_t keys) {
  if (problem.empty())
    log::Line(log::Level::info, "jwks_loaded").add("keys", static_cast<std::uint64_t>(keys));
  else
    log::Line(log::Level::warning, "jwks_not_loaded")
        .add("error", problem)
        .add("next_step", "look at PG_BILLING_JWT_JWKS; the keys that were known stay");
}

}  // namespace

Keys::Keys(asio::io_context& io) : transfers_(io), fetched_(io) {}

asio::awaitable<KeySet> Keys::current(const Settings& settings) {
  if (source_ != settings.key_set) {
    keys_.clear();
    source_ = settings.key_set;
    tried_ = renewed_ = {};
    file_size_ = -1;
  }
  if (settings.key_set_is_url) {
    const bool fresh = renewed_ != Clock::time_point{} && Clock::now() - renewed_ < kFresh;
    if (!fresh) co_await fetch(settings.key_set, kAfterFailure);
  } else if (!settings.key_set.empty()) {
    look_at_file(settings);
  }
  co_return with_secrets(settings, keys_);
}

asio::awaitable<KeySet> Keys::renewed(const Settings& settings) {
  if (settings.key_set_is_url) co_await fetch(settings.key_set, kAgain);
  co_return with_secrets(settings, keys_);
}

void Keys::look_at_file(const Settings& settings) {
  struct stat status {};
  if (stat(settings.key_set.c_str(), &status) != 0) return;
  if (status.st_size == file_size_ && status.st_mtim.tv_sec == file_time_.tv_sec &&
      status.st_mtim.tv_nsec == file_time_.tv_nsec)
    return;
  file_size_ = status.st_size;
  file_time_ = status.st_mtim;
  std::ifstream file(settings.key_set, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  std::string problem;
  KeySet found = parse_key_set(text.str(), true, problem);
  if (problem.empty()) keys_ = std::move(found);
  note(problem, keys_.size());
}

asio::awaitable<void> Keys::fetch(std::string url, Clock::duration not_within) {
  // One at a time; whoever comes meanwhile takes what it brings.
  if (fetching_) {
    fetched_.expires_after(kFetchLimit);
    while (fetching_ && fetched_.expiry() > Clock::now()) co_await fetched_.async_wait(kQuietly);
    co_return;
  }
  if (tried_ != Clock::time_point{} && Clock::now() - tried_ < not_within) co_return;
  tried_ = Clock::now();
  fetching_ = true;
  std::string problem;
  KeySet found;
  try {
    stripe::HttpRequest request;
    request.url = url;
    request.headers = {"Accept: application/json", "User-Agent: pg_billing/" PG_BILLING_VERSION};
    request.limit = kFetchLimit;
    const stripe::HttpResponse response = co_await transfers_.perform(std::move(request));
    if (response.status != 200)
      problem = response.status == 0 ? response.error : "status " + std::to_string(response.status);
    else
      found = parse_key_set(response.body, false, problem);
  } catch (const std::exception& error) {
    problem = error.what();
  }
  fetching_ = false;
  // The settings may have changed meanwhile.
  if (problem.empty() && source_ == url) {
    keys_ = std::move(found);
    renewed_ = Clock::now();
  }
  note(problem, keys_.size());
  fetched_.cancel();
}

}  // namespace billing::worker::api
