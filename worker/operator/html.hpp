// HTML that is escaped by construction: names of elements and attributes are literals of this program, known
// when it is compiled, and everything else is text.
#pragma once

#include <concepts>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace billing::worker::operators {

// Text of this program, never of anybody else.
class Literal {
 public:
  consteval Literal(const char* text) : text_(text) {}
  std::string_view text() const { return text_; }

 private:
  std::string_view text_;
};

struct Attribute {
  template <typename Text>
  requires std::convertible_to<const Text&, std::string_view> Attribute(Literal its_name,
                                                                        const Text& its_value)
      : name(its_name), value(std::string_view(its_value)) {}
  // Left out when there is nothing.
  Attribute(Literal its_name, const std::optional<std::string>& its_value)
      : name(its_name), value(its_value.value_or("")), present(its_value.has_value()) {}
  // One without a value, there or not: required, open.
  Attribute(Literal its_name, std::same_as<bool> auto there) : name(its_name), present(there), bare(true) {}

  Literal name;
  std::string value;
  bool present = true;
  bool bare = false;
};
using Attributes = std::initializer_list<Attribute>;

class Html {
 public:
  // An element that is open until the end of its scope.
  class Scope {
   public:
    Scope(Html& html, Literal tag) : html_(html), tag_(tag) {}
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Html& html_;
    Literal tag_;
  };

  [[nodiscard]] Scope open(Literal tag, Attributes attributes = {});
  // An element that holds text.
  void put(Literal tag, Attributes attributes, std::string_view text);
  void put(Literal tag, std::string_view text) { put(tag, {}, text); }
  // One without an end: br, input, meta.
  void single(Literal tag, Attributes attributes = {});
  void text(std::string_view text);
  // Takes over what another one holds.
  void add(Html&& other) { out_ += other.out_; }
  void link(std::string_view where, std::string_view text) { put("a", {{"href", where}}, text); }

  std::string take() { return std::move(out_); }
  void clear() { out_.clear(); }

 private:
  void begin(Literal tag, Attributes attributes);
  void escape(std::string_view text);

  std::string out_;
};

}  // namespace billing::worker::operators
