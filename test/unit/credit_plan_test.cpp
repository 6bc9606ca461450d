// Which full periods of invoices grant what, and until when.
#include "core/credit_plan.hpp"

#include <gtest/gtest.h>

#include "credit_fixtures.hpp"

namespace billing::credits {
namespace {

using namespace fixtures;

Catalogue only(Json price) { return catalogue({std::move(price)}); }

Json with(Json object, const char* key, Json value) {
  object[key] = std::move(value);
  return object;
}

TEST(PeriodGrant, CreateAndCycleGrantInFull) {
  for (const char* reason : {"subscription_create", "subscription_cycle", "subscription"}) {
    const auto plan =
        due({invoice("in_1", month(0), reason, {period("il_1", "pro", month(0), month(1), 2)})});
    ASSERT_EQ(plan.size(), 1U) << reason;
    const PlannedGrant& grant = plan[0];
    EXPECT_EQ(grant.key, "in_1:il_1:period");
    EXPECT_EQ(grant.amount, 600);
    EXPECT_EQ(grant.full, 600);
    EXPECT_EQ(grant.effective_at, 0);
    EXPECT_EQ(grant.expires_at, month(1));
    EXPECT_TRUE(grant.requires_subscription);
    EXPECT_EQ(grant.subscription_id, "sub_1");
    EXPECT_EQ(grant.invoice_id, "in_1");
    EXPECT_EQ(grant.series, "sub_1:si_1");
    EXPECT_EQ(grant.cycle_start, month(0));
    EXPECT_EQ(grant.priority, 50);
    EXPECT_EQ(grant.category, "paid");
    EXPECT_EQ(grant.source, "invoice");
    EXPECT_EQ(grant.price_id, "pro");
    EXPECT_EQ(grant.rule["credits"], 300);
    EXPECT_EQ(grant.rule["quantity"], 2);
  }
}

TEST(PeriodGrant, BothShapesGrantAlike) {
  const std::vector<Line> lines = {period("il_1", "pro", month(0), month(1), 2)};
  const Json old_shape = invoice("in_1", month(0), "subscription_cycle", lines, true);
  const Json new_shape = invoice("in_1", month(0), "subscription_cycle", lines, false);
  EXPECT_EQ(to_json(due({old_shape})), to_json(due({new_shape})));
}

TEST(PeriodGrant, ThePricesOwnAttributesGoWithIt) {
  const Catalogue prices = only(price_json("p", {{"credits", "7"},
                                                 {"credits_per", "subscription"},
                                                 {"credit_rollover", "all"},
                                                 {"credit_priority", "3"}}));
  const auto plan = due({create({period("il_1", "p", month(0), month(1), 5)})}, prices);
  ASSERT_EQ(plan.size(), 1U);
  EXPECT_EQ(plan[0].amount, 7);
  EXPECT_EQ(plan[0].priority, 3);
  EXPECT_EQ(plan[0].rollover.kind, Rollover::Kind::all);
}

TEST(PeriodGrant, OtherReasonsGrantNothing) {
  for (const char* reason : {"manual", "upcoming", "subscription_threshold", "quote_accept_later", "",
                             "automatic_pending_invoice_item_invoice"}) {
    const Json object = invoice("in_1", month(0), reason, {period("il_1", "pro", month(0), month(1))});
    EXPECT_FALSE(may_grant(object)) << reason;
    EXPECT_TRUE(due({object}).empty()) << reason;
  }
}

TEST(PeriodGrant, AnAcceptedQuoteGrantsWhenItStartsASubscription) {
  Json object = invoice("in_1", month(0), "quote_accept", {period("il_1", "pro", month(0), month(1))});
  EXPECT_EQ(total(due({object})), 300);
  object["parent"] = nullptr;
  EXPECT_FALSE(may_grant(object));
}

TEST(PeriodGrant, OnlyPaidInvoicesGrant) {
  const Json paid = create({period("il_1", "pro", month(0), month(1))});
  for (const char* status : {"draft", "open", "void", "uncollectible", ""}) {
    EXPECT_TRUE(due({with(paid, "status", status)}).empty()) << status;
  }
  EXPECT_EQ(total(due({with(with(paid, "status", nullptr), "paid", true)})), 300);
  EXPECT_FALSE(may_grant(with(with(paid, "status", "draft"), "paid", true)));
}

TEST(PeriodGrant, FinalizedGrantsWhereThePriceSaysSo) {
  const Catalogue prices = only(price_json("p", {{"credits", "7"}, {"grant_on", "finalized"}}));
  const Json paid = create({period("il_1", "p", month(0), month(1))});
  for (const char* status : {"open", "paid", "void", "uncollectible"}) {
    EXPECT_TRUE(may_grant(with(paid, "status", status)));
    EXPECT_EQ(total(due({with(paid, "status", status)}, prices)), 7) << status;
  }
  EXPECT_TRUE(due({with(paid, "status", "draft")}, prices).empty());
  EXPECT_FALSE(may_grant(with(paid, "status", "draft")));
}

TEST(PeriodGrant, AnUpcomingOrDeletedInvoiceGrantsNothing) {
  Json upcoming = create({period("il_1", "pro", month(0), month(1))});
  upcoming.erase("id");
  EXPECT_FALSE(may_grant(upcoming));
  EXPECT_TRUE(due({upcoming, nullptr, Json("text")}).empty());
  EXPECT_FALSE(may_grant({{"id", "in_1"}, {"object", "invoice"}, {"deleted", true}}));
}

TEST(PeriodGrant, MeteredUnknownAndCreditlessPricesGrantNothing) {
  Json metered = price_json("p", {{"credits", "7"}});
  metered["recurring"]["usage_type"] = "metered";
  const Json object = create({period("il_1", "p", month(0), month(1))});
  EXPECT_TRUE(due({object}, only(metered)).empty());
  EXPECT_TRUE(due({object}, {}).empty());
  EXPECT_TRUE(due({create({period("il_1", "none", month(0), month(1))})}).empty());
  EXPECT_TRUE(due({create({period("il_1", "pro", month(0), month(1), 0)})}).empty());
}

TEST(PeriodGrant, ATrialLineGrantsNothingAndAFreePriceGrants) {
  Line trial = period("il_1", "pro", month(0), day(14));
  trial.amount = 0;
  EXPECT_TRUE(due({create({trial})}).empty());
  Line free = period("il_1", "free", month(0), month(1));
  free.amount = 0;
  EXPECT_EQ(total(due({create({free})})), 10);
}

TEST(PeriodGrant, OfATieredPriceOnlyAWholeCycleIsNoTrial) {
  Json tiered = price_json("p", {{"credits", "7"}});
  tiered["unit_amount"] = nullptr;
  Line line = period("il_1", "p", month(0), day(14));
  line.amount = 0;
  EXPECT_TRUE(due({create({line})}, only(tiered)).empty());
  line.end = month(1);
  EXPECT_EQ(total(due({create({line})}, only(tiered))), 7);
  // 28 February to 31 March: a month, of a subscription that started on a 31st.
  line.start = parse_iso_time("2026-02-28T00:00:00Z").value();
  line.end = parse_iso_time("2026-03-31T00:00:00Z").value();
  EXPECT_EQ(total(due({create({line})}, only(tiered))), 7);
}

TEST(PeriodGrant, AWholeDiscountIsNoTrial) {
  // A line's amount is what it was before coupons.
  Json object = create({period("il_1", "pro", month(0), month(1))});
  object["amount_paid"] = 0;
  object["total_discount_amounts"] = Json::array({{{"amount", 2900}, {"discount", "di_1"}}});
  EXPECT_EQ(total(due({object})), 300);
}

TEST(PeriodGrant, SeveralItemsGrantEach) {
  Line other = period("il_2", "basic", month(0), month(1));
  other.item = "si_2";
  const auto plan = due({create({period("il_1", "pro", month(0), month(1)), other})});
  EXPECT_EQ(amount_of(plan, "in_1:il_1:period"), 300);
  EXPECT_EQ(amount_of(plan, "in_1:il_2:period"), 100);
  EXPECT_EQ(find(plan, "in_1:il_2:period")->series, "sub_1:si_2");
}

TEST(PeriodGrant, TiersOfOnePriceCountTheSubscriptionOnce) {
  const std::vector<Line> tiers = {period("il_1", "p", month(0), month(1), 10),
                                   period("il_2", "p", month(0), month(1), 5)};
  EXPECT_EQ(total(due({create(tiers)}, only(price_json("p", {{"credits", "7"}})))), 105);
  const Json once = price_json("p", {{"credits", "7"}, {"credits_per", "subscription"}});
  EXPECT_EQ(total(due({create(tiers)}, only(once))), 7);
}

TEST(PeriodGrant, OneOffChargesOnASubscriptionsInvoiceGrantNothing) {
  Json object = create({period("il_1", "pro", month(0), month(1))});
  object["lines"]["data"][0]["parent"] = {
      {"type", "invoice_item_details"},
      {"invoice_item_details", {{"proration", false}, {"subscription", "sub_1"}}}};
  EXPECT_TRUE(due({object}).empty());
}

TEST(PeriodGrant, LinesAreNamedAlikeInEveryVersion) {
  const Json object = create({period("il_1", "pro", month(0), month(1))});
  for (const char* key : {"unique_line_item_id", "unique_id"}) {
    Json old = object;
    Json& line = old["lines"]["data"][0];
    line[key] = "il_1";
    line["id"] = "sub_1";
    EXPECT_EQ(due({old})[0].key, "in_1:il_1:period");
  }
}

TEST(PeriodGrant, LinesWithoutAnIdAreNamedByWhatTheyAre) {
  Json object =
      create({period("sub_1", "pro", month(0), month(1)), period("sub_1", "pro", month(0), month(1))});
  const auto plan = due({object});
  ASSERT_EQ(plan.size(), 2U);
  EXPECT_EQ(plan[0].key, "in_1:pro@1767225600-1769904000:period");
  EXPECT_EQ(plan[1].key, "in_1:pro@1767225600-1769904000#2:period");
}

TEST(PeriodGrant, WithoutAnItemTheSubscriptionIsTheSeries) {
  Line line = period("il_1", "pro", month(0), month(1));
  line.item = "";
  EXPECT_EQ(due({create({line})})[0].series, "sub_1");
}

TEST(PeriodGrant, AnInvoiceCountsOnce) {
  const Json paid = create({period("il_1", "pro", month(0), month(1))});
  const Json open = with(paid, "status", "open");
  EXPECT_EQ(to_json(due({paid, paid})), to_json(due({paid})));
  EXPECT_EQ(to_json(due({open, paid})), to_json(due({paid})));
  EXPECT_EQ(to_json(due({paid, open})), to_json(due({paid})));
}

TEST(PeriodGrant, HugeAmountsEndAtTheMost) {
  const Catalogue prices = only(price_json("p", {{"credits", "1000000000000"}}));
  const auto plan = due({create({period("il_1", "p", month(0), month(1), std::int64_t{1} << 62)})}, prices);
  ASSERT_EQ(plan.size(), 1U);
  EXPECT_EQ(plan[0].amount, 1'000'000'000'000'000);
}

TEST(PeriodGrant, DamagedPeriodsGrantNothing) {
  for (const Json& bad : {Json(nullptr), Json::object(), Json({{"start", month(1)}, {"end", month(0)}}),
                          Json({{"start", "soon"}, {"end", month(0)}})}) {
    Json object = create({period("il_1", "pro", month(0), month(1))});
    object["lines"]["data"][0]["period"] = bad;
    EXPECT_TRUE(due({object}).empty());
  }
}

TEST(CreditInterval, AnAnnualPlanGrantsMonthly) {
  const auto plan = due({create({period("il_1", "pro_drip", month(0), month(12), 2)})});
  ASSERT_EQ(plan.size(), 12U);
  for (int k = 0; k < 12; ++k) {
    const PlannedGrant& grant = plan[static_cast<std::size_t>(k)];
    EXPECT_EQ(grant.key, "in_1:il_1:period:" + std::to_string(k));
    EXPECT_EQ(grant.amount, 600);
    EXPECT_EQ(grant.effective_at, k == 0 ? 0 : instant(month(k)));
    EXPECT_EQ(grant.expires_at, month(k + 1));
    EXPECT_EQ(grant.cycle_start, month(k));
    EXPECT_EQ(grant.series, "sub_1:si_1");
  }
}

TEST(CreditInterval, MonthsAreCountedFromTheAnchor) {
  const Seconds start = parse_iso_time("2026-01-31T00:00:00Z").value();
  const Seconds end = parse_iso_time("2027-01-31T00:00:00Z").value();
  const auto plan = due({create({period("il_1", "pro_drip", start, end)})});
  ASSERT_EQ(plan.size(), 12U);
  EXPECT_EQ(iso_time(plan[1].cycle_start), "2026-02-28T00:00:00+00:00");
  EXPECT_EQ(iso_time(plan[2].cycle_start), "2026-03-31T00:00:00+00:00");
  EXPECT_EQ(plan[11].expires_at, end);
}

TEST(CreditInterval, ACutAnchorMakesNoExtraMonth) {
  const auto count = [](const char* start, const char* end) {
    return due({create({period("il_1", "pro_drip", *parse_iso_time(start), *parse_iso_time(end))})}).size();
  };
  EXPECT_EQ(count("2027-02-28T00:00:00Z", "2028-02-29T00:00:00Z"), 12U);
  EXPECT_EQ(count("2028-02-29T00:00:00Z", "2029-02-28T00:00:00Z"), 12U);
}

TEST(CreditInterval, AsLongAsThePeriodIsThePeriod) {
  const Catalogue monthly = only(price_json("p", {{"credits", "7"}, {"credit_interval", "month"}}));
  const auto plan = due({create({period("il_1", "p", month(0), month(1))})}, monthly);
  ASSERT_EQ(plan.size(), 1U);
  EXPECT_EQ(plan[0].key, "in_1:il_1:period");
  // The month's end cut short does not make a second interval of three days.
  const Seconds start = parse_iso_time("2026-02-28T00:00:00Z").value();
  const Seconds end = parse_iso_time("2026-03-31T00:00:00Z").value();
  EXPECT_EQ(due({create({period("il_1", "p", start, end)})}, monthly).size(), 1U);
  Json days = price_json("p", {{"credits", "7"}, {"credit_interval", "month"}}, "day");
  days["recurring"]["interval_count"] = 30;
  EXPECT_EQ(due({create({period("il_1", "p", month(1), month(1) + 30 * kDay)})}, only(days)).size(), 1U);
  const Catalogue weekly = only(price_json("p", {{"credits", "7"}, {"credit_interval", "month"}}, "week"));
  EXPECT_EQ(due({create({period("il_1", "p", day(0), day(7))})}, weekly).size(), 1U);
}

TEST(CreditInterval, DaysAndWeeksOfAMonth) {
  const Catalogue weekly = only(price_json("p", {{"credits", "7"}, {"credit_interval", "week"}}));
  const auto plan = due({create({period("il_1", "p", month(0), month(1))})}, weekly);
  ASSERT_EQ(plan.size(), 5U);
  EXPECT_EQ(plan[4].cycle_start, day(28));
  EXPECT_EQ(plan[4].expires_at, month(1));
  const Catalogue daily = only(price_json("p", {{"credits", "7"}, {"credit_interval", "day"}}, "year"));
  EXPECT_EQ(due({create({period("il_1", "p", month(0), month(12))})}, daily).size(), 365U);
}

TEST(CreditInterval, TooManyIntervalsAreOneGrantAndAProblem) {
  Json price = price_json("p", {{"credits", "7"}, {"credit_interval", "day"}}, "year");
  price["recurring"]["interval_count"] = 2;
  const auto plan = due({create({period("il_1", "p", month(0), month(24))})}, only(price));
  ASSERT_EQ(plan.size(), 1U);
  EXPECT_EQ(plan[0].amount, 7);
  EXPECT_TRUE(plan[0].rule.contains("problem"));
}

TEST(GrantedAt, IsWhenItWasPaid) {
  Json object = create({});
  EXPECT_EQ(granted_at(object), month(0));
  object["status_transitions"] = {{"finalized_at", day(1)}, {"paid_at", nullptr}};
  EXPECT_EQ(granted_at(object), day(1));
  object["status_transitions"]["paid_at"] = day(2);
  EXPECT_EQ(granted_at(object), day(2));
  EXPECT_EQ(granted_at({{"date", day(3)}}), day(3));
  EXPECT_EQ(granted_at(nullptr), 0);
}

}  // namespace
}  // namespace billing::credits
