#include "core/stripe_entitlements.hpp"

#include <algorithm>

namespace billing {
namespace {

std::set<std::string> listed(const Json& summary) {
  std::set<std::string> keys;
  for (const Json& entitlement : list_of(summary, "entitlements"))
    if (const auto key = text_of(entitlement, "lookup_key"); key && !key->empty()) keys.insert(*key);
  return keys;
}

// Only a list that says that there is no more is whole.
bool is_whole(const Json& summary) {
  const Json& list = at(summary, "entitlements");
  return list.is_array() || at(list, "has_more") == Json(false);
}

}  // namespace

void fold_summary(StripeEntitlements& known, const Json& summary, Seconds created) {
  if (is_whole(summary)) known.whole_at = std::max(known.whole_at.value_or(created), created);
  for (const std::string& key : listed(summary)) {
    const auto [found, is_new] = known.seen.emplace(key, created);
    if (!is_new) found->second = std::max(found->second, created);
  }
  std::erase_if(known.seen,
                [&](const auto& each) { return known.whole_at && each.second < *known.whole_at; });
}

Json seen_json(const StripeEntitlements& known) {
  Json json = Json::object();
  for (const auto& [key, created] : known.seen) json[key] = created;
  return json;
}

StripeEntitlements read_seen(std::optional<Seconds> whole_at, const Json& seen) {
  StripeEntitlements known;
  known.whole_at = whole_at;
  for (const auto& each : seen.items())
    if (each.value().is_number_integer()) known.seen[each.key()] = each.value().get<Seconds>();
  return known;
}

std::set<std::string> active_features(const StripeEntitlements& known, const Json& summary) {
  std::set<std::string> keys = listed(summary);
  if (!is_whole(summary))
    for (const auto& [key, created] : known.seen) keys.insert(key);
  return keys;
}

}  // namespace billing
