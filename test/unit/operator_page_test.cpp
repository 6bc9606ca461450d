// The parts of the operator's page that need no connection: markup, forms, who gets in, and for how long.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "worker/operator/form.hpp"
#include "worker/operator/gate.hpp"
#include "worker/operator/html.hpp"
#include "worker/operator/sign_ins.hpp"

namespace billing::worker::operators {
namespace {

using Clock = SignIns::Clock;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

TEST(OperatorHtml, EscapesTextAndAttributes) {
  Html html;
  {
    const auto link = html.open("a", {{"href", "/?a=\"&'<>"}, {"required", true}, {"open", false}});
    html.text("<script>\"&'\x01\n");
  }
  EXPECT_EQ(
      html.take(),
      "<a href=\"/?a=&quot;&amp;&#39;&lt;&gt;\" required>&lt;script&gt;&quot;&amp;&#39;\xef\xbf\xbd\n</a>");
}

RC_GTEST_PROP(OperatorHtml, NoTextGetsOutOfItsPlace, (const std::string& text)) {
  Html html;
  html.put("p", {{"title", text}}, text);
  const std::string out = html.take();
  // What is left without the element's own signs has none.
  const std::string inner = out.substr(2, out.size() - 6);
  RC_ASSERT(std::count(inner.begin(), inner.end(), '<') == 0);
  RC_ASSERT(std::count(inner.begin(), inner.end(), '>') == 1);
  RC_ASSERT(std::count(inner.begin(), inner.end(), '"') == 2);
  RC_ASSERT(std::count(inner.begin(), inner.end(), '\'') == 0);
}

TEST(OperatorForm, IsReadAsBrowsersWriteIt) {
  const Form form("a=1+2&b=%C3%A9%26&a=second&c=&d&%65=x%2&f=%00y&g=%ff&h=%20 z ");
  EXPECT_EQ(form.get("a"), "1 2");
  EXPECT_EQ(form.get("b"), "é&");
  EXPECT_EQ(form.get("c"), "");
  EXPECT_EQ(form.get("e"), "x%2");
  EXPECT_EQ(form.get("f"), "");
  EXPECT_EQ(form.get("g"), "");
  EXPECT_EQ(form.get("h"), "z");
  EXPECT_EQ(Form("").get("a"), "");
}

RC_GTEST_PROP(OperatorForm, LinksCarryWhatTheyAreGiven, ()) {
  const auto text = *rc::gen::container<std::string>(rc::gen::inRange<char>(0x21, 0x7f));
  const std::string link = Link("/x").with("a", text).with("b", "end").text();
  const Form form(link.substr(link.find('?') + 1));
  RC_ASSERT(form.get("a") == text);
  RC_ASSERT(form.get("b") == "end");
  RC_ASSERT(safe_place(link) == link);
}

Request asked(const std::string& host) {
  Request request;
  request.host = host;
  request.local = "192.0.2.7";
  request.port = "8481";
  return request;
}

TEST(OperatorGate, AnswersItsOwnNamesOnly) {
  const std::vector<std::string> names = {"ops.example.com"};
  for (const char* host : {"localhost", "LOCALHOST:1", "127.0.0.1:8481", "127.3.2.1", "[::1]:8481",
                           "192.0.2.7:8481", "Ops.Example.com:443"})
    EXPECT_FALSE(judge_host(asked(host), names)) << host;
  for (const char* host : {"", ":", "[", "[]", "ops.example.com.evil.example", "192.0.2.8",
                           "localhost.evil.example", "evil.example:8481"})
    EXPECT_TRUE(judge_host(asked(host), names)) << host;
}

TEST(OperatorGate, TakesFormsFromItsOwnPagesOnly) {
  Request request = asked("localhost:8481");
  EXPECT_FALSE(judge_origin(request));
  request.origin = "https://localhost:8481";
  EXPECT_FALSE(judge_origin(request));
  for (const char* origin : {"http://localhost", "http://evil.example", "null", "localhost:8481"}) {
    request.origin = origin;
    EXPECT_TRUE(judge_origin(request)) << origin;
    request.fetch_site = "same-origin";
    EXPECT_FALSE(judge_origin(request)) << origin;
    request.fetch_site = "";
  }
  request.origin = "https://localhost:8481";
  request.fetch_site = "cross-site";
  EXPECT_TRUE(judge_origin(request));
}

TEST(OperatorGate, ReadsItsOwnCookie) {
  Request request = asked("localhost");
  request.cookie = "other=1; pg_billing_8480=no; pg_billing_8481=yes;pg_billing_8481=late";
  EXPECT_EQ(cookie_of(request), "yes");
  request.tls = true;
  EXPECT_EQ(cookie_of(request), "");
  EXPECT_EQ(cookie_field(request, "v"),
            "__Host-pg_billing_8481=v; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200; Secure");
}

TEST(OperatorGate, LeadsNowhereElse) {
  for (const char* place : {"//evil.example", "https://evil.example", "/\\evil", "/a\nb", "", "x"})
    EXPECT_EQ(safe_place(place), "/") << place;
  EXPECT_EQ(safe_place("/events?type=a.b%20c"), "/events?type=a.b%20c");
}

TEST(OperatorSignIns, LastAnHourWithoutAVisitAndTwelveAtMost) {
  const std::vector<std::string> tokens = {"first", "second"};
  SignIns sign_ins;
  const auto start = Clock::now();
  const std::string token = SignIns::recognise("second", tokens);
  ASSERT_FALSE(token.empty());
  const std::string idle = sign_ins.open(token, start);
  const std::string busy = sign_ins.open(token, start);
  EXPECT_NE(idle, busy);
  EXPECT_EQ(sign_ins.find("", tokens, start), nullptr);
  for (auto at = start; at < start + hours(12); at += minutes(30))
    EXPECT_NE(sign_ins.find(busy, tokens, at), nullptr);
  EXPECT_EQ(sign_ins.find(idle, tokens, start + hours(1)), nullptr);
  EXPECT_EQ(sign_ins.find(busy, tokens, start + hours(12)), nullptr);
}

TEST(OperatorSignIns, EndWithTheirToken) {
  SignIns sign_ins;
  const auto now = Clock::now();
  const std::string cookie = sign_ins.open(SignIns::recognise("first", {"first"}), now);
  EXPECT_NE(sign_ins.find(cookie, {"second", "first"}, now), nullptr);
  EXPECT_EQ(sign_ins.find(cookie, {"second"}, now), nullptr);
  EXPECT_EQ(sign_ins.find(cookie, {"first"}, now), nullptr);
  EXPECT_EQ(SignIns::recognise("", {"first"}), "");
  EXPECT_EQ(SignIns::recognise("firs", {"first"}), "");
}

TEST(OperatorSignIns, TenWrongTokensAMinuteFromOneAddress) {
  SignIns sign_ins;
  const auto start = Clock::now();
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(sign_ins.may_try("a", start));
    sign_ins.note_failure("a", start + seconds(i));
  }
  EXPECT_FALSE(sign_ins.may_try("a", start + seconds(59)));
  EXPECT_TRUE(sign_ins.may_try("b", start + seconds(59)));
  EXPECT_TRUE(sign_ins.may_try("a", start + seconds(60)));
  // So many addresses at once that nobody could count for each: nobody else may.
  for (int i = 0; i < 1000; ++i) sign_ins.note_failure(std::to_string(i), start + seconds(100));
  EXPECT_FALSE(sign_ins.may_try("c", start + seconds(100)));
  EXPECT_TRUE(sign_ins.may_try("c", start + seconds(160)));
}

}  // namespace
}  // namespace billing::worker::operators
