// A request to the operator's page, as far as anything depends on it.
#pragma once

#include <string>

#include "worker/operator/form.hpp"

namespace billing::worker::operators {

struct Request {
  std::string method;
  bool head = false;  // HEAD: as GET, without the body
  std::string path;
  std::string target;  // path and query, as they came
  Form query;
  Form form;

  std::string host;  // the field, with its port
  std::string origin;
  std::string fetch_site;  // Sec-Fetch-Site
  std::string authorization;
  std::string cookie;  // every cookie
  std::string remote;
  std::string local;  // the address that was reached
  std::string port;   // and its port
  bool tls = false;

  bool changes() const { return method == "POST"; }
};

}  // namespace billing::worker::operators
