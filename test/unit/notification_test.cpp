#include "core/notification.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "core/credit_alarm.hpp"
#include "core/standard_webhook.hpp"

namespace billing {
namespace {

constexpr Seconds kNow = 1'800'000'000;

Subscription active(std::int64_t quantity = 1, std::optional<Seconds> cancel_at = {}) {
  Subscription subscription;
  subscription.id = "sub_1";
  subscription.status = "active";
  subscription.created = kNow;
  SubscriptionItem item;
  item.price_id = "price_pro";
  item.quantity = quantity;
  subscription.items = {item};
  subscription.period_start = kNow;
  subscription.period_end = kNow + 30 * 86400;
  subscription.cancel_at = cancel_at;
  return subscription;
}

AccessNews tell(const Json& told, const std::vector<Subscription>& subscriptions, Seconds now = kNow,
                Seconds since = 0) {
  const UserState user = judge_user(subscriptions, {}, instant(now));
  return access_news(told, state_json("ada", subscriptions, user), user, subscriptions, {}, instant(now),
                     [&] { return since; });
}

std::vector<std::string> kinds(const AccessNews& news) {
  std::vector<std::string> kinds;
  for (const Notice& notice : news.notices) kinds.push_back(notice.kind);
  return kinds;
}

using Kinds = std::vector<std::string>;

TEST(AccessNews, TellsWhatDiffersFromWhatWasTold) {
  const AccessNews gained = tell(nullptr, {active()});
  EXPECT_EQ(kinds(gained), Kinds{"access_gained"});
  EXPECT_EQ(kinds(tell(gained.told, {active()})), Kinds{});
  const AccessNews more = tell(gained.told, {active(3)});
  EXPECT_EQ(kinds(more), Kinds{"access_changed"});
  const AccessNews ending = tell(more.told, {active(3, kNow + 86400)});
  EXPECT_EQ(kinds(ending), Kinds{"access_ending"});
  EXPECT_EQ(kinds(tell(ending.told, {active(3)})), Kinds{"access_changed"});
  EXPECT_EQ(kinds(tell(ending.told, {active(3, kNow + 2 * 86400)})), Kinds{"access_ending"});
  EXPECT_EQ(ending.due, instant(kNow + 86400));
  const AccessNews lost = tell(ending.told, {active(3, kNow + 86400)}, kNow + 86400);
  EXPECT_EQ(kinds(lost), Kinds{"access_lost"});
  EXPECT_EQ(lost.notices[0].payload["sequence"], 4);
  EXPECT_FALSE(lost.due);
}

TEST(AccessNews, KnowsNothingOfTheTimeBefore) {
  const AccessNews nothing = tell(nullptr, {});
  EXPECT_TRUE(nothing.told.is_null());
  const AccessNews older = tell(nullptr, {active()}, kNow, kNow + 1);
  EXPECT_EQ(kinds(older), Kinds{});
  EXPECT_EQ(kinds(tell(older.told, {})), Kinds{"access_lost"});
  // What nobody had told of before it ended: it began before, and ended after.
  Subscription over = active();
  over.status = "canceled";
  over.ended_at = kNow - 1;
  EXPECT_EQ(kinds(tell(nullptr, {over}, kNow, kNow + 1)), Kinds{});
  EXPECT_EQ(kinds(tell(nullptr, {over}, kNow, kNow)), Kinds{});
  over.created = kNow - 100;
  EXPECT_EQ(kinds(tell(nullptr, {over}, kNow, kNow - 50)), Kinds{"access_lost"});
}

TEST(AccessNews, WarnsOfATrialsEndOnce) {
  Subscription trial = active();
  trial.status = "trialing";
  trial.trial_end = trial.period_end = kNow + 5 * 86400;
  const AccessNews begun = tell(nullptr, {trial});
  EXPECT_EQ(kinds(begun), Kinds{"access_gained"});
  EXPECT_EQ(begun.due, instant(kNow + 2 * 86400));
  const AccessNews warned = tell(begun.told, {trial}, kNow + 2 * 86400);
  EXPECT_EQ(kinds(warned), Kinds{"trial_ending"});
  EXPECT_EQ(kinds(tell(warned.told, {trial}, kNow + 3 * 86400)), Kinds{});
  trial.trial_end = kNow + 4 * 86400;
  EXPECT_EQ(kinds(tell(warned.told, {trial}, kNow + 3 * 86400)), Kinds{"trial_ending"});
}

TEST(AccessNews, OnATestClockOnlyTheClockCounts) {
  Subscription trial = active();
  trial.status = "trialing";
  trial.test_clock = "clock_1";
  trial.trial_end = trial.period_end = kNow + 5 * 86400;
  const auto look = [&](const Json& told, Seconds shown) {
    AccessRules rules;
    rules.clocks = std::make_shared<TestClocks>(TestClocks{{"clock_1", {shown, false}}});
    const UserState user = judge_user({trial}, rules, instant(kNow + 40 * 86400));
    return access_news(
        told, state_json("ada", {trial}, user), user, {trial}, {}, instant(kNow + 40 * 86400),
        [] { return Seconds{0}; }, instant(shown));
  };
  const AccessNews begun = look(nullptr, kNow);
  EXPECT_EQ(kinds(begun), Kinds{"access_gained"});
  EXPECT_FALSE(begun.due);
  EXPECT_EQ(kinds(look(begun.told, kNow + 2 * 86400)), Kinds{"trial_ending"});
}

// However often, and whenever, somebody looks: gaining and losing take turns, and the last one is what is.
RC_GTEST_PROP(AccessNews, NeverContradictsItself, ()) {
  Json told = nullptr;
  bool access = false;
  std::int64_t sequence = 0;
  const int steps = *rc::gen::inRange(1, 30);
  for (int i = 0; i < steps; ++i) {
    std::vector<Subscription> subscriptions;
    if (*rc::gen::inRange(0, 4) > 0) {
      Subscription one = active(*rc::gen::inRange(1, 3));
      one.status = *rc::gen::element<std::string>("active", "unpaid", "canceled", "past_due", "incomplete");
      if (*rc::gen::inRange(0, 3) == 0) one.cancel_at = kNow + *rc::gen::inRange(-5, 5);
      subscriptions.push_back(one);
    }
    const AccessNews news = tell(told, subscriptions);
    const bool now_access = judge_user(subscriptions, {}, instant(kNow)).effective.has_access;
    for (const Notice& notice : news.notices) {
      RC_ASSERT(notice.payload["sequence"] == ++sequence);
      RC_ASSERT(notice.kind != "access_gained" || !access);
      RC_ASSERT(notice.kind == "access_gained" || access);
      access = notice.kind != "access_lost";
    }
    RC_ASSERT(access == now_access);
    RC_ASSERT(tell(news.told, subscriptions).notices.empty());
    told = news.told;
  }
}

TEST(CreditAlarm, ReadsThresholds) {
  using credits::parse_thresholds;
  EXPECT_EQ(parse_thresholds("100, 10,100"), (std::vector<credits::Amount>{10, 100}));
  EXPECT_EQ(parse_thresholds(""), std::vector<credits::Amount>{});
  for (const char* text : {"ten", "1,", ",", "-1", "1.5", "99999999999999999999"})
    EXPECT_EQ(parse_thresholds(text), std::nullopt) << text;
}

// Of each threshold one telling between two grants that lift the balance above it.
RC_GTEST_PROP(CreditAlarm, TellsOncePerCrossing, ()) {
  const std::vector<credits::Amount> thresholds = {10, 100};
  credits::Account account;
  std::map<credits::Amount, bool> armed = {{10, true}, {100, true}};
  for (int i = 0; i < 60; ++i) {
    account.entries.clear();
    account.balance_at_load = account.balance;
    const bool grant = *rc::gen::inRange(0, 3) == 0;
    const credits::Amount amount = *rc::gen::inRange(1, 150);
    account.balance =
        grant ? account.balance + amount : std::max<credits::Amount>(0, account.balance - amount);
    credits::Entry entry;
    entry.type = grant ? credits::EntryType::allocation : credits::EntryType::usage;
    entry.balance_after = account.balance;
    account.entries.push_back(entry);
    const auto told = credits::note_balance(account, thresholds);
    for (auto& [threshold, is_armed] : armed)
      if (grant && account.balance > threshold) is_armed = true;
    if (told) {
      RC_ASSERT(!grant);
      RC_ASSERT(account.balance <= *told);
      RC_ASSERT(account.balance_at_load > *told);
      RC_ASSERT(armed[*told]);
      for (auto& [threshold, is_armed] : armed)
        if (threshold >= *told) is_armed = false;
    } else {
      for (const auto& [threshold, is_armed] : armed)
        RC_ASSERT(!(is_armed && account.balance_at_load > threshold && account.balance <= threshold));
    }
  }
}

// The example of the specification's own libraries.
TEST(StandardWebhook, SignsAsOthersDo) {
  const auto key = standard_webhook_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
  ASSERT_TRUE(key);
  EXPECT_EQ(key->size(), 24u);
  const std::string signature = standard_webhook_signature({*key, *key}, "msg_p5jXN8AQM9LWM0D4loKWxJek",
                                                           1614265330, R"({"test": 2432232314})");
  EXPECT_EQ(
      signature,
      "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST(StandardWebhook, RefusesWhatIsNoSecret) {
  for (const char* secret : {"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_%%%%",
                             "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS"})
    EXPECT_EQ(standard_webhook_key(secret), std::nullopt) << secret;
}

}  // namespace
}  // namespace billing
