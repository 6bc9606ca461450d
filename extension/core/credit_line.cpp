#include "core/credit_line.hpp"

#include <algorithm>
#include <set>

#include "core/credit_level.hpp"
#include "core/fields.hpp"

namespace billing::credits {
namespace {

// Why an invoice was made, as far as it grants. `subscription` is the word of versions before there were
// three. A quote that is accepted starts a subscription, or else is a one-off invoice.
// https://docs.stripe.com/api/invoices/object#invoice_object-billing_reason
std::optional<SubscriptionInvoice::Reason> reason_of(const Json& invoice) {
  using Reason = SubscriptionInvoice::Reason;
  const std::string reason = text_of(invoice, "billing_reason").value_or("");
  if (reason == "subscription_create") return Reason::create;
  if (reason == "subscription_cycle" || reason == "subscription") return Reason::cycle;
  if (reason == "subscription_update") return Reason::update;
  if (reason == "quote_accept" && !fields::invoice_subscription(invoice).empty()) return Reason::create;
  return std::nullopt;
}

bool is_finalized(const Json& invoice) {
  const std::string status = text_of(invoice, "status").value_or("");
  return status == "open" || status == "paid" || status == "uncollectible" || status == "void";
}

bool is_discounted(const Json& invoice_or_line) {
  const auto any = [&](const char* key) { return !list_of(invoice_or_line, key).empty(); };
  return at(invoice_or_line, "discount").is_object() || any("discounts") || any("discount_amounts") ||
         any("total_discount_amounts");
}

Seconds created_at(const Json& invoice) {
  const std::optional<Seconds> created = time_of(invoice, "created");
  return created ? *created : time_of(invoice, "date").value_or(0);  // its name before 2019-03-14
}

// Lines that pay for something of the subscription; not one-off charges that happen to be on its invoices.
bool is_of_interest(const Json& line) {
  return fields::line_is_of_subscription(line) || fields::line_is_proration(line);
}

std::optional<InvoiceLine> read_line(const Json& object, const std::string& subscription) {
  const Json& period = at(object, "period");
  const std::optional<Seconds> start = time_of(period, "start");
  const std::optional<Seconds> end = time_of(period, "end");
  if (!is_of_interest(object) || !start || !end || *end <= *start) return std::nullopt;
  InvoiceLine line;
  line.price_id = fields::line_price(object);
  line.subscription = fields::line_subscription(object);
  if (line.subscription.empty()) line.subscription = subscription;
  line.item = fields::line_subscription_item(object);
  line.description = text_of(object, "description").value_or("");
  line.quantity = std::max<std::int64_t>(integer_of(object, "quantity").value_or(1), 0);
  line.amount = integer_of(object, "amount");
  line.start = *start;
  line.end = *end;
  line.proration = fields::line_is_proration(object);
  line.credits_earlier = fields::line_credits_earlier(object);
  line.discounted = is_discounted(object);
  line.key = fields::line_id(object);
  return line;
}

// The oldest versions have no id that is a line's own.
void name_lines(std::vector<InvoiceLine>& lines) {
  std::set<std::string> taken;
  for (InvoiceLine& line : lines) {
    if (line.key.empty()) {
      line.key = line.price_id + '@' + std::to_string(line.start) + '-' + std::to_string(line.end) +
                 (line.proration ? "p" : "");
    }
    const std::string key = line.key;
    for (int copy = 2; !taken.insert(line.key).second; ++copy) line.key = key + '#' + std::to_string(copy);
  }
}

}  // namespace

Amount to_amount(Wide value) {
  return value <= 0 ? 0 : value >= kMostGranted ? kMostGranted : static_cast<Amount>(value);
}

std::string series_of(const std::string& subscription, const std::string& item) {
  return item.empty() ? subscription : subscription + ':' + item;
}

std::optional<SubscriptionInvoice> read_invoice(const Json& object) {
  if (!may_grant(object)) return std::nullopt;
  SubscriptionInvoice invoice;
  invoice.id = text_of(object, "id").value_or("");
  invoice.created = created_at(object);
  invoice.reason = *reason_of(object);
  invoice.paid = fields::invoice_is_paid(object);
  const std::string subscription = fields::invoice_subscription(object);
  for (const Json& element : list_of(object, "lines")) {
    if (std::optional<InvoiceLine> line = read_line(element, subscription)) {
      line->discounted = line->discounted || is_discounted(object);
      invoice.lines.push_back(std::move(*line));
    }
  }
  name_lines(invoice.lines);
  return invoice;
}

bool may_grant(const Json& invoice) {
  return text_of(invoice, "id").value_or("") != "" && reason_of(invoice) &&
         text_of(invoice, "status") != "draft" && (fields::invoice_is_paid(invoice) || is_finalized(invoice));
}

Seconds granted_at(const Json& invoice) {
  const Json& transitions = at(invoice, "status_transitions");
  for (const char* key : {"paid_at", "finalized_at"}) {
    if (const std::optional<Seconds> time = time_of(transitions, key)) return *time;
  }
  return created_at(invoice);
}

std::vector<std::string> prices_of(const Json& invoice) {
  std::set<std::string> ids;
  for (const Json& line : list_of(invoice, "lines")) {
    std::string id = is_of_interest(line) ? fields::line_price(line) : "";
    if (!id.empty()) ids.insert(std::move(id));
  }
  return {ids.begin(), ids.end()};
}

}  // namespace billing::credits
