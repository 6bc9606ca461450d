// SQL from C++: kept plans with typed parameters, results as plain cells.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "pg/boundary.hpp"
#include "pg/document.hpp"

namespace billing::pg {

// Microseconds since 1970-01-01 UTC; the least and the greatest value are -infinity and infinity.
using Microseconds = std::int64_t;
Microseconds from_timestamptz(TimestampTz time);
TimestampTz to_timestamptz(Microseconds time);

struct Time {
  std::optional<Microseconds> value;
};
using Texts = std::vector<std::optional<std::string>>;
inline Texts texts(const std::set<std::string>& values) { return Texts(values.begin(), values.end()); }
using Numbers = std::vector<std::optional<std::int64_t>>;
using Flags = std::vector<char>;
struct Times {
  std::vector<std::optional<Microseconds>> values;
  void add(std::optional<std::int64_t> seconds) {
    values.push_back(seconds ? std::optional<Microseconds>(*seconds * 1'000'000) : std::nullopt);
  }
};

// One parameter before it is a Datum: what it is and where it lies.
struct Parameter {
  enum class Kind { text, number, flag, time, document, jsonb, texts, numbers, flags, times, documents } kind;
  Oid type;
  bool null;
  const void* pointer;
  std::int64_t number;
  std::size_t size;
};
inline Parameter parameter(const Parameter& value) { return value; }
Parameter parameter(std::string_view value);
Parameter parameter(const std::string& value);
Parameter parameter(const char* value);
Parameter parameter(const std::optional<std::string>& value);
Parameter parameter(std::int64_t value);
Parameter parameter(int value);
Parameter parameter(const std::optional<std::int64_t>& value);
Parameter parameter(bool value);
Parameter parameter(const Time& value);
// A jsonb. By name, as many a value would become a document by itself.
Parameter document_parameter(const Document& value);
// One that has been made already.
Parameter jsonb_parameter(const Jsonb* value);
Parameter parameter(const Texts& value);
Parameter parameter(const Numbers& value);
Parameter parameter(const Flags& value);
Parameter parameter(const Times& value);
Parameter parameter(const Documents& value);

struct Cell {
  bool null;
  std::int64_t number;  // integers, booleans, times in microseconds
  const char* data;     // text; the tokens of a jsonb
  std::size_t size;
};

// The result of one statement; valid until the session ends.
class Rows {
 public:
  Rows(const Cell* cells, std::size_t rows, std::size_t columns)
      : cells_(cells), rows_(rows), columns_(columns) {}
  std::size_t size() const { return rows_; }
  bool empty() const { return rows_ == 0; }
  bool null(std::size_t row, std::size_t column) const { return at(row, column).null; }
  std::string_view view(std::size_t row, std::size_t column) const;  // "" when null
  std::string text(std::size_t row, std::size_t column) const { return std::string(view(row, column)); }
  std::optional<std::string> maybe_text(std::size_t row, std::size_t column) const;
  std::int64_t number(std::size_t row, std::size_t column) const { return at(row, column).number; }
  bool flag(std::size_t row, std::size_t column) const { return at(row, column).number != 0; }
  Document document(std::size_t row, std::size_t column) const;  // of a jsonb; null when null
  std::optional<std::int64_t> maybe_number(std::size_t row, std::size_t column) const;
  std::optional<std::int64_t> maybe_seconds(std::size_t row, std::size_t column) const;

 private:
  const Cell& at(std::size_t row, std::size_t column) const { return cells_[row * columns_ + column]; }
  const Cell* cells_;
  std::size_t rows_;
  std::size_t columns_;
};

// One connection to SPI, with search_path pinned to pg_catalog for the statements run through it, so that no
// caller's path can change what a name or an operator means.
class Session {
 public:
  enum class Access { read_only, read_write };
  Session(Oid schema, Access access);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  static const Session& current();
  Oid schema() const { return schema_; }
  const char* quoted_schema() const { return quoted_; }
  bool read_only() const { return access_ == Access::read_only; }

 private:
  Oid schema_;
  Access access_;
  Session* outer_;
  int exceptions_;
  int guc_level_ = 0;
  char quoted_[2 * NAMEDATALEN + 3];
};

// A statement with a kept plan. In its text "@" stands for the extension's schema and the dot after it:
// "@users". Meant for static storage: it is built without calling PostgreSQL. Parameters are $1, $2...; every
// result column is text, an integer, a boolean, a timestamptz or jsonb.
class Statement {
 public:
  explicit constexpr Statement(const char* sql) : sql_(sql) {}

  // Each run of a read-write session sees everything committed before it began.
  template <typename... Values>
  Rows run(const Values&... values) {
    const Parameter parameters[sizeof...(Values) + 1] = {parameter(values)..., Parameter{}};
    return run_with(parameters, sizeof...(Values));
  }
  Rows run_with(const Parameter* parameters, std::size_t count);

 private:
  void prepare(const Parameter* parameters, std::size_t count, bool one_row);

  const char* sql_;
  SPIPlanPtr plans_[2] = {};  // the second for arrays of one element, see pg/array_rows.hpp
  std::uint64_t arrays_ = 0;
  char schema_[2 * NAMEDATALEN + 3] = "";
};

}  // namespace billing::pg
