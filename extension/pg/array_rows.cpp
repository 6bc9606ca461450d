#include "pg/array_rows.hpp"

#include <string_view>
#include <vector>

namespace billing::pg {

namespace {

constexpr std::string_view kCall = "unnest($";

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> parts_of(std::string_view list) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t comma = list.find(',');
    parts.push_back(trimmed(list.substr(0, comma)));
    if (comma == std::string_view::npos) return parts;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace

ArrayRows with_array_rows(std::string sql, bool one) {
  std::uint64_t used = 0;
  for (std::size_t at = sql.find(kCall); at != std::string::npos; at = sql.find(kCall, at + 1)) {
    const std::string_view text = sql;
    const std::size_t arrays_at = at + kCall.size() - 1;
    const std::size_t arrays_end = text.find(')', arrays_at);
    const std::size_t name_at = text.find_first_not_of(' ', arrays_end + 1);
    const std::size_t columns_at = text.find('(', arrays_end);
    const std::size_t columns_end = text.find(')', arrays_end + 1);
    // A name and its columns, or nothing to rewrite: `SELECT unnest($1)`, `unnest($1)) ...`.
    if (name_at == std::string_view::npos || columns_at > columns_end ||
        columns_end == std::string_view::npos)
      continue;
    const std::string_view name = text.substr(name_at, columns_at - name_at);
    if (name.empty() || name.find_first_not_of("abcdefghijklmnopqrstuvwxyz") != std::string_view::npos)
      continue;
    const auto arrays = parts_of(text.substr(arrays_at, arrays_end - arrays_at));
    const auto columns = parts_of(text.substr(columns_at + 1, columns_end - columns_at - 1));
    if (arrays.size() != columns.size()) continue;
    std::string rows = "(SELECT ";
    for (std::size_t i = 0; i < arrays.size(); ++i) {
      if (i > 0) rows += ", ";
      rows.append(one ? "(" : "unnest(").append(arrays[i]).append(one ? ")[1]" : ")");
      rows.append(" AS \"").append(columns[i]).append("\"");
      used |= std::uint64_t{1} << (std::stoul(std::string(arrays[i].substr(1))) - 1);
    }
    rows.append(") ").append(name);
    sql.replace(at, columns_end + 1 - at, rows);
  }
  return {std::move(sql), used};
}

}  // namespace billing::pg
