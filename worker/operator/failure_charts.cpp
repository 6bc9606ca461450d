// What failed, by time: events and payments.
#include <boost/asio/use_awaitable.hpp>

#include "worker/operator/chart.hpp"
#include "worker/operator/fragments.hpp"
#include "worker/operator/pages.hpp"

namespace billing::worker::operators {
namespace {

constexpr const char* kEvents = R"sql(
SELECT to_char(b.begins, 'Mon DD HH24:MI') AS label, coalesce(sum(h.received), 0)::bigint - coalesce(sum(h.failed), 0)::bigint AS well,
       coalesce(sum(h.failed), 0)::bigint AS badly
  FROM generate_series(date_bin('6 hours', now() AT TIME ZONE 'UTC', '2000-01-01') - interval '162 hours',
                       now() AT TIME ZONE 'UTC', interval '6 hours') b(begins)
  LEFT JOIN {s}.metrics_webhooks_hourly h ON h.hour AT TIME ZONE 'UTC' >= b.begins
        AND h.hour AT TIME ZONE 'UTC' < b.begins + interval '6 hours'
 GROUP BY b.begins ORDER BY b.begins)sql";

constexpr const char* kPayments = R"sql(
SELECT to_char(d.day, 'Mon DD') AS label, coalesce(sum(p.succeeded), 0)::bigint AS well,
       coalesce(sum(p.failed), 0)::bigint AS badly
  FROM {s}.metrics_basis() b
 CROSS JOIN LATERAL generate_series(date_trunc('day', now() AT TIME ZONE b.time_zone) - interval '29 days',
                                    now() AT TIME ZONE b.time_zone, interval '1 day') d(day)
  LEFT JOIN {s}.metrics_payments p ON p.day = d.day::date
 GROUP BY d.day ORDER BY d.day)sql";

struct Words {
  const char* title;
  const char* of_what;
  const char* well;
  const char* badly;
  const char* span;
};

void put(Visit& visit, const Answer& answer, const Words& words_of_it) {
  if (answer.failure) {
    put_failure(visit.html, *answer.failure);
    return;
  }
  Chart chart;
  Chart::Series badly{words_of_it.badly, "badly", {}};
  Chart::Series well{words_of_it.well, "well", {}};
  double all_well = 0;
  double all_badly = 0;
  for (const Json& row : answer.rows) {
    chart.labels.push_back(words(at(row, "label")));
    well.values.push_back(at(row, "well").get<double>());
    badly.values.push_back(at(row, "badly").get<double>());
    all_well += well.values.back();
    all_badly += badly.values.back();
  }
  chart.title = words_of_it.title;
  chart.of_what = words_of_it.of_what;
  chart.shown = [](double value) { return counted(static_cast<std::int64_t>(value)); };
  chart.summary = chart.shown(all_badly) + " of " + chart.shown(all_well + all_badly) + " failed " +
                  words_of_it.span + ".";
  chart.series.push_back(std::move(badly));
  chart.series.push_back(std::move(well));
  put_chart(visit, chart);
}

}  // namespace

Void put_failures(Visit& visit) {
  const Answer events = co_await visit.try_rows(kEvents);
  const Answer payments = co_await visit.try_rows(kPayments);
  const Section section(visit, "Failures");
  const auto charts = visit.html.open("div", {{"class", "charts"}});
  put(visit, events, {"Events, by six hours", "From", "did not fail", "failed", "within 7 days"});
  put(visit, payments, {"Payments, by day", "Day", "succeeded", "failed", "within 30 days"});
}

}  // namespace billing::worker::operators
