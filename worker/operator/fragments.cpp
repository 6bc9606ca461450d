// What pages have in common.
#include "worker/operator/fragments.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/money.hpp"

namespace billing::worker::operators {
namespace {

constexpr std::string_view kGood[] = {"active",   "completed", "processed", "ready",      "ok",
                                      "trialing", "yes",       "quiet",     "has access", "succeeded"};
constexpr std::string_view kBad[] = {"failed",  "given up", "critical", "no access",    "firing",   "unpaid",
                                     "refused", "lost",     "no",       "charged_back", "not ready"};
constexpr std::string_view kDoubtful[] = {"parked",  "warning", "past_due",  "pending",  "canceled",
                                          "waiting", "paused",  "suspended", "disputed", "conflict"};

bool holds(std::span<const std::string_view> list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return out;
}

}  // namespace

std::string words(const Json& value) {
  if (value.is_null()) return "";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string money(const Json& minor, const std::string& currency) {
  if (!minor.is_number()) return "";
  const std::int64_t amount =
      minor.is_number_integer() ? minor.get<std::int64_t>() : std::llround(minor.get<double>());
  const std::string text = major_units(amount < 0 ? -amount : amount, currency);
  // Thousands apart, as people write sums.
  const std::size_t point = std::min(text.find('.'), text.size());
  std::string out = amount < 0 ? "−" : "";
  for (std::size_t i = 0; i < point; ++i) {
    if (i > 0 && (point - i) % 3 == 0) out += ',';
    out += text[i];
  }
  return out + text.substr(point) + " " + upper(currency);
}

std::string counted(const Json& number) {
  if (!number.is_number()) return "";
  if (!number.is_number_integer()) return rounded(number.get<double>(), 1);
  std::string digits = std::to_string(number.get<std::int64_t>());
  const std::size_t first = digits.starts_with('-') ? 1 : 0;
  for (std::size_t i = digits.size(); i > first + 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string rounded(double number, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, number);
  return text;
}

std::string lasting(const Json& seconds) {
  if (!seconds.is_number()) return "–";
  const double time = seconds.get<double>();
  if (time < 10) return rounded(time, 2) + " s";
  if (time < 120) return rounded(time, 0) + " s";
  if (time < 7200) return rounded(time / 60, 0) + " min";
  if (time < 172800) return rounded(time / 3600, 0) + " h";
  return rounded(time / 86400, 0) + " days";
}

void put_step(Html& html, std::string_view where, std::string_view text, std::string_view of_what) {
  const auto link = html.open("a", {{"href", where}});
  html.text(text);
  html.put("span", {{"class", "unseen"}}, std::string(" ").append(of_what));
}

void put_time(Html& html, const Json& time) {
  if (!time.is_string() || time.get<std::string>().size() < 10) {
    html.text("–");
    return;
  }
  std::string shown = time.get<std::string>().substr(0, 19);
  if (shown.size() == 19) {
    const std::string machine = shown + "Z";
    shown[10] = ' ';
    html.put("time", {{"datetime", machine}}, shown);
  } else {
    html.text(shown);
  }
}

void put_badge(Html& html, std::string_view word) {
  const char* kind = holds(kGood, word)       ? "badge good"
                     : holds(kBad, word)      ? "badge bad"
                     : holds(kDoubtful, word) ? "badge doubtful"
                                              : "badge";
  html.put("span", {{"class", kind}}, word.empty() ? "–" : word);
}

void put_code(Html& html, std::string_view text, std::string_view where) {
  if (text.empty()) {
    html.text("–");
  } else if (where.empty()) {
    html.put("code", text);
  } else {
    const auto link = html.open("a", {{"href", where}});
    html.put("code", text);
  }
}

void put_empty(Html& html, std::string_view what, std::string_view next_step) {
  const auto box = html.open("div", {{"class", "empty"}});
  html.put("p", {{"class", "what"}}, what);
  if (!next_step.empty()) html.put("p", next_step);
}

void put_failure(Html& html, const Failure& failure) {
  const auto box = html.open("div", {{"class", "failure"}});
  html.put("p", {{"class", "what"}}, failure.what());
  if (!failure.next_step().empty()) html.put("p", failure.next_step());
  if (!failure.sqlstate().empty()) html.put("p", {{"class", "quiet"}}, "SQLSTATE " + failure.sqlstate());
}

Section::Section(Visit& visit, std::string_view heading, Literal level)
    : element_(visit.html.open("section")) {
  visit.html.put(level, heading);
}

void Facts::add(std::string_view term, std::string_view text) {
  const auto group = html_.open("div");
  html_.put("dt", term);
  html_.put("dd", text.empty() ? "–" : text);
}

void Facts::add_time(std::string_view term, const Json& time) {
  const auto group = html_.open("div");
  html_.put("dt", term);
  const auto value = html_.open("dd");
  put_time(html_, time);
}

void Facts::add_badge(std::string_view term, std::string_view word) {
  const auto group = html_.open("div");
  html_.put("dt", term);
  const auto value = html_.open("dd");
  put_badge(html_, word);
}

void Facts::add_code(std::string_view term, std::string_view text, std::string_view where) {
  const auto group = html_.open("div");
  html_.put("dt", term);
  const auto value = html_.open("dd");
  put_code(html_, text, where);
}

void Facts::add_link(std::string_view term, std::string_view text, std::string_view where) {
  const auto group = html_.open("div");
  html_.put("dt", term);
  const auto value = html_.open("dd");
  html_.link(where, text);
}

Table::Table(Visit& visit, std::string_view caption, const std::vector<std::string>& columns)
    : html_(visit.html),
      caption_id_(visit.next_id("caption")),
      region_(html_.open(
          "div",
          {{"class", "scroll"}, {"role", "region"}, {"tabindex", "0"}, {"aria-labelledby", caption_id_}})),
      table_(html_.open("table")),
      body_(opened_head(caption, columns)) {}

Html::Scope Table::opened_head(std::string_view caption, const std::vector<std::string>& columns) {
  html_.put("caption", {{"id", caption_id_}}, caption);
  {
    const auto head = html_.open("thead");
    const auto row = html_.open("tr");
    for (const std::string& column : columns) {
      const bool number = column.starts_with('#');
      html_.put("th", {{"scope", "col"}, {"class", number ? "number" : "word"}},
                column.substr(number ? 1 : 0));
    }
  }
  return html_.open("tbody");
}

void Table::add_time(const Json& time) {
  const auto element = html_.open("td", {{"class", "time"}});
  put_time(html_, time);
}

void Table::add_badge(std::string_view word) {
  const auto element = html_.open("td");
  put_badge(html_, word);
}

void Table::add_code(std::string_view text, std::string_view where) {
  const auto element = html_.open("td");
  put_code(html_, text, where);
}

void put_field(Visit& visit, const Field& field) {
  Html& html = visit.html;
  const std::string id = visit.next_id("field");
  const auto hint = field.hint.empty() ? std::nullopt : std::optional(id + "-hint");
  const auto group = html.open("div", {{"class", "field"}});
  html.put("label", {{"for", id}}, field.label);
  html.single("input", {{"id", id},
                        {"name", field.name.text()},
                        {"type", field.type.text()},
                        {"value", field.value},
                        {"autocomplete", field.complete.text()},
                        {"spellcheck", "false"},
                        {"aria-describedby", hint},
                        {"required", field.required}});
  if (hint) html.put("p", {{"class", "hint"}, {"id", *hint}}, field.hint);
}

void put_choice(Visit& visit, Literal name, std::string_view label,
                const std::vector<std::pair<std::string, std::string>>& choices, std::string_view chosen) {
  Html& html = visit.html;
  const std::string id = visit.next_id("field");
  const auto group = html.open("div", {{"class", "field"}});
  html.put("label", {{"for", id}}, label);
  const auto select = html.open("select", {{"id", id}, {"name", name.text()}});
  for (const auto& [value, text] : choices)
    html.put("option", {{"value", value}, {"selected", value == chosen}}, text);
}

Html::Scope open_change(Visit& visit, Literal where) {
  return visit.html.open("form", {{"method", "post"}, {"action", where.text()}, {"class", "change"}});
}

void put_key(Visit& visit) {
  visit.html.single("input", {{"type", "hidden"}, {"name", "key"}, {"value", visit.form_key}});
}

void put_reason_and_button(Visit& visit, std::string_view button) {
  put_field(visit, {"reason", "Reason", "", "Kept in the audit log, with the role in the database.", true});
  put_key(visit);
  visit.html.put("button", {{"type", "submit"}}, button);
}

}  // namespace billing::worker::operators
