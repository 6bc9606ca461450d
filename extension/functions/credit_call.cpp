#include "functions/credit_call.hpp"

#include <algorithm>
#include <cstring>
#include <set>

#include "core/digest.hpp"
#include "functions/access_grants.hpp"
#include "functions/cached_row.hpp"
#include "functions/credit_store.hpp"
#include "functions/stored_access.hpp"
#include "functions/subscriptions.hpp"
#include "pg/row_reader.hpp"
#include "pg/row_writer.hpp"
#include "pg/spi.hpp"

namespace billing::credits {

namespace {

constexpr std::size_t kMaxMetadataBytes = 16384;
constexpr std::size_t kMaxKeyBytes = 255;

pg::RowReader kept_requests("credit_requests", "credit_requests_pkey",
                            "user_id idempotency_key operation request_hash answer");
pg::RowWriter request_rows("credit_requests", "credit_requests_pkey",
                           "user_id idempotency_key operation request_hash answer created_at");
pg::Statement known_user("SELECT 1 FROM @billing_users WHERE user_id = $1");

Json time_or_null(const std::optional<Instant>& time) {
  return time ? Json(iso_time(*time / 1'000'000)) : Json(nullptr);
}

}  // namespace

Amount amount_argument(FunctionCallInfo fcinfo, int index, const char* what) {
  if (PG_ARGISNULL(index))
    throw pg::SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, std::string(what) + " must not be null",
                       "Pass a whole number of credits.");
  const Amount amount = PG_GETARG_INT64(index);
  if (amount < 1)
    throw pg::SqlError(
        ERRCODE_INVALID_PARAMETER_VALUE,
        std::string(what) + " must be at least 1, not " + std::to_string(amount),
        "Credits are whole numbers; to give back use refund_credits(), to take away void_grant().");
  return amount;
}

std::int64_t id_argument(FunctionCallInfo fcinfo, int index, const char* what) {
  if (PG_ARGISNULL(index))
    throw pg::SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, std::string(what) + " must not be null",
                       std::string("Pass the ") + what + " of an earlier answer.");
  return PG_GETARG_INT64(index);
}

std::string bounded(std::string text, const char* what, std::size_t limit) {
  if (text.empty())
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE, std::string(what) + " must not be empty",
                       "Leave it out, or pass 1 to " + std::to_string(limit) + " bytes.");
  if (text.size() > limit)
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       std::string(what) + " is " + std::to_string(text.size()) + " bytes long",
                       "At most " + std::to_string(limit) + " bytes are kept.");
  return text;
}

std::string optional_text_argument(FunctionCallInfo fcinfo, int index, const char* what, std::size_t limit) {
  if (PG_ARGISNULL(index)) return "";
  std::string value = text_argument(fcinfo, index, what);
  if (value.empty() && limit != kMaxKeyBytes) return value;
  return bounded(std::move(value), what, limit);
}

void check_metadata(const Json& metadata, std::size_t size) {
  if (!metadata.is_object())
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       "metadata must be a JSON object, not " + excerpt(metadata),
                       "Leave it out, or pass an object.");
  if (size > kMaxMetadataBytes)
    throw pg::SqlError(
        ERRCODE_PROGRAM_LIMIT_EXCEEDED, "metadata is " + std::to_string(size) + " bytes long",
        "At most 16384 bytes are kept in the ledger; store the rest elsewhere and refer to it.");
}

Json metadata_argument(FunctionCallInfo fcinfo, int index) {
  if (PG_ARGISNULL(index)) return Json::object();
  const Datum datum = PG_GETARG_DATUM(index);
  const char* text = pg::guard([&]() -> const char* {
    Jsonb* value = DatumGetJsonbP(datum);
    if (JB_ROOT_IS_OBJECT(value) && JB_ROOT_COUNT(value) == 0) return nullptr;
    return JsonbToCString(nullptr, &value->root, static_cast<int>(VARSIZE(value)));
  });
  if (text == nullptr) return Json::object();
  Json metadata;
  try {
    metadata = parse_json(text);
  } catch (const JsonError& error) {
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE, std::string("unusable metadata: ") + error.what(),
                       "Pass a flat object.");
  }
  check_metadata(metadata, std::strlen(text));
  return metadata;
}

std::optional<Instant> time_argument(FunctionCallInfo fcinfo, int index, const char* what) {
  if (PG_ARGISNULL(index)) return std::nullopt;
  const TimestampTz time = PG_GETARG_TIMESTAMPTZ(index);
  if (TIMESTAMP_NOT_FINITE(time) || time < pg::to_timestamptz(0) ||
      time > pg::to_timestamptz(instant(kLastSecond)))
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       std::string(what) + " is out of range: " +
                           std::string(pg::guard([&]() -> const char* { return timestamptz_to_str(time); })),
                       "Use a time from 1970 to 9999, or leave it out.");
  return pg::from_timestamptz(time);
}

