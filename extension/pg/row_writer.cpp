#include "pg/row_writer.hpp"

#include "pg/encode.hpp"

namespace billing::pg {

namespace {

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
  ExecOpenIndices(target.info, false);
  list_free(ExecInsertIndexTuples(target.info, target.slot, target.state, true, false, nullptr, NIL,
                                  touched == TU_Summarizing));
#else
  if (!touched) return;
  ExecOpenIndices(target.info, false);
  list_free(ExecInsertIndexTuples(target.info, target.slot, target.state, true, false, nullptr, NIL));
#endif
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
    // All of them: pg_class_aclcheck() is content with any.
    constexpr AclMode kWanted = ACL_INSERT | ACL_UPDATE | ACL_SELECT;
    if (pg_class_aclmask(table, GetUserId(), kWanted, ACLMASK_ALL) != kWanted) return false;
    if (check_enable_rls(table, InvalidOid, true) == RLS_ENABLED) return false;
    Relation relation = table_open(table, RowExclusiveLock);
    const TupleDesc description = RelationGetDescr(relation);
    // A distributed table, whose rows lie elsewhere, has a trigger too.
    const bool plain = relation->rd_rel->relkind == RELKIND_RELATION && relation->trigdesc == nullptr &&
                       relation->rd_rules == nullptr && description->natts == columns_ &&
                       !(description->constr != nullptr && description->constr->has_generated_stored);
    table_close(relation, NoLock);
    return plain;
  });
}

void RowWriter::forget(Datum writer, Oid relation) {
  RowWriter* self = reinterpret_cast<RowWriter*>(DatumGetPointer(writer));
  if (relation == InvalidOid || relation == self->compiled_for_) self->compiled_for_ = InvalidOid;
}

// Called under guard().
ExprState** RowWriter::checks(Relation relation) {
  const TupleConstr* constraints = RelationGetDescr(relation)->constr;
  if (constraints == nullptr || constraints->num_check == 0) return nullptr;
  if (compiled_for_ == RelationGetRelid(relation)) return compiled_;
  if (!watching_) {
    CacheRegisterRelcacheCallback(forget, PointerGetDatum(this));
    watching_ = true;
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

void RowWriter::write_new(const Parameter* parameters, std::size_t count) {
  const Oid schema = Session::current().schema();
  guard([&] {
    Relation relation = table_open(table_.oid(schema), RowExclusiveLock);
    const TupleDesc description = RelationGetDescr(relation);
    if (static_cast<int>(count) != description->natts)
      ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg_internal("a row of another table")));
    PushActiveSnapshot(GetTransactionSnapshot());
    const Target target = begin(relation, checks(relation));
    for (std::size_t i = 0; i < count; ++i) {
      target.slot->tts_isnull[i] = parameters[i].null;
      target.slot->tts_values[i] =
          parameters[i].null ? Datum(0) : datum_for(parameters[i], TupleDescAttr(description, i)->atttypid);
    }
    ExecStoreVirtualTuple(target.slot);
    ExecOpenIndices(target.info, false);
    ExecSimpleRelationInsert(target.info, target.state, target.slot);
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
    IndexScanDesc scan =
        seen.find_again(relation, index, key, found) ? nullptr : scan_for(relation, index, key);
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
