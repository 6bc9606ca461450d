// A "no": why, for machines and for people, and what to do next.
#pragma once

#include <string>

namespace billing::worker {

// Something that keeps us from working: what /readyz, the log and a 503 say about it.
struct Problem {
  std::string reason;  // one word for machines: database_unreachable, read_only, ...
  std::string message;
  std::string next_step;
  bool lasting = false;  // until somebody does something about it
};

// The answer to a request that was not accepted.
struct Refusal {
  int status = 400;
  std::string reason;
  std::string message;
  std::string next_step;
  std::string allow;  // the methods that a 405 names
};

// A 503, which makes Stripe send the event again later.
inline Refusal unavailable(Problem problem) {
  return {503, std::move(problem.reason), std::move(problem.message), std::move(problem.next_step), ""};
}

}  // namespace billing::worker
