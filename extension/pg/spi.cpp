#include <limits>

#include "core/json_tree.hpp"
#include "pg/array_rows.hpp"
#include "pg/encode.hpp"
#include "pg/planning.hpp"
#include "pg/spi.hpp"

namespace billing::pg {

namespace {

constexpr std::int64_t kEpochShift = (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * INT64CONST(86400000000);
constexpr std::size_t kMaxParameters = 40;

Session* current_session = nullptr;

constexpr char kSearchPath[] = "pg_catalog, pg_temp";

// Called under guard().
void set(const char* name, const char* value) {
  (void)set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

// Called under guard(): may raise, holds plain data only.
Datum text_datum(const char* data, std::size_t size) {
  return PointerGetDatum(cstring_to_text_with_len(data, static_cast<int>(size)));
}

Datum array_datum(Datum* elements, bool* nulls, std::size_t count, Oid type, int length, bool by_value,
                  char align) {
  int dimensions[1] = {static_cast<int>(count)};
  int lower[1] = {1};
  if (count == 0) return PointerGetDatum(construct_empty_array(type));
  return PointerGetDatum(
      construct_md_array(elements, nulls, 1, dimensions, lower, type, length, by_value, align));
}

}  // namespace

void decode(Datum value, Oid type, Cell* cell) {
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
      text* t = DatumGetTextPP(value);
      cell->data = VARDATA_ANY(t);
      cell->size = VARSIZE_ANY_EXHDR(t);
      break;
    }
    case JSONBOID:
      cell->data = reinterpret_cast<const char*>(tokens_of(value, &cell->size));
      break;
    case INT8ARRAYOID: {  // as array_to_string(..., ',') has it
      char* text = OidOutputFunctionCall(F_ARRAY_OUT, value);
      cell->data = text + 1;
      cell->size = std::strlen(text) - 2;
      break;
    }
    default:
      ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg_internal("unexpected result type %u", type)));
  }
}

