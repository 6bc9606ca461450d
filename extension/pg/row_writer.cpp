#include "pg/row_writer.hpp"

#include <algorithm>
#include <string>

#include "pg/encode.hpp"

namespace billing::pg {

namespace {

// As many as COPY would not hold back longer, either: what they take of memory is bounded by it.
constexpr std::size_t kRowsAtOnce = 100;

// Called under guard().
Datum datum_for(const Parameter& value, Oid type) {
  const Datum datum = encode(value);
  if (type == value.type) return datum;
  if (type == INT4OID && value.type == INT8OID) return DirectFunctionCall1(int84, datum);
  if (type == JSONBOID && value.type == TEXTOID)
    return DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(datum)));
  ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg_internal("unexpected column type %u", type)));
}

// What the executor needs for one row of one table. Plain data: made and ended under one guard().
struct Target {
  EState* state;
  ResultRelInfo* info;
  TupleTableSlot* slot;
};

Target begin(Relation relation, ExprState** checks) {
  Target target;
  target.state = CreateExecutorState();
  target.info = makeNode(ResultRelInfo);
  InitResultRelInfo(target.info, relation, 0, nullptr, 0);
#if PG_VERSION_NUM >= 180000
  target.info->ri_CheckConstraintExprs = checks;
#else
  target.info->ri_ConstraintExprs = checks;
#endif
  target.state->es_snapshot = GetActiveSnapshot();
  target.state->es_output_cid = GetCurrentCommandId(true);
  target.slot = table_slot_create(relation, nullptr);
  return target;
}

void add_to_indexes(const Target& target, TupleTableSlot* slot, bool update,
                    [[maybe_unused]] bool summarizing = false) {
#if PG_VERSION_NUM >= 160000
  list_free(ExecInsertIndexTuples(target.info, slot, target.state, update, false, nullptr, NIL, summarizing));
#else
  list_free(ExecInsertIndexTuples(target.info, slot, target.state, update, false, nullptr, NIL));
#endif
}

// ExecSimpleRelationUpdate(), but that opens every index before it knows whether one is touched: seldom here.
void replace(Relation relation, const Target& target, TupleTableSlot* old) {
  CheckCmdReplicaIdentity(relation, CMD_UPDATE);
  if (RelationGetDescr(relation)->constr != nullptr) ExecConstraints(target.info, target.slot, target.state);
#if PG_VERSION_NUM >= 160000
  TU_UpdateIndexes touched = TU_None;
#else
  bool touched = false;
#endif
  simple_table_tuple_update(relation, &old->tts_tid, target.slot, target.state->es_snapshot, &touched);
#if PG_VERSION_NUM >= 160000
  if (touched == TU_None) return;
  const bool summarizing = touched == TU_Summarizing;
#else
  if (!touched) return;
  const bool summarizing = false;
#endif
  ExecOpenIndices(target.info, false);
  add_to_indexes(target, target.slot, true, summarizing);
}

void end(const Target& target) {
  ExecDropSingleTupleTableSlot(target.slot);
  ExecCloseIndices(target.info);
  FreeExecutorState(target.state);
  // What comes next sees it.
  CommandCounterIncrement();
}

}  // namespace

bool RowWriter::usable() {
  const Oid schema = Session::current().schema();
  return guard([&] {
    const Oid table = table_.oid(schema);
    if (table == InvalidOid || key_.oid(schema) == InvalidOid) return false;
    Relation relation = try_relation_open(table, RowExclusiveLock);
    if (relation == nullptr) return false;
    const bool plain =
        rights_.hold(table, ACL_INSERT | ACL_UPDATE | ACL_SELECT, [&] { return is_plain(relation); });
    // Until the transaction ends nothing of it changes.
    relation_close(relation, NoLock);
    return plain;
  });
}

bool RowWriter::is_plain(Relation relation) const {
  const TupleDesc description = RelationGetDescr(relation);
  // A distributed table, whose rows lie elsewhere, has a trigger too.
  return relation->rd_rel->relkind == RELKIND_RELATION && !relation->rd_rel->relispartition &&
         relation->trigdesc == nullptr && relation->rd_rules == nullptr && description->natts == count_ &&
         !(description->constr != nullptr && description->constr->has_generated_stored);
}

RowWriter* RowWriter::watched_ = nullptr;

// The server has room for ten of these, in all: one for all writers.
void RowWriter::forget(Datum, Oid relation) {
  for (RowWriter* writer = watched_; writer != nullptr; writer = writer->next_watched_)
    if (relation == InvalidOid || relation == writer->compiled_for_) writer->compiled_for_ = InvalidOid;
}

// Called under guard().
ExprState** RowWriter::checks(Relation relation) {
  const TupleConstr* constraints = RelationGetDescr(relation)->constr;
  if (constraints == nullptr || constraints->num_check == 0) return nullptr;
  if (compiled_for_ == RelationGetRelid(relation)) return compiled_;
  if (!is_watched_) {
    if (watched_ == nullptr) CacheRegisterRelcacheCallback(forget, Datum(0));
    next_watched_ = watched_;
    watched_ = this;
    is_watched_ = true;
  }
  MemoryContext outer = MemoryContextSwitchTo(TopMemoryContext);
  if (compiled_in_ != nullptr) FreeExecutorState(compiled_in_);
  compiled_in_ = nullptr;
  compiled_in_ = CreateExecutorState();
  MemoryContextSwitchTo(compiled_in_->es_query_cxt);
  compiled_ = static_cast<ExprState**>(palloc(sizeof(ExprState*) * constraints->num_check));
  for (int i = 0; i < constraints->num_check; ++i)
    compiled_[i] =
        ExecPrepareExpr(reinterpret_cast<Expr*>(stringToNode(constraints->check[i].ccbin)), compiled_in_);
  MemoryContextSwitchTo(outer);
  compiled_for_ = RelationGetRelid(relation);
  return compiled_;
}

