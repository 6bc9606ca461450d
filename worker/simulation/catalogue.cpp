#include "worker/simulation/catalogue.hpp"

#include "worker/simulation/calendar.hpp"

namespace billing::simulation {

Catalogue::Catalogue(Random& random, Seconds start) : start_(start) {
  struct Plan {
    const char* name;
    const char* key;
    std::int64_t monthly;
  };
  constexpr Plan kPlans[] = {{"Basic", "basic", 900}, {"Pro", "pro", 2900}, {"Scale", "scale", 9900}};
  const auto add_product = [&](const char* name) -> const std::string& {
    products_.push_back({random.id("prod_"), name, "", start, start});
    return products_.back().id;
  };
  const auto add_price = [&](const std::string& product, std::string nickname, std::string key,
                             std::int64_t amount, int months) {
    prices_.push_back(
        {random.id("price_"), product, std::move(nickname), std::move(key), amount, months, start});
    return &prices_.back();
  };
  for (const Plan& plan : kPlans) {
    const std::string& product = add_product(plan.name);
    const std::string name = plan.name;
    monthly_.push_back(add_price(product, name + ", monthly", plan.key, plan.monthly, 1));
    // A price without a lookup key among them.
    const std::string key = plan.monthly == 2900 ? "" : std::string(plan.key) + "_yearly";
    yearly_.push_back(add_price(product, name + ", yearly", key, plan.monthly * 10, 12));
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
  Price withdrawn{random.id("price_"), products_.front().id, "Basic, old", "", 700, 1, start_};
  made.insert(made.begin(),
              make_event(random, "price.created", to_json(withdrawn, shape), nullptr, start_, shape));
  if (now <= end)
    made.push_back(make_event(random, "price.deleted", to_json(withdrawn, shape), nullptr, now, shape));
  return made;
}

}  // namespace billing::simulation
