// Bars over time.
#include "worker/operator/chart.hpp"

#include <algorithm>
#include <cmath>

#include "worker/operator/fragments.hpp"

namespace billing::worker::operators {
namespace {

constexpr double kWidth = 420;
constexpr double kHeight = 190;
constexpr double kLeft = 8;
constexpr double kTop = 22;
constexpr double kBottom = 26;

std::string number(double value) { return rounded(value, 2); }

// The next of 1, 2, 5, 10, 20, 50 …: where the scale ends.
double scale_end(double greatest) {
  if (greatest <= 0) return 1;
  const double power = std::pow(10, std::floor(std::log10(greatest)));
  for (const double step : {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0})
    if (step * power >= greatest) return step * power;
  return 10 * power;
}

void put_text(Html& html, double x, double y, Literal anchor, std::string_view text) {
  html.put("text", {{"x", number(x)}, {"y", number(y)}, {"text-anchor", anchor.text()}}, text);
}

void put_line(Html& html, double y, Literal css) {
  const auto line = html.open("line", {{"x1", number(kLeft)},
                                       {"x2", number(kWidth - kLeft)},
                                       {"y1", number(y)},
                                       {"y2", number(y)},
                                       {"class", css.text()}});
}

void put_bars(Html& html, const Chart& chart, double end) {
  const double floor = kHeight - kBottom;
  const std::size_t count = chart.labels.size();
  const double step = (kWidth - 2 * kLeft) / static_cast<double>(std::max<std::size_t>(count, 1));
  for (std::size_t i = 0; i < count; ++i) {
    double top = floor;
    for (const Chart::Series& series : chart.series) {
      const double height = series.values.at(i) / end * (floor - kTop);
      if (height <= 0) continue;
      // What is there at all is seen.
      const double drawn = std::max(height, 1.5);
      top -= drawn;
      const auto bar = html.open("rect", {{"x", number(kLeft + static_cast<double>(i) * step + step * 0.12)},
                                          {"y", number(top)},
                                          {"width", number(step * 0.76)},
                                          {"height", number(drawn)},
                                          {"class", series.css.text()}});
      html.put("title", chart.labels[i] + ", " + series.name + ": " + chart.shown(series.values[i]));
    }
  }
}

void put_drawing(Visit& visit, const Chart& chart) {
  Html& html = visit.html;
  double greatest = 0;
  for (std::size_t i = 0; i < chart.labels.size(); ++i) {
    double sum = 0;
    for (const Chart::Series& series : chart.series) sum += series.values.at(i);
    greatest = std::max(greatest, sum);
  }
  const double end = scale_end(greatest);
  const double floor = kHeight - kBottom;
  const auto svg = html.open("svg", {{"viewBox", "0 0 " + number(kWidth) + " " + number(kHeight)},
                                     {"role", "img"},
                                     {"aria-label", chart.title + ". " + chart.summary}});
  put_line(html, kTop, "grid");
  put_line(html, (kTop + floor) / 2, "grid");
  put_bars(html, chart, end);
  put_line(html, floor, "axis");
  put_text(html, kLeft, kTop - 6, "start", chart.shown(end));
  put_text(html, kLeft, kHeight - 6, "start", chart.labels.front());
  put_text(html, kWidth - kLeft, kHeight - 6, "end", chart.labels.back());
}

void put_figures(Visit& visit, const Chart& chart) {
  const auto details = visit.html.open("details");
  visit.html.put("summary", "Figures");
  std::vector<std::string> columns = {chart.of_what};
  for (const Chart::Series& series : chart.series) columns.push_back("#" + series.name);
  Table table(visit, chart.title, columns);
  for (std::size_t i = chart.labels.size(); i-- > 0;) {
    const auto row = table.row();
    visit.html.put("th", {{"scope", "row"}}, chart.labels[i]);
    for (const Chart::Series& series : chart.series) table.add_number(chart.shown(series.values[i]));
  }
}

}  // namespace

void put_chart(Visit& visit, const Chart& chart) {
  if (chart.labels.empty()) return;
  Html& html = visit.html;
  const auto figure = html.open("figure");
  {
    const auto caption = html.open("figcaption");
    html.put("h3", chart.title);
    html.put("p", chart.summary);
    if (chart.series.size() > 1) {
      const auto legend = html.open("p", {{"class", "legend"}});
      for (const Chart::Series& series : chart.series) {
        const auto entry = html.open("span");
        html.put("i", {{"class", series.css.text()}}, "");
        html.text(series.name);
      }
    }
  }
  put_drawing(visit, chart);
  put_figures(visit, chart);
}

}  // namespace billing::worker::operators
