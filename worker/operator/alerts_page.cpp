// Every alert: what it watches, whether it fires, and what to do then.
#include <boost/asio/use_awaitable.hpp>

#include "worker/operator/fragments.hpp"
#include "worker/operator/pages.hpp"

namespace billing::worker::operators {
namespace {

std::string plain(const Json& number) {
  if (number.is_number_float()) {
    if (number.get<double>() >= 1000) return counted(static_cast<std::int64_t>(number.get<double>()));
    std::string text = rounded(number.get<double>(), 4);
    text.erase(text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text.pop_back();
    return text;
  }
  return counted(number);
}

}  // namespace

void put_alert_table(Visit& visit, std::string_view caption, const Json& alerts) {
  Html& html = visit.html;
  Table table(visit, caption, {"Alert", "Now", "#Value", "#Fires when", "#Judged by", "Since", "What to do"});
  for (const Json& alert : alerts) {
    const bool firing = flag_of(alert, "firing");
    const auto row = table.row();
    {
      const auto name = table.head();
      put_code(html, words(at(alert, "name")));
      html.put("p", {{"class", "quiet"}}, words(at(alert, "description")));
    }
    table.add_badge(!flag_of(alert, "enabled") ? "off" : firing ? words(at(alert, "severity")) : "quiet");
    table.add_number(plain(at(alert, "value")));
    table.add_number(words(at(alert, "comparison")) + " " + plain(at(alert, "threshold")));
    table.add_number(plain(at(alert, "sample")) + " (at least " + plain(at(alert, "minimum")) + ")");
    table.add_time(at(alert, "since"));
    const auto step = html.open("td", {{"class", "wide"}});
    put_code(html, words(at(alert, "next_step")));
  }
}

Void put_alerts(Visit& visit) {
  visit.title = "Alerts";
  const Json alerts = co_await visit.rows(
      "SELECT a.name, a.severity, a.firing, a.enabled, a.value, a.comparison, a.threshold, a.sample, "
      "a.minimum,"
      " a.since AT TIME ZONE 'UTC' AS since, a.checked_at AT TIME ZONE 'UTC' AS checked_at, a.description, "
      "a.next_step"
      " FROM {s}.billing_alerts a ORDER BY a.firing DESC, a.severity <> 'critical', a.name COLLATE \"C\"");
  Html& html = visit.html;
  std::size_t firing = 0;
  bool checked = false;
  for (const Json& alert : alerts) {
    firing += flag_of(alert, "firing") ? 1 : 0;
    checked = checked || !at(alert, "checked_at").is_null();
  }
  html.put("p", {{"class", "lead"}},
           std::to_string(firing) + " of " + std::to_string(alerts.size()) +
               " fire, as of now. Rates are from 0 to 1, times in seconds. Thresholds are changed by "
               "set_billing_alert(name, threshold, enabled, reason, minimum).");
  if (!checked)
    put_empty(html, "Nothing checks alerts regularly, so nobody knows since when one fires.",
              "Let pg_cron do it: SELECT schedule_maintenance().");
  put_alert_table(visit, "Alerts, firing ones first", alerts);
}

}  // namespace billing::worker::operators
