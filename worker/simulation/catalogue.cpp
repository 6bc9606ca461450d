#include "worker/simulation/catalogue.hpp"

#include "worker/simulation/calendar.hpp"

namespace billing::simulation {

Catalogue::Catalogue(Random& random, Seconds start) : start_(start) {
  struct Plan {
    const char* name;
    const char* key;
    std::int64_t monthly;
    std::int64_t credits;
  };
  constexpr Plan kPlans[] = {
      {"Basic", "basic", 900, 30}, {"Pro", "pro", 2900, 200}, {"Scale", "scale", 9900, 500}};
  const auto add_product = [&](const char* name) -> const std::string& {
    products_.push_back({random.id("prod_"), name, "", start, start, {}});
    return products_.back().id;
  };
  const auto add_price = [&](const std::string& product, std::string nickname, std::string key,
                             std::int64_t amount, int months) {
    Price& price = prices_.emplace_back();
    price.id = random.id("price_");
    price.product = product;
    price.nickname = std::move(nickname);
    price.lookup_key = std::move(key);
    price.unit_amount = amount;
    price.months = months;
    price.created = start;
    return &price;
  };
  for (const Plan& plan : kPlans) {
    const std::string& product = add_product(plan.name);
    const std::string name = plan.name;
    Price* monthly = add_price(product, name + ", monthly", plan.key, plan.monthly, 1);
    monthly_.push_back(monthly);
    // A price without a lookup key among them.
    const std::string key = plan.monthly == 2900 ? "" : std::string(plan.key) + "_yearly";
    Price* yearly = add_price(product, name + ", yearly", key, plan.monthly * 10, 12);
    yearly_.push_back(yearly);
    const std::string credits = std::to_string(plan.credits);
    monthly->credits = yearly->credits = plan.credits;
    yearly->metadata = {{"credits", credits}, {"credit_interval", "month"}};
    // One price says nothing itself: its product does. Of the others one carries over, one has a trial.
    (plan.credits == 500 ? products_.back().metadata : monthly->metadata)["credits"] = credits;
    if (plan.credits == 30) monthly->metadata["credit_rollover"] = "60";
    if (plan.credits == 200) {
      monthly->trial_credits = 25;
      monthly->metadata["trial_credits"] = "25";
    }
  }
  add_price(add_product("Extra seats"), "Extra seat, monthly", "", 500, 1);
}

std::vector<Emitted> Catalogue::events(Random& random, Seconds end, const Shape& shape) {
  std::vector<Emitted> made;
  Seconds now = start_;
  for (const Product& product : products_)
    made.push_back(make_event(random, "product.created", to_json(product, shape), nullptr, now, shape));
  for (const Price& price : prices_)
    made.push_back(make_event(random, "price.created", to_json(price, shape), nullptr, now, shape));
  // Prices are part of every subscription's snapshot, products are only named there: these may change.
  for (Product& product : products_) {
    now += random.between(kDay, 60 * kDay);
    if (now > end) break;
    const Json before = to_json(product, shape);
    product.description = "Now with more of it";
    product.updated = now;
    const Json after = to_json(product, shape);
    made.push_back(make_event(random, "product.updated", after, difference(before, after), now, shape));
  }
  Price withdrawn;
  withdrawn.id = random.id("price_");
  withdrawn.product = products_.front().id;
  withdrawn.nickname = "Basic, old";
  withdrawn.unit_amount = 700;
  withdrawn.created = start_;
  made.insert(made.begin(),
              make_event(random, "price.created", to_json(withdrawn, shape), nullptr, start_, shape));
  if (now <= end)
    made.push_back(make_event(random, "price.deleted", to_json(withdrawn, shape), nullptr, now, shape));
  return made;
}

}  // namespace billing::simulation