Datum encode(const Parameter& p) {
  switch (p.kind) {
    case Parameter::Kind::text:
      return text_datum(static_cast<const char*>(p.pointer), p.size);
    case Parameter::Kind::number:
      return Int64GetDatum(p.number);
    case Parameter::Kind::flag:
      return BoolGetDatum(p.number != 0);
    case Parameter::Kind::time:
      return TimestampTzGetDatum(p.number);
    case Parameter::Kind::document:
      return to_jsonb(*static_cast<const Document*>(p.pointer));
    case Parameter::Kind::jsonb:
      return PointerGetDatum(p.pointer);
    default:
      break;
  }
  Datum* elements = static_cast<Datum*>(palloc(sizeof(Datum) * (p.size + 1)));
  bool* nulls = static_cast<bool*>(palloc0(sizeof(bool) * (p.size + 1)));
  switch (p.kind) {
    case Parameter::Kind::texts: {
      const Texts& values = *static_cast<const Texts*>(p.pointer);
      for (std::size_t i = 0; i < p.size; ++i) {
        nulls[i] = !values[i].has_value();
        elements[i] = nulls[i] ? Datum(0) : text_datum(values[i]->data(), values[i]->size());
      }
      return array_datum(elements, nulls, p.size, TEXTOID, -1, false, TYPALIGN_INT);
    }
    case Parameter::Kind::numbers: {
      const Numbers& values = *static_cast<const Numbers*>(p.pointer);
      for (std::size_t i = 0; i < p.size; ++i) {
        nulls[i] = !values[i].has_value();
        elements[i] = nulls[i] ? Datum(0) : Int64GetDatum(*values[i]);
      }
      return array_datum(elements, nulls, p.size, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
    }
    case Parameter::Kind::flags: {
      const Flags& values = *static_cast<const Flags*>(p.pointer);
      for (std::size_t i = 0; i < p.size; ++i) elements[i] = BoolGetDatum(values[i] != 0);
      return array_datum(elements, nulls, p.size, BOOLOID, 1, true, TYPALIGN_CHAR);
    }
    case Parameter::Kind::documents: {
      const Documents& values = *static_cast<const Documents*>(p.pointer);
      for (std::size_t i = 0; i < p.size; ++i) {
        nulls[i] = values[i] == nullptr;
        elements[i] = nulls[i] ? Datum(0) : to_jsonb(*values[i]);
      }
      return array_datum(elements, nulls, p.size, JSONBOID, -1, false, TYPALIGN_INT);
    }
    default: {
      const Times& times = *static_cast<const Times*>(p.pointer);
      for (std::size_t i = 0; i < p.size; ++i) {
        nulls[i] = !times.values[i].has_value();
        elements[i] = nulls[i] ? Datum(0) : TimestampTzGetDatum(to_timestamptz(*times.values[i]));
      }
      return array_datum(elements, nulls, p.size, TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
    }
  }
}

IndexScanDesc begin_scan(Relation table, Relation index, int width) {
#if PG_VERSION_NUM >= 180000
  return index_beginscan(table, index, GetActiveSnapshot(), nullptr, width, 0);
#else
  return index_beginscan(table, index, GetActiveSnapshot(), width, 0);
#endif
}

void scan_for(IndexScanDesc scan, const Parameter* key) {
  ScanKeyData keys[INDEX_MAX_KEYS];
  for (int i = 0; i < scan->numberOfKeys; ++i) {
    const Parameter& value = key[i];
    const RegProcedure equals = value.type == TEXTOID   ? F_TEXTEQ
                                : value.type == BOOLOID ? F_BOOLEQ
                                                        : F_INT8EQ;
    ScanKeyInit(&keys[i], static_cast<AttrNumber>(i + 1), BTEqualStrategyNumber, equals, encode(value));
    keys[i].sk_collation = value.type == TEXTOID ? C_COLLATION_OID : InvalidOid;
  }
  index_rescan(scan, keys, scan->numberOfKeys, nullptr, 0);
}

Microseconds from_timestamptz(TimestampTz time) {
  if (TIMESTAMP_NOT_FINITE(time)) return time;  // the least and the greatest int64 on both sides
  return time + kEpochShift;
}

TimestampTz to_timestamptz(Microseconds time) {
  if (time == std::numeric_limits<Microseconds>::min() || time == std::numeric_limits<Microseconds>::max())
    return time;
  return time - kEpochShift;
}

Parameter parameter(std::string_view v) {
  return {Parameter::Kind::text, TEXTOID, false, v.data(), 0, v.size()};
}
Parameter parameter(const std::string& v) { return parameter(std::string_view(v)); }
Parameter parameter(const char* v) { return parameter(std::string_view(v)); }
Parameter parameter(const std::optional<std::string>& v) {
  if (v) return parameter(std::string_view(*v));
  return {Parameter::Kind::text, TEXTOID, true, nullptr, 0, 0};
}
Parameter parameter(std::int64_t v) { return {Parameter::Kind::number, INT8OID, false, nullptr, v, 0}; }
Parameter parameter(int v) { return parameter(static_cast<std::int64_t>(v)); }
Parameter parameter(const std::optional<std::int64_t>& v) {
  return {Parameter::Kind::number, INT8OID, !v, nullptr, v.value_or(0), 0};
}
Parameter parameter(bool v) { return {Parameter::Kind::flag, BOOLOID, false, nullptr, v ? 1 : 0, 0}; }
Parameter parameter(const Time& v) {
  return {
      Parameter::Kind::time, TIMESTAMPTZOID, !v.value, nullptr, v.value ? to_timestamptz(*v.value) : 0, 0};
}
Parameter document_parameter(const Document& v) {
  return {Parameter::Kind::document, JSONBOID, false, &v, 0, 0};
}
Parameter jsonb_parameter(const Jsonb* v) { return {Parameter::Kind::jsonb, JSONBOID, false, v, 0, 0}; }
Parameter parameter(const Texts& v) { return {Parameter::Kind::texts, TEXTARRAYOID, false, &v, 0, v.size()}; }
Parameter parameter(const Numbers& v) {
  return {Parameter::Kind::numbers, INT8ARRAYOID, false, &v, 0, v.size()};
}
Parameter parameter(const Flags& v) { return {Parameter::Kind::flags, BOOLARRAYOID, false, &v, 0, v.size()}; }
Parameter parameter(const Times& v) {
  return {Parameter::Kind::times, TIMESTAMPTZARRAYOID, false, &v, 0, v.values.size()};
}
Parameter parameter(const Documents& v) {
  return {Parameter::Kind::documents, JSONBARRAYOID, false, &v, 0, v.size()};
}

std::string_view Rows::view(std::size_t row, std::size_t column) const {
  const Cell& cell = at(row, column);
  return cell.null ? std::string_view() : std::string_view(cell.data, cell.size);
}

std::optional<std::string> Rows::maybe_text(std::size_t row, std::size_t column) const {
  if (null(row, column)) return std::nullopt;
  return text(row, column);
}

Document Rows::document(std::size_t row, std::size_t column) const {
  const Cell& cell = at(row, column);
  return cell.null ? Document() : document_of(reinterpret_cast<const Token*>(cell.data));
}

std::optional<std::int64_t> Rows::maybe_number(std::size_t row, std::size_t column) const {
  if (null(row, column)) return std::nullopt;
  return number(row, column);
}

std::optional<std::int64_t> Rows::maybe_seconds(std::size_t row, std::size_t column) const {
  if (null(row, column)) return std::nullopt;
  return number(row, column) / 1'000'000;
}

Session::Session(Oid schema, Access access)
    : schema_(schema), access_(access), outer_(current_session), exceptions_(std::uncaught_exceptions()) {
  guard([&] {
    char* name = get_namespace_name(schema);
    if (name == nullptr)
      ereport(ERROR,
              (errcode(ERRCODE_UNDEFINED_SCHEMA), errmsg("schema with OID %u does not exist", schema)));
    strlcpy(quoted_, quote_identifier(name), sizeof(quoted_));
    // A function that pins it itself has done so already.
    if (std::strcmp(namespace_search_path, kSearchPath) != 0) {
      guc_level_ = NewGUCNestLevel();
      set("search_path", kSearchPath);
    }
    if (SPI_connect() != SPI_OK_CONNECT)
      ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg_internal("could not connect to SPI")));
  });
  current_session = this;
}

