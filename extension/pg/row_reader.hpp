// Rows of one table read by an index, without SPI: what a statement costs beside the few rows that most reads
// are about is several times the rows.
#pragma once

#include <initializer_list>
#include <vector>

#include "pg/known_relation.hpp"
#include "pg/spi.hpp"
#include "pg/table_rights.hpp"

namespace billing::pg {

// Meant for static storage. Rows are what a statement of the session would see that is run now, as they come.
class RowReader {
 public:
  static constexpr int kMaxColumns = 32;
  static constexpr int kMaxKey = 4;

  // `columns` are names with spaces between them.
  constexpr RowReader(const char* table, const char* index, const char* columns)
      : table_(table), index_(index), columns_(columns) {}

  // Whether the role may read the table, and all of it, and its rows are here: otherwise find() is a
  // statement like any other.
  bool usable();
  // Whether the table has not even a page, so that there is nothing for any snapshot to see. Needs no right.
  bool is_vacant();
  // The rows with these values in the first columns of the index, in its order. Valid until the session ends.
  Rows find(std::initializer_list<Parameter> key) { return read(key, Want::all); }
  // The rows of many keys, each of `width` values, key by key. Only where usable() is true.
  Rows find_each(const std::vector<Parameter>& keys, std::size_t width) {
    return scan(keys.data(), width, keys.size() / width, Want::all);
  }
  // Whether there is such a row.
  bool any(std::initializer_list<Parameter> key) { return !read(key, Want::first).empty(); }

  // Whether the role may also lock them.
  bool lockable();
  // The same rows, locked as by SELECT ... FOR NO KEY UPDATE: waits for whoever holds one, and has what that
  // one has made of it.
  Rows find_locked(std::initializer_list<Parameter> key) {
    return scan(key.begin(), key.size(), 1, Want::locked);
  }

  // The row with this unique key once more, by where it was found last in this transaction. False when it is
  // not there any more. Under guard().
  bool find_again(Relation relation, Relation key_index, std::initializer_list<Parameter> key,
                  TupleTableSlot* slot) const;

 private:
  enum class Want { all, first, locked };
  static constexpr int kMaxPlaces = 8;
  bool usable_with(AclMode privileges);
  static bool is_plain(Oid table, bool security);
  Rows read(std::initializer_list<Parameter> key, Want want);
  Rows scan(const Parameter* keys, std::size_t width, std::size_t count, Want want);
  Rows select(std::initializer_list<Parameter> key);
  std::vector<const char*> key_columns();
  void resolve(Relation relation);
  void copy_row(Relation relation, TupleTableSlot* slot, Cell* cells) const;

  KnownRelation table_;
  KnownRelation index_;
  const char* columns_;
  Oid resolved_for_ = InvalidOid;
  int count_ = 0;
  AttrNumber numbers_[kMaxColumns] = {};
  Statement* statements_[kMaxKey] = {};  // by the number of columns of the key
  // Where the first rows of the last read lay, and in which transaction.
  LocalTransactionId places_in_ = InvalidLocalTransactionId;
  int place_count_ = 0;
  TableRights rights_;
  ItemPointerData places_[kMaxPlaces] = {};
};

}  // namespace billing::pg
