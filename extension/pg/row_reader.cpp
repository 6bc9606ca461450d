#include "pg/row_reader.hpp"

#include <algorithm>
#include <string>

#include "pg/encode.hpp"
#include "pg/row_security.hpp"

namespace billing::pg {

namespace {

LocalTransactionId this_transaction() {
#if PG_VERSION_NUM >= 170000
  return MyProc->vxid.lxid;
#else
  return MyProc->lxid;
#endif
}

bool has_value(TupleTableSlot* slot, AttrNumber column, const Parameter& value) {
  bool null = false;
  const Datum found = slot_getattr(slot, column, &null);
  if (null) return false;
  if (value.type != TEXTOID) return DatumGetInt64(found) == value.number;
  const text* held = DatumGetTextPP(found);
  return VARSIZE_ANY_EXHDR(held) == value.size &&
         std::memcmp(VARDATA_ANY(held), value.pointer, value.size) == 0;
}

bool has_key(TupleTableSlot* slot, Relation index, const Parameter* key, std::size_t width) {
  for (std::size_t i = 0; i < width; ++i)
    if (!has_value(slot, index->rd_index->indkey.values[i], key[i])) return false;
  return true;
}

// As nodeLockRows.c does it. False when the row is gone by now, or is another's. Called under guard().
bool lock_row(Relation relation, Relation index, const Parameter* key, std::size_t width, ItemPointer place,
              TupleTableSlot* slot) {
  const bool fixed = IsolationUsesXactSnapshot();
  TM_FailureData failure;
  switch (table_tuple_lock(relation, place, GetActiveSnapshot(), slot, GetCurrentCommandId(true),
                           LockTupleNoKeyExclusive, LockWaitBlock,
                           fixed ? 0 : TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure)) {
    case TM_Ok: {
      return !failure.traversed || has_key(slot, index, key, width);
    }
    case TM_SelfModified:
      return false;
    case TM_Deleted:
      if (!fixed) return false;
      [[fallthrough]];
    case TM_Updated:
      if (fixed)
        ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                        errmsg("could not serialize access due to concurrent update")));
      [[fallthrough]];
    default:
      ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg_internal("a row of \"%s\" cannot be locked",
                                                                       RelationGetRelationName(relation))));
  }
  pg_unreachable();
}

}  // namespace

bool RowReader::usable() { return usable_with(ACL_SELECT); }
bool RowReader::lockable() { return usable_with(ACL_SELECT | ACL_UPDATE); }

bool RowReader::usable_with(AclMode privileges) {
  const Oid schema = Session::current().schema();
  return guard([&] {
    const Oid table = table_.oid(schema);
    if (table == InvalidOid || index_.oid(schema) == InvalidOid) return false;
    // As whoever opens the table to look at it would learn what has changed.
    AcceptInvalidationMessages();
    if (rights_.hold(table, privileges, [&] { return is_plain(table, false); })) return true;
    return pg_class_aclmask(table, GetUserId(), privileges, ACLMASK_ALL) == privileges &&
           is_plain(table, true);
  });
}

// Of a distributed table, which has a trigger, the rows lie elsewhere. With `security`, the policies of
// row-level security are looked at, which more than the table decides over. Called under guard().
bool RowReader::is_plain(Oid table, bool security) {
  Relation relation = table_open(table, AccessShareLock);
  const bool plain = relation->rd_rel->relkind == RELKIND_RELATION && relation->trigdesc == nullptr &&
                     (!security || sees_every_row(relation));
  table_close(relation, AccessShareLock);
  return plain;
}

