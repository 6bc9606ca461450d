#include "core/plan.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "core/credit_plan.hpp"
#include "core/money.hpp"

namespace billing {

namespace {

constexpr std::int64_t kMost = 1'000'000'000'000;

bool is_small_letter(char c) { return c >= 'a' && c <= 'z'; }

bool is_plan_id(const std::string& text) {
  return !text.empty() && text.size() <= 63 && std::all_of(text.begin(), text.end(), [](char c) {
    return is_small_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  });
}

// Reads the members of one object, and knows which it has not read.
class Members {
 public:
  Members(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) fail("must be an object, not " + excerpt(object), "Write it as {\"...\": ...}.");
  }

  [[noreturn]] void fail(const std::string& message, const std::string& hint) const {
    throw PlanError(where_ + " " + message, hint);
  }

  const Json& take(const char* name) {
    read_.insert(name);
    return at(object_, name);
  }
  bool has(const char* name) const { return !at(object_, name).is_null(); }

  std::string text(const char* name) {
    const Json& value = take(name);
    if (value.is_null()) return "";
    if (!value.is_string() || value.get_ref<const std::string&>().empty() ||
        value.get_ref<const std::string&>().size() > 1000)
      wrong(name, value, "a text of 1 to 1000 bytes");
    return value.get<std::string>();
  }
  // 19.99 as a text, or as a number.
  std::string amount(const char* name) {
    const Json& value = at(object_, name);
    if (!value.is_number()) return text(name);
    read_.insert(name);
    return to_text(value);
  }
  bool flag(const char* name, bool otherwise) {
    const Json& value = take(name);
    if (value.is_null()) return otherwise;
    if (!value.is_boolean()) wrong(name, value, "true or false");
    return value.get<bool>();
  }
  std::optional<std::int64_t> number(const char* name, std::int64_t most = kMost) {
    const Json& value = take(name);
    if (value.is_null()) return std::nullopt;
    const std::optional<std::int64_t> number =
        value.is_number_integer() ? integer_of(object_, name) : std::nullopt;
    if (!number || *number < 0 || *number > most)
      wrong(name, value, "a whole number from 0 to " + std::to_string(most));
    return number;
  }
  std::string choice(const char* name, std::initializer_list<const char*> choices) {
    const std::string value = text(name);
    if (value.empty() || std::find(choices.begin(), choices.end(), value) != choices.end()) return value;
    std::string list;
    for (const char* one : choices) list += (list.empty() ? "" : ", ") + std::string(one);
    wrong(name, value, "one of " + list);
  }
  const Json& object(const char* name) {
    static const Json none = Json::object();
    const Json& value = take(name);
    if (value.is_null()) return none;
    if (!value.is_object()) wrong(name, value, "an object");
    return value;
  }
  // To be called last.
  void no_others() const {
    for (const auto& member : object_.items()) {
      if (read_.count(member.key()) > 0) continue;
      std::string known;
      for (const std::string& name : read_) known += (known.empty() ? "" : ", ") + name;
      fail("has an unknown member \"" + member.key() + "\"", "Members are " + known + ".");
    }
  }

 private:
  [[noreturn]] void wrong(const char* name, const Json& value, const std::string& right) const {
    fail(std::string("has ") + name + " " + excerpt(value), std::string(name) + " is " + right + ".");
  }

