// Batches under way: read, tried, taken apart when one of their events fails.
#include <set>

#include "functions/batch.hpp"
#include "functions/inbox.hpp"
#include "functions/redaction.hpp"
#include "pg/subtransaction.hpp"

namespace billing {

namespace {

constexpr int kMostTries = 4;

// In a subtransaction. A row that waited for a partition that was being made has been sent to where it does
// not belong any more; the next time it is not.
template <typename Step>
std::optional<pg::Failure> attempt_around_partitions(const Step& step) {
  auto failure = pg::attempt(step);
  for (int tries = 1; failure && failure->code == ERRCODE_CHECK_VIOLATION && tries < kMostTries; ++tries)
    failure = pg::attempt(step);
  return failure;
}

// Runs the batch in a subtransaction; a second time without the events that it woke, which may be what
// failed.
std::optional<pg::Failure> attempt(const std::vector<Work*>& works, const Settings& settings,
                                   const BatchOptions& options, std::vector<Told>& woken) {
  std::vector<Told> with_these;
  bool is_again = false;
  auto failure = attempt_around_partitions([&] {
    for (Work* work : works)
      if (is_again) work->reset();
    is_again = true;
    with_these = run_batch(works, settings, options);
  });
  if (!failure) woken.insert(woken.end(), with_these.begin(), with_these.end());
  if (!failure || failure->is_systems() || failure->code == ERRCODE_LOCK_NOT_AVAILABLE || works.size() > 1)
    return failure;
  for (Work* work : works) work->reset();
  BatchOptions without_waiting = options;
  without_waiting.apply_waiting = false;
  return pg::attempt([&] { run_batch(works, settings, without_waiting); });
}

// `busy` collects the customers for whom a lock was waited for in vain: once is enough for each.
void apply_alone(Work* work, const Settings& settings, const BatchOptions& options,
                 std::set<std::string>& busy, std::vector<Told>& woken) {
  const bool known_busy = !work->customer.empty() && busy.count(work->customer) > 0;
  std::optional<pg::Failure> failure;
  if (known_busy)
    failure = pg::Failure{ERRCODE_LOCK_NOT_AVAILABLE, "", nullptr};
  else
    failure = attempt({work}, settings, options, woken);
  if (!failure) return;
  if (failure->is_systems()) failure->rethrow();
  work->reset();
  if (failure->code == ERRCODE_LOCK_NOT_AVAILABLE) {
    busy.insert(work->customer);
    work->defer("lock:" + work->id, "waited too long for another transaction's lock");
  } else {
    work->settle(Outcome::failed, failure->message);
  }
  const auto unstored = attempt_around_partitions([&] {
    redaction::look({work}, settings);
    if (work->stored)
      inbox::update({work}, settings);
    else
      inbox::insert({work}, settings);
  });
  if (!unstored) return;
  // Another transaction is storing the same event, and nobody knows yet whether it will commit.
  if (unstored->code == ERRCODE_LOCK_NOT_AVAILABLE)
    throw pg::SqlError(ERRCODE_T_R_SERIALIZATION_FAILURE,
                       "event " + work->id + " is being stored by another transaction",
                       "Run the whole call again.");
  unstored->rethrow();
}

}  // namespace

void read_payload(Work& work) {
  try {
    work.event = parse_event(work.payload);
    work.customer = work.event->customer_id;
    if (work.id.empty()) work.id = work.event->id;
  } catch (const EventError& error) {
    if (work.id.empty()) work.id = derived_event_id(work.payload);
    work.unreadable = error.what();
  }
  work.reset();
}

std::vector<Told> apply_batch(const std::vector<Work*>& works, const Settings& settings,
                              const BatchOptions& options) {
  std::vector<Told> woken;
  const auto failure = attempt(works, settings, options, woken);
  if (!failure) return woken;
  if (failure->is_systems() || works.empty()) failure->rethrow();
  std::set<std::string> busy;
  for (Work* work : works) {
    work->reset();
    apply_alone(work, settings, options, busy, woken);
  }
  return woken;
}

std::vector<Told> apply_stored(std::vector<inbox::Stored>& stored, const Settings& settings,
                               const BatchOptions& options) {
  std::vector<Work*> works;
  for (inbox::Stored& one : stored) {
    Work& work = one.work;
    work.payload = one.payload;
    works.push_back(&work);
    if (one.payload_kept) {
      read_payload(work);
    } else {
      work.unreadable = "its payload is no longer stored";
      work.reset();
    }
  }
  return works.empty() ? std::vector<Told>{} : apply_batch(works, settings, options);
}

void require_safe_transaction() {
  if (RecoveryInProgress())
    throw pg::SqlError(ERRCODE_READ_ONLY_SQL_TRANSACTION, "events cannot be applied on a standby",
                       "Connect to the primary: target_session_attrs=read-write finds it.");
  if (XactReadOnly)
    throw pg::SqlError(ERRCODE_READ_ONLY_SQL_TRANSACTION,
                       "events cannot be applied in a read-only transaction",
                       "SET TRANSACTION READ WRITE, or see default_transaction_read_only.");
  if (IsolationUsesXactSnapshot())
    throw pg::SqlError(ERRCODE_ACTIVE_SQL_TRANSACTION,
                       "events cannot be applied at isolation level REPEATABLE READ or SERIALIZABLE",
                       "Use READ COMMITTED: what another event has just written must be seen.");
  if (synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
    throw pg::SqlError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "synchronous_commit is off",
                       "An acknowledged event must survive a crash: SET synchronous_commit = on.");
}

}  // namespace billing
