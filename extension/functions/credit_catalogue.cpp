#include "functions/credit_catalogue.hpp"

#include "core/fields.hpp"
#include "pg/spi.hpp"

namespace billing::credits {

namespace {

using mirror::Key;

Key price_key(const Event& event, const std::string& id) {
  return {event.account, event.livemode, "price", id};
}

pg::Statement find_prices(
    "SELECT k.account, k.livemode, k.id, p.object_id IS NOT NULL, p.object IS NOT NULL, p.finality, "
    "p.event_created,"
    "  p.event_id, q.object_id IS NOT NULL, q.object IS NOT NULL, q.object_id,"
    "  coalesce(p.object -> 'metadata' ?| ARRAY['credits', 'trial_credits'], false),"
    "  coalesce(CASE jsonb_typeof(p.object -> 'product') WHEN 'string' THEN p.object ->> 'product' END, "
    "k.product)"
    " FROM unnest($1, $2, $3, $4) k(account, livemode, id, product)"
    " LEFT JOIN @stripe_objects p ON p.stripe_account = k.account AND p.livemode = k.livemode"
    "  AND p.object_type = 'price' AND p.object_id = k.id"
    " LEFT JOIN @stripe_objects q ON q.stripe_account = k.account AND q.livemode = k.livemode"
    "  AND q.object_type = 'product' AND q.object_id = coalesce("
    "   CASE jsonb_typeof(p.object -> 'product') WHEN 'string' THEN p.object ->> 'product' END, k.product)");

pg::Statement read_prices(
    "SELECT p.object_id, p.object, q.object, k.account FROM unnest($1, $2, $3) k(account, "
    "livemode, id)"
    " JOIN @stripe_objects p ON p.stripe_account = k.account AND p.livemode = k.livemode"
    "  AND p.object_type = 'price' AND p.object_id = k.id AND p.object IS NOT NULL"
    " LEFT JOIN @stripe_objects q ON q.stripe_account = k.account AND q.livemode = k.livemode"
    "  AND q.object_type = 'product' AND q.object_id = CASE jsonb_typeof(p.object -> 'product')"
    "   WHEN 'string' THEN p.object ->> 'product' ELSE p.object -> 'product' ->> 'id' END");

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
  pg::Texts account, id, product;
  pg::Flags livemode;
  for (auto use = uses.begin(); use != uses.end(); use = uses.upper_bound(use->first)) {
    std::string of_product;
    for (auto [each, end] = uses.equal_range(use->first); each != end; ++each)
      if (of_product.empty()) of_product = each->second.product;
    account.push_back(use->first.account);
    livemode.push_back(use->first.livemode ? 1 : 0);
    id.push_back(use->first.id);
    product.push_back(of_product.empty() ? std::nullopt : std::optional(of_product));
  }
  const pg::Rows rows = find_prices.run(account, livemode, id, product);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Key key{rows.text(i, 0), rows.flag(i, 1), "price", rows.text(i, 2)};
    const bool known = rows.flag(i, 4);
    const bool told = known && rows.number(i, 5) < 0;  // only inside another object
    bool embedded = false;
    bool granting = false;
    bool says = rows.flag(i, 11);
    for (auto [each, end] = uses.equal_range(key); each != end; ++each) {
      const PriceUse& use = each->second;
      granting = granting || use.granting;
      if (use.embedded.is_null()) continue;
      embedded = true;
      says = says || mentions_credits(use.embedded);
      const auto standing = std::make_pair(use.event->created, use.event->id);
      if (!known ||
          (told && standing < std::make_pair(rows.maybe_seconds(i, 6).value_or(0), rows.text(i, 7))))
        needs.extras.embedded.push_back(embedded_event(use, key));
    }
    if (!granting) continue;
    if (!known && !embedded) {
      needs.unknown.insert(key);
      if (!rows.flag(i, 3)) needs.extras.awaited.insert(key);
    } else if (!says && !rows.flag(i, 9) && !rows.null(i, 12)) {
      const Key of{key.account, key.livemode, "product", rows.text(i, 12)};
      if (of.id.size() > kMaxIdBytes) continue;
      needs.unknown.insert(of);
      needs.products.emplace(key, of);
      if (!rows.flag(i, 8)) needs.extras.awaited.insert(of);
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
  pg::Texts account, id;
  pg::Flags livemode;
  for (const Key& key : prices) {
    account.push_back(key.account);
    livemode.push_back(key.livemode ? 1 : 0);
    id.push_back(key.id);
    AccountCatalogue& catalogue = catalogues[key.account];
    catalogue.account = key.account;
    catalogue.livemode = key.livemode;
    catalogue.plans = plans;
  }
  if (id.empty()) return catalogues;
  const pg::Rows rows = read_prices.run(account, livemode, id);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    AccountCatalogue& catalogue = catalogues[rows.text(i, 3)];
    Json product = rows.null(i, 2) ? Json(nullptr) : rows.document(i, 2);
    const Json price = rows.document(i, 1);
    if (!product.is_object() && !mentions_credits(price) && !fields::price_product(price).empty())
      catalogue.unsure.insert(rows.text(i, 0));
    catalogue.prices[rows.text(i, 0)] = catalogue.read(price, product);
    catalogue.products[rows.text(i, 0)] = std::move(product);
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
