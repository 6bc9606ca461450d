// Reading JSON from outside: what is refused, what is replaced, and getters that survive every type.
#include "core/json.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "generators.hpp"

namespace billing {
namespace {

std::string message_of(std::string_view text) {
  try {
    parse_json(text);
  } catch (const JsonError& error) {
    return error.what();
  }
  return "";
}

std::string nested(int depth, const char* open = "[", const char* close = "]") {
  std::string text;
  for (int i = 0; i < depth; ++i) text += open;
  for (int i = 0; i < depth; ++i) text += close;
  return text;
}

TEST(Json, DepthIsLimited) {
  EXPECT_NO_THROW(parse_json(nested(64)));
  EXPECT_EQ(message_of(nested(65)), "json is nested deeper than 64 levels");
  EXPECT_EQ(message_of(nested(100'000)), "json is nested deeper than 64 levels");
  EXPECT_NO_THROW(parse_json(R"({"a":)" + nested(63) + "}"));
  EXPECT_THROW(parse_json(R"({"a":)" + nested(64) + "}"), JsonError);
  EXPECT_THROW(parse_json(std::string(65, '[')), JsonError);
}

TEST(Json, BracketsInStringsAreNoDepth) {
  EXPECT_NO_THROW(parse_json("\"" + std::string(100, '[') + "\""));
  EXPECT_NO_THROW(
      parse_json(R"(["\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["])"));
  EXPECT_NO_THROW(parse_json(R"(["\\", ")" + std::string(100, '{') + R"("])"));
}

TEST(Json, SiblingsDoNotAddUp) {
  std::string text = "[";
  for (int i = 0; i < 200; ++i) text += "[[]],";
  EXPECT_NO_THROW(parse_json(text + "0]"));
}

TEST(Json, SyntaxErrorsNameThePlaceAndNothingOfTheText) {
  EXPECT_EQ(message_of(""), "json is empty");
  EXPECT_EQ(message_of(R"({"secret": oops})"), "invalid json at byte 12");
  EXPECT_EQ(message_of(R"({"a":1} trailing)"), "invalid json at byte 11");
  EXPECT_EQ(message_of("\"\xff\xfe\""), "invalid json at byte 2");
  EXPECT_EQ(message_of("[1e999]"), "json holds a number that is out of range");
  EXPECT_NE(message_of(R"(["\u12"])"), "");
  EXPECT_NE(message_of(R"(["\x"])"), "");
  EXPECT_NE(message_of(R"(["\)"), "");
  EXPECT_NE(message_of(R"(["\ud83d\u)"), "");
  EXPECT_NE(message_of(std::string_view("[\"\0\"]", 5)), "");
}

TEST(Json, WhatJsonbRefusesIsReplaced) {
  const std::string replacement = "\xef\xbf\xbd";
  EXPECT_EQ(parse_json(R"("a\u0000b")"), "a" + replacement + "b");
  EXPECT_EQ(parse_json(R"("\ud800")"), replacement);
  EXPECT_EQ(parse_json(R"("\uDFFFx")"), replacement + "x");
  EXPECT_EQ(parse_json(R"("\ud800\ud800\udc00")"), replacement + "\xf0\x90\x80\x80");
  EXPECT_EQ(parse_json(R"("\udc00\ud800")"), replacement + replacement);
  EXPECT_EQ(parse_json(R"("\ud800A")"), replacement + "A");
  EXPECT_EQ(parse_json(R"({"\u0000": 1})").begin().key(), replacement);
}

TEST(Json, WhatJsonbAcceptsIsLeftAlone) {
  EXPECT_EQ(parse_json(R"("\ud83d\udcb3")"), "\xf0\x9f\x92\xb3");
  EXPECT_EQ(parse_json(R"("\uD83D\uDCB3")"), "\xf0\x9f\x92\xb3");
  EXPECT_EQ(parse_json(R"("\\u0000")"), "\\u0000");
  EXPECT_EQ(parse_json(R"("\u0001")"), "\x01");
  EXPECT_EQ(parse_json(R"("\u00000")"),
            "\xef\xbf\xbd"
            "0");
}

TEST(Json, TextIsCopiedOnlyWhenSomethingIsReplaced) {
  std::string buffer;
  const std::string clean = R"({"a":"\ud83d\udcb3\n\"","b":[1,2]})";
  EXPECT_EQ(storable_json(clean, buffer).data(), clean.data());
  EXPECT_TRUE(buffer.empty());
  const std::string dirty = R"({"a":"\u0000"})";
  EXPECT_EQ(storable_json(dirty, buffer), R"({"a":"\ufffd"})");
}

TEST(Json, LastOfDuplicateKeysWins) { EXPECT_EQ(parse_json(R"({"a":1,"a":2})")["a"], 2); }

TEST(Json, TextRoundTripsAndNeverThrows) {
  const Json value = parse_json(R"({"b":[1,2.5,-0.0,true,null,"\u00e9\u0000"],"a":18446744073709551615})");
  EXPECT_EQ(parse_json(to_text(value)), value);
  EXPECT_EQ(to_text(Json("\xff")), "\"\xef\xbf\xbd\"");
}

TEST(Json, ExcerptEndsBetweenCharacters) {
  EXPECT_EQ(excerpt(5), "5");
  for (int pad = 0; pad < 4; ++pad) {
    std::string text(static_cast<std::size_t>(60 + pad), 'x');
    for (int i = 0; i < 10; ++i) text += "\xf0\x9f\x92\xb3";
    const std::string shown = excerpt(text);
    EXPECT_LE(shown.size(), 67U);
    EXPECT_TRUE(shown.ends_with("..."));
    EXPECT_NO_THROW(static_cast<void>(Json(shown).dump()));
  }
}

TEST(Json, MembersOfAnythingButAnObjectAreNull) {
  EXPECT_TRUE(at(Json(), "a").is_null());
  EXPECT_TRUE(at(Json(5), "a").is_null());
  EXPECT_TRUE(at(Json::array({1}), "a").is_null());
  EXPECT_TRUE(at(Json{{"b", 1}}, "a").is_null());
  EXPECT_EQ(at(at(Json{{"a", {{"b", 1}}}}, "a"), "b"), 1);
}

TEST(Json, TypedMembers) {
  const Json value = parse_json(
      R"({"t":"x","i":-5,"u":18446744073709551615,"m":9223372036854775807,"d":1.5,"w":2.0,"y":true,"n":null})");
  EXPECT_EQ(text_of(value, "t"), "x");
  EXPECT_EQ(integer_of(value, "i"), -5);
  EXPECT_EQ(integer_of(value, "m"), std::numeric_limits<std::int64_t>::max());
  EXPECT_TRUE(flag_of(value, "y"));
  for (const char* key : {"i", "d", "y", "n", "absent"}) EXPECT_EQ(text_of(value, key), std::nullopt) << key;
  for (const char* key : {"t", "u", "d", "w", "y", "n", "absent"}) {
    EXPECT_EQ(integer_of(value, key), std::nullopt) << key;
  }
  for (const char* key : {"t", "i", "n", "absent"}) EXPECT_FALSE(flag_of(value, key)) << key;
}

TEST(Json, TimesLieBetween1970AndTheYear9999) {
  const Json value = {
      {"first", 0}, {"last", kLastSecond}, {"before", -1}, {"after", kLastSecond + 1}, {"text", "0"}};
  EXPECT_EQ(time_of(value, "first"), 0);
  EXPECT_EQ(time_of(value, "last"), kLastSecond);
  for (const char* key : {"before", "after", "text", "absent"})
    EXPECT_EQ(time_of(value, key), std::nullopt) << key;
}

TEST(Json, ExpandableFields) {
  const Json value = {{"id_only", "cus_1"}, {"whole", {{"id", "cus_2"}}}, {"null", nullptr},
                      {"number", 5},        {"odd", {{"id", 5}}},         {"list", Json::array({"cus_3"})}};
  EXPECT_EQ(id_of(value, "id_only"), "cus_1");
  EXPECT_EQ(id_of(value, "whole"), "cus_2");
  for (const char* key : {"null", "number", "odd", "list", "absent"}) EXPECT_EQ(id_of(value, key), "") << key;
}

TEST(Json, Lists) {
  const Json value = {
      {"list", fixtures::list({1, 2})}, {"plain", {1, 2, 3}}, {"odd", {{"data", 5}}}, {"text", "x"}};
  EXPECT_EQ(list_of(value, "list").size(), 2U);
  EXPECT_EQ(list_of(value, "plain").size(), 3U);
  for (const char* key : {"odd", "text", "absent"}) EXPECT_TRUE(list_of(value, key).empty()) << key;
}

RC_GTEST_PROP(JsonProperty, WhatIsParsedCanBeWrittenAndReadBack, ()) {
  const Json value = parse_json(to_text(*generators::json()));
  RC_ASSERT(parse_json(to_text(value)) == value);
}

RC_GTEST_PROP(JsonProperty, GettersSurviveEveryType, ()) {
  const Json value = *generators::json();
  const std::string key = *generators::key();
  const char* name = key.c_str();
  at(value, name);
  text_of(value, name);
  integer_of(value, name);
  flag_of(value, name);
  id_of(value, name);
  for (const Json& element : list_of(value, name)) at(element, name);
}

RC_GTEST_PROP(JsonProperty, EveryStringOfEscapesCanBeStored, ()) {
  const auto units = *rc::gen::container<std::vector<int>>(
      rc::gen::element(0, 0x41, 0xd7ff, 0xd800, 0xdbff, 0xdc00, 0xdfff, 0xe000, 0xffff));
  std::string text = "\"";
  for (const int unit : units) {
    char escape[8];
    std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(unit));
    text += escape;
  }
  const Json value = parse_json(text + "\"");
  RC_ASSERT(value.get<std::string>().find('\0') == std::string::npos);
  RC_ASSERT(Json::parse(value.dump()) == value);  // dump() throws on text that is not UTF-8
}

RC_GTEST_PROP(JsonProperty, ArbitraryBytesEitherParseOrRaiseJsonError, ()) {
  const auto text = *rc::gen::string<std::string>();
  try {
    parse_json(text);
  } catch (const JsonError&) {
  }
}

}  // namespace
}  // namespace billing
