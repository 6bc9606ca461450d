#include "functions/refetches.hpp"

#include "core/fetch.hpp"
#include "functions/mirror_keys.hpp"

namespace billing::refetches {

namespace {

#define SAME_OBJECT                                                                         \
  "o.stripe_account = k.account AND o.livemode = k.livemode AND o.object_type = k.type AND" \
  " o.object_id = k.id"
// Nothing is in doubt of which something later is known. The first attempt leaves Stripe's second time to
// end.
pg::Statement request(
    "INSERT INTO @stripe_refetches AS o (stripe_account, livemode, object_type, object_id, reason,"
    "  wanted_after, next_attempt_at)"
    " SELECT k.account, k.livemode, k.type, k.id, k.reason, k.after, now() + interval '3 seconds'"
    " FROM unnest($1, $2, $3, $4, $5, $6) k(account, livemode, type, id, reason, after)"
    " WHERE NOT EXISTS (SELECT FROM @stripe_objects o WHERE " SAME_OBJECT
    "  AND o.event_created > k.after AND o.finality >= 0)"
    " ORDER BY k.account, k.livemode, k.type, k.id"
    " ON CONFLICT (stripe_account, livemode, object_type, object_id) DO UPDATE"
    "  SET reason = excluded.reason, wanted_after = greatest(o.wanted_after, excluded.wanted_after),"
    "   requested_at = now(), next_attempt_at = excluded.next_attempt_at, attempts = 0, settled_at = NULL,"
    "   error = NULL"
    "  WHERE o.settled_at IS NOT NULL OR o.wanted_after < excluded.wanted_after");
// What was read too early is read again, less and less often: a clock that is ahead of Stripe's must not keep
// us asking.
pg::Statement settle(
    "UPDATE @stripe_refetches o SET settled_at = CASE WHEN o.wanted_after < k.began THEN now() END,"
    "  next_attempt_at = now() + least(interval '1 hour',"
    "   interval '3 seconds' * power(2, greatest(least(o.attempts, 12) - 1, 0))), error = NULL"
    " FROM unnest($1, $2, $3, $4, $5) k(account, livemode, type, id, began)"
    " WHERE " SAME_OBJECT " AND o.settled_at IS NULL");
#undef SAME_OBJECT

struct Wanted {
  Seconds after = 0;
  const char* reason = "";
};

}  // namespace

void follow(const std::vector<Work*>& works, const std::map<mirror::Key, Seconds>& ambiguous) {
  std::map<mirror::Key, Wanted> wanted;
  std::map<mirror::Key, Seconds> fetched;
  for (const Work* work : works) {
    if (!work->event || (work->settled && !work->wants_fetch)) continue;
    const Event& event = *work->event;
    if (event.object_id.empty() || event.object_type.empty()) continue;
    const mirror::Key key = mirror::key_of(event);
    // What was fetched for itself is as whole as it can be had.
    if (event.thin || ((!is_fetch(event) || event.import) && has_truncated_list(event.object))) {
      Wanted& one = wanted[key];
      if (one.after <= event.created) one = {event.created, event.thin ? "thin" : "truncated"};
    } else if (is_fetch(event)) {
      fetched[key] = std::max(fetched[key], event.created);
    }
  }
  for (const auto& [key, second] : ambiguous) wanted[key] = {second, "ambiguous"};
  if (!fetched.empty()) {
    mirror::KeyArrays keys;
    pg::Times began;
    for (const auto& [key, second] : fetched) {
      keys.add(key);
      began.add(second);
    }
    settle.run(keys.account, keys.livemode, keys.type, keys.id, began);
  }
  if (wanted.empty()) return;
  mirror::KeyArrays keys;
  pg::Texts reason;
  pg::Times after;
  for (const auto& [key, one] : wanted) {
    keys.add(key);
    reason.push_back(one.reason);
    after.add(one.after);
  }
  request.run(keys.account, keys.livemode, keys.type, keys.id, reason, after);
}

}  // namespace billing::refetches
