// What pages have in common: tables, times, amounts, words with a colour, fields of forms.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/json.hpp"
#include "worker/operator/connections.hpp"
#include "worker/operator/visit.hpp"

namespace billing::worker::operators {

// Any value as text for people; "" for null.
std::string words(const Json& value);
// "29.00 EUR"; "" without an amount.
std::string money(const Json& minor, const std::string& currency);
// "12,345": whole numbers with their thousands apart.
std::string counted(const Json& number);
std::string rounded(double number, int decimals);

// "0.08 s", "3 min", "5 h", "12 days"; a dash for null.
std::string lasting(const Json& seconds);
// A link in a list of the like: `of_what` is only heard, so that each has a name of its own.
void put_step(Html& html, std::string_view where, std::string_view text, std::string_view of_what);

// A time of the database in UTC, or an ISO 8601 text, in whole seconds; a dash for null.
void put_time(Html& html, const Json& time);
// A word such as "failed", in a colour that it deserves besides.
void put_badge(Html& html, std::string_view word);
// A value that ids and such are made of: monospaced; with a link when there is one. A dash for "".
void put_code(Html& html, std::string_view text, std::string_view where = "");
void put_empty(Html& html, std::string_view what, std::string_view next_step);
void put_failure(Html& html, const Failure& failure);

// A heading, and what belongs to it.
class Section {
 public:
  Section(Visit& visit, std::string_view heading, Literal level = "h2");

 private:
  Html::Scope element_;
};

// A list of terms, each with what is said of it.
class Facts {
 public:
  explicit Facts(Visit& visit) : html_(visit.html), element_(visit.html.open("dl", {{"class", "facts"}})) {}
  void add(std::string_view term, std::string_view text);
  void add_time(std::string_view term, const Json& time);
  void add_badge(std::string_view term, std::string_view word);
  void add_code(std::string_view term, std::string_view text, std::string_view where = "");
  void add_link(std::string_view term, std::string_view text, std::string_view where);

 private:
  Html& html_;
  Html::Scope element_;
};

// A table that scrolls by itself where the screen is narrow. A column whose name begins with '#' holds
// numbers.
class Table {
 public:
  Table(Visit& visit, std::string_view caption, const std::vector<std::string>& columns);
  [[nodiscard]] Html::Scope row() { return html_.open("tr"); }
  [[nodiscard]] Html::Scope cell() { return html_.open("td"); }
  [[nodiscard]] Html::Scope head() { return html_.open("th", {{"scope", "row"}}); }
  void add(std::string_view text) { html_.put("td", text.empty() ? "–" : text); }
  void add_number(std::string_view text) {
    html_.put("td", {{"class", "number"}}, text.empty() ? "–" : text);
  }
  void add_time(const Json& time);
  void add_badge(std::string_view word);
  void add_code(std::string_view text, std::string_view where = "");

 private:
  Html& html_;
  std::string caption_id_;
  Html::Scope region_;
  Html::Scope table_;
  Html::Scope opened_head(std::string_view caption, const std::vector<std::string>& columns);
  Html::Scope body_;
};

struct Field {
  Literal name;
  std::string label;
  std::string value = "";
  std::string hint = "";
  bool required = false;
  Literal type = "text";
  Literal complete = "off";
};
void put_field(Visit& visit, const Field& field);
void put_choice(Visit& visit, Literal name, std::string_view label,
                const std::vector<std::pair<std::string, std::string>>& choices, std::string_view chosen);
// Begins a form that changes something.
[[nodiscard]] Html::Scope open_change(Visit& visit, Literal where);
// What such a form needs, so that no other page can send it.
void put_key(Visit& visit);
// Why, the key, and the button.
void put_reason_and_button(Visit& visit, std::string_view button);

}  // namespace billing::worker::operators
