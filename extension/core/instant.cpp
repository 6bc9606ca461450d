#include "core/instant.hpp"

#include <array>
#include <cstdio>

namespace billing {
namespace {

constexpr std::int64_t kDay = 86400;
// The civil calendar repeats every 400 years. http://howardhinnant.github.io/date_algorithms.html
// std::chrono's calendar ends at year 32767; a time from outside need not.
constexpr std::int64_t kDaysPerEra = 146097;
constexpr std::int64_t kDaysToEpoch = 719468;  // from 0000-03-01 to 1970-01-01

struct Date {
  std::int64_t year;
  int month;
  int day;
};

constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

constexpr Date date_of(std::int64_t days_since_epoch) {
  const std::int64_t days = days_since_epoch + kDaysToEpoch;
  const std::int64_t era = floor_div(days, kDaysPerEra);
  const std::int64_t day_of_era = days - era * kDaysPerEra;
  const std::int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const std::int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t shifted_month = (5 * day_of_year + 2) / 153;  // March is 0
  const int day = static_cast<int>(day_of_year - (153 * shifted_month + 2) / 5 + 1);
  const int month = static_cast<int>(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
  return {year_of_era + era * 400 + (month <= 2 ? 1 : 0), month, day};
}

constexpr std::int64_t days_of(const Date& date) {
  const std::int64_t year = date.year - (date.month <= 2 ? 1 : 0);
  const std::int64_t era = floor_div(year, 400);
  const std::int64_t year_of_era = year - era * 400;
  const std::int64_t day_of_year = (153 * (date.month + (date.month > 2 ? -3 : 9)) + 2) / 5 + date.day - 1;
  const std::int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * kDaysPerEra + day_of_era - kDaysToEpoch;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Takes its pieces off the front of the text; once a piece does not fit, everything after fails too.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  int digits(std::size_t count, int low, int high) {
    int value = 0;
    if (rest_.size() < count) return fail();
    for (std::size_t i = 0; i < count; ++i) {
      if (!is_digit(rest_[i])) return fail();
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(count);
    return value < low || value > high ? fail() : value;
  }
  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail();
  }
  void skip_digits() {
    if (rest_.empty() || !is_digit(rest_.front())) fail();
    while (!rest_.empty() && is_digit(rest_.front())) rest_.remove_prefix(1);
  }
  bool done() const { return ok_ && rest_.empty(); }
  bool at_end() const { return rest_.empty(); }

 private:
  int fail() {
    ok_ = false;
    rest_ = {};
    return 0;
  }
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace

std::string iso_time(Seconds seconds) {
  const std::int64_t days = floor_div(seconds, kDay);
  const Date date = date_of(days);
  const auto second = static_cast<int>((seconds % kDay + kDay) % kDay);
  if (date.year < 0 || date.year > 9999) {
    std::array<char, 64> text{};
    const int length = std::snprintf(text.data(), text.size(), "%04lld-%02d-%02dT%02d:%02d:%02d+00:00",
                                     static_cast<long long>(date.year), date.month, date.day, second / 3600,
                                     second / 60 % 60, second % 60);
    return {text.data(), static_cast<std::size_t>(length)};
  }
  // Written by hand: a state has a dozen of them.
  std::string text = "0000-00-00T00:00:00+00:00";
  const auto write = [&](std::size_t place, std::int64_t value, std::size_t digits) {
    for (std::size_t i = place + digits; i-- > place; value /= 10)
      text[i] = static_cast<char>('0' + value % 10);
  };
  write(0, date.year, 4);
  write(5, date.month, 2);
  write(8, date.day, 2);
  write(11, second / 3600, 2);
  write(14, second / 60 % 60, 2);
  write(17, second % 60, 2);
  return text;
}

std::optional<Seconds> parse_iso_time(std::string_view text) {
  Reader reader(text);
  Date date{};
  date.year = reader.digits(4, 0, 9999);
  reader.expect('-');
  date.month = reader.digits(2, 1, 12);
  reader.expect('-');
  date.day = reader.digits(2, 1, 31);
  if (!reader.take('T')) reader.expect(' ');
  const int hour = reader.digits(2, 0, 23);
  reader.expect(':');
  const int minute = reader.digits(2, 0, 59);
  reader.expect(':');
  const int second = reader.digits(2, 0, 59);
  if (reader.take('.')) reader.skip_digits();
  int offset = 0;
  if (!reader.take('Z')) {
    const int sign = reader.take('-') ? -1 : 1;
    if (sign == 1) reader.expect('+');
    offset = reader.digits(2, 0, 15) * 3600;
    if (!reader.at_end()) {
      reader.take(':');
      offset += reader.digits(2, 0, 59) * 60;
    }
    offset *= sign;
  }
  if (!reader.done()) return std::nullopt;
  const std::int64_t days = days_of(date);
  if (date_of(days).day != date.day) return std::nullopt;  // 30 February
  const int second_of_day = hour * 3600 + minute * 60 + second;
  return days * kDay + second_of_day - offset;
}

}  // namespace billing
