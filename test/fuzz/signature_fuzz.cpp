// Any header and body: no crash, and nothing is accepted that was not signed.
// Input: the header, a newline, the body.
#include <cstdlib>

#include "core/signature.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t newline = input.find('\n');
  const std::string_view header = input.substr(0, newline);
  const std::string_view body =
      newline == std::string_view::npos ? std::string_view() : input.substr(newline + 1);
  constexpr std::int64_t kNow = 1767225600;
  // No input can hold the signature of a secret that it does not know; a fuzzer cannot guess this one.
  const auto verdict = billing::verify_signature(body, header, {"whsec_never_in_a_corpus"}, kNow);
  if (verdict == billing::SignatureVerdict::valid) std::abort();
  if (billing::explain(verdict, 1).empty()) std::abort();
  billing::secret_problem(header);
  // What we sign ourselves is accepted, whatever the body holds.
  if (!body.empty() && billing::verify_signature(body, billing::sign(body, "whsec_a", kNow), {"whsec_a"},
                                                 kNow) != billing::SignatureVerdict::valid)
    std::abort();
  return 0;
}
