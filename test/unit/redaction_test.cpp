// What tells who somebody is goes; what our rules read stays.
#include "core/redaction.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "core/causal_chain.hpp"
#include "core/credit_plan.hpp"
#include "core/customer_link.hpp"
#include "core/fields.hpp"
#include "core/ordering.hpp"
#include "core/payer.hpp"
#include "generators.hpp"

namespace billing {
namespace {

using fixtures::event_json;

Json redacted(Json value, const Redaction& redaction = {}) {
  redact(value, redaction);
  return value;
}

// Null and absent are the same to whoever reads an object.
Json without_nulls(const Json& value) {
  if (!value.is_structured()) return value;
  Json kept = value.is_array() ? Json::array() : Json::object();
  for (const auto& [key, member] : value.items()) {
    if (value.is_array())
      kept.push_back(without_nulls(member));
    else if (!member.is_null())
      kept[key] = without_nulls(member);
  }
  return kept;
}

TEST(Redaction, TakesWhoItIs) {
  const Json customer = {{"id", "cus_1"},
                         {"object", "customer"},
                         {"address", {{"line1", "1 Ada Street"}}},
                         {"balance", 5},
                         {"currency", "eur"},
                         {"description", "Ada from the fair"},
                         {"email", "ada@example.com"},
                         {"invoice_settings", {{"custom_fields", {{{"name", "VAT"}, {"value", "Ada"}}}}}},
                         {"name", "Ada"},
                         {"phone", "+44 1"},
                         {"preferred_locales", {"en"}},
                         {"shipping", {{"name", "Ada"}}},
                         {"tax_ids", {{"data", {{{"value", "DE1"}}}}}}};
  const Json expected = {{"id", "cus_1"},
                         {"object", "customer"},
                         {"balance", 5},
                         {"currency", "eur"},
                         {"invoice_settings", Json::object()},
                         {"preferred_locales", {"en"}}};
  EXPECT_EQ(without_nulls(redacted(customer)), expected);
}

TEST(Redaction, OfAnInstrumentOnlyWhatIsKnownToBeHarmlessStays) {
  const Json charge = {
      {"object", "charge"},
      {"payment_method_details",
       {{"type", "card"},
        {"card", {{"brand", "visa"}, {"exp_month", 4}, {"fingerprint", "f"}, {"last4", "4242"}}},
        {"new_kind", {{"cashtag", "$ada"}, {"amount", 7}, {"country", "DE"}}}}}};
  const Json expected = {
      {"type", "card"}, {"card", {{"brand", "visa"}}}, {"new_kind", {{"amount", 7}, {"country", "DE"}}}};
  EXPECT_EQ(without_nulls(redacted(charge))["payment_method_details"], expected);
  const Json method = {{"object", "payment_method"}, {"id", "pm_1"}, {"kind", {{"nick", "Ada"}}}};
  EXPECT_EQ(without_nulls(redacted(method)),
            Json({{"object", "payment_method"}, {"id", "pm_1"}, {"kind", Json::object()}}));
}

TEST(Redaction, TakesLinksSecretsAndAddressesWhereverTheyAre) {
  const Json session = {
      {"object", "checkout.session"},
      {"url", "https://checkout.stripe.com/c/pay/cs_1"},
      {"success_url", "https://shop.example/thanks?who=ada"},
      {"client_secret", "cs_1_secret"},
      {"told", {"ada@example.com", "EUR"}},
      {"customer_details", {{"email", "a@b"}, {"tax_exempt", "none"}}},
      {"line_items", {{"object", "list"}, {"url", "/v1/checkout/sessions/cs_1/line_items"}}}};
  const Json expected = {
      {"object", "checkout.session"},
      {"told", {nullptr, "EUR"}},
      {"customer_details", {{"tax_exempt", "none"}}},
      {"line_items", {{"object", "list"}, {"url", "/v1/checkout/sessions/cs_1/line_items"}}}};
  EXPECT_EQ(without_nulls(redacted(session)), expected);
}

TEST(Redaction, LeavesWhatIsSoldWithItsName) {
  for (const char* type : {"product", "price", "plan", "coupon", "tax_rate", "entitlements.feature"}) {
    const Json sold = {
        {"object", type}, {"name", "Pro"}, {"metadata", {{"colour", "red"}}}, {"description", "d"}};
    EXPECT_EQ(redacted(sold), sold);
    EXPECT_EQ(redacted({{"object", "invoice"}, {"x", {sold}}}), Json({{"object", "invoice"}, {"x", {sold}}}));
    Json update = event_json(std::string(type) + ".updated", sold);
    update["data"]["previous_attributes"] = {{"name", "Prof"}};
    EXPECT_EQ(redacted(update)["data"], update["data"]);
  }
  const Json previous = {{"plan", {{"nickname", "Pro"}, {"name", "Pro"}}}, {"name", "Ada"}};
  EXPECT_EQ(without_nulls(redacted(previous)), Json({{"plan", {{"nickname", "Pro"}, {"name", "Pro"}}}}));
}

TEST(Redaction, ALineSaysWhatWasSoldAnInvoiceItemAnything) {
  const auto line = [](const char* type) {
    return Json{{"object", "line_item"}, {"type", type}, {"description", "1 x Pro"}};
  };
  EXPECT_EQ(redacted(line("subscription"))["description"], "1 x Pro");
  EXPECT_EQ(redacted(line("invoiceitem"))["description"], nullptr);
  EXPECT_EQ(redacted({{"object", "item"}, {"description", "Pack"}})["description"], "Pack");
  EXPECT_EQ(redacted({{"object", "invoice"}, {"description", "Dear Ada"}})["description"], nullptr);
}

TEST(Redaction, OfMetadataWhatOurRulesReadStays) {
  const Json metadata = {
      {"user_id", "u1"}, {"credits", "30"}, {"item_ids", "a,b"}, {"nick", "Ada"}, {"app", "shop"}};
  const Json object = {{"object", "subscription"}, {"metadata", metadata}, {"client_reference_id", "u1"}};
  const Json kept = {{"user_id", "u1"}, {"credits", "30"}, {"item_ids", "a,b"}};
  EXPECT_EQ(without_nulls(redacted(object)["metadata"]), kept);
  EXPECT_TRUE(redacted(object)["metadata"].contains("nick"))
      << "that there was some is a sign of the application's";
  EXPECT_EQ(redacted(object)["client_reference_id"], "u1");
  Redaction scoped;
  scoped.kept = {"app"};
  EXPECT_EQ(redacted(object, scoped)["metadata"]["app"], "shop");
}

TEST(Redaction, NamesNameWhomTheyMeanNow) {
  const auto named = [](const Redaction& redaction, const Json& name) {
    const Json object = {
        {"object", "checkout.session"}, {"client_reference_id", name}, {"metadata", {{"user_id", name}}}};
    const Json changed = redacted(object, redaction);
    EXPECT_EQ(changed["client_reference_id"], changed["metadata"]["user_id"]);
    return changed["client_reference_id"];
  };
  const Redaction later{{}, "u7", {}, {}};
  const Redaction kept{{}, "u7", {"u7", "ada@example.com"}, {}};
  EXPECT_EQ(named(later, "ada@example.com"), "u7");
  EXPECT_EQ(named(later, "somebody"), "u7");
  EXPECT_EQ(named(kept, "ada@example.com"), "u7");
  EXPECT_EQ(named(kept, "somebody"), nullptr);
  EXPECT_EQ(named({{}, "u7", {}, {"u6"}}, "u6"), "u6");
  EXPECT_EQ(named({{}, "u7", {}, {"u6"}}, "ada@example.com"), "u7");
  EXPECT_EQ(named(later, nullptr), nullptr);
  EXPECT_EQ(named({}, "ada@example.com"), "ada@example.com");
}

TEST(Redaction, AWholeEventKeepsWhatTellsItApart) {
  Json event =
      event_json("customer.updated", {{"id", "cus_1"}, {"object", "customer"}, {"email", "a@b.example"}});
  event["data"]["previous_attributes"] = {{"email", "old@b.example"}, {"balance", 3}};
  event["request"] = {{"id", "req_1"}, {"idempotency_key", "checkout of ada"}};
  const Json changed = redacted(event);
  for (const char* key : {"id", "type", "created", "livemode", "api_version"})
    EXPECT_EQ(changed[key], event[key]);
  EXPECT_EQ(without_nulls(changed["data"]["previous_attributes"]), Json({{"balance", 3}}));
  EXPECT_EQ(without_nulls(changed["request"]), Json({{"id", "req_1"}}));
}

// The order of events is decided by comparing what was before one with what another tells.
TEST(Redaction, WhatWasBeforeIsRedactedAlike) {
  Json before = fixtures::new_subscription();
  before["metadata"] = {{"user_id", "u1"}, {"nick", "Ada"}};
  before["description"] = "of Ada";
  Json after = before;
  after["metadata"] = {{"user_id", "u1"}, {"nick", "Countess"}, {"credits", "3"}};
  after["description"] = "of a countess";
  after["cancel_at_period_end"] = true;
  const Json previous = {{"metadata", {{"nick", "Ada"}, {"credits", nullptr}}},
                         {"description", "of Ada"},
                         {"cancel_at_period_end", false}};
  Json payload = event_json("customer.subscription.updated", after);
  payload["data"]["previous_attributes"] = previous;
  EXPECT_EQ(without_nulls(object_before(parse_event(to_text(redacted(payload))))),
            without_nulls(redacted(before)));
}

void expect_rules_read_the_same(const Event& event) {
  Json object = event.object;
  redact(object);
  const std::string& type = event.object_type;
  EXPECT_EQ(payer_of(type, object), payer_of(type, event.object));
  EXPECT_EQ(fields::parent_id(type, object), fields::parent_id(type, event.object));
  EXPECT_EQ(lifecycle_rank(type, object), lifecycle_rank(type, event.object));
  EXPECT_EQ(link_evidence(type, object).has_value(), link_evidence(type, event.object).has_value());
  EXPECT_EQ(payments_named_by(type, object), payments_named_by(type, event.object));
  for (const Json* list : {&list_of(event.object, "lines"), &list_of(event.object, "items")}) {
    const Json& same = list_of(object, list == &list_of(event.object, "lines") ? "lines" : "items");
    ASSERT_EQ(same.size(), list->size());
    for (std::size_t i = 0; i < same.size(); ++i) {
      EXPECT_EQ(fields::line_price(same[i]), fields::line_price((*list)[i]));
      EXPECT_EQ(at(same[i], "period"), at((*list)[i], "period"));
      EXPECT_EQ(at(same[i], "amount"), at((*list)[i], "amount"));
      EXPECT_EQ(at(same[i], "price"), at((*list)[i], "price"));
      EXPECT_EQ(fields::line_is_proration(same[i]), fields::line_is_proration((*list)[i]));
    }
  }
}

TEST(Redaction, TheRulesReadTheSame) {
  for (const Json& object : {fixtures::old_invoice(), fixtures::new_invoice()})
    expect_rules_read_the_same(fixtures::event("invoice.paid", object));
  for (const Json& object : {fixtures::old_subscription(), fixtures::new_subscription()})
    expect_rules_read_the_same(fixtures::event("customer.subscription.updated", object));
  expect_rules_read_the_same(fixtures::event("checkout.session.completed", fixtures::checkout_session()));
}

RC_GTEST_PROP(RedactionProperty, AgainItChangesNothing, ()) {
  const Json value = *generators::json();
  const Redaction redaction{{"app"}, "u7", {}, {}};
  const Json once = redacted(value, redaction);
  RC_ASSERT(redacted(once, redaction) == once);
}

RC_GTEST_PROP(RedactionProperty, EveryKeyStaysInItsPlace, ()) {
  const Json value = *generators::json();
  const Json flat = redacted(value).flatten();
  const Json before = value.flatten();
  for (const auto& [path, member] : flat.items())
    RC_ASSERT(member.is_null() || (before.contains(path) && before[path] == member));
}

}  // namespace
}  // namespace billing