void RowWriter::insert(const std::vector<Parameter>& values) {
  const std::size_t width = static_cast<std::size_t>(count_);
  const std::size_t rows = values.size() / width;
  if (rows * width != values.size()) throw SqlError(ERRCODE_INTERNAL_ERROR, "a row of another table");
  const bool plain = rows > 0 && usable();
  for (std::size_t row = 0; row < rows; row += plain ? kRowsAtOnce : 1) {
    if (plain)
      write(&values[row * width], std::min(kRowsAtOnce, rows - row));
    else
      write_by_statement(&values[row * width]);
  }
}

void RowWriter::write_by_statement(const Parameter* values) {
  if (statement_ == nullptr) {
    std::string columns(columns_);
    std::replace(columns.begin(), columns.end(), ' ', ',');
    std::string sql = std::string("INSERT INTO @") + table_.name() + " (" + columns + ") VALUES (";
    for (int i = 1; i <= count_; ++i) sql.append(i == 1 ? "$" : ", $").append(std::to_string(i));
    // Kept as long as the backend lives, as statements are.
    const auto* kept = new std::string(sql + ")");
    statement_ = new Statement(kept->c_str());
  }
  statement_->run_with(values, static_cast<std::size_t>(count_));
}

// As ExecSimpleRelationInsert() does it for one row: what is opened and made for it is so for all.
void RowWriter::write(const Parameter* values, std::size_t rows) {
  const Oid schema = Session::current().schema();
  const int columns = count_;
  guard([&] {
    Relation relation = table_open(table_.oid(schema), RowExclusiveLock);
    const TupleDesc description = RelationGetDescr(relation);
    PushActiveSnapshot(GetTransactionSnapshot());
    const Target target = begin(relation, checks(relation));
    ExecOpenIndices(target.info, false);
    TupleTableSlot* slots[kRowsAtOnce];
    for (std::size_t row = 0; row < rows; ++row) {
      slots[row] = row == 0 ? target.slot : table_slot_create(relation, nullptr);
      for (int i = 0; i < columns; ++i) {
        const Parameter& value = *values++;
        slots[row]->tts_isnull[i] = value.null;
        slots[row]->tts_values[i] =
            value.null ? Datum(0) : datum_for(value, TupleDescAttr(description, i)->atttypid);
      }
      ExecStoreVirtualTuple(slots[row]);
      ResetPerTupleExprContext(target.state);
      if (description->constr != nullptr) ExecConstraints(target.info, slots[row], target.state);
    }
    if (rows == 1)
      simple_table_tuple_insert(relation, slots[0]);
    else
      table_multi_insert(relation, slots, static_cast<int>(rows), target.state->es_output_cid, 0, nullptr);
    for (std::size_t row = 0; row < rows; ++row) {
      ResetPerTupleExprContext(target.state);
      if (target.info->ri_NumIndices > 0) add_to_indexes(target, slots[row], false);
      if (row > 0) ExecDropSingleTupleTableSlot(slots[row]);
    }
    end(target);
    PopActiveSnapshot();
    table_close(relation, NoLock);
  });
}

void RowWriter::update(std::initializer_list<Parameter> key, std::initializer_list<Change> changes,
                       const RowReader& seen) {
  const Oid schema = Session::current().schema();
  guard([&] {
    Relation relation = table_open(table_.oid(schema), RowExclusiveLock);
    const TupleDesc description = RelationGetDescr(relation);
    PushActiveSnapshot(GetTransactionSnapshot());
    Relation index = index_open(key_.oid(schema), RowExclusiveLock);
    TupleTableSlot* found = table_slot_create(relation, nullptr);
    IndexScanDesc scan = nullptr;
    if (!seen.find_again(relation, index, key, found)) {
      scan = begin_scan(relation, index, static_cast<int>(key.size()));
      scan_for(scan, key.begin());
    }
    if (scan != nullptr && !index_getnext_slot(scan, ForwardScanDirection, found))
      ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg_internal("a locked row of \"%s\" is not there",
                                                                       RelationGetRelationName(relation))));
    const Target target = begin(relation, checks(relation));
    slot_getallattrs(found);
    for (int i = 0; i < description->natts; ++i) {
      target.slot->tts_values[i] = found->tts_values[i];
      target.slot->tts_isnull[i] = found->tts_isnull[i];
    }
    for (const Change& change : changes) {
      const int i = change.column - 1;
      target.slot->tts_isnull[i] = change.value.null;
      target.slot->tts_values[i] =
          change.value.null ? Datum(0) : datum_for(change.value, TupleDescAttr(description, i)->atttypid);
    }
    ExecStoreVirtualTuple(target.slot);
    replace(relation, target, found);
    if (scan != nullptr) index_endscan(scan);
    ExecDropSingleTupleTableSlot(found);
    end(target);
    index_close(index, NoLock);
    PopActiveSnapshot();
    table_close(relation, NoLock);
  });
}

}  // namespace billing::pg