Request::Request(const std::string& user_id, const std::string& operation, const std::string& key,
                 const std::string& body)
    : user_id(user_id), operation(operation), key(key), hash(key.empty() ? "" : sha256_hex(body)) {}
Request::Request(const std::string& user_id, const std::string& operation, const std::string& key,
                 const Json& body)
    : Request(user_id, operation, key, key.empty() ? "" : to_text(body)) {}

namespace {

Json document_of(const Jsonb* jsonb) {
  std::size_t count = 0;
  return pg::document_of(pg::guard([&] { return pg::tokens_of(JsonbPGetDatum(jsonb), &count); }));
}

}  // namespace

Answers::Answers(const std::vector<const Request*>& requests) {
  std::set<std::pair<std::string_view, std::string_view>> wanted;  // each once, and in the index's order
  for (const Request* request : requests)
    if (!request->key.empty()) wanted.emplace(request->user_id, request->key);
  if (wanted.empty()) return;
  const auto take = [&](const pg::Rows& rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      Kept& kept = kept_[{rows.view(i, 0), rows.view(i, 1)}];
      kept.operation = rows.view(i, 2);
      kept.hash = rows.view(i, 3);
      kept.answer = rows.document(i, 4);
    }
  };
  if (kept_requests.usable()) {
    std::vector<pg::Parameter> keys;
    for (const auto& [user, key] : wanted) keys.insert(keys.end(), {pg::parameter(user), pg::parameter(key)});
    take(kept_requests.find_each(keys, 2));
  } else {
    for (const auto& [user, key] : wanted)
      take(kept_requests.find({pg::parameter(user), pg::parameter(key)}));
  }
}

std::optional<Json> Answers::find(const Request& request) const {
  const auto found = kept_.find({request.user_id, request.key});
  if (request.key.empty() || found == kept_.end()) return std::nullopt;
  const Kept& kept = found->second;
  if (kept.operation == request.operation && kept.hash == request.hash)
    return kept.made != nullptr ? document_of(kept.made) : kept.answer;
  Json answer =
      refusal("exists_with_different_request", "idempotency_key_reused", "use_another_idempotency_key");
  answer["idempotency_key"] = request.key;
  answer["operation"] = kept.operation;
  return answer;
}

void Answers::keep(const Request& request, const Json& answer) {
  if (!request.key.empty())
    kept_[{request.user_id, request.key}] = {request.operation, request.hash, answer, nullptr, true};
}

void Answers::keep(const Request& request, const Jsonb* answer) {
  if (!request.key.empty())
    kept_[{request.user_id, request.key}] = {request.operation, request.hash, Json(), answer, true};
}

void Answers::save() const {
  using pg::parameter;
  const pg::Time now{pg::from_timestamptz(GetCurrentTransactionStartTimestamp())};
  std::vector<pg::Parameter> rows;
  for (const auto& [key, kept] : kept_) {
    if (!kept.is_new) continue;
    const pg::Parameter answer =
        kept.made != nullptr ? pg::jsonb_parameter(kept.made) : pg::document_parameter(kept.answer);
    rows.insert(rows.end(), {parameter(key.first), parameter(key.second), parameter(kept.operation),
                             parameter(kept.hash), answer, parameter(now)});
  }
  try {
    request_rows.insert(rows);
  } catch (const pg::Error& error) {
    const ErrorData* data = error.data();
    if (data->sqlerrcode != ERRCODE_UNIQUE_VIOLATION || data->table_name == nullptr ||
        std::strcmp(data->table_name, request_rows.name()) != 0)
      throw;
    // What is charged and what is counted have locks of their own, so that the same key may come to both at
    // once.
    throw pg::SqlError(
        ERRCODE_T_R_SERIALIZATION_FAILURE, "another request with the same idempotency key came first",
        "Run the transaction again: the key's own request gets its answer, another is refused.");
  }
}

namespace {

bool asks_for_access(const Account& account) {
  return std::any_of(account.lots.begin(), account.lots.end(),
                     [](const Lot& lot) { return lot.requires_subscription; });
}

}  // namespace

