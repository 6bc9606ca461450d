#include "pg/jsonb_member.hpp"

namespace billing::pg {

namespace {

// The place of a member's value among the entries of the object; -1 when there is none. Keys are sorted by
// length, then bytewise.
int value_entry(const JsonbContainer* container, const char* name) {
  if (!JsonContainerIsObject(container)) return -1;
  const int count = static_cast<int>(JsonContainerSize(container));
  const char* data = reinterpret_cast<const char*>(&container->children[2 * count]);
  const uint32 wanted = static_cast<uint32>(std::strlen(name));
  int low = 0;
  int high = count;
  while (low < high) {
    const int middle = low + (high - low) / 2;
    const uint32 length = getJsonbLength(container, middle);
    int order = length < wanted ? -1 : length > wanted ? 1 : 0;
    if (order == 0) order = std::memcmp(data + getJsonbOffset(container, middle), name, wanted);
    if (order == 0) return count + middle;
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return -1;
}

bool is_aligned(JEntry entry) { return JBE_ISNUMERIC(entry) || JBE_ISCONTAINER(entry); }

}  // namespace

// Everything behind the member moves by the difference in size, and is aligned anew where it must be.
Jsonb* replace_object_member(const Jsonb* object, const char* name, const Jsonb* value) {
  const JsonbContainer* from = &object->root;
  const int place = value_entry(from, name);
  if (place < 0 || !JBE_ISCONTAINER(from->children[place])) return nullptr;
  const int entries = 2 * static_cast<int>(JsonContainerSize(from));
  const Size value_size = VARSIZE(value) - VARHDRSZ;
  // Each entry behind it may need up to three bytes more to be aligned.
  Jsonb* made =
      static_cast<Jsonb*>(palloc0(VARSIZE(object) + value_size + 4 * static_cast<Size>(entries - place)));
  JsonbContainer* to = &made->root;
  const char* source = reinterpret_cast<const char*>(&from->children[entries]);
  char* target = reinterpret_cast<char*>(&to->children[entries]);
  uint32 begin = getJsonbOffset(from, place);
  uint32 size = begin;
  std::memcpy(to, from, static_cast<Size>(source - reinterpret_cast<const char*>(from)) + begin);
  for (int i = place; i < entries; ++i) {
    const JEntry entry = from->children[i];
    const uint32 end = JBE_HAS_OFF(entry) ? JBE_OFFLENFLD(entry) : begin + JBE_OFFLENFLD(entry);
    const uint32 start = size;
    if (is_aligned(entry)) {
      size = INTALIGN(size);
      begin = INTALIGN(begin);
    }
    const Size length = i == place ? value_size : end - begin;
    std::memcpy(target + size, i == place ? reinterpret_cast<const char*>(&value->root) : source + begin,
                length);
    size += static_cast<uint32>(length);
    to->children[i] = JBE_HAS_OFF(entry) ? (entry & ~JENTRY_OFFLENMASK) | size
                                         : (entry & ~JENTRY_OFFLENMASK) | (size - start);
    begin = end;
  }
  SET_VARSIZE(made, static_cast<Size>(target + size - reinterpret_cast<char*>(made)));
  return made;
}

bool set_flag_member(Jsonb* object, const char* name, bool value) {
  const int place = value_entry(&object->root, name);
  if (place < 0 || !JBE_ISBOOL(object->root.children[place])) return false;
  JEntry& entry = object->root.children[place];
  entry = (entry & ~JENTRY_TYPEMASK) | (value ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE);
  return true;
}

}  // namespace billing::pg
