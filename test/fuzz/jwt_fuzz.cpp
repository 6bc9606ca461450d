// Any key set and token: no crash, and nothing is taken that was not signed.
// Input: the key set, a newline, the token.
#include "choices.hpp"
#include "worker/api/base64url.hpp"
#include "worker/api/jwt.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace billing::worker::api;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t newline = input.find('\n');
  const std::string_view set = input.substr(0, newline);
  const std::string_view token =
      newline == std::string_view::npos ? std::string_view() : input.substr(newline + 1);
  constexpr std::int64_t kNow = 1300819000;

  // Without a key of the token's own, nobody is let in; a fuzzer cannot guess this one.
  const KeySet ours = {secret_key("never in a corpus: 0c7de1f2a95b4e38")};
  billing::require(std::holds_alternative<TokenProblem>(read_token(token, ours, {}, kNow)));

  std::string problem;
  const KeySet keys = parse_key_set(set, true, problem);
  billing::require(keys.empty() == !problem.empty());
  TokenRules rules;
  rules.claim = "iss";
  const auto read = read_token(token, keys, rules, kNow);
  if (const auto* identity = std::get_if<Identity>(&read)) {
    billing::require(!keys.empty() && !identity->user_id.empty() && identity->user_id.size() <= 255);
    // Whoever is let in is not let in without his signature.
    const std::string bare(token.substr(0, token.rfind('.') + 1));
    billing::require(std::holds_alternative<TokenProblem>(read_token(bare, keys, rules, kNow)));
  }
  if (const auto bytes = decode_base64url(token)) billing::require(encode_base64url(*bytes) == token);
  return 0;
}
