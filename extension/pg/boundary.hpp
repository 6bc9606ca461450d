// The border between C++ and PostgreSQL, in both directions.
//
// PostgreSQL raises an ERROR by longjmp, which skips destructors; C++ throws, which PostgreSQL does not know.
//  - guard() calls into PostgreSQL: an ERROR becomes the C++ exception pg::Error, which owns the ErrorData.
//    Its body holds plain data only, and never throws.
//  - PG_BILLING_FUNCTION makes a SQL entry point: any exception that reaches it becomes an ERROR again, after
//    every destructor has run. SQLSTATE, detail and hint survive the way in both directions.
// Catching an ERROR is not a rollback: it is re-thrown, or it ends a subtransaction (pg/subtransaction.hpp).
#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "pg/prelude.hpp"

namespace billing::pg {

// A PostgreSQL ERROR on its way through C++ frames.
class Error : public std::exception {
 public:
  explicit Error(ErrorData* data) : data_(data) {}
  const char* what() const noexcept override { return data_->message != nullptr ? data_->message : "error"; }
  ErrorData* data() const noexcept { return data_; }

 private:
  ErrorData* data_;  // in TopTransactionContext
};

// An error of our own.
class SqlError : public std::runtime_error {
 public:
  SqlError(int code, const std::string& message, std::string hint = "", std::string detail = "")
      : std::runtime_error(message), code(code), hint(std::move(hint)), detail(std::move(detail)) {}
  int code;
  std::string hint;
  std::string detail;
};

// The SQLSTATE of an exception of C++'s own kinds.
int code_of(const std::exception& exception);

// Copies the current ERROR out and clears PostgreSQL's error state; for guard() only.
ErrorData* take_error(MemoryContext context);

template <typename Body>
auto guard(Body&& body) -> decltype(body()) {
  using Result = decltype(body());
  MemoryContext context = CurrentMemoryContext;
  ErrorData* volatile error = nullptr;
  if constexpr (std::is_void_v<Result>) {
    PG_TRY();
    { body(); }
    PG_CATCH();
    { error = take_error(context); }
    PG_END_TRY();
    if (error != nullptr) throw Error(error);
  } else {
    static_assert(std::is_trivially_destructible_v<Result>);
    volatile Result result{};
    PG_TRY();
    { result = body(); }
    PG_CATCH();
    { error = take_error(context); }
    PG_END_TRY();
    if (error != nullptr) throw Error(error);
    return const_cast<Result&>(result);
  }
}

Datum enter(Datum (*body)(FunctionCallInfo), FunctionCallInfo fcinfo);

// The schema that the extension lives in: that of the function being called.
Oid function_schema(FunctionCallInfo fcinfo);

}  // namespace billing::pg

#define PG_BILLING_FUNCTION(name)                                                           \
  static Datum name##_body(FunctionCallInfo fcinfo);                                        \
  PG_BILLING_EXPORT const Pg_finfo_record* pg_finfo_##name(void);                           \
  PG_BILLING_EXPORT Datum name(FunctionCallInfo fcinfo);                                    \
  const Pg_finfo_record* pg_finfo_##name(void) {                                            \
    static const Pg_finfo_record info = {1};                                                \
    return &info;                                                                           \
  }                                                                                         \
  Datum name(FunctionCallInfo fcinfo) { return ::billing::pg::enter(name##_body, fcinfo); } \
  static Datum name##_body(FunctionCallInfo fcinfo)
