// The plans file: what is sold, in every environment, as people write and review it. docs/plans.md
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/json.hpp"
#include "core/plan.hpp"

namespace billing::catalogue {

struct Environment {
  std::string name;
  bool live = false;
  std::string after;  // the environment in which a catalogue has to have been before; "" = none
};

// A price that the catalogue makes at Stripe: found by its lookup key. Amounts are in minor units.
struct SoldPrice {
  std::string lookup_key;
  std::string currency;
  std::int64_t unit_amount = 0;
  std::string interval;  // month, year, week, day; "" = paid once
  Json metadata = Json::object();
};

struct SoldPlan {
  Plan plan;             // as the database has it: prices by lookup key, and those that are only named
  std::string product;   // its id at Stripe
  Json product_members;  // name, description, metadata...
  std::vector<SoldPrice> prices;
};

struct Catalogue {
  Environment environment;
  std::vector<SoldPlan> plans;
  Json portal;         // the members of a billing portal configuration; null = not managed
  std::string digest;  // of the file, whatever the environment
};

// `environment` may be empty when only one has this mode. Throws worker::ConfigError, which names the place.
Catalogue read_catalogue(const std::string& file, const std::string& environment, bool live);

// The file beside the catalogue that says what was applied where. It is reviewed and kept with the catalogue.
class Receipts {
 public:
  explicit Receipts(std::string file);
  bool has(const std::string& environment, const std::string& digest) const;
  void add(const std::string& environment, const std::string& digest);  // and writes the file

 private:
  std::string file_;
  Json receipts_;
};

}  // namespace billing::catalogue
