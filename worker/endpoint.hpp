// The paths that take webhooks, each with its own secrets.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace billing::worker {

struct Endpoint {
  std::string path;  // exact, also its name in the database and in the log
  std::vector<std::string> secrets;
  std::string variable;  // where the secrets come from
};

using Endpoints = std::vector<Endpoint>;

}  // namespace billing::worker
