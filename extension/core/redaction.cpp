#include "core/redaction.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace billing {
namespace {

template <std::size_t n>
bool is_among(const std::array<std::string_view, n>& sorted, std::string_view key) {
  return std::binary_search(sorted.begin(), sorted.end(), key);
}

// All sorted. https://docs.stripe.com/api/customers/object and its siblings
constexpr auto kPersonal = std::to_array<std::string_view>({"account_holder_name",
                                                            "account_number",
                                                            "additional_info",
                                                            "address",
                                                            "address_city",
                                                            "address_country",
                                                            "address_line1",
                                                            "address_line2",
                                                            "address_state",
                                                            "address_zip",
                                                            "arn",
                                                            "billing_details",
                                                            "business_name",
                                                            "cardholder_name",
                                                            "client_ip",
                                                            "client_secret",
                                                            "collected_information",
                                                            "comment",
                                                            "custom_fields",
                                                            "custom_text",
                                                            "customer_address",
                                                            "customer_email",
                                                            "customer_name",
                                                            "customer_phone",
                                                            "customer_purchase_ip",
                                                            "customer_reference",
                                                            "customer_shipping",
                                                            "customer_tax_ids",
                                                            "dob",
                                                            "dynamic_last4",
                                                            "email",
                                                            "evidence",
                                                            "exp_month",
                                                            "exp_year",
                                                            "fingerprint",
                                                            "first_name",
                                                            "footer",
                                                            "hosted_invoice_url",
                                                            "idempotency_key",
                                                            "iin",
                                                            "individual_name",
                                                            "invoice_pdf",
                                                            "ip",
                                                            "ip_address",
                                                            "last4",
                                                            "last_name",
                                                            "level3",
                                                            "mandate_data",
                                                            "memo",
                                                            "name",
                                                            "next_action",
                                                            "online",
                                                            "pdf",
                                                            "phone",
                                                            "purchase_ip_address",
                                                            "receipt_email",
                                                            "receipt_number",
                                                            "receipt_url",
                                                            "return_url",
                                                            "routing_number",
                                                            "shipping",
                                                            "shipping_details",
                                                            "tax_id",
                                                            "tax_ids",
                                                            "user_agent",
                                                            "verification"});

// What is sold, and how: about nobody, and its names are what people know it by.
constexpr auto kCatalogue =
    std::to_array<std::string_view>({"coupon", "entitlements.feature", "file_link", "payment_link", "plan",
                                     "price", "product", "promotion_code", "shipping_rate", "tax_code",
                                     "tax_rate", "test_helpers.test_clock", "webhook_endpoint"});
// Members that hold one of them. What changed of it (previous_attributes) does not say its type.
constexpr auto kCatalogueMembers =
    std::to_array<std::string_view>({"coupon", "default_price", "plan", "price", "product", "tax_rate"});

// What people pay with. There are dozens of kinds, each with its own members, so here only what is known to
// be harmless stays.
constexpr auto kInstruments =
    std::to_array<std::string_view>({"bank_account", "card", "confirmation_token", "mandate",
                                     "payment_method", "setup_attempt", "source", "tax_id", "token"});
constexpr auto kInstrumentMembers = std::to_array<std::string_view>(
    {"destination_details", "payment_method_details", "payment_method_preview"});
constexpr auto kHarmlessOfInstrument = std::to_array<std::string_view>({"allow_redisplay",
                                                                        "application",
                                                                        "brand",
                                                                        "case_type",
                                                                        "country",
                                                                        "currency",
                                                                        "customer",
                                                                        "display_brand",
                                                                        "flow",
                                                                        "funding",
                                                                        "id",
                                                                        "livemode",
                                                                        "network",
                                                                        "network_reason_code",
                                                                        "object",
                                                                        "payment_method",
                                                                        "setup_intent",
                                                                        "status",
                                                                        "type",
                                                                        "usage"});

// Lines say what was sold, in Stripe's own words; those of invoice items in anybody's.
constexpr auto kLines = std::to_array<std::string_view>({"credit_note_line_item", "item", "line_item"});

// What our rules read (core/customer_link, credit_pack, credit_rule, payment).
constexpr auto kReadMetadata = std::to_array<std::string_view>(
    {"credit_interval", "credit_priority", "credit_rollover", "credits", "credits_per", "grant_on", "item_id",
     "item_ids", "plan", "price_id", "quantity", "seller_id", "trial_credits", "upgrade_credits", "user_id"});

// Ids are no links, whatever somebody chose for them.
constexpr auto kIds =
    std::to_array<std::string_view>({"id", "lookup_key", "object", "plan", "price", "product", "type"});

static_assert(std::is_sorted(kPersonal.begin(), kPersonal.end()));
static_assert(std::is_sorted(kCatalogue.begin(), kCatalogue.end()));
static_assert(std::is_sorted(kCatalogueMembers.begin(), kCatalogueMembers.end()));
static_assert(std::is_sorted(kInstruments.begin(), kInstruments.end()));
static_assert(std::is_sorted(kInstrumentMembers.begin(), kInstrumentMembers.end()));
static_assert(std::is_sorted(kHarmlessOfInstrument.begin(), kHarmlessOfInstrument.end()));
static_assert(std::is_sorted(kLines.begin(), kLines.end()));
static_assert(std::is_sorted(kReadMetadata.begin(), kReadMetadata.end()));
static_assert(std::is_sorted(kIds.begin(), kIds.end()));

bool is_address_or_link(const Json& value) {
  if (!value.is_string()) return false;
  const std::string& text = value.get_ref<const std::string&>();
  return text.find('@') != std::string::npos || text.find("://") != std::string::npos;
}

std::string type_of(const Json& object, const std::string& otherwise) {
  return text_of(object, "object").value_or(otherwise);
}

class Redactor {
 public:
  explicit Redactor(const Redaction& redaction) : redaction_(redaction) {}

