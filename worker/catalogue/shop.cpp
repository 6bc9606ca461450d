#include "worker/catalogue/shop.hpp"

#include "worker/config.hpp"
#include "worker/stripe/form.hpp"
#include "worker/text.hpp"

namespace billing::catalogue {

namespace asio = boost::asio;

namespace {

constexpr const char* kOwner = "pg_billing_plan";  // in the metadata of products and portal configurations

asio::awaitable<stripe::Answer> ask(stripe::Client& client, stripe::Call call, bool may_lack) {
  stripe::Answer answer = co_await client.call(std::move(call));
  if (answer.error && !(may_lack && answer.status == 404))
    throw worker::ConfigError("Stripe answers: " + answer.error->message +
                                  (answer.request_id.empty() ? "" : " (" + answer.request_id + ")"),
                              "pg_billing doctor looks at the key and the account");
  co_return answer;
}

std::string money(std::int64_t amount, const std::string& currency) {
  return std::to_string(amount) + " " + currency;
}

std::string price_text(const SoldPrice& price) {
  return money(price.unit_amount, price.currency) + (price.interval.empty() ? "" : " a " + price.interval);
}

std::string price_text(const Json& price) {
  const std::string interval = text_of(at(price, "recurring"), "interval").value_or("");
  return money(integer_of(price, "unit_amount").value_or(0), text_of(price, "currency").value_or("")) +
         (interval.empty() ? "" : " a " + interval);
}

// What the catalogue says of an object and Stripe has otherwise. Members that it does not say are Stripe's.
void add_differences(const Json& wanted, const Json& there, const std::string& where,
                     std::vector<std::string>& out) {
  for (const auto& [name, value] : wanted.items()) {
    const std::string place = where.empty() ? name : where + "." + name;
    const Json& now = at(there, name.c_str());
    if (value.is_object() && !value.empty())
      add_differences(value, now, place, out);
    else if (now != value && !(now.is_null() && value == ""))
      out.push_back(place + ": " + to_text(now) + " -> " + to_text(value));
  }
}

bool is_same_price(const SoldPrice& wanted, const Json& there, const std::string& product) {
  const Json& recurring = at(there, "recurring");
  return integer_of(there, "unit_amount") == wanted.unit_amount &&
         text_of(there, "currency") == wanted.currency && id_of(there, "product") == product &&
         text_of(recurring, "interval").value_or("") == wanted.interval &&
         integer_of(recurring, "interval_count").value_or(1) == 1;
}

stripe::Call post(std::string path, Json parameters) {
  stripe::Call call;
  call.method = "POST";
  call.path = std::move(path);
  call.parameters = std::move(parameters);
  return call;
}

asio::awaitable<Json> price_of(stripe::Client& client, const std::string& lookup_key) {
  stripe::Call call;
  call.path = "/v1/prices";
  call.parameters = {{"lookup_keys", {lookup_key}}, {"active", true}, {"limit", 1}};
  const stripe::Answer answer = co_await ask(client, std::move(call), false);
  const Json& data = at(answer.body, "data");
  co_return data.is_array() && !data.empty() ? data.front() : Json(nullptr);
}

asio::awaitable<void> compare_product(stripe::Client& client, const SoldPlan& sold, const std::string& id,
                                      ShopPlan& plan) {
  stripe::Call call;
  call.path = "/v1/products/" + worker::percent_encode(id);
  const stripe::Answer answer = co_await ask(client, std::move(call), true);
  Json wanted = sold.product_members;
  wanted["metadata"][kOwner] = sold.plan.id;
  Change change;
  change.what = "product " + id + " " + to_text(at(wanted, "name"));
  if (answer.status == 404) {
    wanted["id"] = id;
    change.sign = '+';
    change.call = post("/v1/products", std::move(wanted));
    plan.changes.push_back(std::move(change));
    co_return;
  }
  if (!at(answer.body, "active").is_null() && !flag_of(answer.body, "active")) wanted["active"] = true;
  add_differences(wanted, answer.body, "", change.details);
  if (change.details.empty()) co_return;
  change.call = post("/v1/products/" + worker::percent_encode(id), std::move(wanted));
  plan.changes.push_back(std::move(change));
}

void compare_price(const SoldPlan& sold, const SoldPrice& wanted, const Json& there,
                   const std::string& product, ShopPlan& plan) {
  Change change;
  change.what = "price " + wanted.lookup_key;
  if (there.is_object() && is_same_price(wanted, there, product)) {
    add_differences(Json{{"metadata", wanted.metadata}}, there, "", change.details);
    if (wanted.metadata.empty() || change.details.empty()) return;
    change.call =
        post("/v1/prices/" + worker::percent_encode(id_of(there, "id")), {{"metadata", wanted.metadata}});
    plan.changes.push_back(std::move(change));
    return;
  }
  Json parameters = {{"product", product},
                     {"currency", wanted.currency},
                     {"unit_amount", wanted.unit_amount},
                     {"lookup_key", wanted.lookup_key},
                     {"metadata", wanted.metadata}};
  if (!wanted.interval.empty()) parameters["recurring"] = {{"interval", wanted.interval}};
  change.sign = there.is_object() ? '~' : '+';
  if (there.is_object()) parameters["transfer_lookup_key"] = true;
  change.what +=
      there.is_object() ? ": " + price_text(there) + " -> " + price_text(wanted) : " " + price_text(wanted);
  change.call = post("/v1/prices", std::move(parameters));
  if (!there.is_object()) {
    plan.changes.push_back(std::move(change));
    return;
  }
  const std::string old = id_of(there, "id");
  change.details.push_back("a new price; " + old + " stays for whoever has it, and is not offered any more");
  plan.changes.push_back(std::move(change));
  Change archive;
  archive.what = "price " + old + ": active true -> false";
  archive.call = post("/v1/prices/" + worker::percent_encode(old), {{"active", false}});
  plan.changes.push_back(std::move(archive));
  std::string cycle;
  for (const PlanPrice& mapped : sold.plan.prices)
    if (mapped.reference == wanted.lookup_key) cycle = mapped.cycle;
  plan.replaced[sold.plan.id].push_back({"price_id", old, cycle});
}

asio::awaitable<void> compare_portal(stripe::Client& client, const Json& wanted, ShopPlan& plan) {
  stripe::Call call;
  call.path = "/v1/billing_portal/configurations";
  call.parameters = {{"active", true}};
  Json there;
  const auto take = [&there](Json one) -> asio::awaitable<bool> {
    if (!text_of(at(one, "metadata"), kOwner)) co_return true;
    there = std::move(one);
    co_return false;
  };
  const stripe::Answer answer = co_await client.list(std::move(call), take);
  if (answer.error)
    throw worker::ConfigError("Stripe answers: " + answer.error->message,
                              "pg_billing doctor looks at the key and the account");
  Change change;
  change.what = "portal configuration";
  Json parameters = wanted;
  if (there.is_null()) {
    parameters["metadata"][kOwner] = "portal";
    change.sign = '+';
    change.call = post("/v1/billing_portal/configurations", std::move(parameters));
  } else {
    add_differences(wanted, there, "", change.details);
    if (change.details.empty()) co_return;
    change.what += " " + id_of(there, "id");
    change.call = post("/v1/billing_portal/configurations/" + worker::percent_encode(id_of(there, "id")),
                       std::move(parameters));
  }
  plan.changes.push_back(std::move(change));
}

}  // namespace

asio::awaitable<ShopPlan> compare_with_stripe(stripe::Client& client, const Catalogue& catalogue) {
  ShopPlan plan;
  for (const SoldPlan& sold : catalogue.plans) {
    if (sold.prices.empty()) continue;
    // An account that sells these prices already goes on with their product.
    std::vector<Json> there;
    std::string product = sold.product;
    for (const SoldPrice& price : sold.prices) {
      there.push_back(co_await price_of(client, price.lookup_key));
      if (there.back().is_object()) product = id_of(there.back(), "product");
    }
    co_await compare_product(client, sold, product, plan);
    for (std::size_t i = 0; i < sold.prices.size(); ++i)
      compare_price(sold, sold.prices[i], there[i], product, plan);
  }
  if (catalogue.portal.is_object()) co_await compare_portal(client, catalogue.portal, plan);
  co_return plan;
}

asio::awaitable<Json> carry_out(stripe::Client& client, const Change& change) {
  const stripe::Answer answer = co_await ask(client, change.call, false);
  co_return answer.body;
}

}  // namespace billing::catalogue
