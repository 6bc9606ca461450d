#include "worker/simulation/output.hpp"

#include <stdexcept>

#include "worker/simulation/truth.hpp"

namespace billing::simulation {
namespace {

constexpr const char* kEvents = "events.jsonl";
constexpr const char* kTruth = "truth.jsonl";
constexpr const char* kLinks = "links.jsonl";
constexpr const char* kSummary = "summary.json";

}  // namespace

Json summary_json(const History& history, const Delivery::Counts& counts, Seconds as_of) {
  const Scenario& scenario = history.scenario();
  const Tally& tally = history.tally();
  std::size_t customers = 0;
  std::size_t subscriptions = 0;
  std::size_t links = 0;
  std::int64_t credits = 0;
  for (const Account& account : history.accounts()) {
    customers += account.customers().size();
    subscriptions += account.subscriptions().size();
    links += missing_links(account).size();
    for (const Json& amount : true_credits(account))
      if (!amount.is_null()) credits += amount.get<std::int64_t>();
  }
  Json json = Json::object();
  json["seed"] = scenario.seed;
  json["start"] = iso_time(scenario.start);
  json["end"] = iso_time(history.end());
  json["as_of"] = iso_time(as_of);
  json["livemode"] = scenario.livemode;
  json["users"] = history.accounts().size();
  json["customers"] = customers;
  json["subscriptions"] = subscriptions;
  json["missing_links"] = links;
  json["credits_granted"] = credits;
  json["events"] = counts.made;
  json["delivered"] = counts.delivered;
  json["duplicates"] = counts.duplicates;
  json["near_duplicates"] = counts.near_duplicates;
  json["dropped"] = counts.dropped;
  json["held_back"] = counts.held_back;
  json["types"] = tally.types;
  json["api_versions"] = tally.versions;
  json["status_paths"] = tally.paths;
  json["happenings"] = tally.happenings;
  json["evidence"] = tally.evidence;
  return json;
}

Output::Output(std::filesystem::path directory) : directory_(std::move(directory)) {
  std::error_code error;
  std::filesystem::create_directories(directory_, error);
  if (error)
    throw std::runtime_error("cannot make the directory " + directory_.string() + ": " + error.message());
  events_ = open(kEvents);
}

std::ofstream Output::open(const char* name) const {
  std::ofstream file(directory_ / name, std::ios::binary | std::ios::trunc);
  if (!file) throw std::runtime_error("cannot write " + (directory_ / name).string());
  return file;
}

void Output::close(std::ofstream& file, const char* name) const {
  file.close();
  if (!file) throw std::runtime_error("could not write all of " + (directory_ / name).string());
}

void Output::write(const Emitted& event) { events_ << event.payload << '\n'; }

void Output::finish(const History& history, const Delivery::Counts& counts, Seconds as_of) {
  close(events_, kEvents);
  std::ofstream truth = open(kTruth);
  std::ofstream links = open(kLinks);
  for (const Account& account : history.accounts()) {
    truth << true_state(account, as_of).dump() << '\n';
    for (const Json& link : missing_links(account)) links << link.dump() << '\n';
  }
  close(truth, kTruth);
  close(links, kLinks);
  std::ofstream summary = open(kSummary);
  summary << summary_json(history, counts, as_of).dump(2) << '\n';
  close(summary, kSummary);
}

}  // namespace billing::simulation
