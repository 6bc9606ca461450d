#include "pg/boundary.hpp"

#include <cstring>
#include <new>

namespace billing::pg {

namespace {

// What is left of an exception once its catch block is left: plain data, no allocation on the way.
struct Raised {
  int code = ERRCODE_INTERNAL_ERROR;
  char message[1024] = "";
  char detail[1024] = "";
  char hint[1024] = "";
};

// Cuts at a character's border, so that the message stays valid UTF-8.
void copy_text(char (&to)[1024], const char* from) {
  std::size_t length = std::strlen(from);
  if (length >= sizeof(to)) {
    length = sizeof(to) - 1;
    while (length > 0 && (static_cast<unsigned char>(from[length]) & 0xC0) == 0x80) --length;
  }
  std::memcpy(to, from, length);
  to[length] = '\0';
}

[[noreturn]] void raise(const Raised& raised) {
  ereport(ERROR, (errcode(raised.code), errmsg_internal("%s", raised.message),
                  raised.detail[0] != '\0' ? errdetail_internal("%s", raised.detail) : 0,
                  raised.hint[0] != '\0' ? errhint("%s", raised.hint) : 0));
  pg_unreachable();
}

}  // namespace

int code_of(const std::exception& exception) {
  if (dynamic_cast<const std::bad_alloc*>(&exception) != nullptr) return ERRCODE_OUT_OF_MEMORY;
  if (dynamic_cast<const std::overflow_error*>(&exception) != nullptr)
    return ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE;
  return ERRCODE_INTERNAL_ERROR;
}

ErrorData* take_error(MemoryContext context) {
  MemoryContextSwitchTo(TopTransactionContext != nullptr ? TopTransactionContext : TopMemoryContext);
  ErrorData* error = CopyErrorData();
  FlushErrorState();
  MemoryContextSwitchTo(context);
  return error;
}

Datum enter(Datum (*body)(FunctionCallInfo), FunctionCallInfo fcinfo) {
  Raised raised;
  ErrorData* error = nullptr;
  try {
    return body(fcinfo);
  } catch (const Error& caught) {
    error = caught.data();
  } catch (const SqlError& caught) {
    raised.code = caught.code;
    copy_text(raised.message, caught.what());
    copy_text(raised.detail, caught.detail.c_str());
    copy_text(raised.hint, caught.hint.c_str());
  } catch (const std::exception& caught) {
    raised.code = code_of(caught);
    copy_text(raised.message, caught.what());
  } catch (...) {
    copy_text(raised.message, "unknown exception");
  }
  if (error != nullptr) ReThrowError(error);
  raise(raised);
}

Oid function_schema(FunctionCallInfo fcinfo) {
  return guard([&] { return get_func_namespace(fcinfo->flinfo->fn_oid); });
}

}  // namespace billing::pg
