#include "functions/arguments.hpp"

#include <algorithm>

#include "core/customer_link.hpp"
#include "pg/document.hpp"

namespace billing {

namespace {

std::string copy_text(Datum datum) {
  // Neither compressed nor elsewhere, which a parameter seldom is.
  if (const auto* value = reinterpret_cast<const varlena*>(DatumGetPointer(datum));
      !VARATT_IS_COMPRESSED(value) && !VARATT_IS_EXTERNAL(value))
    return std::string(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
  struct Span {
    const char* data;
    std::size_t size;
  };
  const Span* span = pg::guard([&] {
    text* value = DatumGetTextPP(datum);
    Span* made = static_cast<Span*>(palloc(sizeof(Span)));
    made->data = VARDATA_ANY(value);
    made->size = VARSIZE_ANY_EXHDR(value);
    return made;
  });
  return std::string(span->data, span->size);
}

}  // namespace

std::string text_argument(FunctionCallInfo fcinfo, int index, const char* name) {
  if (PG_ARGISNULL(index))
    throw pg::SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, std::string(name) + " must not be null",
                       std::string("Pass a value for ") + name + ".");
  return copy_text(PG_GETARG_DATUM(index));
}

std::set<std::string> texts_argument(FunctionCallInfo fcinfo, int index) {
  if (PG_ARGISNULL(index)) return {};
  int count = 0;
  bool* nulls = nullptr;
  const Datum* elements = pg::guard([&] {
    Datum* made = nullptr;
    deconstruct_array(PG_GETARG_ARRAYTYPE_P(index), TEXTOID, -1, false, TYPALIGN_INT, &made, &nulls, &count);
    return made;
  });
  std::set<std::string> texts;
  for (int i = 0; i < count; ++i)
    if (!nulls[i]) texts.insert(copy_text(elements[i]));
  return texts;
}

std::string shorten(const std::string& text, std::size_t limit) {
  std::size_t length = std::min(text.size(), limit);
  while (length < text.size() && length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80)
    --length;
  return text.substr(0, length);
}

void check_user(const std::string& user_id) {
  if (user_id.empty())
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "user_id must not be empty",
                       "A user id is 1 to 255 bytes of text: whoever pays.");
  if (user_id.size() > kMaxUserIdBytes)
    throw pg::SqlError(
        ERRCODE_INVALID_PARAMETER_VALUE,
        "user_id is " + std::to_string(user_id.size()) + " bytes long: \"" + shorten(user_id, 32) + "...\"",
        "A user id is 1 to 255 bytes of text: whoever pays.");
}

std::string user_argument(FunctionCallInfo fcinfo, int index) {
  std::string user_id = text_argument(fcinfo, index, "user_id");
  check_user(user_id);
  return user_id;
}

std::string reason_argument(FunctionCallInfo fcinfo, int index) {
  constexpr std::size_t kMost = 1000;
  if (PG_ARGISNULL(index)) return "";
  std::string reason = text_argument(fcinfo, index, "reason");
  if (reason.size() > kMost)
    throw pg::SqlError(
        ERRCODE_INVALID_PARAMETER_VALUE,
        "reason is " + std::to_string(reason.size()) + " bytes long: \"" + shorten(reason) + "...\"",
        "A reason has at most 1000 bytes.");
  return reason;
}

Json json_argument(FunctionCallInfo fcinfo, int index, const char* name) {
  if (PG_ARGISNULL(index))
    throw pg::SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, std::string(name) + " must not be null",
                       std::string("Pass a value for ") + name + ".");
  const Datum datum = PG_GETARG_DATUM(index);
  const char* text = pg::guard([&]() -> const char* {
    Jsonb* value = DatumGetJsonbP(datum);
    return JsonbToCString(nullptr, &value->root, static_cast<int>(VARSIZE(value)));
  });
  try {
    return parse_json(text);
  } catch (const JsonError& error) {
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE, std::string("unusable ") + name + ": " + error.what(),
                       "Pass a smaller, flatter value.");
  }
}

Json options_argument(FunctionCallInfo fcinfo, int index, std::initializer_list<const char*> known) {
  if (PG_ARGISNULL(index)) return Json::object();
  const Json options = json_argument(fcinfo, index, "options");
  if (!options.is_object())
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       "options must be a JSON object, not " + to_text(options),
                       "Leave it out, or pass an object.");
  for (const auto& option : options.items()) {
    const std::string& key = option.key();
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    std::string names;
    for (const char* name : known) names += (names.empty() ? "" : ", ") + std::string(name);
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "unknown option \"" + key + "\"",
                       names.empty() ? "This function has no options yet." : "Options are: " + names + ".");
  }
  return options;
}

std::string text_option(const Json& options, const char* name) {
  const Json& value = at(options, name);
  if (value.is_null()) return "";
  if (!value.is_string())
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       "option \"" + std::string(name) + "\" must be text, not " + to_text(value),
                       "Quote it, or leave it out.");
  return value.get<std::string>();
}

bool flag_option(const Json& options, const char* name) {
  const Json& value = at(options, name);
  if (value.is_null()) return false;
  if (!value.is_boolean())
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       "option \"" + std::string(name) + "\" must be true or false, not " + to_text(value),
                       "Leave it out for false.");
  return value.get<bool>();
}

int limit_argument(FunctionCallInfo fcinfo, int index, const char* name, int max) {
  const int value = PG_ARGISNULL(index) ? 0 : PG_GETARG_INT32(index);
  if (value < 1 || value > max)
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       std::string(name) + " must be from 1 to " + std::to_string(max) + ", not " +
                           (PG_ARGISNULL(index) ? "null" : std::to_string(value)),
                       "Leave it out for the default.");
  return value;
}

void materialize(FunctionCallInfo fcinfo) {
#if PG_VERSION_NUM >= 160000
  InitMaterializedSRF(fcinfo, 0);
#elif PG_VERSION_NUM >= 150000
  SetSingleFuncCall(fcinfo, 0);
#else
#error "pg_billing needs PostgreSQL 15 or later"
#endif
}

Datum jsonb_datum(const std::string& text) {
  return pg::guard([&] { return DirectFunctionCall1(jsonb_in, CStringGetDatum(text.c_str())); });
}

Datum jsonb_datum(const Json& document) {
  return pg::guard([&] { return pg::to_jsonb(document); });
}

Datum text_datum(const std::string& text) {
  return pg::guard(
      [&] { return PointerGetDatum(cstring_to_text_with_len(text.data(), static_cast<int>(text.size()))); });
}

std::string calling_role() {
  const char* name = pg::guard([]() -> const char* { return GetUserNameFromId(GetOuterUserId(), true); });
  return name != nullptr ? name : "unknown";
}

}  // namespace billing
