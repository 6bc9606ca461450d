// Every page, and every form that changes something. Pages put what they show into the visit; they throw
// Failure where they have nothing to show. Each is in the file of its name.
#pragma once

#include "worker/operator/visit.hpp"

namespace billing::worker::operators {

using Void = boost::asio::awaitable<void>;

Void put_overview(Visit& visit);  // /
Void put_events(Visit& visit);    // /events
Void put_event(Visit& visit);     // /event?id=
Void put_parked(Visit& visit);    // /parked
Void put_link(Visit& visit);      // /link?customer=
Void put_conflict(Visit& visit);  // /conflict?customer=
Void put_users(Visit& visit);     // /users
Void put_user(Visit& visit);      // /user?id=
Void put_credits(Visit& visit);   // /credits?user=
Void put_alerts(Visit& visit);    // /alerts

boost::asio::awaitable<Done> replay_event(Visit& visit);
boost::asio::awaitable<Done> link_customer(Visit& visit);
boost::asio::awaitable<Done> resolve_conflict(Visit& visit);

// Parts of more than one page.
void put_event_table(Visit& visit, std::string_view caption, const Json& events);
void put_audit_table(Visit& visit, std::string_view caption, const Json& entries);
void put_alert_table(Visit& visit, std::string_view caption, const Json& alerts);
// MRR by month, and what has failed.
Void put_revenue(Visit& visit);
Void put_failures(Visit& visit);

// The field of a form that must not be empty. Throws Failure.
std::string required_field(const Visit& visit, const std::string& name, const std::string& label);

// The columns that put_event_table() shows, of stripe_events e.
inline constexpr const char* kEventColumns =
    "e.stripe_event_id, e.event_type, e.stripe_customer_id, e.livemode, e.processed, e.error, e.waiting_for,"
    " e.retry_count, e.created_at AT TIME ZONE 'UTC' AS created_at,"
    " CASE WHEN NOT e.processed AND e.retry_count >= (SELECT s.value::integer FROM "
    "{s}.get_billing_settings() s"
    " WHERE s.name = 'retry_limit') THEN 'given up' ELSE e.outcome END AS outcome";

}  // namespace billing::worker::operators
