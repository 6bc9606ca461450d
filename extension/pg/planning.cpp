#include "pg/planning.hpp"

#include <algorithm>
#include <utility>

namespace billing::pg {

namespace {

// In force while a plan is made. Every statement finds its rows through an index, and its plan is kept: one
// made while the tables were still empty, or while they held nothing of some kind yet, must not scan them,
// nor a whole index, for ever.
struct PlannerSetting {
  const char* name;
  const char* value;
};
constexpr PlannerSetting kPlannerSettings[] = {
    {"plan_cache_mode", "force_generic_plan"},
    {"enable_seqscan", "off"},
    {"enable_hashjoin", "off"},
    {"enable_mergejoin", "off"},
    {"cpu_index_tuple_cost", "100"},
    {"jit", "off"},
};

// What a table has at least, as the planner is told: among many rows an index is used as it is meant, and few
// are found that way as well.
constexpr double kRows = 1e6;
constexpr double kRowsOfPartialIndex = kRows / 10;
constexpr double kRowsOfPage = 20;
constexpr double kEntriesOfPage = 200;

// How many values a column has while there are no statistics, and its definition does not say (n_distinct):
// PostgreSQL assumes 200 in any. Most say which row, or nearly; less than nothing is that share of the rows.
constexpr float kValues = -0.2F;

Oid planned_schema = InvalidOid;
get_relation_info_hook_type next_size_hook = nullptr;
get_relation_stats_hook_type next_statistics_hook = nullptr;

bool is_ours(Oid relation) {
  return planned_schema != InvalidOid && get_rel_namespace(relation) == planned_schema;
}

void tell_large(PlannerInfo* root, Oid relation, bool inherited, RelOptInfo* info) {
  if (next_size_hook != nullptr) next_size_hook(root, relation, inherited, info);
  if (!is_ours(relation)) return;
  info->tuples = std::max(info->tuples, kRows);
  info->pages = std::max(info->pages, static_cast<BlockNumber>(kRows / kRowsOfPage));
  ListCell* cell;
  foreach (cell, info->indexlist) {
    auto* index = static_cast<IndexOptInfo*>(lfirst(cell));
    index->tuples = std::max(index->tuples, index->indpred == NIL ? info->tuples : kRowsOfPartialIndex);
    index->pages = std::max(index->pages, static_cast<BlockNumber>(index->tuples / kEntriesOfPage));
  }
}

// A row of pg_statistic that knows only how many values there are.
HeapTuple statistics_of(Oid relation, AttrNumber column, float values) {
  const Relation catalog = table_open(StatisticRelationId, AccessShareLock);
  Datum fields[Natts_pg_statistic] = {};
  bool nulls[Natts_pg_statistic] = {};
  std::fill(nulls + Anum_pg_statistic_stanumbers1 - 1, nulls + Natts_pg_statistic, true);
  fields[Anum_pg_statistic_starelid - 1] = ObjectIdGetDatum(relation);
  fields[Anum_pg_statistic_staattnum - 1] = Int16GetDatum(column);
  fields[Anum_pg_statistic_stadistinct - 1] = Float4GetDatum(values);
  const HeapTuple row = heap_form_tuple(RelationGetDescr(catalog), fields, nulls);
  table_close(catalog, AccessShareLock);
  return row;
}

bool tell_values(PlannerInfo* root, RangeTblEntry* entry, AttrNumber column, VariableStatData* told) {
  if (next_statistics_hook != nullptr && next_statistics_hook(root, entry, column, told)) return true;
  if (entry->rtekind != RTE_RELATION || !is_ours(entry->relid) ||
      get_atttype(entry->relid, column) != TEXTOID ||
      SearchSysCacheExists3(STATRELATTINH, ObjectIdGetDatum(entry->relid), Int16GetDatum(column),
                            BoolGetDatum(entry->inh)))
    return false;
  float values = kValues;
  const AttributeOpts* options = get_attribute_options(entry->relid, column);
  if (options != nullptr && options->n_distinct != 0) values = static_cast<float>(options->n_distinct);
  told->statsTuple = statistics_of(entry->relid, column, values);
  told->freefunc = heap_freetuple;
  told->acl_ok = true;
  return true;
}

void install_hooks() {
  static bool installed = false;
  if (installed) return;
  next_size_hook = std::exchange(get_relation_info_hook, tell_large);
  next_statistics_hook = std::exchange(get_relation_stats_hook, tell_values);
  installed = true;
}

const CachedPlanSource* source_of(SPIPlanPtr plan) {
  return static_cast<const CachedPlanSource*>(linitial(SPI_plan_get_plan_sources(plan)));
}

// Whether the plan that is kept will do: then its settings need not be set, which costs more than many a
// statement does.
bool is_planned(const CachedPlanSource* source) {
  return source->is_valid && source->gplan != nullptr && source->gplan->is_valid &&
         plan_cache_mode != PLAN_CACHE_MODE_FORCE_CUSTOM_PLAN;
}

}  // namespace

bool run_plan(Oid schema, SPIPlanPtr plan, Datum* values, const char* nulls, bool read_only, int* code) {
  const CachedPlanSource* source = source_of(plan);
  if (is_planned(source)) {
    const int generation = source->generation;
    *code = SPI_execute_plan(plan, values, nulls, read_only, 0);
    // An invalidation may have arrived in the last moment: then it was planned anew, without our settings.
    return source->generation == generation;
  }
  install_hooks();
  const int level = NewGUCNestLevel();
  for (const PlannerSetting& setting : kPlannerSettings)
    (void)set_config_option(setting.name, setting.value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                            false);
  const Oid outer = planned_schema;
  planned_schema = schema;
  PG_TRY();
  { *code = SPI_execute_plan(plan, values, nulls, read_only, 0); }
  PG_FINALLY();
  { planned_schema = outer; }
  PG_END_TRY();
  AtEOXact_GUC(true, level);
  return true;
}

}  // namespace billing::pg
