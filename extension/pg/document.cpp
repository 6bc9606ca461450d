// Before the server's headers, which redefine printf and its relatives.
#include <algorithm>
#include <charconv>

#include "core/json_tree.hpp"
#include "pg/document.hpp"
#include "pg/jsonb_order.hpp"

namespace billing::pg {

namespace {

void set_text(JsonbValue* value, const std::string& text) {
  value->type = jbvString;
  value->val.string.val = const_cast<char*>(text.data());
  value->val.string.len = static_cast<int>(text.size());
}

void set_number(JsonbValue* value, const char* text) {
  value->type = jbvNumeric;
  value->val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
                                                           ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

void set_scalar(JsonbValue* value, const Document& document) {
  char number[64];
  switch (document.type()) {
    case Document::value_t::string:
      return set_text(value, document.get_ref<const std::string&>());
    case Document::value_t::boolean:
      value->type = jbvBool;
      value->val.boolean = document.get<bool>();
      return;
    case Document::value_t::number_integer:
      value->type = jbvNumeric;
      value->val.numeric = int64_to_numeric(document.get<std::int64_t>());
      return;
    case Document::value_t::number_unsigned:
      if (document.get<std::uint64_t>() <= PG_INT64_MAX) {
        value->type = jbvNumeric;
        value->val.numeric = int64_to_numeric(static_cast<int64>(document.get<std::uint64_t>()));
        return;
      }
      *std::to_chars(number, number + sizeof number - 1, document.get<std::uint64_t>()).ptr = '\0';
      return set_number(value, number);
    case Document::value_t::number_float:
      if (!std::isfinite(document.get<double>())) break;  // as in its text
      *nlohmann::detail::to_chars(number, number + sizeof number - 1, document.get<double>()) = '\0';
      return set_number(value, number);
    default:
      break;
  }
  value->type = jbvNull;
}

// Made in one piece: pushJsonbValue() grows each container as it comes, and compares keys by a function call.
void set_value(JsonbValue* value, const Document& document) {
  if (document.is_object()) {
    JsonbPair* pairs = static_cast<JsonbPair*>(palloc(sizeof(JsonbPair) * (document.size() + 1)));
    JsonbPair* end = pairs;
    for (auto member = document.begin(); member != document.end(); ++member, ++end) {
      set_text(&end->key, member.key());
      set_value(&end->value, *member);
    }
    std::sort(pairs, end, goes_before);
    value->type = jbvObject;
    value->val.object.nPairs = static_cast<int>(end - pairs);
    value->val.object.pairs = pairs;
    return;
  }
  if (document.is_array()) {
    JsonbValue* elements = static_cast<JsonbValue*>(palloc(sizeof(JsonbValue) * (document.size() + 1)));
    JsonbValue* end = elements;
    for (const Document& element : document) set_value(end++, element);
    value->type = jbvArray;
    value->val.array.rawScalar = false;
    value->val.array.nElems = static_cast<int>(end - elements);
    value->val.array.elems = elements;
    return;
  }
  set_scalar(value, document);
}

Document number_from(std::string_view text) {
  const char* const end = text.data() + text.size();
  if (text.starts_with('-')) {
    std::int64_t value = 0;
    if (const auto [last, error] = std::from_chars(text.data(), end, value);
        error == std::errc() && last == end)
      return value;
  } else {
    std::uint64_t value = 0;
    if (const auto [last, error] = std::from_chars(text.data(), end, value);
        error == std::errc() && last == end)
      return value;
  }
  return Document::parse(text);
}

Document read(const Token*& token) {
  const Token& at = *token++;
  switch (at.kind) {
    case Token::Kind::open_object: {
      Document::object_t members;
      while (token->kind != Token::Kind::close) {
        std::string key(token->data, static_cast<std::size_t>(token->size));
        ++token;
        members.emplace(std::move(key), read(token));
      }
      ++token;
      return members;
    }
    case Token::Kind::open_array: {
      Document::array_t elements;
      elements.reserve(static_cast<std::size_t>(at.size));
      while (token->kind != Token::Kind::close) elements.push_back(read(token));
      ++token;
      return elements;
    }
    case Token::Kind::text:
      return std::string(at.data, static_cast<std::size_t>(at.size));
    case Token::Kind::number:
      return number_from({at.data, static_cast<std::size_t>(at.size)});
    case Token::Kind::yes:
      return true;
    case Token::Kind::no:
      return false;
    default:
      return nullptr;
  }
}

Token token_of(const JsonbValue& value) {
  switch (value.type) {
    case jbvString:
      return {Token::Kind::text, value.val.string.len, value.val.string.val};
    case jbvNumeric: {
      const char* text =
          DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));
      return {Token::Kind::number, static_cast<int>(std::strlen(text)), text};
    }
    case jbvBool:
      return {value.val.boolean ? Token::Kind::yes : Token::Kind::no, 0, nullptr};
    default:
      return {Token::Kind::null, 0, nullptr};
  }
}

}  // namespace

JsonbValue to_jsonb_value(const Document& document) {
  JsonbValue value;
  set_value(&value, document);
  return value;
}

Datum to_jsonb(const Document& document) {
  JsonbValue value = to_jsonb_value(document);
  return JsonbPGetDatum(JsonbValueToJsonb(&value));
}

const Token* tokens_of(Datum jsonb, std::size_t* count) {
  Jsonb* value = DatumGetJsonbP(jsonb);
  std::size_t room = 64;
  std::size_t made = 0;
  Token* tokens = static_cast<Token*>(palloc(room * sizeof(Token)));
  const bool is_scalar = JB_ROOT_IS_SCALAR(value);
  JsonbIterator* iterator = JsonbIteratorInit(&value->root);
  JsonbValue at;
  for (JsonbIteratorToken step; (step = JsonbIteratorNext(&iterator, &at, false)) != WJB_DONE;) {
    if (made == room) tokens = static_cast<Token*>(repalloc(tokens, (room *= 2) * sizeof(Token)));
    switch (step) {
      case WJB_BEGIN_OBJECT:
        tokens[made++] = {Token::Kind::open_object, at.val.object.nPairs, nullptr};
        break;
      case WJB_BEGIN_ARRAY:
        if (!is_scalar) tokens[made++] = {Token::Kind::open_array, at.val.array.nElems, nullptr};
        break;
      case WJB_END_OBJECT:
        tokens[made++] = {Token::Kind::close, 0, nullptr};
        break;
      case WJB_END_ARRAY:
        if (!is_scalar) tokens[made++] = {Token::Kind::close, 0, nullptr};
        break;
      case WJB_KEY:
        tokens[made++] = {Token::Kind::key, at.val.string.len, at.val.string.val};
        break;
      default:
        tokens[made++] = token_of(at);
    }
  }
  *count = made;
  return tokens;
}

Document document_of(const Token* tokens) { return read(tokens); }

}  // namespace billing::pg
