// Whether an object is ours: several systems may share one Stripe account.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "core/event.hpp"

namespace billing {

// billing.scope: "all", or {"products": ["prod_..."], "metadata": {"app": "shop"}}. An object is ours when
// one of its products is listed or one of its metadata pairs matches. Types that carry neither products nor
// metadata of a subscription (customers, products themselves, payment methods...) are always ours.
struct Scope {
  bool all = true;
  std::set<std::string> products;
  std::map<std::string, std::string> metadata;
};
// Throws JsonError with a message for people on a malformed value.
Scope parse_scope(std::string_view value);
bool in_scope(const Scope& scope, const Event& event);
// Whether the metadata of something that tells no product says that it is ours.
bool names_scope(const Scope& scope, const Json& metadata);

}  // namespace billing