  // `type` is that of the object that this belongs to.
  void walk(Json& value, const std::string& type, bool of_instrument) const {
    if (value.is_array()) {
      for (Json& element : value) element_of_list(element, type, of_instrument);
      return;
    }
    if (!value.is_object()) return;
    const std::string own = type_of(value, type);
    if (is_among(kCatalogue, own)) return;
    if (own == "event") return walk_event(value);
    const bool instrument = of_instrument || is_among(kInstruments, own);
    for (auto& [key, member] : value.items()) redact_member(key, member, value, own, instrument);
  }

  void metadata(Json& metadata) const {
    if (!metadata.is_object()) {
      metadata = nullptr;
      return;
    }
    for (auto& [key, member] : metadata.items()) {
      if (key == "user_id")
        rename(member);
      else if (!is_among(kReadMetadata, key) && redaction_.kept.count(key) == 0)
        member = nullptr;
    }
  }

 private:
  void element_of_list(Json& element, const std::string& type, bool of_instrument) const {
    if (is_address_or_link(element) || (of_instrument && element.is_string()))
      element = nullptr;
    else
      walk(element, type, of_instrument);
  }

  // What an update changed is of the type of what it changed.
  void walk_event(Json& event) const {
    for (auto& [key, member] : event.items()) {
      if (key != "data" || !member.is_object()) {
        redact_member(key, member, event, "event", false);
        continue;
      }
      const std::string type = type_of(at(member, "object"), "");
      if (is_among(kCatalogue, type)) continue;
      for (auto& [name, part] : member.items()) walk(part, type, is_among(kInstruments, type));
    }
  }

  void redact_member(const std::string& key, Json& member, const Json& holder, const std::string& type,
                     bool of_instrument) const {
    if (member.is_null()) return;
    if (key == "metadata")
      metadata(member);
    else if (key == "client_reference_id")
      rename(member);
    else if (is_among(kCatalogueMembers, key) && member.is_object())
      return;
    else if (is_among(kPersonal, key) || (key == "description" && !is_of_sale(holder, type)))
      member = nullptr;
    else if (member.is_string())
      redact_text(key, member, of_instrument);
    else
      walk(member, type, of_instrument || is_among(kInstrumentMembers, key));
  }

  static void redact_text(const std::string& key, Json& member, bool of_instrument) {
    const bool unknown = of_instrument && !is_among(kHarmlessOfInstrument, key);
    if (unknown || (!is_among(kIds, key) && is_address_or_link(member))) member = nullptr;
  }

  static bool is_of_sale(const Json& line, const std::string& type) {
    return is_among(kLines, type) && text_of(line, "type") != "invoiceitem" &&
           text_of(at(line, "parent"), "type") != "invoice_item_details";
  }

  void rename(Json& name) const {
    if (redaction_.user_id.empty()) return;
    const std::string told = name.is_string() ? name.get<std::string>() : "";
    if (redaction_.aliases.count(told) > 0) return;
    const bool meant = !told.empty() && (redaction_.names.empty() || redaction_.names.count(told) > 0);
    name = meant ? Json(redaction_.user_id) : Json(nullptr);
  }

  const Redaction& redaction_;
};

}  // namespace

void redact(Json& value, const Redaction& redaction) { Redactor(redaction).walk(value, "", false); }

void redact_metadata(Json& metadata, const Redaction& redaction) { Redactor(redaction).metadata(metadata); }

}  // namespace billing
