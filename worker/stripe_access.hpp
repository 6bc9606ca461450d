// How this configuration asks Stripe's API.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>

#include "worker/config.hpp"
#include "worker/stripe/client.hpp"

namespace billing::worker {

// Nothing without a secret key.
inline std::unique_ptr<stripe::Client> make_client(boost::asio::io_context& io, const Config& config) {
  if (config.secret_key.empty()) return nullptr;
  stripe::ClientOptions options;
  options.base = config.api_base;
  options.secret_key = config.secret_key;
  options.certificates = config.api_certificates;
  options.requests_per_second = static_cast<double>(config.api_rate);
  return std::make_unique<stripe::Client>(io, options);
}

}  // namespace billing::worker