  const Json& object_;
  std::string where_;
  std::set<std::string> read_;
};

Feature parse_feature(const std::string& name, const Json& json, const std::string& where) {
  if (!is_feature_name(name))
    throw PlanError(where + " has an unusable name", "Names have 1 to 80 of a-z, A-Z, 0-9, _, - and dot.");
  Feature feature;
  feature.name = name;
  if (json.is_boolean()) {
    feature.enabled = json.get<bool>();
    return feature;
  }
  Members members(json, where);
  feature.credit_cost = members.number("credit_cost");
  const std::optional<std::int64_t> limit = members.number("limit");
  feature.unlimited = members.flag("unlimited", false);
  feature.per_seat = members.choice("per", {"account", "seat"}) == "seat";
  feature.window = members.choice("window", {"period", "day", "week", "month", "year", "lifetime"});
  feature.mode = members.choice("mode", {"hard", "soft", "overage"});
  feature.overage_limit = members.number("overage_limit");
  feature.value = members.take("value");
  const Json& enabled = members.take("enabled");
  if (!enabled.is_null()) feature.enabled = members.flag("enabled", true);
  members.no_others();

  const bool metered = !feature.window.empty() || !feature.mode.empty();
  const bool limited = limit || feature.unlimited;
  const int kinds = (limited ? 1 : 0) + (!feature.value.is_null() ? 1 : 0) + (!enabled.is_null() ? 1 : 0);
  if (kinds > 1)
    members.fail("is of several kinds", "Give one of a limit (or unlimited), a value, or enabled.");
  if (limit && feature.unlimited)
    members.fail("has a limit and is unlimited",
                 "Give one of them; no limit has to be stated as \"unlimited\": true.");
  if (metered && !limited)
    members.fail("is metered, but says no limit", "Add \"limit\": n, or \"unlimited\": true.");
  if (feature.overage_limit && feature.mode != "overage")
    members.fail("has an overage_limit without mode overage", "Add \"mode\": \"overage\", or leave it out.");
  if (limited) {
    feature.kind = metered ? Feature::Kind::metered : Feature::Kind::limit;
    feature.limit = limit.value_or(0);
    if (metered && feature.window.empty()) feature.window = "period";
    if (metered && feature.mode.empty()) feature.mode = "hard";
    if (feature.unlimited && (feature.per_seat || feature.mode != (metered ? "hard" : "")))
      members.fail("is unlimited, but says how its limit counts", "Leave out per, mode and overage_limit.");
  } else if (!feature.value.is_null()) {
    feature.kind = Feature::Kind::value;
  } else if (enabled.is_null() && !feature.credit_cost) {
    members.fail("says nothing", "Give true, false, a limit, a value, or a credit_cost.");
  }
  if (feature.kind != Feature::Kind::limit && feature.kind != Feature::Kind::metered && feature.per_seat)
    members.fail("counts per seat, but has no limit", "Add \"limit\": n.");
  return feature;
}

std::vector<PlanPrice> parse_prices(const Json& json, const std::string& plan) {
  std::vector<PlanPrice> prices;
  if (json.is_null()) return prices;
  if (!json.is_array())
    throw PlanError("plan " + plan + " has prices " + excerpt(json), "prices is an array of objects.");
  for (const Json& element : json) {
    Members members(element, "price " + std::to_string(prices.size() + 1) + " of plan " + plan);
    PlanPrice price;
    for (const char* kind : {"price_id", "lookup_key", "product_id"}) {
      const std::string reference = members.text(kind);
      if (reference.empty()) continue;
      if (!price.kind.empty() || reference.size() > 255)
        members.fail("must have one of price_id, lookup_key and product_id, of at most 255 bytes",
                     "Write one object for each.");
      price.kind = kind;
      price.reference = reference;
    }
    price.cycle = members.choice("cycle", {"monthly", "yearly"});
    members.no_others();
    if (price.kind.empty())
      members.fail("names no price", "Give one of price_id, lookup_key and product_id.");
    prices.push_back(std::move(price));
  }
  std::sort(prices.begin(), prices.end());
  for (std::size_t i = 1; i < prices.size(); ++i)
    if (prices[i].kind == prices[i - 1].kind && prices[i].reference == prices[i - 1].reference)
      throw PlanError("plan " + plan + " names " + prices[i].kind + " " + prices[i].reference + " twice",
                      "Name each once.");
  return prices;
}

std::optional<std::int64_t> parse_money(Members& members, const char* name, const std::string& currency) {
  const std::string text = members.amount(name);
  if (text.empty()) return std::nullopt;
  if (currency.empty())
    members.fail(std::string("has ") + name + " without a currency", "Add \"currency\": \"usd\".");
  const std::optional<std::int64_t> minor = minor_units(text, currency);
  if (!minor)
    members.fail(std::string("has ") + name + " \"" + text + "\"",
                 std::string(name) + " is in major units, with at most " +
                     std::to_string(currency_decimals(currency)) + " decimals for " + currency +
                     ": \"19.99\".");
  return minor;
}

}  // namespace

bool is_feature_name(const std::string& text) {
  return !text.empty() && text.size() <= 80 && std::all_of(text.begin(), text.end(), [](char c) {
    return is_small_letter(c) || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  });
}

Feature parse_feature(const std::string& name, const Json& json) {
  return parse_feature(name, json, "feature \"" + name + "\"");
}