Access access_now(const Account& account, const Settings& settings) {
  Access access;
  if (!asks_for_access(account)) return access;
  // Whoever is on a test clock is judged by its time.
  if (account.frozen_time) return access_for(account, settings, account.now());
  const Oid schema = pg::Session::current().schema();
  const char* user = account.user_id.data();
  const std::size_t length = account.user_id.size();
  const TimestampTz now = pg::to_timestamptz(account.now());
  const std::int64_t generation = settings.generation;
  CachedRow row;
  const StoredSubscription* subscriptions = nullptr;
  int count = 0;
  pg::guard([&] {
    // Of this moment, as what a statement would see that is run now.
    PushActiveSnapshot(GetTransactionSnapshot());
    row = find_cached_row(schema, user, length, now, generation, CachedRow::Part::state);
    PopActiveSnapshot();
    if (row.result == CachedRow::Result::hit) subscriptions = stored_subscriptions(row.state, &count);
  });
  if (row.result != CachedRow::Result::hit || row.time != now)
    return access_for(account, settings, account.now());
  access.any = row.has_access;
  for (int i = 0; i < count; ++i)
    if (subscriptions[i].has_access)
      access.subscriptions.emplace(subscriptions[i].id, static_cast<std::size_t>(subscriptions[i].size));
  return access;
}

Access access_for(const Account& account, const Settings& settings, Instant now) {
  Access access;
  if (!asks_for_access(account)) return access;
  const auto owned = subscriptions::read(account.user_id, settings.live);
  for (const Subscription& subscription : owned) {
    if (!judge(subscription, settings.access, now).has_access) continue;
    access.any = true;
    access.subscriptions.insert(subscription.id);
  }
  for (const AccessGrant& grant : access_grants::read(account.user_id))
    access.any = access.any || judge_grant(grant, settings.access, now).has_access;
  return access;
}

Json burns_json(const std::vector<Burn>& burns) {
  Json json = Json::array();
  for (const Burn& burn : burns) json.push_back({{"grant_id", burn.lot_id}, {"amount", burn.amount}});
  return json;
}

void add_balances(Json& answer, const Account& account, const Access& access) {
  answer["balance"] = account.balance;
  answer["held"] = account.held;
  answer["available"] = account.available(access);
  answer["debt"] = account.debt;
}

Json refusal(const std::string& status, const std::string& reason, const std::string& next_step) {
  return {{"success", false}, {"status", status}, {"reason", reason}, {"next_step", next_step}};
}

Json refuse_amount(const Account& account, const Access& access, const Settings& settings, Amount amount,
                   Amount own_hold) {
  Json answer;
  if (account.available() >= amount) {
    // Enough, but granted by a subscription that gives no access now.
    const UserState state = judge_user(subscriptions::read(account.user_id, settings.live), settings.access,
                                       account.now(), access_grants::read(account.user_id));
    const bool elsewhere = state.effective.has_access;  // by another subscription
    answer = refusal(
        "subscription_inactive", elsewhere ? "granted_by_another_subscription" : state.effective.reason,
        elsewhere || state.effective.next_step.empty() ? "renew_subscription" : state.effective.next_step);
  } else if (account.debt > 0) {
    answer = refusal("insufficient_credits", "debt", "buy_credits");
  } else if (account.balance - account.held < amount && account.balance - own_hold >= amount) {
    answer = refusal("insufficient_credits", "held", "wait_for_holds");
  } else {
    const bool known =
        account.balance > 0 || account.last_entry_id > 0 || !known_user.run(account.user_id).empty();
    answer = refusal("insufficient_credits", known ? "balance_too_low" : "unknown_user", "buy_credits");
  }
  answer["requested"] = amount;
  add_balances(answer, account, access);
  return answer;
}

Json granted(Account& account, Lot lot, const Note& note, const Settings& settings) {
  const Instant effective_at = lot.effective_at == 0 ? account.now() : lot.effective_at;
  const std::optional<Instant> expires_at = lot.expires_at;
  const Amount amount = lot.amount;
  const Amount debt = account.debt;
  const std::size_t first = account.entries.size();
  const std::int64_t id = account.grant(std::move(lot), note);
  Json transaction;
  for (std::size_t i = first; i < account.entries.size(); ++i)
    if (account.entries[i].lot_id == id && account.entries[i].type == EntryType::allocation)
      transaction = account.entries[i].id;
  Json answer = {{"success", true},
                 {"status", transaction.is_null() ? "scheduled" : "granted"},
                 {"grant_id", id},
                 {"transaction_id", transaction},
                 {"amount", amount},
                 {"effective_at", iso_time(effective_at / 1'000'000)},
                 {"expires_at", time_or_null(expires_at)},
                 {"debt_paid", debt - account.debt}};
  add_balances(answer, account, access_for(account, settings, account.now()));
  return answer;
}

Account* lock_account(std::map<std::string, Account>& accounts, const std::string& user_id, bool create,
                      const Settings& settings) {
  store::queue_for(user_id);
  accounts = store::lock({user_id}, create, true, settings);
  const auto found = accounts.find(user_id);
  if (found == accounts.end()) return nullptr;
  store::advance(found->second);
  return &found->second;
}

}  // namespace billing::credits
