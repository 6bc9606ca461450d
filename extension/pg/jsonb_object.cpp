// Before the server's headers, which redefine printf and its relatives.
#include "core/json_tree.hpp"

#include "pg/jsonb_object.hpp"
#include "pg/jsonb_order.hpp"

namespace billing::pg {

namespace {

JsonbValue string_value(std::string_view text) {
  JsonbValue value{};
  value.type = jbvString;
  value.val.string.val = const_cast<char*>(text.data());
  value.val.string.len = static_cast<int>(text.size());
  return value;
}

JsonbValue object_value(const Member* members, int count);

JsonbValue array_value(std::int64_t count) {
  JsonbValue value{};
  value.type = jbvArray;
  value.val.array.nElems = static_cast<int>(count);
  value.val.array.rawScalar = false;
  value.val.array.elems = static_cast<JsonbValue*>(palloc(sizeof(JsonbValue) * static_cast<Size>(count + 1)));
  return value;
}

JsonbValue value_of(const Member& member) {
  JsonbValue value{};
  switch (member.kind) {
    case Member::Kind::flag:
      value.type = jbvBool;
      value.val.boolean = member.number != 0;
      return value;
    case Member::Kind::number:
      value.type = jbvNumeric;
      value.val.numeric = int64_to_numeric(member.number);
      return value;
    case Member::Kind::text:
      return string_value(member.text);
    case Member::Kind::texts: {
      const auto* texts = static_cast<const std::string*>(member.value);
      value = array_value(member.number);
      for (std::int64_t i = 0; i < member.number; ++i) value.val.array.elems[i] = string_value(texts[i]);
      return value;
    }
    case Member::Kind::objects: {
      const auto* members = static_cast<const Member*>(member.value);
      value = array_value(member.number);
      for (std::int64_t i = 0; i < member.number; ++i)
        value.val.array.elems[i] = object_value(members + i * member.width, member.width);
      return value;
    }
    case Member::Kind::document:
      return to_jsonb_value(*static_cast<const Document*>(member.value));
    default:
      value.type = jbvNull;
      return value;
  }
}

JsonbValue object_value(const Member* members, int count) {
  auto* pairs = static_cast<JsonbPair*>(palloc(sizeof(JsonbPair) * static_cast<Size>(count + 1)));
  for (int i = 0; i < count; ++i) {
    JsonbPair pair;
    pair.key = string_value(members[i].name);
    pair.value = value_of(members[i]);
    pair.order = static_cast<uint32>(i);
    // Whoever names them in this order has nothing moved.
    int place = i;
    for (; place > 0 && goes_before(pair, pairs[place - 1]); --place) pairs[place] = pairs[place - 1];
    pairs[place] = pair;
  }
  JsonbValue object{};
  object.type = jbvObject;
  object.val.object.nPairs = count;
  object.val.object.pairs = pairs;
  return object;
}

}  // namespace

Jsonb* object_jsonb(const Member* members, int count) {
  JsonbValue object = object_value(members, count);
  return JsonbValueToJsonb(&object);
}

}  // namespace billing::pg