Session::~Session() {
  current_session = outer_;
  // On the way out with an error the transaction's abort cleans up; otherwise we do.
  if (std::uncaught_exceptions() > exceptions_) return;
  SPI_finish();
  if (guc_level_ != 0) AtEOXact_GUC(true, guc_level_);
}

const Session& Session::current() {
  if (current_session == nullptr) throw SqlError(ERRCODE_INTERNAL_ERROR, "no session is open");
  return *current_session;
}

void Statement::prepare(const Parameter* parameters, std::size_t count, bool one_row) {
  const Session& session = Session::current();
  std::string sql;
  for (const char* c = sql_; *c != '\0'; ++c) {
    if (*c == '@') {
      sql += session.quoted_schema();
      sql += '.';
    } else {
      sql += *c;
    }
  }
  ArrayRows text = with_array_rows(std::move(sql), one_row);
  Oid types[kMaxParameters];
  for (std::size_t i = 0; i < count; ++i) types[i] = parameters[i].type;
  const bool moved = std::strcmp(schema_, session.quoted_schema()) != 0;
  for (SPIPlanPtr& plan : plans_)
    if (SPIPlanPtr old = moved ? std::exchange(plan, nullptr) : nullptr; old != nullptr)
      guard([&] { SPI_freeplan(old); });
  SPIPlanPtr plan = guard([&] {
    SPIPlanPtr made =
        SPI_prepare_cursor(text.sql.c_str(), static_cast<int>(count), types, CURSOR_OPT_GENERIC_PLAN);
    if (made == nullptr || SPI_keepplan(made) != 0)
      ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg_internal("could not prepare a statement: %s",
                                                                       SPI_result_code_string(SPI_result))));
    return made;
  });
  strlcpy(schema_, session.quoted_schema(), sizeof(schema_));
  plans_[one_row ? 1 : 0] = plan;
  arrays_ = text.arrays;
}

Rows Statement::run_with(const Parameter* parameters, std::size_t count) {
  if (count > kMaxParameters) throw SqlError(ERRCODE_INTERNAL_ERROR, "too many parameters for a statement");
  const Session& session = Session::current();
  if (std::strcmp(schema_, session.quoted_schema()) != 0) prepare(parameters, count, false);
  bool one_row = arrays_ != 0;
  for (std::size_t i = 0; i < count; ++i)
    one_row = one_row && ((arrays_ >> i & 1) == 0 || parameters[i].size == 1);
  SPIPlanPtr& kept = plans_[one_row ? 1 : 0];
  if (kept == nullptr) prepare(parameters, count, one_row);

  const Cell* cells = nullptr;
  std::size_t rows = 0;
  std::size_t columns = 0;
  const Oid schema = session.schema();
  const bool read_only = session.read_only();
  SPIPlanPtr plan = kept;
  bool keep = true;
  guard([&] {
    Datum values[kMaxParameters];
    char nulls[kMaxParameters + 1];
    for (std::size_t i = 0; i < count; ++i) {
      nulls[i] = parameters[i].null ? 'n' : ' ';
      values[i] = parameters[i].null ? Datum(0) : encode(parameters[i]);
    }
    nulls[count] = '\0';
    int code = 0;
    keep = run_plan(schema, plan, values, nulls, read_only, &code);
    if (code < 0)
      ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
                      errmsg_internal("could not run a statement: %s", SPI_result_code_string(code))));
    if (SPI_tuptable == nullptr) return;
    TupleDesc description = SPI_tuptable->tupdesc;
    rows = SPI_processed;
    columns = static_cast<std::size_t>(description->natts);
    Cell* made = static_cast<Cell*>(palloc0(sizeof(Cell) * (rows * columns + 1)));
    for (std::size_t row = 0; row < rows; ++row) {
      for (std::size_t column = 0; column < columns; ++column) {
        Cell* cell = &made[row * columns + column];
        Datum value =
            SPI_getbinval(SPI_tuptable->vals[row], description, static_cast<int>(column) + 1, &cell->null);
        if (!cell->null) decode(value, SPI_gettypeid(description, static_cast<int>(column) + 1), cell);
      }
    }
    cells = made;
  });
  if (!keep && plan == kept) {
    kept = nullptr;
    guard([&] { SPI_freeplan(plan); });
  }
  return Rows(cells, rows, columns);
}

}  // namespace billing::pg
