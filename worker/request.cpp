// The head of an HTTP/1 request, read strictly.
#include "worker/request.hpp"

#include <charconv>

#include "worker/text.hpp"

namespace billing::worker {
namespace {

constexpr const char* kClientStep = "send a well-formed HTTP/1.1 request, as Stripe does";

Refusal bad_request(std::string reason, std::string message, int status = 400) {
  return {status, std::move(reason), std::move(message), kClientStep, ""};
}

bool is_token(std::string_view text) {
  constexpr std::string_view kAllowed =
      "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  return !text.empty() && text.find_first_not_of(kAllowed) == std::string_view::npos;
}

bool is_visible(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) == 0x7f) return false;
  return !text.empty();
}

bool is_field_value(std::string_view text) {
  for (const char c : text)
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || static_cast<unsigned char>(c) == 0x7f)
      return false;
  return true;
}

std::string_view next_line(std::string_view& rest) {
  const std::size_t end = rest.find("\r\n");
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 2);
  return line;
}

// How often each field that decides something was seen.
struct Seen {
  int content_length = 0;
  int transfer_encoding = 0;
  int host = 0;
  int signature = 0;
  int authorization = 0;
  int origin = 0;
};

std::optional<Refusal> read_request_line(std::string_view line, RequestHead& head, int& version) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last)
    return bad_request("malformed_request", "the request line is not: method, target, version");
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view protocol = line.substr(last + 1);
  if (!is_token(method) || !is_visible(target))
    return bad_request("malformed_request", "the request line is not: method, target, version");
  if (protocol == "HTTP/1.1")
    version = 11;
  else if (protocol == "HTTP/1.0")
    version = 10;
  else
    return bad_request("unsupported_version", "only HTTP/1.1 and HTTP/1.0 are spoken here", 505);
  head.method = method;
  const std::size_t question = target.find('?');
  head.path = target.substr(0, question);
  if (question != std::string_view::npos) head.query = target.substr(question + 1);
  head.keep_alive = version == 11;
  return std::nullopt;
}

std::optional<Refusal> read_content_length(std::string_view value, RequestHead& head) {
  std::uint64_t length = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
  // from_chars takes digits only, for an unsigned number.
  if (error != std::errc() || end != value.data() + value.size())
    return bad_request("bad_content_length", "content-length is not one number");
  head.content_length = length;
  return std::nullopt;
}

std::optional<Refusal> read_field(std::string_view name, std::string_view value, RequestHead& head,
                                  Seen& seen) {
  if (equals_ignoring_case(name, "content-length")) {
    if (++seen.content_length > 1)
      return bad_request("duplicate_content_length", "content-length appears more than once");
    return read_content_length(value, head);
  }
  if (equals_ignoring_case(name, "transfer-encoding")) {
    if (++seen.transfer_encoding > 1)
      return bad_request("unsupported_transfer_encoding", "transfer-encoding appears more than once");
    if (!equals_ignoring_case(value, "chunked"))
      return bad_request("unsupported_transfer_encoding", "the only transfer-encoding taken is chunked", 501);
    head.chunked = true;
  } else if (equals_ignoring_case(name, "host")) {
    ++seen.host;
  } else if (equals_ignoring_case(name, "connection")) {
    for (const std::string& option : split(value, ',')) {
      if (equals_ignoring_case(trim(option), "close")) head.keep_alive = false;
      // "keep-alive" is what an HTTP/1.1 client has anyway; from HTTP/1.0 it is not taken up.
    }
  } else if (equals_ignoring_case(name, "expect")) {
    if (!equals_ignoring_case(value, "100-continue"))
      return bad_request("expectation_failed", "the only expectation met here is 100-continue", 417);
    head.expects_continue = true;
  } else if (equals_ignoring_case(name, "content-encoding")) {
    if (!value.empty() && !equals_ignoring_case(value, "identity"))
      return Refusal{415, "content_encoding", "a compressed body cannot be taken",
                     "send the body as Stripe signed it, without content-encoding; a proxy in front must not "
                     "compress it",
                     ""};
  } else if (equals_ignoring_case(name, "stripe-signature")) {
    if (++seen.signature > 1)
      return bad_request("repeated_signature_header", "stripe-signature appears more than once");
    head.signature = value;
  } else if (equals_ignoring_case(name, "authorization")) {
    if (++seen.authorization > 1)
      return bad_request("repeated_authorization_header", "authorization appears more than once");
    head.authorization = value;
  } else if (equals_ignoring_case(name, "origin")) {
    if (++seen.origin > 1) return bad_request("repeated_origin_header", "origin appears more than once");
    head.origin = value;
  } else if (equals_ignoring_case(name, "content-type")) {
    head.content_type = value;
  } else if (equals_ignoring_case(name, "access-control-request-method")) {
    head.requested_method = value;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::size_t> HeadScan::advance(std::string_view buffer) {
  const std::size_t end = std::min(buffer.size(), kMaxHeadBytes);
  for (; position_ < end; ++position_) {
    const bool after_return = position_ > line_start_ && buffer[position_ - 1] == '\r';
    if (buffer[position_] != '\n') {
      if (!after_return) continue;
      refusal_ = bad_request("bare_cr", "a carriage return stands alone in the header");
      return std::nullopt;
    }
    if (!after_return) {
      refusal_ = bad_request("bare_lf", "a header line ends without a carriage return");
      return std::nullopt;
    }
    if (position_ - line_start_ == 1 && lines_ > 0) return ++position_;
    line_start_ = position_ + 1;
    // The request line is not a field.
    if (++lines_ > kMaxFields + 1) {
      refusal_ = bad_request("too_many_fields", "there are more than 100 header fields", 431);
      return std::nullopt;
    }
  }
  if (buffer.size() >= kMaxHeadBytes)
    refusal_ = bad_request("header_too_large", "the header is larger than 16384 bytes", 431);
  return std::nullopt;
}

std::optional<Refusal> parse_head(std::string_view text, RequestHead& head) {
  Seen seen;
  int version = 11;
  if (auto refusal = read_request_line(next_line(text), head, version)) return refusal;
  for (std::string_view line = next_line(text); !line.empty(); line = next_line(text)) {
    if (line.front() == ' ' || line.front() == '\t')
      return bad_request("obsolete_folding", "a header field is folded over several lines");
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon)) ||
        !is_field_value(line.substr(colon + 1)))
      return bad_request("malformed_request", "a header field is not: name, colon, value");
    if (auto refusal = read_field(line.substr(0, colon), trim(line.substr(colon + 1)), head, seen))
      return refusal;
  }
  if (seen.content_length > 0 && seen.transfer_encoding > 0)
    return bad_request("conflicting_lengths", "both content-length and transfer-encoding are given");
  if (version == 10 && seen.transfer_encoding > 0)
    return bad_request("unsupported_transfer_encoding", "HTTP/1.0 has no transfer-encoding");
  if (seen.host > 1 || (seen.host == 0 && version == 11))
    return bad_request("bad_host", "an HTTP/1.1 request has exactly one host field");
  return std::nullopt;
}

}  // namespace billing::worker
