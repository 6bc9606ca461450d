// Who is signed in to the operator's page.
#include "worker/operator/sign_ins.hpp"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <stdexcept>

#include "core/digest.hpp"

namespace billing::worker::operators {
namespace {

constexpr std::size_t kMostOpen = 100;
constexpr std::size_t kMostFailures = 10;
constexpr std::size_t kMostAddresses = 1000;
constexpr auto kFailuresKept = std::chrono::minutes(1);

std::string random_text() {
  unsigned char bytes[32];
  if (RAND_bytes(bytes, sizeof bytes) != 1) throw std::runtime_error("no random bytes are to be had");
  return hex(bytes);
}

}  // namespace

bool same(std::string_view one, std::string_view other) {
  return one.size() == other.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

std::string SignIns::recognise(std::string_view given, const std::vector<std::string>& tokens) {
  const std::string mine = sha256_hex(given);
  std::string found;
  // All of them, whichever it is; and digests, so that not even the length shows.
  for (const std::string& token : tokens) {
    const std::string one = sha256_hex(token);
    if (same(mine, one)) found = one;
  }
  return found;
}

bool SignIns::may_try(const std::string& remote, Clock::time_point now) {
  for (auto& [address, times] : failures_)
    while (!times.empty() && times.front() + kFailuresKept <= now) times.pop_front();
  std::erase_if(failures_, [](const auto& entry) { return entry.second.empty(); });
  const auto found = failures_.find(remote);
  return found == failures_.end() ? failures_.size() < kMostAddresses : found->second.size() < kMostFailures;
}

void SignIns::note_failure(const std::string& remote, Clock::time_point now) {
  failures_[remote].push_back(now);
}

std::string SignIns::open(std::string token, Clock::time_point now) {
  std::erase_if(open_, [&](const auto& entry) {
    return entry.second.opened + kLongest <= now || entry.second.seen + kIdle <= now;
  });
  if (open_.size() >= kMostOpen)
    open_.erase(std::min_element(open_.begin(), open_.end(),
                                 [](const auto& a, const auto& b) { return a.second.seen < b.second.seen; }));
  std::string cookie = random_text();
  open_[sha256_hex(cookie)] = SignIn{std::move(token), random_text(), now, now, ""};
  return cookie;
}

SignIn* SignIns::find(std::string_view cookie, const std::vector<std::string>& tokens,
                      Clock::time_point now) {
  const auto found = open_.find(sha256_hex(cookie));
  if (found == open_.end()) return nullptr;
  SignIn& sign_in = found->second;
  const bool known = std::any_of(tokens.begin(), tokens.end(), [&](const std::string& token) {
    return sha256_hex(token) == sign_in.token;
  });
  if (!known || sign_in.opened + kLongest <= now || sign_in.seen + kIdle <= now) {
    open_.erase(found);
    return nullptr;
  }
  sign_in.seen = now;
  return &sign_in;
}

void SignIns::close(std::string_view cookie) { open_.erase(sha256_hex(cookie)); }

}  // namespace billing::worker::operators
