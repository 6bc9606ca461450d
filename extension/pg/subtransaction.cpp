#include "pg/subtransaction.hpp"

#include <new>

namespace billing::pg {

bool Failure::is_systems() const {
  const int category = ERRCODE_TO_CATEGORY(code);
  return category == ERRCODE_TO_CATEGORY(ERRCODE_T_R_SERIALIZATION_FAILURE) ||  // 40
         category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||     // 53
         category == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) ||      // 57
         category == ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR) ||               // 58
         category == ERRCODE_TO_CATEGORY(ERRCODE_INTERNAL_ERROR) ||             // XX
         code == ERRCODE_READ_ONLY_SQL_TRANSACTION;
}

void Failure::rethrow() const {
  if (data != nullptr) throw Error(data);
  throw SqlError(code, message);
}

Subtransaction::Subtransaction() : context_(CurrentMemoryContext), owner_(CurrentResourceOwner) {
  guard([&] {
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(context_);
  });
}

void Subtransaction::commit() {
  guard([&] {
    ReleaseCurrentSubTransaction();
    MemoryContextSwitchTo(context_);
    CurrentResourceOwner = owner_;
  });
}

void Subtransaction::rollback() {
  guard([&] {
    RollbackAndReleaseCurrentSubTransaction();
    MemoryContextSwitchTo(context_);
    CurrentResourceOwner = owner_;
  });
}

Failure failure_of(const Error& error) { return {error.data()->sqlerrcode, error.what(), error.data()}; }

Failure failure_of(const SqlError& error) { return {error.code, error.what(), nullptr}; }

Failure failure_of(const std::exception& error) { return {code_of(error), error.what(), nullptr}; }

}  // namespace billing::pg
