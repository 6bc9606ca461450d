// Bars over time, drawn as SVG here; the same figures as a table for whoever does not see them, or wants them
// exact.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "worker/operator/visit.hpp"

namespace billing::worker::operators {

struct Chart {
  struct Series {
    std::string name;
    Literal css;  // the class of its bars
    std::vector<double> values;
  };

  std::string title;
  std::string summary;              // one sentence: what somebody sees who looks at it
  std::string of_what = "Day";      // the table's first column
  std::vector<std::string> labels;  // from the first bar to the last
  std::vector<Series> series;       // stacked, the first one at the bottom
  std::function<std::string(double)> shown;
};

void put_chart(Visit& visit, const Chart& chart);

}  // namespace billing::worker::operators
