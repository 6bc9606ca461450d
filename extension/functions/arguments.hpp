// Arguments of SQL entry points: null, empty and over-long ones become errors that name them.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "core/json.hpp"
#include "pg/boundary.hpp"

namespace billing {

// A text argument that must not be null.
std::string text_argument(FunctionCallInfo fcinfo, int index, const char* name);
// The elements of a text[] argument without its nulls; none when it is null.
std::set<std::string> texts_argument(FunctionCallInfo fcinfo, int index);
// The beginning of a text, for messages: cut at a character's border.
std::string shorten(const std::string& text, std::size_t limit = 64);
// 1 to 255 bytes.
std::string user_argument(FunctionCallInfo fcinfo, int index);
void check_user(const std::string& user_id);
// Why somebody does something: at most 1000 bytes; "" when null.
std::string reason_argument(FunctionCallInfo fcinfo, int index);
// A jsonb argument that must not be null.
Json json_argument(FunctionCallInfo fcinfo, int index, const char* name);
// An options argument: a JSON object whose keys must all be among `known`.
Json options_argument(FunctionCallInfo fcinfo, int index, std::initializer_list<const char*> known);
// An option that is text; "" when absent or null.
std::string text_option(const Json& options, const char* name);
// An option that is true or false; false when absent or null.
bool flag_option(const Json& options, const char* name);
// A row limit: 1 to `max`.
int limit_argument(FunctionCallInfo fcinfo, int index, const char* name, int max);

// Prepares a set-returning function's tuplestore, on every version. To be called under guard().
void materialize(FunctionCallInfo fcinfo);

Datum jsonb_datum(const std::string& text);
Datum jsonb_datum(const Json& document);
Datum text_datum(const std::string& text);

// The role that called, also from within a SECURITY DEFINER function.
std::string calling_role();

}  // namespace billing
