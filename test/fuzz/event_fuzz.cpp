// Any payload: it is an event or raises EventError, and every rule takes every event.
#include <algorithm>
#include <cstdlib>

#include "core/activity.hpp"
#include "core/customer_link.hpp"
#include "core/event.hpp"
#include "core/fields.hpp"
#include "core/ordering.hpp"
#include "core/scheduled_change.hpp"
#include "core/scope.hpp"
#include "core/subscription_state.hpp"

namespace {

using namespace billing;

void require(bool holds) {
  if (!holds) std::abort();
}

void read_every_field(const Json& object, const std::string& type) {
  fields::subscription_period(object);
  fields::next_renewal(object);
  for (const char* key : {"items", "lines", "payments"}) {
    for (const Json& element : list_of(object, key)) {
      fields::item_period(element, object);
      fields::price_product(fields::item_price(element));
      fields::line_price(element);
      fields::line_subscription(element);
      fields::line_is_proration(element);
    }
  }
  fields::invoice_subscription(object);
  fields::invoice_subscription_metadata(object);
  fields::invoice_is_paid(object);
  fields::invoice_charge(object);
  fields::invoice_payment_intent(object);
  fields::invoice_paid_until(object);
  fields::payment_invoice(object);
  fields::refund_charge(object);
  fields::invoice_payment_invoice(object);
  fields::invoice_payment_intent_of(object);
  fields::discount_coupon(object);
  fields::parent_id(type, object);
}

// Nothing that is shown may change within the window that a state claims for itself.
void judge_at(const std::vector<Subscription>& all, const AccessRules& rules, Instant now) {
  const UserState state = judge_user(all, rules, now);
  require(state.valid_from <= now && (now < state.valid_until || now == kEndOfTime));
  const std::string shown = to_text(state_json("user_1", all, state));
  for (const Instant other : {state.valid_from, state.valid_until - 1}) {
    require(to_text(state_json("user_1", all, judge_user(all, rules, other))) == shown);
  }
}

void judge_everything(const Event& event) {
  Subscription one = read_subscription(event.object);
  one.scheduled_change = change_by_schedule(event.object);
  one.paid_through = fields::invoice_paid_until(event.object);
  one.event_created = event.created;
  Subscription other = read_subscription(event.previous_attributes);
  other.customer_deleted = is_deletion(event.type);
  AccessRules rules;
  rules.canceled_until_paid_through = event.livemode;
  const std::vector<Subscription> all = {one, other};
  for (const Instant now : {kBeginningOfTime, Instant{0}, instant(event.created), kEndOfTime - 1}) {
    judge_at(all, rules, now);
  }
  if (one.period_end) judge_at(all, rules, instant(*one.period_end));
}

void apply_every_rule(const Event& event) {
  const Rank rank = rank_of(event);
  require(rank == rank && !(rank < rank));
  activity_of(event);
  link_evidence(event);
  needs_user(event);
  read_every_field(event.object, event.object_type);
  judge_everything(event);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view payload(reinterpret_cast<const char*>(data), size);
  const EventHeader header = peek_event(payload);
  require(derived_event_id(payload).size() == std::string_view("unidentified_").size() + 64);
  try {
    const Event event = parse_event(payload);
    require(header.id == event.id && header.type == event.type && header.object_id == event.object_id &&
            header.customer_id == event.customer_id);
    // What was read can be stored: it is written and read back without a loss.
    require(parse_json(to_text(event.object)) == event.object);
    apply_every_rule(event);
    static const Scope kScope = parse_scope(R"({"products":["prod_pro"],"metadata":{"user_id":"user_1"}})");
    in_scope(kScope, event);
  } catch (const EventError&) {
  }
  try {
    parse_scope(payload);
  } catch (const JsonError&) {
  }
  return 0;
}
