#include "worker/catalogue/catalogue.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <sstream>

#include "core/signature.hpp"
#include "worker/config.hpp"
#include "worker/text.hpp"

namespace billing::catalogue {
namespace {

using worker::ConfigError;
using worker::json_string;

constexpr const char* kPerEnvironment = "$environment";

std::string read_text(const std::string& file) {
  std::ifstream in(file);
  if (!in) throw ConfigError("cannot read the plans file " + file, "pass its path: plans plan plans.json");
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

Json read_json(const std::string& file) {
  try {
    return Json::parse(read_text(file));
  } catch (const Json::parse_error& error) {
    throw ConfigError(file + " is not JSON: " + error.what(), "docs/plans.md shows a plans file");
  }
}

void check_members(const Json& object, const std::string& where, std::initializer_list<const char*> known) {
  if (!object.is_object()) throw ConfigError(where + " is not an object", "docs/plans.md shows a plans file");
  std::string names;
  for (const char* name : known) names += (names.empty() ? "" : ", ") + std::string(name);
  for (const auto& [name, value] : object.items())
    if (std::find(known.begin(), known.end(), name) == known.end())
      throw ConfigError(where + " has an unknown member " + json_string(name), "members are " + names);
}

std::vector<Environment> environments_of(const Json& file) {
  const Json named = at(file, "environments").is_null()
                         ? Json{{"test", {{"mode", "test"}}}, {"live", {{"mode", "live"}, {"after", "test"}}}}
                         : at(file, "environments");
  if (!named.is_object() || named.empty())
    throw ConfigError("environments is not an object with members",
                      "write \"environments\": {\"staging\": {\"mode\": \"test\"}}");
  std::vector<Environment> found;
  for (const auto& [name, value] : named.items()) {
    check_members(value, "environment " + name, {"mode", "after"});
    const std::string mode = text_of(value, "mode").value_or("");
    if (mode != "test" && mode != "live")
      throw ConfigError("environment " + name + " has mode " + json_string(mode), "write test or live");
    found.push_back({name, mode == "live", text_of(value, "after").value_or("")});
    if (!found.back().after.empty() && !named.contains(found.back().after))
      throw ConfigError(
          "environment " + name + " comes after " + json_string(found.back().after) + ", which is none",
          "name one of the environments, or leave it out");
  }
  return found;
}

Environment choose(const std::vector<Environment>& all, const std::string& wanted, bool live) {
  const char* mode = live ? "live" : "test";
  std::string names;
  std::vector<Environment> fitting;
  for (const Environment& one : all) {
    names += (names.empty() ? "" : ", ") + one.name;
    if (wanted.empty() ? one.live == live : one.name == wanted) fitting.push_back(one);
  }
  if (fitting.size() != 1)
    throw ConfigError(wanted.empty() ? std::to_string(fitting.size()) + " environments have mode " + mode
                                     : "there is no environment " + json_string(wanted),
                      "pass --environment: " + names);
  if (fitting.front().live != live)
    throw ConfigError("environment " + wanted + " is for " + (live ? "test" : "live") +
                          " mode, and STRIPE_LIVE_MODE is " + (live ? "true" : "false"),
                      "use the configuration of that environment");
  return fitting.front();
}

// {"$environment": {"staging": 100, "production": 2900}} becomes the value of this one.
Json resolve(const Json& value, const std::string& environment, const std::string& where) {
  if (value.is_array()) {
    Json out = Json::array();
    for (const Json& element : value) out.push_back(resolve(element, environment, where));
    return out;
  }
  if (!value.is_object()) return value;
  if (value.contains(kPerEnvironment)) {
    const Json& choices = value[kPerEnvironment];
    if (value.size() != 1 || !choices.is_object() || !choices.contains(environment))
      throw ConfigError(where + " has no value for environment " + environment,
                        "write {\"$environment\": {" + json_string(environment) + ": ...}}");
    return resolve(choices[environment], environment, where);
  }
  Json out = Json::object();
  for (const auto& [name, member] : value.items())
    out[name] = resolve(member, environment, where + "." + name);
  return out;
}

SoldPrice read_price(const Json& json, const std::string& where) {
  check_members(json, where, {"lookup_key", "cycle", "unit_amount", "currency", "interval", "metadata"});
  SoldPrice price;
  price.lookup_key = text_of(json, "lookup_key").value_or("");
  price.currency = text_of(json, "currency").value_or("");
  const auto amount = integer_of(json, "unit_amount");
  const std::string cycle = text_of(json, "cycle").value_or("");
  price.interval = text_of(json, "interval")
                       .value_or(cycle == "monthly"  ? "month"
                                 : cycle == "yearly" ? "year"
                                                     : "");
  if (price.lookup_key.empty())
    throw ConfigError(where + " has an amount and no lookup_key", "by it the price is found again at Stripe");
  if (!amount || *amount < 0)
    throw ConfigError(where + " has unit_amount " + to_text(at(json, "unit_amount")),
                      "write a whole number of minor units: 2900 for 29.00");
  if (price.currency.size() != 3 ||
      !std::all_of(price.currency.begin(), price.currency.end(), [](char c) { return c >= 'a' && c <= 'z'; }))
    throw ConfigError(where + " has currency " + json_string(price.currency), "write three letters: eur");
  price.unit_amount = *amount;
  if (at(json, "metadata").is_object()) price.metadata = json["metadata"];
  return price;
}

SoldPlan read_plan(Json json, const std::string& where) {
  SoldPlan sold;
  if (!json.is_object()) throw ConfigError(where + " is not an object", "docs/plans.md shows a plans file");
  const std::string id = text_of(json, "id").value_or("");
  const Json product = at(json, "product");
  json.erase("product");
  Json kept = Json::array();
  if (at(json, "prices").is_array())
    for (const Json& price : json["prices"]) {
      if (!price.is_object() || !price.contains("unit_amount")) {
        kept.push_back(price);
        continue;
      }
      const std::string place = where + ".prices[" + std::to_string(kept.size()) + "]";
      sold.prices.push_back(read_price(price, place));
      Json named = {{"lookup_key", sold.prices.back().lookup_key}};
      if (price.contains("cycle")) named["cycle"] = price["cycle"];
      kept.push_back(std::move(named));
    }
  if (json.contains("prices")) json["prices"] = std::move(kept);
  try {
    sold.plan = parse_plan(json);
  } catch (const PlanError& error) {
    throw ConfigError(where + ": " + error.what(), error.hint);
  }
  sold.product = text_of(product, "id").value_or("pg_billing_" + id);
  sold.product_members = product.is_object() ? product : Json::object();
  sold.product_members.erase("id");
  if (!sold.product_members.contains("name")) sold.product_members["name"] = sold.plan.display_name;
  return sold;
}

}  // namespace

Catalogue read_catalogue(const std::string& file, const std::string& environment, bool live) {
  const Json whole = read_json(file);
  check_members(whole, file, {"environments", "plans", "portal"});
  Catalogue catalogue;
  catalogue.environment = choose(environments_of(whole), environment, live);
  const std::string& name = catalogue.environment.name;
  const Json& plans = at(whole, "plans");
  if (!plans.is_array() || plans.empty())
    throw ConfigError(file + " has no plans", "write \"plans\": [{\"id\": \"pro\", ...}]");
  std::vector<std::string> seen;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const std::string where = "plans[" + std::to_string(i) + "]";
    catalogue.plans.push_back(read_plan(resolve(plans[i], name, where), where));
    const std::string& id = catalogue.plans.back().plan.id;
    if (std::find(seen.begin(), seen.end(), id) != seen.end())
      throw ConfigError("plan " + id + " is there twice", "each plan has an id of its own");
    seen.push_back(id);
  }
  catalogue.portal = resolve(at(whole, "portal"), name, "portal");
  catalogue.digest =
      keyed_hash("plans", to_text(Json{{"plans", plans}, {"portal", at(whole, "portal")}})).substr(0, 32);
  return catalogue;
}

Receipts::Receipts(std::string file) : file_(std::move(file)) {
  receipts_ = Json::object();
  if (std::ifstream(file_).good()) receipts_ = read_json(file_);
}

bool Receipts::has(const std::string& environment, const std::string& digest) const {
  return text_of(at(receipts_, environment.c_str()), "catalogue") == digest;
}

void Receipts::add(const std::string& environment, const std::string& digest) {
  const std::time_t now = std::time(nullptr);
  char time[32];
  std::strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  receipts_[environment] = {{"catalogue", digest}, {"applied_at", time}};
  std::ofstream out(file_, std::ios::trunc);
  out << receipts_.dump(2) << '\n';
  if (!out)
    throw ConfigError("cannot write " + file_, "it says what was applied where, for the next environment");
}

}  // namespace billing::catalogue
