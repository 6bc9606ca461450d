// The body of a request, counted while it arrives.
#pragma once

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>
#include <string>

#include "worker/refusal.hpp"
#include "worker/request.hpp"

namespace billing::worker {

class BodyReader {
 public:
  BodyReader(const RequestHead& head, std::size_t limit);

  enum class Progress { more, done, refused };
  // Takes what belongs to the body out of `input` and leaves what belongs to the next request.
  Progress feed(std::string& input);

  std::size_t size() const;
  std::string take();
  const Refusal& refusal() const { return refusal_; }

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  // Beast takes any bytes inside a quoted extension; nothing but visible text is wanted here.
  struct CheckExtensions {
    void operator()(std::uint64_t size, boost::beast::string_view extensions,
                    boost::beast::error_code& error) const;
  };

  Progress feed_chunks(std::string& input);

  std::size_t limit_;
  std::size_t left_ = 0;  // of a body with a known length
  std::string body_;
  CheckExtensions check_extensions_;
  std::optional<Parser> chunks_;
  Refusal refusal_;
};

}  // namespace billing::worker
