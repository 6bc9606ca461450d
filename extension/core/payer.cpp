#include "core/payer.hpp"

#include <algorithm>
#include <array>
#include <tuple>

#include "core/event.hpp"

namespace billing {
namespace {

bool is_one_off(const Json& session) { return text_of(session, "mode") == "payment"; }

}  // namespace

std::string payer_of(const std::string& object_type, const Json& object) {
  if (object_type == "customer") return text_of(object, "id").value_or("");
  std::string customer = id_of(object, "customer");
  const bool pays = object_type == "payment_intent" || object_type == "charge" ||
                    (object_type == "checkout.session" && is_one_off(object));
  if (!customer.empty() || !pays) return customer;
  std::string intent = object_type == "payment_intent" ? "" : id_of(object, "payment_intent");
  return intent.empty() ? text_of(object, "id").value_or("") : intent;
}

bool is_guest(std::string_view payer) {
  constexpr std::array<std::string_view, 4> kPayments = {"pi_", "ch_", "py_", "cs_"};
  return std::any_of(kPayments.begin(), kPayments.end(),
                     [&](std::string_view prefix) { return payer.starts_with(prefix); });
}

const std::string& surer_payer(const std::string& one, const std::string& other) {
  const auto doubt = [](const std::string& id) { return std::tuple(id.empty(), is_guest(id), id); };
  return doubt(other) < doubt(one) ? other : one;
}

std::vector<std::pair<std::string, std::string>> payments_named_by(const std::string& object_type,
                                                                   const Json& object) {
  std::vector<std::pair<std::string, std::string>> named;
  const auto take = [&](const Json& holder) {
    for (const char* key : {"charge", "payment_intent"}) {
      std::string id = id_of(holder, key);
      if (!id.empty() && id.size() <= kMaxIdBytes) named.emplace_back(key, std::move(id));
    }
  };
  if (object_type == "invoice") {
    take(object);
    for (const Json& payment : list_of(object, "payments")) take(at(payment, "payment"));
  } else if (object_type == "invoice_payment") {
    take(at(object, "payment"));
  } else if (object_type == "charge" || (object_type == "checkout.session" && is_one_off(object))) {
    take(object);
  }
  return named;
}

}  // namespace billing
