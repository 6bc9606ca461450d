#include "functions/stored_access.hpp"

namespace billing {

namespace {

const JsonbValue* member(JsonbContainer* object, const char* name, JsonbValue* found) {
  return getKeyJsonValueFromContainer(object, name, static_cast<int>(std::strlen(name)), found);
}

}  // namespace

const StoredSubscription* stored_subscriptions(const Jsonb* state, int* count) {
  *count = 0;
  JsonbValue found;
  const JsonbValue* list = member(const_cast<JsonbContainer*>(&state->root), "subscriptions", &found);
  if (list == nullptr || list->type != jbvBinary || !JsonContainerIsArray(list->val.binary.data))
    return nullptr;
  JsonbContainer* array = list->val.binary.data;
  auto* made =
      static_cast<StoredSubscription*>(palloc(sizeof(StoredSubscription) * (JsonContainerSize(array) + 1)));
  for (uint32 i = 0; i < JsonContainerSize(array); ++i) {
    const JsonbValue* one = getIthJsonbValueFromContainer(array, i);
    if (one == nullptr || one->type != jbvBinary || !JsonContainerIsObject(one->val.binary.data)) continue;
    JsonbValue name;
    JsonbValue flag;
    const JsonbValue* id = member(one->val.binary.data, "stripe_subscription_id", &name);
    const JsonbValue* access = member(one->val.binary.data, "has_access", &flag);
    if (id == nullptr || id->type != jbvString || access == nullptr || access->type != jbvBool) continue;
    made[(*count)++] = {id->val.string.val, id->val.string.len, access->val.boolean};
  }
  return made;
}

}  // namespace billing
