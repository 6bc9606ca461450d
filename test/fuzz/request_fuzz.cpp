// Any bytes as a request: no crash, no body above its limit, and the same reading however the bytes arrive.
// Input: one byte that says how the rest is cut, then the request.
#include <cstdlib>
#include <string>

#include "worker/body.hpp"
#include "worker/request.hpp"
#include "worker/text.hpp"

namespace {

using namespace billing::worker;

// What came of a request, as text, for comparing.
std::string read(std::string_view data, std::size_t step) {
  HeadScan scan;
  std::string input;
  std::size_t arrived = 0;
  const auto more = [&] {
    if (arrived == data.size()) return false;
    const std::size_t count = std::min(step, data.size() - arrived);
    input.append(data.substr(arrived, count));
    arrived += count;
    return true;
  };
  std::optional<std::size_t> end;
  while (!(end = scan.advance(input))) {
    if (scan.refusal()) return scan.refusal()->reason;
    if (!more()) return "incomplete head";
  }
  RequestHead head;
  if (const auto refusal = parse_head(std::string_view(input).substr(0, *end), head)) return refusal->reason;
  input.erase(0, *end);
  BodyReader reader(head, 4096);
  for (;;) {
    const auto progress = reader.feed(input);
    if (reader.size() > 4096) std::abort();
    if (progress == BodyReader::Progress::refused) return reader.refusal().reason;
    if (progress == BodyReader::Progress::done) break;
    if (!more()) return "incomplete body";
  }
  while (more()) {
  }
  return head.method + " " + head.path + "\n" + reader.take() + "\n" + input;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view request(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = read(request, request.size() + 1);
  const std::string parts = read(request, data[0] % 64 + 1);
  if (whole != parts) std::abort();
  const std::string text = json_string(request);
  if (!valid_utf8(text)) std::abort();
  return 0;
}
