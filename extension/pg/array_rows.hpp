// Rows from arrays, in the text of a statement.
#pragma once

#include <cstdint>
#include <string>

namespace billing::pg {

struct ArrayRows {
  std::string sql;
  std::uint64_t arrays = 0;  // the parameters whose elements are rows: bit 0 for $1
};

// Writes each `unnest($1, $2) r(a, b)` as `(SELECT unnest($1) AS a, unnest($2) AS b) r`: the same rows, since
// arrays that stand side by side are equally long, but made on the way. In FROM, PostgreSQL stores every
// array in a tuplestore of its own before it reads the first row. With `one`, as `(SELECT ($1)[1] AS a, ...)
// r`, for arrays of one element each: most batches are small, and that is no more work than a statement of
// plain parameters.
ArrayRows with_array_rows(std::string sql, bool one);

}  // namespace billing::pg
