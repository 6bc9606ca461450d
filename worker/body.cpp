// The body of a request, counted while it arrives. Chunks are read here and not by a library, because
// libraries are lenient: what they let pass differs, and a proxy in front may read it in another way.
#include "worker/body.hpp"

#include <algorithm>
#include <charconv>

namespace billing::worker {
namespace {

// A chunk's size with its extensions; all fields behind the last chunk.
constexpr std::size_t kMaxLine = 1024;
constexpr std::size_t kMaxTrailer = 4096;

Refusal too_large(std::size_t limit) {
  return {413, "body_too_large", "the body is larger than " + std::to_string(limit) + " bytes",
          "raise PG_BILLING_MAX_BODY if Stripe really sends this much", ""};
}

Refusal bad_chunk() {
  return {400, "bad_chunk", "the chunked body is malformed",
          "send a well-formed HTTP/1.1 request, as Stripe does", ""};
}

bool is_text(std::string_view line) {
  return std::all_of(line.begin(), line.end(), [](char c) {
    return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  });
}

}  // namespace

BodyReader::BodyReader(const RequestHead& head, std::size_t limit)
    : limit_(limit), chunked_(head.chunked), part_(head.chunked ? Part::chunk_size : Part::data) {
  if (chunked_) return;
  const std::uint64_t length = head.content_length.value_or(0);
  if (length > limit_)
    refuse(too_large(limit_));
  else
    left_ = static_cast<std::size_t>(length);
}

BodyReader::Progress BodyReader::refuse(Refusal refusal) {
  refused_ = true;
  refusal_ = std::move(refusal);
  return Progress::refused;
}

BodyReader::Progress BodyReader::feed(std::string& input) {
  std::string_view rest = input;
  bool advanced = true;
  while (advanced && !refused_ && part_ != Part::nothing) {
    switch (part_) {
      case Part::data:
        advanced = take_data(rest);
        break;
      case Part::chunk_size:
        advanced = take_chunk_size(rest);
        break;
      case Part::chunk_end:
        advanced = take_chunk_end(rest);
        break;
      case Part::trailer:
        advanced = take_trailer(rest);
        break;
      case Part::nothing:
        break;
    }
  }
  input.erase(0, input.size() - rest.size());
  if (refused_) return Progress::refused;
  return part_ == Part::nothing ? Progress::done : Progress::more;
}

bool BodyReader::take_data(std::string_view& input) {
  const std::size_t length = std::min(left_, input.size());
  body_.append(input.substr(0, length));
  input.remove_prefix(length);
  left_ -= length;
  if (left_ > 0) return false;
  part_ = chunked_ ? Part::chunk_end : Part::nothing;
  return true;
}

bool BodyReader::take_line(std::string_view& input, std::string_view& line) {
  const std::size_t end = input.find('\n');
  if (end == std::string_view::npos ? input.size() > kMaxLine : end > kMaxLine) {
    refuse(bad_chunk());
    return false;
  }
  if (end == std::string_view::npos) return false;
  // A line feed alone ends no line.
  if (end == 0 || input[end - 1] != '\r' || !is_text(input.substr(0, end - 1))) {
    refuse(bad_chunk());
    return false;
  }
  line = input.substr(0, end - 1);
  input.remove_prefix(end + 1);
  return true;
}

bool BodyReader::take_chunk_size(std::string_view& input) {
  std::string_view line;
  if (!take_line(input, line)) return false;
  std::uint64_t size = 0;
  // Takes hexadecimal digits only: neither a sign nor 0x, for an unsigned number.
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), size, 16);
  // Extensions are skipped.
  const bool size_only = end == line.data() + line.size() || *end == ';';
  if (end == line.data() || !size_only || error == std::errc::invalid_argument) {
    refuse(bad_chunk());
  } else if (error != std::errc() || size > limit_ - body_.size()) {
    refuse(too_large(limit_));
  } else {
    left_ = static_cast<std::size_t>(size);
    part_ = size == 0 ? Part::trailer : Part::data;
  }
  return !refused_;
}

bool BodyReader::take_chunk_end(std::string_view& input) {
  if (!input.substr(0, 2).starts_with("\r\n")) {
    if (input.size() >= 2 || (input.size() == 1 && input.front() != '\r')) refuse(bad_chunk());
    return false;
  }
  input.remove_prefix(2);
  part_ = Part::chunk_size;
  return true;
}

// Fields behind the body mean nothing here, but they have to look like fields.
bool BodyReader::take_trailer(std::string_view& input) {
  std::string_view line;
  if (!take_line(input, line)) return false;
  trailer_bytes_ += line.size() + 2;
  if (line.empty())
    part_ = Part::nothing;
  else if (trailer_bytes_ > kMaxTrailer || line.find(':') == std::string_view::npos || line.front() <= ' ' ||
           line.front() == ':')
    refuse(bad_chunk());
  return !refused_;
}

}  // namespace billing::worker
