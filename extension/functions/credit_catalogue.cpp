#include "functions/credit_catalogue.hpp"

#include "core/fields.hpp"
#include "pg/row_reader.hpp"

namespace billing::credits {

namespace {

using mirror::Key;

Key price_key(const Event& event, const std::string& id) {
  return {event.account, event.livemode, "price", id};
}

pg::RowReader rows_of("stripe_objects", "stripe_objects_pkey", "object finality event_created event_id");

pg::Rows row_of(const Key& key) {
  return rows_of.find({pg::parameter(key.account), pg::parameter(key.livemode), pg::parameter(key.type),
                       pg::parameter(key.id)});
}

// Whether a price says anything about credits.
bool mentions_credits(const Json& object) {
  const Json& metadata = at(object, "metadata");
  return metadata.is_object() && (metadata.contains("credits") || metadata.contains("trial_credits"));
}

// The prices that an event brings or needs.
struct PriceUse {
  const Event* event = nullptr;
  Json embedded;          // null: only named
  bool granting = false;  // what an invoice or a pack grants depends on it
  std::string product;
};

// The prices that decide what the event's object grants.
std::vector<std::string> granting_prices(const Event& event) {
  if (event.object_type == "checkout.session") return prices_of_checkout(event.object);
  return event.object_type == "invoice" && may_grant(event.object) ? prices_of(event.object)
                                                                   : std::vector<std::string>();
}

void collect(const Event& event, std::multimap<Key, PriceUse>& uses) {
  const std::vector<std::string> needed = granting_prices(event);
  std::set<std::string> whole;
  for (Json& price : embedded_prices(event.object_type, event.object)) {
    const std::string id = text_of(price, "id").value_or("");
    if (id.empty() || id.size() > kMaxIdBytes) continue;
    whole.insert(id);
    const bool granting = !needed.empty();
    const std::string product = fields::price_product(price);
    uses.emplace(price_key(event, id), PriceUse{&event, std::move(price), granting, product});
  }
  for (const std::string& id : needed)
    if (whole.count(id) == 0 && id.size() <= kMaxIdBytes)
      uses.emplace(price_key(event, id), PriceUse{&event, nullptr, true, ""});
}

Event embedded_event(const PriceUse& use, const Key& key) {
  Event event;
  event.id = use.event->id;
  event.type = "price.embedded";
  event.created = use.event->created;
  event.api_version = use.event->api_version;
  event.livemode = key.livemode;
  event.account = key.account;
  event.object = use.embedded;
  event.object["object"] = "price";
  event.object_type = "price";
  event.object_id = key.id;
  return event;
}

}  // namespace

PriceNeeds price_needs(const std::vector<Work*>& works) {
  PriceNeeds needs;
  std::multimap<Key, PriceUse> uses;
  for (const Work* work : works) collect(*work->event, uses);
  if (uses.empty()) return needs;
  for (auto use = uses.begin(); use != uses.end(); use = uses.upper_bound(use->first)) {
    const Key& key = use->first;
    const pg::Rows row = row_of(key);
    const bool known = !row.empty() && !row.null(0, 0);
    const bool told = known && row.number(0, 1) < 0;  // only inside another object
    const Json price = known ? row.document(0, 0) : Json();
    std::string of_product = text_of(price, "product").value_or("");
    bool embedded = false;
    bool granting = false;
    bool says = mentions_credits(price);
    for (auto [each, end] = uses.equal_range(key); each != end; ++each) {
      const PriceUse& use = each->second;
      granting = granting || use.granting;
      if (of_product.empty()) of_product = use.product;
      if (use.embedded.is_null()) continue;
      embedded = true;
      says = says || mentions_credits(use.embedded);
      const auto standing = std::make_pair(use.event->created, use.event->id);
      if (!known || (told && standing < std::make_pair(row.maybe_seconds(0, 2).value_or(0), row.text(0, 3))))
        needs.extras.embedded.push_back(embedded_event(use, key));
    }
    if (!granting) continue;
    if (!known && !embedded) {
      needs.unknown.insert(key);
      if (row.empty()) needs.extras.awaited.insert(key);
    } else if (!says && !of_product.empty() && of_product.size() <= kMaxIdBytes) {
      const Key of{key.account, key.livemode, "product", of_product};
      const pg::Rows product = row_of(of);
      if (!product.empty() && !product.null(0, 0)) continue;
      needs.unknown.insert(of);
      needs.products.emplace(key, of);
      if (product.empty()) needs.extras.awaited.insert(of);
    }
  }
  return needs;
}

Lack lack_of(const Event& event, const PriceNeeds& needs, const std::set<Key>& unknown) {
  Lack lack;
  if (unknown.empty()) return lack;
  for (const std::string& id : granting_prices(event)) {
    const Key key = price_key(event, id);
    const auto product = needs.products.find(key);
    if (unknown.count(key) > 0) lack.price = id;
    if (product != needs.products.end() && unknown.count(product->second) > 0)
      lack.product = product->second.id;
  }
  return lack;
}

Price AccountCatalogue::read(const Json& price, const Json& product) const {
  const Plan* plan = nullptr;
  if (plans)
    plan = plans->plan_of({account, livemode, text_of(price, "id").value_or(""),
                           text_of(price, "lookup_key").value_or(""), fields::price_product(price)});
  return read_price(price, product, plan != nullptr ? plan->credits : Json());
}

std::map<std::string, AccountCatalogue> read_catalogues(const std::set<Key>& prices,
                                                        const std::shared_ptr<const Plans>& plans) {
  std::map<std::string, AccountCatalogue> catalogues;
  for (const Key& key : prices) {
    AccountCatalogue& catalogue = catalogues[key.account];
    catalogue.account = key.account;
    catalogue.livemode = key.livemode;
    catalogue.plans = plans;
    const pg::Rows row = row_of(key);
    if (row.empty() || row.null(0, 0)) continue;
    const Json price = row.document(0, 0);
    const std::string product_id = fields::price_product(price);
    Json product;
    if (!product_id.empty())
      if (const pg::Rows found = row_of({key.account, key.livemode, "product", product_id}); !found.empty())
        product = found.document(0, 0);
    if (!product.is_object() && !mentions_credits(price) && !product_id.empty())
      catalogue.unsure.insert(key.id);
    catalogue.prices[key.id] = catalogue.read(price, product);
    catalogue.products[key.id] = std::move(product);
  }
  return catalogues;
}

void AccountCatalogue::add_embedded(const Json& invoice) {
  for (const Json& price : embedded_prices("invoice", invoice)) {
    const std::string id = text_of(price, "id").value_or("");
    const bool says = mentions_credits(price);
    if (!says && prices.count(id) > 0) continue;
    const Json& product = products[id];
    if (says || product.is_object())
      unsure.erase(id);
    else
      unsure.insert(id);
    prices[id] = read(price, product);
  }
}

}  // namespace billing::credits
