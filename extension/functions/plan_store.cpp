#include "functions/plan_store.hpp"

#include <algorithm>
#include <exception>

#include "core/money.hpp"
#include "functions/arguments.hpp"
#include "pg/owner.hpp"
#include "pg/spi.hpp"
#include "settings.hpp"

namespace billing {

namespace plan_store {

namespace {

// What each part says of the plans whose ids are given; of all when there is none.
pg::Statement select_plans(
    "SELECT p.id, p.display_name, p.description, p.rank, p.trial_days, p.is_active, p.is_default, p.is_addon,"
    "  p.currency, p.price_monthly_minor, p.price_yearly_minor, p.credits::text, p.metadata::text"
    " FROM @subscription_plans p WHERE p.id = $1 OR $1 IS NULL ORDER BY p.id");
pg::Statement select_prices(
    "SELECT r.plan_id, r.kind, r.reference, r.cycle FROM @plan_prices r WHERE r.plan_id = $1 OR $1 IS NULL");
pg::Statement select_features(
    "SELECT f.plan_id, f.feature, f.kind, f.enabled, f.unlimited, f.limit_value, f.per_seat, f.usage_window,"
    "  f.mode, f.overage_limit, f.credit_cost, f.value::text"
    " FROM @plan_features f WHERE f.plan_id = $1 OR $1 IS NULL ORDER BY f.plan_id, f.feature");
#define HINTS                                                                            \
  "SELECT o.stripe_account, o.livemode, o.object_id, o.object ->> 'lookup_key',"         \
  "  o.object -> 'metadata' ->> 'plan', CASE jsonb_typeof(o.object -> 'product')"        \
  "   WHEN 'string' THEN o.object ->> 'product' ELSE o.object -> 'product' ->> 'id' END" \
  " FROM @stripe_objects o WHERE o.object_type IN ('price', 'product')"                  \
  "  AND (o.object ->> 'lookup_key' IS NOT NULL OR o.object -> 'metadata' ->> 'plan' IS NOT NULL)"
pg::Statement select_hints(HINTS);
pg::Statement select_hints_of(HINTS " AND o.object_id = ANY ($1)");
#undef HINTS

pg::Statement upsert_plan(
    "INSERT INTO @subscription_plans AS p (id, name, display_name, description, rank, trial_days, is_active,"
    "  is_default, is_addon, currency, price_monthly_minor, price_yearly_minor, price_monthly, price_yearly,"
    "  credits, metadata)"
    " VALUES ($1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::numeric, $13::numeric, $14::jsonb, "
    "$15::jsonb)"
    " ON CONFLICT (id) DO UPDATE SET display_name = excluded.display_name, description = "
    "excluded.description,"
    "  rank = excluded.rank, trial_days = excluded.trial_days, is_active = excluded.is_active,"
    "  is_default = excluded.is_default, is_addon = excluded.is_addon, currency = excluded.currency,"
    "  price_monthly_minor = excluded.price_monthly_minor, price_yearly_minor = excluded.price_yearly_minor,"
    "  price_monthly = excluded.price_monthly, price_yearly = excluded.price_yearly, credits = "
    "excluded.credits,"
    "  metadata = excluded.metadata, updated_at = now()");
pg::Statement delete_prices("DELETE FROM @plan_prices r WHERE r.plan_id = $1");
pg::Statement insert_prices(
    "INSERT INTO @plan_prices (kind, reference, plan_id, cycle)"
    " SELECT r.kind, r.reference, $1, r.cycle FROM unnest($2, $3, $4) r(kind, reference, cycle)");
pg::Statement delete_features("DELETE FROM @plan_features f WHERE f.plan_id = $1");
pg::Statement insert_features(
    "INSERT INTO @plan_features (id, plan_id, feature, kind, enabled, unlimited, limit_value, per_seat,"
    "  usage_window, mode, overage_limit, credit_cost, value)"
    " SELECT $1 || ':' || r.feature, $1, r.feature, r.kind, r.enabled, r.unlimited, r.limit_value, "
    "r.per_seat,"
    "  r.usage_window, r.mode, r.overage_limit, r.credit_cost, r.value::jsonb"
    " FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) r(feature, kind, enabled, unlimited, "
    "limit_value,"
    "  per_seat, usage_window, mode, overage_limit, credit_cost, value)");

pg::Statement lock_settings("LOCK TABLE @billing_settings IN SHARE ROW EXCLUSIVE MODE");
// A row of its own among the settings, so that there is one generation for everything that states depend on.
pg::Statement next_generation(
    "INSERT INTO @billing_settings AS s (name, value, generation, reason, actor)"
    " SELECT 'plans', NULL, coalesce(max(g.generation), 0) + 1, $1, $2 FROM @billing_settings g"
    " ON CONFLICT (name) DO UPDATE SET generation = excluded.generation, reason = excluded.reason,"
    "  actor = excluded.actor, updated_at = now() RETURNING s.generation");

std::optional<std::string> unless_empty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

// A price's kind has one name in JSON and another in the table.
std::string stored_kind(const std::string& kind) {
  return kind == "price_id" ? "price" : kind == "product_id" ? "product" : kind;
}
std::string written_kind(const std::string& kind) {
  return kind == "price" ? "price_id" : kind == "product" ? "product_id" : kind;
}

Feature::Kind kind_named(std::string_view name) {
  for (const Feature::Kind kind : {Feature::Kind::boolean, Feature::Kind::limit, Feature::Kind::metered})
    if (name == name_of(kind)) return kind;
  return Feature::Kind::value;
}

std::vector<Plan> select(const std::optional<std::string>& id) {
  std::vector<Plan> plans;
  const pg::Rows rows = select_plans.run(id);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Plan plan;
    plan.id = rows.text(i, 0);
    plan.display_name = rows.text(i, 1);
    plan.description = rows.text(i, 2);
    plan.rank = rows.number(i, 3);
    plan.trial_days = rows.maybe_number(i, 4);
    plan.active = rows.flag(i, 5);
    plan.is_default = rows.flag(i, 6);
    plan.is_addon = rows.flag(i, 7);
    plan.currency = rows.text(i, 8);
    plan.price_monthly = rows.maybe_number(i, 9);
    plan.price_yearly = rows.maybe_number(i, 10);
    plan.credits = parse_json(rows.view(i, 11));
    plan.metadata = parse_json(rows.view(i, 12));
    plans.push_back(std::move(plan));
  }
  return plans;
}

Plan* find(std::vector<Plan>& plans, const std::string& id) {
  for (Plan& plan : plans)
    if (plan.id == id) return &plan;
  return nullptr;
}

void add_prices(std::vector<Plan>& plans, const std::optional<std::string>& id) {
  const pg::Rows rows = select_prices.run(id);
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (Plan* plan = find(plans, rows.text(i, 0)))
      plan->prices.push_back({written_kind(rows.text(i, 1)), rows.text(i, 2), rows.text(i, 3)});
  for (Plan& plan : plans) std::sort(plan.prices.begin(), plan.prices.end());
}

void add_features(std::vector<Plan>& plans, const std::optional<std::string>& id) {
  const pg::Rows rows = select_features.run(id);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Plan* plan = find(plans, rows.text(i, 0));
    if (plan == nullptr) continue;
    Feature feature;
    feature.name = rows.text(i, 1);
    feature.kind = kind_named(rows.view(i, 2));
    feature.enabled = rows.flag(i, 3);
    feature.unlimited = rows.flag(i, 4);
    feature.limit = rows.maybe_number(i, 5).value_or(0);
    feature.per_seat = rows.flag(i, 6);
    feature.window = rows.text(i, 7);
    feature.mode = rows.text(i, 8);
    feature.overage_limit = rows.maybe_number(i, 9);
    feature.credit_cost = rows.maybe_number(i, 10);
    if (!rows.null(i, 11)) feature.value = parse_json(rows.view(i, 11));
    plan->features.push_back(std::move(feature));
  }
}

std::vector<Plan> read_some(const std::optional<std::string>& id) {
  std::vector<Plan> plans = select(id);
  if (plans.empty()) return plans;
  add_prices(plans, id);
  add_features(plans, id);
  return plans;
}

PlanHints hints_from(const pg::Rows& rows) {
  PlanHints hints;
  for (std::size_t i = 0; i < rows.size(); ++i)
    hints[{rows.text(i, 0), rows.flag(i, 1), rows.text(i, 2)}] = {rows.text(i, 4), rows.text(i, 3),
                                                                  rows.text(i, 5)};
  return hints;
}

}  // namespace