Json feature_json(const Feature& feature) {
  Json json = Json::object();
  switch (feature.kind) {
    case Feature::Kind::boolean:
      if (!feature.credit_cost) return feature.enabled;
      if (!feature.enabled) json["enabled"] = false;
      break;
    case Feature::Kind::value:
      json["value"] = feature.value;
      break;
    case Feature::Kind::limit:
    case Feature::Kind::metered:
      if (feature.unlimited)
        json["unlimited"] = true;
      else
        json["limit"] = feature.limit;
      if (feature.per_seat) json["per"] = "seat";
      if (feature.kind == Feature::Kind::limit) break;
      json["window"] = feature.window;
      if (feature.mode != "hard") json["mode"] = feature.mode;
      if (feature.overage_limit) json["overage_limit"] = *feature.overage_limit;
      break;
  }
  if (feature.credit_cost) json["credit_cost"] = *feature.credit_cost;
  return json;
}

const char* name_of(Feature::Kind kind) {
  switch (kind) {
    case Feature::Kind::boolean:
      return "boolean";
    case Feature::Kind::limit:
      return "limit";
    case Feature::Kind::metered:
      return "metered";
    case Feature::Kind::value:
      break;
  }
  return "value";
}

Plan parse_plan(const Json& json) {
  Plan plan;
  Members unnamed(json, "the plan");
  plan.id = unnamed.text("id");
  if (!is_plan_id(plan.id))
    unnamed.fail("has id " + excerpt(at(json, "id")), "An id has 1 to 63 of a-z, 0-9, _, - and dot.");
  Members members(json, "plan " + plan.id);
  members.take("id");
  plan.display_name = members.text("display_name");
  if (plan.display_name.empty()) plan.display_name = plan.id;
  plan.description = members.text("description");
  plan.rank = members.number("rank", 1'000'000).value_or(0);
  plan.trial_days = members.number("trial_days", 730);  // as many as Stripe allows
  plan.active = members.flag("active", true);
  plan.is_default = members.flag("default", false);
  plan.is_addon = members.flag("addon", false);
  if (plan.is_default && plan.is_addon)
    members.fail("is the default plan and an add-on",
                 "The default plan is what users without a subscription have.");
  plan.currency = members.text("currency");
  if (!plan.currency.empty() && (plan.currency.size() != 3 ||
                                 !std::all_of(plan.currency.begin(), plan.currency.end(), is_small_letter)))
    members.fail("has currency \"" + plan.currency + "\"", "A currency is three small letters: \"usd\".");
  plan.price_monthly = parse_money(members, "price_monthly", plan.currency);
  plan.price_yearly = parse_money(members, "price_yearly", plan.currency);
  plan.prices = parse_prices(members.take("prices"), plan.id);
  for (const auto& [name, feature] : members.object("features").items())
    plan.features.push_back(parse_feature(name, feature, "feature \"" + name + "\" of plan " + plan.id));
  std::sort(plan.features.begin(), plan.features.end(),
            [](const Feature& a, const Feature& b) { return a.name < b.name; });
  plan.credits = members.object("credits");
  if (const std::string problem = credits::problem_of(plan.credits); !problem.empty())
    members.fail("has credits with " + problem,
                 "credits says what a price's metadata may: {\"credits\": \"300\"}.");
  plan.metadata = members.object("metadata");
  members.no_others();
  return plan;
}

Json plan_json(const Plan& plan) {
  Json json = {{"id", plan.id}, {"display_name", plan.display_name}, {"rank", plan.rank}};
  if (!plan.description.empty()) json["description"] = plan.description;
  if (plan.trial_days) json["trial_days"] = *plan.trial_days;
  if (!plan.active) json["active"] = false;
  if (plan.is_default) json["default"] = true;
  if (plan.is_addon) json["addon"] = true;
  if (!plan.currency.empty()) json["currency"] = plan.currency;
  if (plan.price_monthly) json["price_monthly"] = major_units(*plan.price_monthly, plan.currency);
  if (plan.price_yearly) json["price_yearly"] = major_units(*plan.price_yearly, plan.currency);
  for (const PlanPrice& price : plan.prices) {
    json["prices"].push_back({{price.kind, price.reference}});
    if (!price.cycle.empty()) json["prices"].back()["cycle"] = price.cycle;
  }
  json["features"] = Json::object();
  for (const Feature& feature : plan.features) json["features"][feature.name] = feature_json(feature);
  if (!plan.credits.empty()) json["credits"] = plan.credits;
  if (!plan.metadata.empty()) json["metadata"] = plan.metadata;
  return json;
}

}  // namespace billing
