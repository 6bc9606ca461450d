// The body of a request, counted while it arrives.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "worker/refusal.hpp"
#include "worker/request.hpp"

namespace billing::worker {

class BodyReader {
 public:
  BodyReader(const RequestHead& head, std::size_t limit);

  enum class Progress { more, done, refused };
  // Takes what belongs to the body out of `input` and leaves what belongs to the next request.
  Progress feed(std::string& input);

  std::size_t size() const { return body_.size(); }
  std::string take() { return std::move(body_); }
  const Refusal& refusal() const { return refusal_; }

 private:
  // What is expected next.
  enum class Part { data, chunk_size, chunk_end, trailer, nothing };

  Progress refuse(Refusal refusal);
  bool take_data(std::string_view& input);
  // These return false when they need more; a refusal sets `refused_`.
  bool take_chunk_size(std::string_view& input);
  bool take_chunk_end(std::string_view& input);
  bool take_trailer(std::string_view& input);
  bool take_line(std::string_view& input, std::string_view& line);

  std::size_t limit_;
  bool chunked_;
  Part part_;
  std::size_t left_ = 0;           // of the body, or of the current chunk
  std::size_t trailer_bytes_ = 0;  // seen so far
  std::string body_;
  bool refused_ = false;
  Refusal refusal_;
};

}  // namespace billing::worker
