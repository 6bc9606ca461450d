// The files of a run: events.jsonl in the order of delivery, truth.jsonl, links.jsonl, summary.json.
#pragma once

#include <filesystem>
#include <fstream>

#include "worker/simulation/delivery.hpp"
#include "worker/simulation/history.hpp"

namespace billing::simulation {

Json summary_json(const History& history, const Delivery::Counts& counts, Seconds as_of);

class Output {
 public:
  // Makes the directory when there is none. Throws std::runtime_error when something cannot be written.
  explicit Output(std::filesystem::path directory);

  void write(const Emitted& event);
  // What is known at the end.
  void finish(const History& history, const Delivery::Counts& counts, Seconds as_of);

 private:
  std::ofstream open(const char* name) const;
  void close(std::ofstream& file, const char* name) const;

  std::filesystem::path directory_;
  std::ofstream events_;
};

}  // namespace billing::simulation
