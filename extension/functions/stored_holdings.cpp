#include "functions/stored_holdings.hpp"

#include <array>
#include <charconv>

namespace billing::stored_holdings {

namespace {

// Lines of fields with spaces between them. The first is about the user: whether a subscription gives access,
// the reason and the next step. Each other one is about a plan, "subscription" (with quantity, start and end
// of the period), "grant" or "lapsed". None of the fields has a space in it; "-" is an empty one.
constexpr std::size_t kMaxFields = 5;
using Fields = std::array<std::string_view, kMaxFields>;

std::string_view or_dash(std::string_view text) { return text.empty() ? "-" : text; }
std::string unless_dash(std::string_view field) { return field == "-" ? std::string() : std::string(field); }

Fields split(std::string_view line) {
  Fields fields;
  for (std::size_t i = 0; i < kMaxFields && !line.empty(); ++i) {
    const std::size_t end = std::min(line.find(' '), line.size());
    fields[i] = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return fields;
}

std::optional<std::int64_t> number(std::string_view field) {
  std::int64_t value = 0;
  const char* const end = field.data() + field.size();
  const auto [last, error] = std::from_chars(field.data(), end, value);
  return error == std::errc() && last == end ? std::optional(value) : std::nullopt;
}

bool add_plan(Known& known, const Fields& fields, const Plans& plans) {
  const Plan* plan = plans.find(fields[1]);
  if (plan == nullptr) return false;
  if (fields[0] == "lapsed") {
    known.standing.lapsed.push_back(plan);
    return true;
  }
  if (fields[0] == "grant") {
    known.plans.push_back({HeldPlan::Via::grant, plan});
    return true;
  }
  const std::optional<std::int64_t> quantity = number(fields[2]);
  if (fields[0] != "subscription" || !quantity) return false;
  HeldPlan held{HeldPlan::Via::subscription, plan, *quantity};
  if (fields[3] != "-") {
    const std::optional<std::int64_t> start = number(fields[3]);
    const std::optional<std::int64_t> end = number(fields[4]);
    if (!start || !end) return false;
    held.period = BillingPeriod{*start, *end};
  }
  known.plans.push_back(held);
  return true;
}

}  // namespace

std::string to_text(const Holdings& holdings, const Standing& standing) {
  std::string text = standing.has_subscription ? "yes " : "no ";
  text.append(or_dash(standing.reason)).append(" ").append(or_dash(standing.next_step));
  for (const HeldPlan& held : holdings.plans) {
    const bool bought = held.via == HeldPlan::Via::subscription;
    text.append(bought ? "\nsubscription " : "\ngrant ").append(held.plan->id);
    if (!bought) continue;
    text.append(" ").append(std::to_string(held.quantity));
    if (held.period)
      text.append(" ")
          .append(std::to_string(held.period->start))
          .append(" ")
          .append(std::to_string(held.period->end));
    else
      text.append(" - -");
  }
  for (const Plan* plan : standing.lapsed) text.append("\nlapsed ").append(plan->id);
  return text;
}

std::optional<Known> from_text(std::string_view text, const Plans& plans) {
  Known known;
  for (bool first = true; first || !text.empty(); first = false) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const Fields fields = split(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!first) {
      if (!add_plan(known, fields, plans)) return std::nullopt;
      continue;
    }
    if (fields[2].empty()) return std::nullopt;
    known.standing.has_subscription = fields[0] == "yes";
    known.standing.reason = unless_dash(fields[1]);
    known.standing.next_step = unless_dash(fields[2]);
  }
  return known;
}

}  // namespace billing::stored_holdings
