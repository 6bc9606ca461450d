// The body of a request, counted while it arrives.
#include "worker/body.hpp"

#include <algorithm>
#include <string_view>

namespace billing::worker {

namespace http = boost::beast::http;
namespace asio = boost::asio;

namespace {

// A chunk's size line with its extensions, or the fields behind the last chunk.
constexpr std::size_t kMaxChunkHead = 8 * 1024;

Refusal too_large(std::size_t limit) {
  return {413, "body_too_large", "the body is larger than " + std::to_string(limit) + " bytes",
          "raise PG_BILLING_MAX_BODY if Stripe really sends this much", ""};
}

Refusal bad_chunk() {
  return {400, "bad_chunk", "the chunked body is malformed",
          "send a well-formed HTTP/1.1 request, as Stripe does", ""};
}

}  // namespace

void BodyReader::CheckExtensions::operator()(std::uint64_t /*size*/, boost::beast::string_view extensions,
                                             boost::beast::error_code& error) const {
  const bool visible = std::all_of(extensions.begin(), extensions.end(), [](char c) {
    return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  });
  if (!visible) error = http::error::bad_chunk_extension;
}

BodyReader::BodyReader(const RequestHead& head, std::size_t limit) : limit_(limit) {
  if (!head.chunked) {
    left_ = static_cast<std::size_t>(head.content_length.value_or(0));
    return;
  }
  chunks_.emplace();
  chunks_->eager(true);
  chunks_->body_limit(limit);
  chunks_->header_limit(kMaxChunkHead);
  chunks_->on_chunk_header(check_extensions_);
  // How the body is framed was decided by the strict parser of the head. Beast is told only that.
  constexpr std::string_view kHead = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  boost::beast::error_code error;
  chunks_->put(asio::buffer(kHead.data(), kHead.size()), error);
}

BodyReader::Progress BodyReader::feed(std::string& input) {
  if (chunks_) return feed_chunks(input);
  if (body_.size() + left_ > limit_) {
    refusal_ = too_large(limit_);
    return Progress::refused;
  }
  const std::size_t length = std::min(left_, input.size());
  body_.append(input, 0, length);
  input.erase(0, length);
  left_ -= length;
  return left_ == 0 ? Progress::done : Progress::more;
}

BodyReader::Progress BodyReader::feed_chunks(std::string& input) {
  std::size_t used = 0;
  boost::beast::error_code error;
  while (!chunks_->is_done() && used < input.size() && !error)
    used += chunks_->put(asio::buffer(input.data() + used, input.size() - used), error);
  input.erase(0, used);
  if (error == http::error::body_limit) {
    refusal_ = too_large(limit_);
    return Progress::refused;
  }
  if ((error && error != http::error::need_more) || (!chunks_->is_done() && input.size() > kMaxChunkHead)) {
    refusal_ = bad_chunk();
    return Progress::refused;
  }
  return chunks_->is_done() ? Progress::done : Progress::more;
}

std::size_t BodyReader::size() const { return chunks_ ? chunks_->get().body().size() : body_.size(); }

std::string BodyReader::take() { return chunks_ ? std::move(chunks_->get().body()) : std::move(body_); }

}  // namespace billing::worker
