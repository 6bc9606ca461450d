// The bytes of an answer.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "worker/refusal.hpp"

namespace billing::worker {

struct Response {
  int status = 200;
  std::string body;
  const char* content_type = "application/json";
  std::vector<std::pair<const char*, std::string>> fields;  // further header fields, on one line each
  std::string allow;                                        // for 405
  bool retry = false;                                       // 503: say when to come back
  bool close = false;                                       // the connection ends with this answer
  bool omit_body = false;                                   // the answer to HEAD
};

Response refused(const Refusal& refusal);
std::string serialise(const Response& response);

}  // namespace billing::worker
