// How the mirror's rows are named in statements; for the files that join it.
#pragma once

#include "functions/mirror.hpp"
#include "pg/spi.hpp"

namespace billing::mirror {

struct KeyArrays {
  pg::Texts account, type, id;
  pg::Flags livemode;
  void add(const Key& key) {
    account.push_back(key.account);
    livemode.push_back(key.livemode ? 1 : 0);
    type.push_back(key.type);
    id.push_back(key.id);
  }
};

inline Key key_from(const pg::Rows& rows, std::size_t row) {
  return {rows.text(row, 0), rows.flag(row, 1), rows.text(row, 2), rows.text(row, 3)};
}

// With KeyArrays' columns as $1 to $4.
#define KEYS_MATCH                                                                      \
  " FROM unnest($1, $2, $3, $4) k(account, livemode, type, id)"                         \
  " JOIN @stripe_objects o ON o.stripe_account = k.account AND o.livemode = k.livemode" \
  "  AND o.object_type = k.type AND o.object_id = k.id"

}  // namespace billing::mirror