bool RowReader::is_vacant() {
  const Oid schema = Session::current().schema();
  return guard([&] {
    const Oid table = table_.oid(schema);
    if (table == InvalidOid) return false;
    Relation relation = table_open(table, AccessShareLock);
    const bool vacant = relation->rd_rel->relkind == RELKIND_RELATION && relation->trigdesc == nullptr &&
                        table_relation_size(relation, MAIN_FORKNUM) == 0;
    table_close(relation, AccessShareLock);
    return vacant;
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

// Nothing else can have this key and be seen, whatever has happened to the place since.
bool RowReader::find_again(Relation relation, Relation key_index, std::initializer_list<Parameter> key,
                           TupleTableSlot* slot) const {
  if (places_in_ != this_transaction() || resolved_for_ != RelationGetRelid(relation)) return false;
  for (int i = 0; i < place_count_; ++i) {
    ItemPointerData place = places_[i];
    if (table_tuple_fetch_row_version(relation, &place, GetActiveSnapshot(), slot) &&
        has_key(slot, key_index, key.begin(), key.size()))
      return true;
  }
  ExecClearTuple(slot);
  return false;
}

Rows RowReader::read(std::initializer_list<Parameter> key, Want want) {
  return usable() ? scan(key.begin(), key.size(), 1, want) : select(key);
}

// The same by a statement, in which row-level security and other hands may have a say.
Rows RowReader::select(std::initializer_list<Parameter> key) {
  Statement*& statement = statements_[key.size() - 1];
  if (statement == nullptr) {
    std::string columns(columns_);
    std::replace(columns.begin(), columns.end(), ' ', ',');
    std::string sql = "SELECT " + columns + " FROM @" + table_.name();
    const std::vector<const char*> names = key_columns();
    for (std::size_t i = 0; i < key.size(); ++i)
      sql.append(i == 0 ? " WHERE " : " AND ").append(names[i]).append(" = $").append(std::to_string(i + 1));
    for (std::size_t i = 0; i < names.size(); ++i) sql.append(i == 0 ? " ORDER BY " : ", ").append(names[i]);
    // Kept as long as the backend lives, as statements are.
    const auto* kept = new std::string(std::move(sql));
    statement = new Statement(kept->c_str());
  }
  return statement->run_with(key.begin(), key.size());
}

std::vector<const char*> RowReader::key_columns() {
  const Oid schema = Session::current().schema();
  const char* names[INDEX_MAX_KEYS];
  const int count = guard([&] {
    Relation index = index_open(index_.oid(schema), AccessShareLock);
    const int columns = IndexRelationGetNumberOfKeyAttributes(index);
    for (int i = 0; i < columns; ++i)
      names[i] = get_attname(index->rd_index->indrelid, index->rd_index->indkey.values[i], false);
    index_close(index, AccessShareLock);
    return columns;
  });
  return std::vector<const char*>(names, names + count);
}

// Called under guard().
void RowReader::copy_row(Relation relation, TupleTableSlot* slot, Cell* cells) const {
  for (int i = 0; i < count_; ++i) {
    Cell* cell = &cells[i];
    *cell = Cell{};
    const Datum value = slot_getattr(slot, numbers_[i], &cell->null);
    if (cell->null) continue;
    const Form_pg_attribute column = TupleDescAttr(RelationGetDescr(relation), numbers_[i] - 1);
    // The page that the row lies on is soon somebody else's.
    decode(column->attbyval ? value : PointerGetDatum(PG_DETOAST_DATUM_COPY(value)), column->atttypid, cell);
  }
}

Rows RowReader::scan(const Parameter* keys, std::size_t width, std::size_t count, Want want) {
  const bool lock = want == Want::locked;
  const Session& session = Session::current();
  const Oid schema = session.schema();
  const bool fresh = !session.read_only();
  Cell* cells = nullptr;
  std::size_t rows = 0;
  guard([&] {
    if (lock && XactReadOnly) PreventCommandIfReadOnly("SELECT FOR NO KEY UPDATE");
    const LOCKMODE mode = lock ? RowShareLock : AccessShareLock;
    Relation relation = table_open(table_.oid(schema), mode);
    Relation index = index_open(index_.oid(schema), AccessShareLock);
    resolve(relation);
    if (fresh) {
      CommandCounterIncrement();
      PushActiveSnapshot(GetTransactionSnapshot());
    }
    TupleTableSlot* slot = table_slot_create(relation, nullptr);
    TupleTableSlot* found = lock ? table_slot_create(relation, nullptr) : slot;
    IndexScanDesc scan = begin_scan(relation, index, static_cast<int>(width));
    std::size_t room = 0;
    place_count_ = 0;
    places_in_ = this_transaction();
    for (const Parameter* key = keys; key < keys + width * count; key += width) {
      scan_for(scan, key);
      while (index_getnext_slot(scan, ForwardScanDirection, slot)) {
        if (lock && !lock_row(relation, index, key, width, &slot->tts_tid, found)) continue;
        if (rows == room) {
          room = room == 0 ? 4 : room * 2;
          const Size size = sizeof(Cell) * room * static_cast<Size>(count_);
          cells = static_cast<Cell*>(cells == nullptr ? palloc(size) : repalloc(cells, size));
        }
        copy_row(relation, found, &cells[rows++ * static_cast<std::size_t>(count_)]);
        if (place_count_ < kMaxPlaces) places_[place_count_++] = found->tts_tid;
        if (want == Want::first) break;
      }
    }
    index_endscan(scan);
    if (lock) ExecDropSingleTupleTableSlot(found);
    ExecDropSingleTupleTableSlot(slot);
    if (fresh) PopActiveSnapshot();
    index_close(index, AccessShareLock);
    table_close(relation, lock ? NoLock : mode);
  });
  return Rows(cells, rows, static_cast<std::size_t>(count_));
}

}  // namespace billing::pg