std::optional<Plan> read(const std::string& id) {
  std::vector<Plan> plans = read_some(id);
  return plans.empty() ? std::nullopt : std::optional(std::move(plans.front()));
}

std::vector<Plan> read_all() { return read_some(std::nullopt); }

std::shared_ptr<const Plans> load(Oid schema) {
  const Oid table = pg::guard([&] { return get_relname_relid("subscription_plans", schema); });
  if (table == InvalidOid) return nullptr;
  pg::Session session(schema, pg::Session::Access::read_only);
  const pg::AsOwnerNow now(table);
  std::vector<Plan> plans = read_all();
  if (plans.empty()) return nullptr;
  return std::make_shared<const Plans>(std::move(plans), hints_from(select_hints.run()));
}

void write(const Plan& plan) {
  const auto major = [&](const std::optional<std::int64_t>& minor) {
    return minor ? std::optional(major_units(*minor, plan.currency)) : std::nullopt;
  };
  upsert_plan.run(plan.id, plan.display_name, unless_empty(plan.description), plan.rank, plan.trial_days,
                  plan.active, plan.is_default, plan.is_addon, unless_empty(plan.currency),
                  plan.price_monthly, plan.price_yearly, major(plan.price_monthly), major(plan.price_yearly),
                  to_text(plan.credits), to_text(plan.metadata));
  delete_prices.run(plan.id);
  pg::Texts kind, reference, cycle;
  for (const PlanPrice& price : plan.prices) {
    kind.push_back(stored_kind(price.kind));
    reference.push_back(price.reference);
    cycle.push_back(unless_empty(price.cycle));
  }
  if (!kind.empty()) insert_prices.run(plan.id, kind, reference, cycle);
  delete_features.run(plan.id);
  pg::Texts feature, feature_kind, window, mode, value;
  pg::Flags enabled, unlimited, per_seat;
  pg::Numbers limit, overage, cost;
  for (const Feature& each : plan.features) {
    const bool counts = each.kind == Feature::Kind::limit || each.kind == Feature::Kind::metered;
    feature.push_back(each.name);
    feature_kind.push_back(name_of(each.kind));
    enabled.push_back(each.enabled ? 1 : 0);
    unlimited.push_back(each.unlimited ? 1 : 0);
    limit.push_back(counts && !each.unlimited ? std::optional(each.limit) : std::nullopt);
    per_seat.push_back(each.per_seat ? 1 : 0);
    window.push_back(unless_empty(each.window));
    mode.push_back(unless_empty(each.mode));
    overage.push_back(each.overage_limit);
    cost.push_back(each.credit_cost);
    value.push_back(each.value.is_null() ? std::nullopt : std::optional(to_text(each.value)));
  }
  if (!feature.empty())
    insert_features.run(plan.id, feature, feature_kind, enabled, unlimited, limit, per_seat, window, mode,
                        overage, cost, value);
}

void lock() { lock_settings.run(); }

std::int64_t announce(Oid schema, const std::string& reason) {
  const std::int64_t generation = next_generation.run(reason, calling_role()).number(0, 0);
  pg::guard([&] { CacheInvalidateRelcacheByRelid(get_relname_relid("billing_settings", schema)); });
  return generation;
}

void follow(const Plans& known, const std::set<std::string>& ids) {
  PlanHints before;
  for (const auto& [key, hint] : known.hints())
    if (ids.count(std::get<2>(key)) > 0) before.emplace(key, hint);
  if (before == hints_from(select_hints_of.run(pg::texts(ids)))) return;
  lock();
  announce(pg::Session::current().schema(), "a price or product changed");
}

}  // namespace plan_store

const Plans& plans(Oid schema) {
  static const Plans none;
  const std::shared_ptr<const Plans>& kept = settings(schema).access.plans;
  return kept ? *kept : none;
}

}  // namespace billing
