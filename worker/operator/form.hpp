// What browsers send: fields of a form or of a query, percent-encoded; and links that are made the same way.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "worker/operator/html.hpp"

namespace billing::worker::operators {

class Form {
 public:
  Form() = default;
  // application/x-www-form-urlencoded. Of a repeated field the first counts. What is not UTF-8, or holds a
  // NUL, which no database takes, is as if it were not there.
  explicit Form(std::string_view encoded);

  // Without the white space around it; "" when absent.
  std::string get(const std::string& name) const;

 private:
  std::map<std::string, std::string> fields_;
};

class Link {
 public:
  explicit Link(Literal path) : text_(path.text()) {}
  // An empty value leaves the field out.
  Link& with(Literal name, std::string_view value) &;
  Link&& with(Literal name, std::string_view value) &&;
  const std::string& text() const { return text_; }
  operator std::string_view() const { return text_; }

 private:
  std::string text_;
  bool query_ = false;
};

}  // namespace billing::worker::operators
