// What simdjson reads is what nlohmann's parser would have made of it, or it is left to that.
#include "core/json_scan.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "core/json.hpp"
#include "generators.hpp"

namespace billing {
namespace {

// Equal also in what kind of number each is: integer_of() and jsonb depend on it.
bool is_same(const Json& a, const Json& b) {
  if (a.type() != b.type() || a.size() != b.size()) return false;
  if (a.is_object()) {
    return std::equal(
        a.items().begin(), a.items().end(), b.items().begin(),
        [](const auto& x, const auto& y) { return x.key() == y.key() && is_same(x.value(), y.value()); });
  }
  if (a.is_array()) return std::equal(a.begin(), a.end(), b.begin(), is_same);
  return a == b && to_text(a) == to_text(b);
}

bool is_read_as_parsed(const std::string& text) { return is_same(parse_json(text), Json::parse(text)); }

TEST(JsonScan, OrdinaryDocumentsAreScanned) {
  for (const char* text :
       {"{}", "[]", "5", "null", R"("x")", R"({"a":[1,-1,2.5,true,null,"\ud83d\udcb3"]} )"}) {
    EXPECT_TRUE(scan_json(text)) << text;
    EXPECT_TRUE(is_read_as_parsed(text)) << text;
  }
}

TEST(JsonScan, WhatIsNoJsonIsLeftToTheParser) {
  for (const char* text : {"", " ", "{", "[1,]", "{\"a\":1} x", "'x'", "\"\xff\"", "\"\xed\xa0\x80\"", "nul",
                           "01", "+1", "1.", ".5", "1e999", "[1e400]", "\"\t\""}) {
    EXPECT_FALSE(scan_json(text)) << text;
    EXPECT_THROW(parse_json(text), JsonError) << text;
  }
}

// As an HTTP request without a body has it; the undefined-behaviour sanitizer would tell.
TEST(JsonScan, NothingAtAllIsLeftToTheParser) {
  EXPECT_FALSE(scan_json(std::string_view()));
  EXPECT_THROW(parse_json(std::string_view()), JsonError);
}

TEST(JsonScan, DepthIsThatOfTheParser) {
  for (const auto& [open, close] : {std::pair{"[", "]"}, std::pair{R"({"a":)", "}"}}) {
    for (int depth : {1, 62, 63, 64, 65, 66, 1000}) {
      std::string text;
      for (int i = 0; i < depth; ++i) text += open;
      text += "1";
      for (int i = 0; i < depth; ++i) text += close;
      if (depth > kMaxJsonDepth) {
        EXPECT_FALSE(scan_json(text)) << open << depth;
      } else {
        EXPECT_TRUE(is_read_as_parsed(text)) << open << depth;
      }
    }
  }
}

TEST(JsonScan, NumbersKeepTheirKind) {
  for (const char* text :
       {"0", "-1", "1.0", "0.1", "1e5", "1E-7", "-0.0", "9007199254740993", "9223372036854775807",
        "-9223372036854775808", "9223372036854775808", "18446744073709551615", "18446744073709551616",
        "-9223372036854775809", "123456789012345678901234567890", "1.7976931348623157e308", "5e-324",
        "1e-999", "0.30000000000000004"})
    EXPECT_TRUE(is_read_as_parsed(text)) << text;
}

TEST(JsonScan, OneDocumentAfterAnother) {
  const std::string large = "[\"" + std::string(1'000'000, 'x') + "\"]";
  for (const std::string& text : {std::string("[1]"), large, std::string(R"({"a":"b"})"), large})
    EXPECT_TRUE(is_read_as_parsed(text));
  const auto first = parse_json(R"({"a":"first"})");
  parse_json(R"({"a":"second"})");
  EXPECT_EQ(first, Json({{"a", "first"}}));  // a tree does not point into what was scanned
}

TEST(JsonScan, MembersAsInATree) {
  const auto root = scan_json(R"({"a":1,"b":{"c":"x"},"a":"last"})");
  EXPECT_EQ(std::string_view(*at(root, "a")), "last");
  EXPECT_EQ(std::string_view(*at(at(root, "b"), "c")), "x");
  EXPECT_FALSE(at(root, "absent"));
  EXPECT_FALSE(at(at(root, "a"), "c"));
  EXPECT_FALSE(at(std::nullopt, "a"));
  EXPECT_FALSE(at(scan_json(R"([{"a":1}])"), "a"));
}

RC_GTEST_PROP(JsonScanProperty, AnyTreeIsReadAsTheParserReadsIt, ()) {
  const Json value = *generators::json();
  RC_ASSERT(is_read_as_parsed(to_text(value)));
  RC_ASSERT(is_read_as_parsed(value.dump(2, ' ', true, Json::error_handler_t::replace)));
}

TEST(TreeBlocks, WhatWasGivenBackIsTakenAgain) {
  TreeBlocks blocks;
  void* const first = blocks.take(40);
  blocks.give_back(first, 40);
  void* const other = blocks.take(64);
  EXPECT_NE(other, first);
  EXPECT_EQ(blocks.take(33), first);
  ::operator delete(first);
  ::operator delete(other);
  void* const large = blocks.take(100'000);
  blocks.give_back(large, 100'000);  // straight to whom it came from
  blocks.give_back(blocks.take(0), 0);
  ::operator delete(blocks.take(1));
}

}  // namespace
}  // namespace billing
