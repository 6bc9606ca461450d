// What prices and their products say about credits.
#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "core/credit_line.hpp"
#include "core/credit_plan.hpp"
#include "core/fields.hpp"

namespace billing::credits {
namespace {

constexpr Amount kMostCredits = 1'000'000'000'000;
constexpr Amount kMostPriority = 1000;  // as of grant_credits

std::string trimmed(const std::string& text) {
  constexpr const char* kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

constexpr std::array<const char*, 8> kAttributes = {"credits",         "credits_per",     "credit_interval",
                                                    "credit_rollover", "credit_priority", "upgrade_credits",
                                                    "trial_credits",   "grant_on"};

// The metadata of a price and its product, and what its plan says. Each reader returns nothing for what is
// absent or not usable. A value on the price that is not usable hides the product's: what was meant is not
// known, and the other would be granted for good.
class Attributes {
 public:
  Attributes(const Json& price, const Json& product, const Json& plan, std::vector<std::string>& problems)
      : price_(at(price, "metadata")), product_(at(product, "metadata")), plan_(plan), problems_(problems) {}

  std::optional<std::string> text(const char* key) const {
    for (const Json* metadata : {&price_, &product_, &plan_}) {
      const Json& value = at(*metadata, key);
      // Stripe removes a key that is set to the empty string.
      std::string found = value.is_string() ? trimmed(value.get_ref<const std::string&>())
                          : value.is_null() ? ""
                                            : to_text(value);
      if (!found.empty()) return found;
    }
    return std::nullopt;
  }

  std::optional<Amount> number(const char* key, Amount most = kMostCredits) {
    const std::optional<std::string> value = text(key);
    if (!value) return std::nullopt;
    const std::optional<Amount> number = whole_number(*value);
    if (number && *number <= most) return number;
    complain(key, *value, "a whole number up to " + std::to_string(most));
    return std::nullopt;
  }

  // The index of the value among `choices`.
  std::optional<std::size_t> choice(const char* key, const std::vector<const char*>& choices) {
    const std::optional<std::string> value = text(key);
    if (!value) return std::nullopt;
    std::string expected;
    for (std::size_t i = 0; i < choices.size(); ++i) {
      if (*value == choices[i]) return i;
      expected += (i == 0 ? "" : ", ") + std::string(choices[i]);
    }
    complain(key, *value, "one of " + expected);
    return std::nullopt;
  }

  void complain(const char* key, const std::string& value, const std::string& expected) {
    const bool of_plan = at(price_, key).is_null() && at(product_, key).is_null();
    problems_.push_back((of_plan ? "" : "metadata ") + std::string(key) + " is " + excerpt(Json(value)) +
                        ", expected " + expected);
  }

 private:
  const Json& price_;
  const Json& product_;
  const Json& plan_;
  std::vector<std::string>& problems_;
};

Rollover read_rollover(Attributes& attributes) {
  const std::optional<std::string> value = attributes.text("credit_rollover");
  if (!value || *value == "none") return {};
  if (*value == "all") return {Rollover::Kind::all, 0};
  const std::optional<Amount> limit = whole_number(*value);
  if (limit && *limit <= kMostCredits) return {Rollover::Kind::limited, *limit};
  attributes.complain("credit_rollover", *value, "none, all, or a whole number");
  return {};
}

CreditRule read_rule(const Json& price, const Json& product, const Json& plan) {
  CreditRule rule;
  Attributes attributes(price, product, plan, rule.problems);
  rule.credits = attributes.number("credits");
  rule.per_subscription = attributes.choice("credits_per", {"unit", "subscription"}).value_or(0) == 1;
  const std::vector<const char*> intervals = {"day", "week", "month"};
  if (const auto interval = attributes.choice("credit_interval", intervals)) {
    rule.interval = intervals[*interval];
  }
  rule.rollover = read_rollover(attributes);
  rule.priority =
      static_cast<int>(attributes.number("credit_priority", kMostPriority).value_or(rule.priority));
  switch (attributes.choice("upgrade_credits", {"prorated_delta", "none", "full_delta"}).value_or(0)) {
    case 1:
      rule.upgrade = CreditRule::Upgrade::none;
      break;
    case 2:
      rule.upgrade = CreditRule::Upgrade::full_delta;
      break;
    default:
      break;
  }
  rule.trial_credits = attributes.number("trial_credits").value_or(0);
  rule.on_finalized = attributes.choice("grant_on", {"paid", "finalized"}).value_or(0) == 1;
  return rule;
}

void add_price(const Json& owner, std::set<std::string>& seen, std::vector<Json>& prices) {
  const Json& price = fields::item_price(owner);
  const std::string id = text_of(price, "id").value_or("");
  if (!id.empty() && seen.insert(id).second) prices.push_back(price);
}

}  // namespace

std::optional<Amount> whole_number(const std::string& text) {
  Amount number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  // from_chars knows the minus sign, which "-0" would get past the comparison.
  if (error != std::errc() || rest != end || number < 0 || text.front() == '-') return std::nullopt;
  return number;
}

std::string problem_of(const Json& plan) {
  for (const auto& [key, value] : plan.items())
    if (std::find(kAttributes.begin(), kAttributes.end(), key) == kAttributes.end())
      return "unknown attribute " + key;
  const CreditRule rule = read_rule(nullptr, nullptr, plan);
  return rule.problems.empty() ? "" : rule.problems.front();
}

Price read_price(const Json& object, const Json& product, const Json& plan) {
  Price price;
  price.id = text_of(object, "id").value_or("");
  price.product_id = fields::price_product(object);
  const Json& recurring = at(object, "recurring");
  const Json& terms = recurring.is_object() ? recurring : object;  // a plan has them itself
  price.metered = text_of(terms, "usage_type") == "metered";
  price.interval = text_of(terms, "interval").value_or("");
  price.interval_count = std::max<std::int64_t>(integer_of(terms, "interval_count").value_or(1), 1);
  price.unit_amount = integer_of(object, "unit_amount");
  if (!price.unit_amount) price.unit_amount = integer_of(object, "amount");
  price.rule = read_rule(object, product.is_object() ? product : at(object, "product"), plan);
  return price;
}

std::vector<Json> embedded_prices(const std::string& object_type, const Json& object) {
  std::set<std::string> seen;
  std::vector<Json> prices;
  const char* list = object_type == "subscription"       ? "items"
                     : object_type == "invoice"          ? "lines"
                     : object_type == "checkout.session" ? "line_items"
                                                         : nullptr;
  if (list == nullptr) return prices;
  for (const Json& element : list_of(object, list)) add_price(element, seen, prices);
  if (object_type == "subscription") add_price(object, seen, prices);  // its own plan, in the oldest versions
  return prices;
}

}  // namespace billing::credits
