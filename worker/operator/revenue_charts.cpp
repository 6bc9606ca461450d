// Recurring revenue by month, one chart for each currency.
#include <algorithm>
#include <boost/asio/use_awaitable.hpp>
#include <map>

#include "core/money.hpp"
#include "worker/operator/chart.hpp"
#include "worker/operator/fragments.hpp"
#include "worker/operator/pages.hpp"

namespace billing::worker::operators {
namespace {

constexpr const char* kByMonth = R"sql(
SELECT to_char(m.month, 'YYYY-MM') AS month, c.currency, coalesce(round(sum(p.monthly_value)), 0)::bigint AS mrr
  FROM {s}.metrics_basis() b
 CROSS JOIN LATERAL generate_series(date_trunc('month', now() AT TIME ZONE b.time_zone) - interval '11 months',
                                    now() AT TIME ZONE b.time_zone, interval '1 month') m(month)
 CROSS JOIN (SELECT DISTINCT q.currency FROM {s}.paying_subscriptions q) c
  LEFT JOIN {s}.paying_subscriptions p ON p.currency = c.currency
        AND p.paying_from < least((m.month + interval '1 month') AT TIME ZONE b.time_zone, now())
        AND coalesce(p.paying_until, 'infinity') >= least((m.month + interval '1 month') AT TIME ZONE b.time_zone, now())
 GROUP BY m.month, c.currency ORDER BY m.month)sql";

constexpr const char* kNow =
    "SELECT m.currency, sum(m.mrr)::bigint AS mrr, sum(m.arr)::bigint AS arr, sum(m.payers)::bigint AS "
    "payers,"
    " sum(m.mrr_past_due)::bigint AS mrr_past_due, sum(m.mrr_ending)::bigint AS mrr_ending,"
    " sum(m.mrr_in_trial)::bigint AS mrr_in_trial, sum(m.trials)::bigint AS trials"
    " FROM {s}.metrics_mrr m GROUP BY 1 ORDER BY 2 DESC, 1";

void put_now(Visit& visit, const Json& now) {
  Table table(visit, "Recurring revenue now",
              {"Currency", "#MRR", "#ARR", "#Payers", "#Past due", "#Ending", "#In trial", "#Trials"});
  for (const Json& row : now) {
    const std::string currency = words(at(row, "currency"));
    const auto line = table.row();
    visit.html.put("th", {{"scope", "row"}}, money(0, currency).substr(money(0, currency).rfind(' ') + 1));
    for (const char* column : {"mrr", "arr"}) table.add_number(money(at(row, column), currency));
    table.add_number(counted(at(row, "payers")));
    for (const char* column : {"mrr_past_due", "mrr_ending", "mrr_in_trial"})
      table.add_number(money(at(row, column), currency));
    table.add_number(counted(at(row, "trials")));
  }
}

void put_months(Visit& visit, const Json& months, const std::string& currency, const Json& now) {
  Chart chart;
  Chart::Series series{"MRR", "revenue", {}};
  for (const Json& row : months) {
    if (words(at(row, "currency")) != currency) continue;
    chart.labels.push_back(words(at(row, "month")));
    series.values.push_back(at(row, "mrr").get<double>());
  }
  // Of the present month, what the view of the present says.
  if (series.values.empty()) return;
  series.values.back() = now.get<double>();
  chart.shown = [currency](double value) { return money(value, currency); };
  const std::string name = chart.shown(0).substr(chart.shown(0).rfind(' ') + 1);
  chart.title = "MRR by month, " + name;
  chart.summary = "From " + chart.shown(series.values.front()) + " in " + chart.labels.front() + " to " +
                  chart.shown(series.values.back()) + " now.";
  chart.of_what = "Month";
  chart.series.push_back(std::move(series));
  put_chart(visit, chart);
}

}  // namespace

Void put_revenue(Visit& visit) {
  const Answer now = co_await visit.try_rows(kNow);
  const Answer months = co_await visit.try_rows(kByMonth);
  Html& html = visit.html;
  const Section section(visit, "Recurring revenue");
  for (const Answer* answer : {&now, &months})
    if (answer->failure) put_failure(html, *answer->failure);
  if (now.failure) co_return;
  if (now.rows.empty()) {
    put_empty(html, "No subscription brings in anything yet.",
              "Once an event tells of one that is paid for, its revenue shows here.");
    co_return;
  }
  html.put("p", {{"class", "lead"}},
           "Of months that are over: what was paid for at their end, judged by what is known of each "
           "subscription now. "
           "Without taxes, discounts taken off, trials 0.");
  {
    const auto charts = html.open("div", {{"class", "charts"}});
    for (const Json& row : now.rows)
      put_months(visit, months.rows, words(at(row, "currency")), at(row, "mrr"));
  }
  put_now(visit, now.rows);
}

}  // namespace billing::worker::operators
