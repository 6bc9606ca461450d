// A piece of work that is undone as a whole when it raises.
#pragma once

#include <optional>
#include <string>

#include "pg/boundary.hpp"

namespace billing::pg {

// What went wrong inside a subtransaction that has been rolled back.
struct Failure {
  int code = ERRCODE_INTERNAL_ERROR;
  std::string message;
  ErrorData* data = nullptr;  // to be re-thrown as it was; null for an error of our own

  // The system's fault, not the work's: serialization, lack of resources, shutdown, I/O, internal errors, and
  // a server that is read-only. The same work may succeed elsewhere or later.
  bool is_systems() const;
  [[noreturn]] void rethrow() const;
};

class Subtransaction {
 public:
  Subtransaction();
  void commit();
  void rollback();

 private:
  MemoryContext context_;
  ResourceOwner owner_;
};

Failure failure_of(const Error& error);
Failure failure_of(const SqlError& error);
Failure failure_of(const std::exception& error);

// Runs `work` in a subtransaction. Returns nothing when it was committed, the failure when it was undone.
template <typename Work>
std::optional<Failure> attempt(Work&& work) {
  Subtransaction subtransaction;
  std::optional<Failure> failure;
  try {
    work();
    subtransaction.commit();
  } catch (const Error& error) {
    failure = failure_of(error);
  } catch (const SqlError& error) {
    failure = failure_of(error);
  } catch (const std::exception& error) {
    failure = failure_of(error);
  }
  if (failure) subtransaction.rollback();
  return failure;
}

}  // namespace billing::pg
