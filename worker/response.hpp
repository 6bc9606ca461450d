// The bytes of an answer.
#pragma once

#include <string>

#include "worker/refusal.hpp"

namespace billing::worker {

struct Response {
  int status = 200;
  std::string body;
  const char* content_type = "application/json";
  std::string allow;       // for 405
  bool retry = false;      // 503: say when to come back
  bool close = false;      // the connection ends with this answer
  bool omit_body = false;  // the answer to HEAD
};

Response refused(const Refusal& refusal);
std::string serialise(const Response& response);

}  // namespace billing::worker
