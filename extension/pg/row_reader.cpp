#include "pg/row_reader.hpp"

#include "pg/document.hpp"
#include "pg/encode.hpp"

namespace billing::pg {

namespace {

// Called under guard(). What it points to must outlive the page that the row lies on.
void copy(Datum value, Oid type, Cell* cell) {
  switch (type) {
    case INT8OID:
      cell->number = DatumGetInt64(value);
      break;
    case INT4OID:
      cell->number = DatumGetInt32(value);
      break;
    case INT2OID:
      cell->number = DatumGetInt16(value);
      break;
    case BOOLOID:
      cell->number = DatumGetBool(value) ? 1 : 0;
      break;
    case TIMESTAMPTZOID:
      cell->number = from_timestamptz(DatumGetTimestampTz(value));
      break;
    case TEXTOID: {
      text* found = DatumGetTextPP(value);
      cell->size = VARSIZE_ANY_EXHDR(found);
      cell->data = pnstrdup(VARDATA_ANY(found), cell->size);
      break;
    }
    case JSONBOID:
      cell->data = reinterpret_cast<const char*>(
          tokens_of(PointerGetDatum(PG_DETOAST_DATUM_COPY(value)), &cell->size));
      break;
    default:
      ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg_internal("unexpected column type %u", type)));
  }
}

}  // namespace

bool RowReader::usable() {
  const Oid schema = Session::current().schema();
  return guard([&] {
    const Oid table = table_.oid(schema);
    if (table == InvalidOid || index_.oid(schema) == InvalidOid) return false;
    if (pg_class_aclcheck(table, GetUserId(), ACL_SELECT) != ACLCHECK_OK) return false;
    if (check_enable_rls(table, InvalidOid, true) == RLS_ENABLED) return false;
    // Of a distributed table, which has a trigger, the rows lie elsewhere.
    Relation relation = table_open(table, AccessShareLock);
    const bool plain = relation->rd_rel->relkind == RELKIND_RELATION && relation->trigdesc == nullptr;
    table_close(relation, NoLock);
    return plain;
  });
}

// Called under guard().
void RowReader::resolve(Relation relation) {
  if (resolved_for_ == RelationGetRelid(relation)) return;
  count_ = 0;
  for (const char* name = columns_; *name != '\0';) {
    const std::size_t length = std::strcspn(name, " ");
    char* copied = pnstrdup(name, length);
    const AttrNumber number = get_attnum(RelationGetRelid(relation), copied);
    if (number == InvalidAttrNumber || count_ == kMaxColumns)
      ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                      errmsg("column \"%s\" of \"%s\" does not exist", copied, table_.name())));
    numbers_[count_++] = number;
    name += length + (name[length] == ' ' ? 1 : 0);
  }
  resolved_for_ = RelationGetRelid(relation);
}

Rows RowReader::find(std::initializer_list<Parameter> key) {
  const Session& session = Session::current();
  const Oid schema = session.schema();
  const bool fresh = !session.read_only();
  Cell* cells = nullptr;
  std::size_t rows = 0;
  guard([&] {
    Relation relation = table_open(table_.oid(schema), AccessShareLock);
    Relation index = index_open(index_.oid(schema), AccessShareLock);
    resolve(relation);
    if (fresh) {
      CommandCounterIncrement();
      PushActiveSnapshot(GetTransactionSnapshot());
    }
    ScanKeyData keys[4];
    int given = 0;
    for (const Parameter& value : key) {
      ScanKeyInit(&keys[given], static_cast<AttrNumber>(given + 1), BTEqualStrategyNumber,
                  value.type == TEXTOID ? F_TEXTEQ : F_INT8EQ, encode(value));
      keys[given++].sk_collation = value.type == TEXTOID ? C_COLLATION_OID : InvalidOid;
    }
    TupleTableSlot* slot = table_slot_create(relation, nullptr);
#if PG_VERSION_NUM >= 180000
    IndexScanDesc scan = index_beginscan(relation, index, GetActiveSnapshot(), nullptr, given, 0);
#else
    IndexScanDesc scan = index_beginscan(relation, index, GetActiveSnapshot(), given, 0);
#endif
    index_rescan(scan, keys, given, nullptr, 0);
    std::size_t room = 0;
    while (index_getnext_slot(scan, ForwardScanDirection, slot)) {
      if (rows == room) {
        room = room == 0 ? 4 : room * 2;
        const Size size = sizeof(Cell) * room * static_cast<Size>(count_);
        cells = static_cast<Cell*>(cells == nullptr ? palloc(size) : repalloc(cells, size));
      }
      for (int i = 0; i < count_; ++i) {
        Cell* cell = &cells[rows * static_cast<std::size_t>(count_) + static_cast<std::size_t>(i)];
        *cell = Cell{};
        const Datum value = slot_getattr(slot, numbers_[i], &cell->null);
        if (!cell->null)
          copy(value, TupleDescAttr(RelationGetDescr(relation), numbers_[i] - 1)->atttypid, cell);
      }
      ++rows;
    }
    index_endscan(scan);
    ExecDropSingleTupleTableSlot(slot);
    if (fresh) PopActiveSnapshot();
    index_close(index, AccessShareLock);
    table_close(relation, AccessShareLock);
  });
  return Rows(cells, rows, static_cast<std::size_t>(count_));
}

}  // namespace billing::pg
