// JSON documents to and from jsonb, without writing and parsing text on the way.
#pragma once

#include <string_view>
#include <vector>

#include "core/json_fwd.hpp"
#include "pg/prelude.hpp"

namespace billing::pg {

using Document = Json;
// What a statement is given for a jsonb[]; null pointers are NULLs. The documents outlive the statement.
using Documents = std::vector<const Document*>;

// The same jsonb as jsonb_in makes of the document's text. Called under guard(): may raise.
Datum to_jsonb(const Document& document);
// The same as part of another. Points into the document.
JsonbValue to_jsonb_value(const Document& document);

// One step through a jsonb, as plain data: what guard() may hold.
struct Token {
  enum class Kind : char { open_object, open_array, close, key, text, number, yes, no, null } kind;
  int size;          // of the text; how many members or elements
  const char* data;  // of a key, a text, a number as text
};
// Called under guard(). The tokens are palloc'ed, and point into the value.
const Token* tokens_of(Datum jsonb, std::size_t* count);

// The same document as one parsed from the jsonb's text.
Document document_of(const Token* tokens);

}  // namespace billing::pg
