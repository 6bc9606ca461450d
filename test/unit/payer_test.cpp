// Whose money it is.
#include "core/payer.hpp"

#include <gtest/gtest.h>

#include "core/customer_link.hpp"
#include "fixtures.hpp"

namespace billing {
namespace {

using fixtures::event;
using Named = std::vector<std::pair<std::string, std::string>>;

Json session(const char* mode, const Json& customer, const Json& intent) {
  return {{"id", "cs_1"},         {"object", "checkout.session"}, {"mode", mode},
          {"customer", customer}, {"payment_intent", intent},     {"status", "complete"}};
}

TEST(Payer, TheCustomerWhereThereIsOne) {
  EXPECT_EQ(payer_of("customer", {{"id", "cus_1"}}), "cus_1");
  EXPECT_EQ(payer_of("charge", {{"id", "ch_1"}, {"customer", "cus_1"}, {"payment_intent", "pi_1"}}), "cus_1");
  EXPECT_EQ(payer_of("payment_intent", {{"id", "pi_1"}, {"customer", {{"id", "cus_1"}}}}), "cus_1");
  EXPECT_EQ(payer_of("checkout.session", session("payment", "cus_1", "pi_1")), "cus_1");
}

TEST(Payer, OfAGuestThePaymentIntentOrElseTheObjectItself) {
  EXPECT_EQ(payer_of("payment_intent", {{"id", "pi_1"}, {"customer", nullptr}}), "pi_1");
  EXPECT_EQ(payer_of("charge", {{"id", "ch_1"}, {"customer", nullptr}, {"payment_intent", "pi_1"}}), "pi_1");
  EXPECT_EQ(payer_of("charge", {{"id", "ch_1"}, {"payment_intent", nullptr}}), "ch_1");
  EXPECT_EQ(payer_of("checkout.session", session("payment", nullptr, "pi_1")), "pi_1");
  EXPECT_EQ(payer_of("checkout.session", session("payment", nullptr, {{"id", "pi_2"}})), "pi_2");
  EXPECT_EQ(payer_of("checkout.session", session("payment", nullptr, nullptr)), "cs_1");
}

TEST(Payer, NobodyElseIsAGuest) {
  EXPECT_EQ(payer_of("checkout.session", session("subscription", nullptr, nullptr)), "");
  EXPECT_EQ(payer_of("checkout.session", session("setup", nullptr, nullptr)), "");
  EXPECT_EQ(payer_of("refund", {{"id", "re_1"}, {"payment_intent", "pi_1"}}), "");
  EXPECT_EQ(payer_of("dispute", {{"id", "dp_1"}, {"charge", "ch_1"}}), "");
  EXPECT_EQ(payer_of("product", {{"id", "prod_1"}}), "");
  EXPECT_EQ(payer_of("charge", nullptr), "");
}

TEST(Payer, GuestsAreTheirPayments) {
  for (const char* id : {"pi_1", "ch_1", "py_1", "cs_test_1"}) EXPECT_TRUE(is_guest(id)) << id;
  for (const char* id : {"", "cus_1", "pi", "user_1", "in_1", "Pi_1"}) EXPECT_FALSE(is_guest(id)) << id;
}

TEST(Payer, ACustomerIsSurerThanAGuestAndAnybodyThanNobody) {
  EXPECT_EQ(surer_payer("pi_1", "cus_1"), "cus_1");
  EXPECT_EQ(surer_payer("cus_1", "pi_1"), "cus_1");
  EXPECT_EQ(surer_payer("", "pi_1"), "pi_1");
  // Of two, always the same one.
  EXPECT_EQ(surer_payer("cus_2", "cus_1"), surer_payer("cus_1", "cus_2"));
  EXPECT_EQ(surer_payer("pi_2", "ch_1"), surer_payer("ch_1", "pi_2"));
}

TEST(Payer, PaymentsThatOthersName) {
  EXPECT_EQ(payments_named_by("invoice", fixtures::old_invoice()).size(),
            fixtures::old_invoice().contains("charge") ? 2u : 0u);
  const Json invoice = {{"payments", fixtures::list({{{"payment", {{"payment_intent", "pi_1"}}}},
                                                     {{"payment", {{"charge", "ch_2"}}}}})}};
  EXPECT_EQ(payments_named_by("invoice", invoice), (Named{{"payment_intent", "pi_1"}, {"charge", "ch_2"}}));
  EXPECT_EQ(payments_named_by("invoice_payment", {{"payment", {{"payment_intent", "pi_1"}}}}),
            (Named{{"payment_intent", "pi_1"}}));
  EXPECT_EQ(payments_named_by("checkout.session", session("payment", "cus_1", "pi_1")),
            (Named{{"payment_intent", "pi_1"}}));
  EXPECT_TRUE(payments_named_by("checkout.session", session("setup", "cus_1", "pi_1")).empty());
  EXPECT_TRUE(payments_named_by("refund", {{"payment_intent", "pi_1"}}).empty());
  EXPECT_TRUE(payments_named_by("invoice", {{"charge", std::string(300, 'x')}}).empty());
}

TEST(GuestEvidence, MetadataOfThePayment) {
  for (const char* type : {"payment_intent", "charge"}) {
    Json object = {
        {"id", "pi_1"}, {"object", type}, {"customer", nullptr}, {"metadata", {{"user_id", "ada"}}}};
    const auto found = link_evidence(type, object);
    ASSERT_TRUE(found) << type;
    EXPECT_EQ(found->user_id, "ada");
    EXPECT_EQ(found->source, "payment_metadata");
    EXPECT_EQ(found->priority, link_priority("payment_metadata"));
    // Of a customer's payment it says nothing: the customer may be somebody else's.
    object["customer"] = "cus_1";
    EXPECT_FALSE(link_evidence(type, object)) << type;
  }
}

TEST(GuestEvidence, TheReferenceOfACheckoutBeforeItsMetadata) {
  Json guest = session("payment", nullptr, "pi_1");
  guest["metadata"] = {{"user_id", "bob"}};
  EXPECT_EQ(link_evidence("checkout.session", guest)->user_id, "bob");
  guest["client_reference_id"] = "ada";
  EXPECT_EQ(link_evidence("checkout.session", guest)->user_id, "ada");
  EXPECT_EQ(link_evidence("checkout.session", guest)->source, "client_reference_id");
  guest["status"] = "expired";
  EXPECT_FALSE(link_evidence("checkout.session", guest));
  Json of_customer = session("payment", "cus_1", "pi_1");
  of_customer["metadata"] = {{"user_id", "bob"}};
  EXPECT_FALSE(link_evidence("checkout.session", of_customer));
}

}  // namespace
}  // namespace billing
