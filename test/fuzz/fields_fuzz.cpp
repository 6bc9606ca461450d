// Any object: every accessor has an answer, which is taken from the object and not made up, and which is the
// same for both places where a field may stand.
// Input: JSON where it parses as such, else choices (choices.hpp) of which one is built.
#include <algorithm>
#include <set>

#include "choices.hpp"
#include "core/fields.hpp"

namespace {

using namespace billing;

constexpr std::array kKeys = {"id",
                              "items",
                              "lines",
                              "payments",
                              "data",
                              "current_period_start",
                              "current_period_end",
                              "price",
                              "plan",
                              "product",
                              "subscription",
                              "parent",
                              "type",
                              "subscription_details",
                              "subscription_item_details",
                              "invoice_item_details",
                              "metadata",
                              "paid",
                              "status",
                              "charge",
                              "payment_intent",
                              "payment",
                              "is_default",
                              "proration",
                              "period",
                              "end",
                              "pricing",
                              "price_details",
                              "invoice",
                              "coupon",
                              "source",
                              "released_subscription",
                              ""};
constexpr std::array kTexts = {"",     "sub_1", "in_1",         "pi_1",        "ch_1",
                               "paid", "open",  "subscription", "invoiceitem", "subscription_item_details"};
constexpr std::array kObjectTypes = {"invoice",
                                     "charge",
                                     "payment_intent",
                                     "refund",
                                     "dispute",
                                     "invoice_payment",
                                     "subscription_schedule",
                                     "checkout.session",
                                     "subscription",
                                     "price",
                                     "",
                                     "invoice\xff"};

// What an answer may be taken from.
struct Contents {
  std::set<std::string> texts;
  std::set<std::int64_t> integers;
  bool has_true = false;

  explicit Contents(const Json& value) { collect(value); }

  void collect(const Json& value) {
    if (value.is_string()) texts.insert(value.get<std::string>());
    if (value.is_number_integer()) integers.insert(value.get<std::int64_t>());
    if (value.is_boolean() && value.get<bool>()) has_true = true;
    if (value.is_structured())
      for (const Json& member : value) collect(member);
  }
  void require_text(const std::string& id) const { require(id.empty() || texts.count(id) > 0); }
  void require_time(std::optional<Seconds> time) const {
    require(!time || (*time >= 0 && *time <= kLastSecond && integers.count(*time) > 0));
  }
};

void check_period(const Contents& contents, const fields::Period& period) {
  contents.require_time(period.start);
  contents.require_time(period.end);
}

void check_subscription(const Json& object, const Contents& contents) {
  const fields::Period period = fields::subscription_period(object);
  check_period(contents, period);
  const std::optional<Seconds> renewal = fields::next_renewal(object);
  contents.require_time(renewal);
  // Whoever is entitled until some time renews at some time, and not after it.
  require(renewal.has_value() == period.end.has_value());
  if (renewal && !time_of(object, "current_period_end")) require(*renewal <= *period.end);
  for (const Json& item : list_of(object, "items")) {
    check_period(contents, fields::item_period(item, object));
    const Json& price = fields::item_price(item);
    require(price.is_null() || price.is_object());
    contents.require_text(fields::price_product(price));
  }
}

void check_invoice(const Json& object, const Contents& contents) {
  contents.require_text(fields::invoice_subscription(object));
  contents.require_text(fields::invoice_charge(object));
  contents.require_text(fields::invoice_payment_intent(object));
  fields::invoice_subscription_metadata(object);
  if (fields::invoice_is_paid(object)) require(contents.has_true || contents.texts.count("paid") > 0);
  contents.require_time(fields::invoice_paid_until(object));
  bool pays = false;
  for (const Json& line : list_of(object, "lines")) {
    contents.require_text(fields::line_price(line));
    contents.require_text(fields::line_subscription(line));
    if (fields::line_is_proration(line)) require(contents.has_true);
    pays = pays || (!fields::line_is_proration(line) && time_of(at(line, "period"), "end"));
  }
  if (fields::invoice_paid_until(object)) require(pays);
}

void check_others(const Json& object, const Contents& contents) {
  for (const std::string& id : {fields::payment_invoice(object), fields::refund_charge(object),
                                fields::invoice_payment_invoice(object),
                                fields::invoice_payment_intent_of(object), fields::discount_coupon(object)})
    contents.require_text(id);
  for (const char* type : kObjectTypes) {
    const std::string parent = fields::parent_id(type, object);
    contents.require_text(parent);
    if (!object.is_object()) require(parent.empty());
  }
  require(fields::parent_id("subscription", object).empty());
}

Json wrapped(std::initializer_list<const char*> path, Json value) {
  for (auto key = std::rbegin(path); key != std::rend(path); ++key) value = Json{{*key, std::move(value)}};
  return value;
}

// One field, two places, one answer: here `value` stands for the id, or for the expanded object.
void check_both_places(const Json& value) {
  using namespace fields;
  require(invoice_subscription(wrapped({"subscription"}, value)) ==
          invoice_subscription(wrapped({"parent", "subscription_details", "subscription"}, value)));
  const Json payments = Json::array({wrapped({"payment", "payment_intent"}, value)});
  require(invoice_payment_intent(wrapped({"payment_intent"}, value)) ==
          invoice_payment_intent(Json{{"payments", payments}}));
  require(line_price(wrapped({"price"}, value)) ==
          line_price(wrapped({"pricing", "price_details", "price"}, value)));
  require(line_price(wrapped({"price"}, value)) == line_price(wrapped({"plan"}, value)));
  require(line_subscription(wrapped({"subscription"}, value)) ==
          line_subscription(wrapped({"parent", "subscription_item_details", "subscription"}, value)));
  require(line_is_proration(wrapped({"proration"}, value)) ==
          line_is_proration(wrapped({"parent", "subscription_item_details", "proration"}, value)));
  require(discount_coupon(wrapped({"coupon"}, value)) ==
          discount_coupon(wrapped({"source", "coupon"}, value)));
  const Json items = Json::array({wrapped({"current_period_end"}, value)});
  require(subscription_period(wrapped({"current_period_end"}, value)).end ==
          subscription_period(Json{{"items", items}}).end);
  require(subscription_period(Json{{"items", items}}).end ==
          subscription_period(wrapped({"items", "data"}, items)).end);
}

void check_everything(const Json& object) {
  const Contents contents(object);
  check_subscription(object, contents);
  check_invoice(object, contents);
  check_others(object, contents);
  check_both_places(object);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  Json object;
  try {
    object = parse_json(std::string_view(reinterpret_cast<const char*>(data), size));
  } catch (const JsonError&) {
    object = Choices(data, size).json(kKeys, kTexts, 6);
  }
  check_everything(object);
  return 0;
}
