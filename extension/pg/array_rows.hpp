// Rows from arrays, in the text of a statement.
#pragma once

#include <string>

namespace billing::pg {

// Writes each `unnest($1, $2) r(a, b)` as `(SELECT unnest($1) AS a, unnest($2) AS b) r`: the same rows, since
// arrays that stand side by side are equally long, but made on the way. In FROM, PostgreSQL stores every
// array in a tuplestore of its own before it reads the first row.
std::string with_array_rows(std::string sql);

}  // namespace billing::pg
