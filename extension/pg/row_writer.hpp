// Single rows written without SPI, for the paths that do little else.
//
// A statement that is run for one row spends most of its time on being set up, its CHECK constraints above
// all: they are parsed and compiled each time. Here they are compiled once for as long as the table stays as
// it is. Everything else is the executor's: constraints, indexes, what replication needs.
#pragma once

#include <initializer_list>

#include "pg/known_relation.hpp"
#include "pg/row_reader.hpp"
#include "pg/spi.hpp"

namespace billing::pg {

class RowWriter {
 public:
  // `key` is the primary key's index; `columns` how many the table has.
  constexpr RowWriter(const char* table, const char* key, int columns)
      : table_(table), key_(key), columns_(columns) {}

  // Whether nothing but its constraints and indexes has a say in the table: no trigger, no row-level security
  // for this role, no column that is not known here. Otherwise a statement has to do it. To be asked in the
  // session that writes.
  bool usable();

  // A whole row, in the order of the table's columns. Text becomes jsonb where the column is.
  template <typename... Values>
  void insert(const Values&... values) {
    const Parameter parameters[] = {parameter(values)...};
    write_new(parameters, sizeof...(Values));
  }

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
  void write_new(const Parameter* parameters, std::size_t count);
  static void forget(Datum writer, Oid relation);
  ExprState** checks(Relation relation);

  KnownRelation table_;
  KnownRelation key_;
  int columns_;
  // Compiled checks, and where they lie; invalid once the relation has changed.
  EState* compiled_in_ = nullptr;
  ExprState** compiled_ = nullptr;
  Oid compiled_for_ = InvalidOid;
  bool watching_ = false;
};

}  // namespace billing::pg
