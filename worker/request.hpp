// The head of an HTTP/1 request, read more strictly than HTTP libraries do: whatever two programs could read
// differently is refused, so that nothing can be smuggled past a proxy in front of us.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "worker/refusal.hpp"

namespace billing::worker {

inline constexpr std::size_t kMaxHeadBytes = 16 * 1024;
inline constexpr std::size_t kMaxFields = 100;

struct RequestHead {
  std::string method;
  std::string path;   // the target up to its first '?'
  std::string query;  // behind it
  // Fields, "" when absent.
  std::string signature;  // Stripe-Signature
  std::string authorization;
  std::string origin;
  std::string content_type;
  std::string requested_method;  // Access-Control-Request-Method
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  bool expects_continue = false;
  bool keep_alive = true;

  bool has_body() const { return chunked || content_length.value_or(0) > 0; }
};

// Looks for the end of the head while its bytes arrive. `buffer` begins with the request line.
class HeadScan {
 public:
  // The length of the head with its closing empty line, once it is there.
  std::optional<std::size_t> advance(std::string_view buffer);
  const std::optional<Refusal>& refusal() const { return refusal_; }

 private:
  std::size_t position_ = 0;
  std::size_t line_start_ = 0;
  std::size_t lines_ = 0;
  std::optional<Refusal> refusal_;
};

// `text` is what HeadScan found: every line ends with CRLF, the last one is empty. What was read before a
// refusal is in `head` all the same, for the log.
std::optional<Refusal> parse_head(std::string_view text, RequestHead& head);

}  // namespace billing::worker
