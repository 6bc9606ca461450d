// Changing members of a stored jsonb object where it lies: neither parsed nor rebuilt. What is asked for is a
// member at the top. Plain data: to be called under guard().
#pragma once

#include "pg/prelude.hpp"

namespace billing::pg {

// A copy in which the member, which is an object, is another one. Null when there is no such member.
Jsonb* replace_object_member(const Jsonb* object, const char* name, const Jsonb* value);

// Sets a member that is true or false, in place. False when there is no such member.
bool set_flag_member(Jsonb* object, const char* name, bool value);

}  // namespace billing::pg
