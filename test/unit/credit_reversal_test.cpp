// What refunds, credit notes and disputes of a payment take back of its grants.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "core/credit_plan.hpp"

namespace billing::credits {
namespace {

const Json kSession = {{"id", "cs_1"}, {"object", "checkout.session"}, {"amount_total", 1000}};
const Json kInvoice = {{"id", "in_1"}, {"object", "invoice"}, {"status", "paid"}, {"amount_paid", 1000}};

Json charge(Amount amount, Amount amount_refunded = 0) {
  return {{"id", "ch_1"},         {"object", "charge"},        {"amount", amount},
          {"captured", true},     {"amount_captured", amount}, {"amount_refunded", amount_refunded},
          {"status", "succeeded"}};
}

Json refund(const std::string& id, Amount amount, const char* status = "succeeded") {
  return {{"id", id}, {"object", "refund"}, {"amount", amount}, {"charge", "ch_1"}, {"status", status}};
}

Json dispute(const char* status, Amount amount = 1000) {
  return {{"id", "dp_1"}, {"object", "dispute"}, {"amount", amount}, {"charge", "ch_1"}, {"status", status}};
}

Json moved(Json dispute, const std::vector<Amount>& amounts) {
  dispute["balance_transactions"] = Json::array();
  for (const Amount amount : amounts) dispute["balance_transactions"].push_back({{"amount", amount}});
  return dispute;
}

ChargeFacts facts(Json of_charge, std::vector<Json> refunds = {}, std::vector<Json> disputes = {}) {
  ChargeFacts facts;
  facts.charge = std::move(of_charge);
  facts.charge_created = 100;
  facts.refunds = std::move(refunds);
  facts.refund_created.assign(facts.refunds.size(), 200);
  facts.disputes = std::move(disputes);
  return facts;
}

Reversal of(const ChargeFacts& charge) { return read_reversal(kInvoice, {charge}, {}); }

TEST(Paid, IsWhatTheChargesBroughtIn) {
  EXPECT_EQ(of(facts(charge(1000))).paid, 1000);
  const auto of_session = [](const Json& charge) {
    return read_reversal(kSession, {facts(charge)}, {}).paid;
  };
  EXPECT_EQ(of_session(charge(700)), 700);
  Json partly = charge(1000);
  partly["amount_captured"] = 700;
  EXPECT_EQ(of_session(partly), 700);
  Json old = charge(900);
  old.erase("amount_captured");
  EXPECT_EQ(of_session(old), 900);
  old["captured"] = false;
  EXPECT_EQ(of_session(old), 0);
  Json failed = charge(1000);
  failed["status"] = "failed";
  EXPECT_EQ(read_reversal(kInvoice, {facts(failed), facts(charge(1000))}, {}).paid, 1000);
}

TEST(Paid, AnInvoiceMayHaveMoreChargesThanAreKnown) {
  EXPECT_EQ(read_reversal(kInvoice, {facts(charge(400))}, {}).paid, 1000);
  EXPECT_EQ(read_reversal(kInvoice, {facts(charge(400)), facts(charge(600))}, {}).paid, 1000);
  EXPECT_EQ(read_reversal(kInvoice, {facts(charge(900)), facts(charge(600))}, {}).paid, 1500);
}

TEST(Paid, WithoutAKnownChargeIsWhatTheInvoiceOrSessionSays) {
  EXPECT_EQ(read_reversal(kInvoice, {}, {}).paid, 1000);
  EXPECT_EQ(of(facts(nullptr)).paid, 1000);
  EXPECT_EQ(read_reversal(kInvoice, {facts(charge(400)), facts(nullptr)}, {}).paid, 1000);
  EXPECT_EQ(read_reversal({{"object", "checkout.session"}, {"amount_total", 700}}, {}, {}).paid, 700);
  EXPECT_EQ(read_reversal(nullptr, {}, {}).paid, 0);
}

TEST(Refunded, TheChargeAloneSuffices) { EXPECT_EQ(of(facts(charge(1000, 300))).refunded, 300); }

TEST(Refunded, TheRefundsAloneSuffice) {
  EXPECT_EQ(of(facts(charge(1000), {refund("re_1", 300), refund("re_2", 200)})).refunded, 500);
  EXPECT_EQ(of(facts(nullptr, {refund("re_1", 300)})).refunded, 300);
}

TEST(Refunded, ChargeAndRefundsTellTheSameMoney) {
  EXPECT_EQ(of(facts(charge(1000, 300), {refund("re_1", 300)})).refunded, 300);
  EXPECT_EQ(of(facts(charge(1000, 500), {refund("re_1", 300)})).refunded, 500);
  EXPECT_EQ(of(facts(charge(1000, 300), {refund("re_1", 300), refund("re_1", 300)})).refunded, 300);
}

TEST(Refunded, PendingCountsAndFailedDoesNot) {
  for (const char* status : {"pending", "requires_action", "succeeded"}) {
    EXPECT_EQ(of(facts(charge(1000), {refund("re_1", 300, status)})).refunded, 300) << status;
  }
  for (const char* status : {"failed", "canceled"}) {
    EXPECT_EQ(of(facts(charge(1000), {refund("re_1", 300, status)})).refunded, 0) << status;
  }
  Json old = refund("re_1", 300);
  old["status"] = nullptr;
  EXPECT_EQ(of(facts(charge(1000), {old})).refunded, 300);
}

TEST(Refunded, AFailureAfterTheChargesSnapshotIsTakenOffItsSum) {
  ChargeFacts one = facts(charge(1000, 500), {refund("re_1", 300, "failed")});
  EXPECT_EQ(of(one).refunded, 200);
  one.refund_created = {100};  // the charge knows
  EXPECT_EQ(of(one).refunded, 500);
  one.refund_created.clear();
  EXPECT_EQ(of(one).refunded, 500);
}

TEST(Refunded, IsNeverMoreThanTheCharge) {
  EXPECT_EQ(of(facts(charge(1000, 5000))).refunded, 1000);
  EXPECT_EQ(of(facts(charge(1000), {refund("re_1", 700), refund("re_2", 700)})).refunded, 1000);
}

TEST(Disputed, ByStatus) {
  for (const char* status : {"warning_needs_response", "warning_under_review", "warning_closed", "prevented",
                             "won", "charge_refunded", "unheard_of", ""}) {
    const Reversal read = of(facts(charge(1000), {}, {dispute(status)}));
    EXPECT_EQ(read.disputed + read.lost, 0) << status;
  }
  for (const char* status : {"needs_response", "under_review"}) {
    const Reversal read = of(facts(charge(1000), {}, {dispute(status)}));
    EXPECT_EQ(read.disputed, 1000) << status;
    EXPECT_EQ(read.lost, 0) << status;
  }
  EXPECT_EQ(of(facts(charge(1000), {}, {dispute("lost")})).lost, 1000);
  EXPECT_EQ(of(facts(charge(1000), {}, {dispute("lost")})).disputed, 0);
}

TEST(Disputed, WhileTheFundsAreWithdrawn) {
  const auto disputed = [](const std::vector<Amount>& amounts) {
    return of(facts(charge(1000), {}, {moved(dispute("under_review"), amounts)})).disputed;
  };
  EXPECT_EQ(disputed({}), 0);
  EXPECT_EQ(disputed({-1000}), 1000);
  EXPECT_EQ(disputed({-1000, 1000}), 0);
  Json unexpanded = dispute("under_review");
  unexpanded["balance_transactions"] = Json::array({"txn_1"});
  EXPECT_EQ(of(facts(charge(1000), {}, {unexpanded})).disputed, 1000);
}

TEST(Disputed, IsNeverMoreThanTheCharge) {
  EXPECT_EQ(of(facts(charge(1000), {}, {dispute("lost", 1500)})).lost, 1000);
  EXPECT_EQ(of(facts(charge(1000), {}, {dispute("lost", 400)})).lost, 400);
}

Json note(Amount amount, const char* type = "post_payment") {
  return {{"id", "cn_1"},      {"object", "credit_note"},       {"amount", amount},   {"invoice", "in_1"},
          {"refund", nullptr}, {"out_of_band_amount", nullptr}, {"status", "issued"}, {"type", type}};
}

Amount credited(const Json& credit_note, const ChargeFacts& charge_facts = facts(charge(1000))) {
  return read_reversal(kInvoice, {charge_facts}, {credit_note}).refunded;
}

TEST(CreditNote, OnBalanceOrOutsideCounts) { EXPECT_EQ(credited(note(300)), 300); }

TEST(CreditNote, VoidOrBeforePaymentDoesNot) {
  EXPECT_EQ(credited(note(300, "pre_payment")), 0);
  Json voided = note(300);
  voided["status"] = "void";
  EXPECT_EQ(credited(voided), 0);
}

TEST(CreditNote, WhatItRefundsIsToldByTheCharge) {
  Json one = note(300);
  one["refund"] = "re_1";
  EXPECT_EQ(credited(one), 0);
  EXPECT_EQ(credited(one, facts(charge(1000, 300))), 300);
  EXPECT_EQ(credited(one, facts(charge(1000), {refund("re_1", 300)})), 300);
}

TEST(CreditNote, PartlyRefundedOnlyTheRestIsNew) {
  Json one = note(300);
  one["refunds"] = Json::array({{{"amount_refunded", 100}, {"refund", "re_1"}}});
  EXPECT_EQ(credited(one), 200);
  EXPECT_EQ(credited(one, facts(charge(1000, 100))), 300);
  Json old = note(300);
  old["refund"] = "re_1";
  old["out_of_band_amount"] = 50;
  EXPECT_EQ(credited(old), 50);
  EXPECT_EQ(credited(old, facts(charge(1000), {refund("re_1", 100)})), 300);
}

TEST(CreditNote, OfWhichPartCameBeforePayment) {
  Json mixed = note(300, "mixed");
  mixed["post_payment_amount"] = 120;
  mixed["pre_payment_amount"] = 180;
  EXPECT_EQ(credited(mixed), 120);
}

TEST(VoidInvoice, IsNotPaidAfterAll) {
  for (const char* status : {"void", "uncollectible"}) {
    Json invoice = kInvoice;
    invoice["status"] = status;
    invoice["amount_paid"] = 0;
    EXPECT_TRUE(read_reversal(invoice, {}, {}).void_invoice) << status;
  }
  EXPECT_FALSE(read_reversal(kInvoice, {}, {}).void_invoice);
}

ReversalTarget target(Reversal reversal, Amount amount, DebtPolicy policy = DebtPolicy::dispute) {
  return reversal_target(reversal, amount, policy);
}

TEST(Target, IsTheShareThatWasPaidBack) {
  EXPECT_EQ(target({1000, 333, 0, 0, false}, 100).target, 33);
  EXPECT_EQ(target({1000, 300, 200, 100, false}, 100).target, 60);
  EXPECT_EQ(target({1000, 1000, 1000, 0, false}, 100).target, 100);
  EXPECT_EQ(target({1000, 0, 0, 0, false}, 100).target, 0);
  EXPECT_EQ(target({3, 1, 0, 0, false}, kEndOfTime).target, kEndOfTime / 3);
}

TEST(Target, WhereNothingWasPaidIsNothingUnlessVoid) {
  EXPECT_EQ(target({0, 500, 0, 0, false}, 100).target, 0);
  EXPECT_EQ(target({0, 0, 0, 0, true}, 100).target, 100);
  EXPECT_EQ(target({1000, 0, 0, 0, true}, 100).target, 0);
}

TEST(Target, DebtIsAsThePolicySays) {
  const Reversal both{1000, 300, 0, 200, false};
  EXPECT_EQ(target(both, 100, DebtPolicy::never).debt_limit, 0);
  EXPECT_EQ(target(both, 100, DebtPolicy::dispute).debt_limit, 20);
  EXPECT_EQ(target(both, 100, DebtPolicy::always).debt_limit, 50);
  const Reversal none{0, 0, 0, 0, true};
  EXPECT_EQ(target(none, 100, DebtPolicy::dispute).debt_limit, 0);
  EXPECT_EQ(target(none, 100, DebtPolicy::always).debt_limit, 100);
}

TEST(Target, OfNoGrantIsNothing) {
  EXPECT_EQ(target({1000, 1000, 0, 0, false}, 0).target, 0);
  EXPECT_EQ(target({1000, 1000, 0, 0, false}, -5, DebtPolicy::always).debt_limit, 0);
}

RC_GTEST_PROP(Target, IsNeverMoreThanTheGrantAndGrowsWithWhatIsPaidBack, ()) {
  const auto money = rc::gen::inRange<Amount>(0, 1'000'000'000'000'000);
  Reversal reversal{*money, *money, *money, *money, *rc::gen::arbitrary<bool>()};
  const Amount amount = *rc::gen::inRange<Amount>(0, kEndOfTime);
  const DebtPolicy policy = *rc::gen::element(DebtPolicy::dispute, DebtPolicy::always, DebtPolicy::never);
  const ReversalTarget before = reversal_target(reversal, amount, policy);
  RC_ASSERT(before.target >= 0 && before.target <= amount);
  RC_ASSERT(before.debt_limit >= 0 && before.debt_limit <= before.target);
  reversal.refunded += *money;
  RC_ASSERT(reversal_target(reversal, amount, policy).target >= before.target);
}

TEST(WentBack, OnceAllThatWasPaidIsRefundedOrLost) {
  EXPECT_FALSE(went_back(of(facts(charge(1000)))));
  EXPECT_FALSE(went_back(of(facts(charge(1000, 999)))));
  EXPECT_TRUE(went_back(of(facts(charge(1000, 1000)))));
  EXPECT_TRUE(went_back(of(facts(charge(1000, 400), {}, {dispute("lost", 600)}))));
  for (const char* status : {"needs_response", "under_review", "won", "warning_closed"})
    EXPECT_FALSE(went_back(of(facts(charge(1000), {}, {dispute(status)})))) << status;
}

TEST(WentBack, IsNotSaidOfWhatCostNothing) { EXPECT_FALSE(went_back(Reversal{})); }

TEST(WentBack, TakesAllThePaymentsOfAnInvoice) {
  EXPECT_FALSE(went_back(read_reversal(kInvoice, {facts(charge(400, 400)), facts(charge(600))}, {})));
  EXPECT_TRUE(went_back(read_reversal(kInvoice, {facts(charge(400, 400)), facts(charge(600, 600))}, {})));
}

}  // namespace
}  // namespace billing::credits
