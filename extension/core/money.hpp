// Amounts of money: whole minor units with their currency, and decimal text in major units for people.
// https://docs.stripe.com/currencies#minor-units
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace billing {

// How many decimals Stripe counts in: 2, or 0 (JPY) or 3 (KWD). `currency` is an ISO code in lower case.
int currency_decimals(std::string_view currency);

// "19.99" usd -> 1999. Nothing when it is not a decimal number of at least 0 with no more decimals than the
// currency has, or too large for 15 digits of minor units.
std::optional<std::int64_t> minor_units(std::string_view decimal, std::string_view currency);
// 1999 usd -> "19.99"
std::string major_units(std::int64_t minor, std::string_view currency);

}  // namespace billing
