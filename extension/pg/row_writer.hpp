// Rows written without SPI, for the paths that do little else.
//
// A statement that is run for a few rows spends most of its time on being set up, its CHECK constraints above
// all: they are parsed and compiled each time. Here they are compiled once for as long as the table stays as
// it is. Everything else is the executor's: constraints, indexes, what replication needs.
#pragma once

#include <initializer_list>
#include <vector>

#include "pg/known_relation.hpp"
#include "pg/row_reader.hpp"
#include "pg/spi.hpp"
#include "pg/table_rights.hpp"

namespace billing::pg {

class RowWriter {
 public:
  // `key` is the primary key's index; `columns` are the names of all, in order, with spaces between them.
  constexpr RowWriter(const char* table, const char* key, const char* columns)
      : table_(table), key_(key), columns_(columns) {
    for (const char* name = columns; *name != '\0'; ++name) count_ += name == columns || *name == ' ' ? 1 : 0;
  }

  // Whether nothing but its constraints and indexes has a say in the table: no trigger, no row-level security
  // for this role, no column that is not known here. Otherwise a statement has to do it. To be asked in the
  // session that writes.
  bool usable();

  const char* name() const { return table_.name(); }
  // Whole rows, in the order of the columns, one after the other. Where the table is not plain, each is a
  // statement.
  void insert(const std::vector<Parameter>& values);

  // Some columns of the one row that has this key. The caller holds a lock that nobody changes it without.
  struct Change {
    int column;  // its number
    Parameter value;
  };
  // `seen` has read it in this transaction: it need not be looked up again.
  void update(std::initializer_list<Parameter> key, std::initializer_list<Change> changes,
              const RowReader& seen);

 private:
  struct Checks;
  void write(const Parameter* values, std::size_t rows);
  void write_by_statement(const Parameter* values);
  static void forget(Datum, Oid relation);
  ExprState** checks(Relation relation);
  bool is_plain(Relation relation) const;

  KnownRelation table_;
  KnownRelation key_;
  const char* columns_;
  int count_ = 0;
  Statement* statement_ = nullptr;
  // Compiled checks, and where they lie; invalid once the relation has changed.
  EState* compiled_in_ = nullptr;
  ExprState** compiled_ = nullptr;
  Oid compiled_for_ = InvalidOid;
  bool is_watched_ = false;
  RowWriter* next_watched_ = nullptr;
  static RowWriter* watched_;
  TableRights rights_;
};

}  // namespace billing::pg
