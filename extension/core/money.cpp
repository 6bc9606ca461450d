#include "core/money.hpp"

#include <algorithm>
#include <array>

namespace billing {

namespace {

constexpr std::array<std::string_view, 16> kWithout = {"bif", "clp", "djf", "gnf", "jpy", "kmf",
                                                       "krw", "mga", "pyg", "rwf", "ugx", "vnd",
                                                       "vuv", "xaf", "xof", "xpf"};
constexpr std::array<std::string_view, 5> kWithThree = {"bhd", "jod", "kwd", "omr", "tnd"};
constexpr std::size_t kMostDigits = 15;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

int currency_decimals(std::string_view currency) {
  if (std::find(kWithout.begin(), kWithout.end(), currency) != kWithout.end()) return 0;
  return std::find(kWithThree.begin(), kWithThree.end(), currency) != kWithThree.end() ? 3 : 2;
}

std::optional<std::int64_t> minor_units(std::string_view decimal, std::string_view currency) {
  const std::size_t point = decimal.find('.');
  const std::string whole(decimal.substr(0, point));
  std::string fraction(point == std::string_view::npos ? "" : decimal.substr(point + 1));
  const std::size_t decimals = static_cast<std::size_t>(currency_decimals(currency));
  const bool digits = std::all_of(whole.begin(), whole.end(), is_digit) &&
                      std::all_of(fraction.begin(), fraction.end(), is_digit);
  if (!digits || whole.empty() || (point != std::string_view::npos && fraction.empty())) return std::nullopt;
  while (fraction.size() > decimals && fraction.back() == '0') fraction.pop_back();
  if (fraction.size() > decimals) return std::nullopt;
  fraction.append(decimals - fraction.size(), '0');
  const std::string all = whole + fraction;
  const std::size_t first = std::min(all.find_first_not_of('0'), all.size());
  if (all.size() - first > kMostDigits) return std::nullopt;
  std::int64_t minor = 0;
  for (const char c : all) minor = minor * 10 + (c - '0');
  return minor;
}

std::string major_units(std::int64_t minor, std::string_view currency) {
  const std::size_t decimals = static_cast<std::size_t>(currency_decimals(currency));
  std::string digits = std::to_string(minor < 0 ? -minor : minor);
  if (digits.size() <= decimals) digits.insert(0, decimals + 1 - digits.size(), '0');
  if (decimals > 0) digits.insert(digits.size() - decimals, 1, '.');
  if (minor < 0) digits.insert(0, 1, '-');
  return digits;
}

}  // namespace billing
