// use_credits_validated and use_credits_batch: may it be used, and taken, in one step.
#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "functions/credit_call.hpp"
#include "functions/credit_store.hpp"
#include "pg/jsonb_object.hpp"
#include "pg/spi.hpp"

using namespace billing;
using namespace billing::credits;

namespace {

constexpr std::size_t kMaxDescription = 1000;
constexpr std::size_t kMaxBatch = 10000;
constexpr std::string_view kCharged = "charged";
constexpr std::string_view kPartial = "partial";

struct Use {
  Request request;
  Amount amount = 0;
  bool partial = false;
  Note note;
};

bool partial_mode(const std::string& mode) {
  if (mode == "reject" || mode == "partial") return mode == "partial";
  throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "unknown mode \"" + shorten(mode) + "\"",
                     "Use 'reject' (all or nothing) or 'partial' (as much as there is).");
}

// As to_text() writes it.
void add_quoted(std::string& text, const std::string& value) {
  const bool plain = std::all_of(value.begin(), value.end(),
                                 [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; });
  if (plain)
    text.append(1, '"').append(value).append(1, '"');
  else
    text.append(to_text(value));
}

// What makes it this request, with members by name: its hash is stored, so that the text is as it always was.
std::string body_of(const Use& use) {
  std::string text = "{\"actor_id\":";
  add_quoted(text, use.note.actor_id);
  text.append(",\"amount\":").append(std::to_string(use.amount)).append(",\"description\":");
  add_quoted(text, use.note.description);
  text.append(",\"metadata\":").append(use.note.metadata.empty() ? "{}" : to_text(use.note.metadata));
  return text.append(use.partial ? ",\"mode\":\"partial\"}" : ",\"mode\":\"reject\"}");
}

void describe(Use& use, const std::string& user_id) {
  const std::string& key = use.note.idempotency_key;
  use.request = {user_id, "use_credits", key, key.empty() ? "" : body_of(use)};
}

// An answer outlives the session, whose memory ends with it.
template <typename Make>
const Jsonb* answer_in(MemoryContext context, Make make) {
  return pg::guard([&]() -> const Jsonb* {
    MemoryContext inner = MemoryContextSwitchTo(context);
    const Jsonb* answer = make();
    MemoryContextSwitchTo(inner);
    return answer;
  });
}

const Jsonb* answer_in(MemoryContext context, const Json& document) {
  return answer_in(context, [&] { return DatumGetJsonbP(pg::to_jsonb(document)); });
}

const Jsonb* charged(const Account& account, const Use& use, const Entry& entry, const Access& access,
                     MemoryContext context) {
  using pg::Member;
  const Amount taken = -entry.amount;
  const Amount available = account.available(access);
  std::vector<Member> burns;
  for (const Burn& burn : entry.burns)
    burns.insert(burns.end(), {Member::of("amount", burn.amount), Member::of("grant_id", burn.lot_id)});
  // In the order in which jsonb keeps them.
  const Member members[] = {Member::of("debt", account.debt),
                            Member::of("held", account.held),
                            Member::objects("burns", burns.data(), 2, entry.burns.size()),
                            Member::of("status", taken < use.amount ? kPartial : kCharged),
                            Member::of("balance", account.balance),
                            Member::of("charged", taken),
                            Member::of("success", true),
                            Member::of("available", available),
                            Member::of("requested", use.amount),
                            Member::of("transaction_id", entry.id)};
  return answer_in(context, [&] { return pg::object_jsonb(members, std::size(members)); });
}

// The account is locked and advanced; refusals leave it as it is.
const Jsonb* perform(Account& account, const Use& use, const Access& access, const Settings& settings,
                     Answers& answers, MemoryContext context) {
  if (const auto before = answers.find(use.request)) return answer_in(context, *before);
  const Amount available = account.available(access);
  const Amount taken = use.partial ? std::min(use.amount, available) : use.amount;
  if (taken > available || taken == 0)
    return answer_in(context, refuse_amount(account, access, settings, use.amount));
  const Jsonb* answer = charged(account, use, account.use(taken, access, use.note), access, context);
  answers.keep(use.request, answer);
  return answer;
}

Account empty_account(const std::string& user_id) {
  Account account;
  account.user_id = user_id;
  account.advance(pg::from_timestamptz(GetCurrentStatementStartTimestamp()));
  return account;
}

// One request of a batch. Misuse raises, naming the request.
Use use_from(const Json& item, std::size_t ordinal) {
  const auto misuse = [&](const std::string& message, const std::string& hint) -> pg::SqlError {
    return pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                        "request " + std::to_string(ordinal) + ": " + message + ": " + excerpt(item), hint);
  };
  static const std::set<std::string> kKnown = {"user_id",  "amount", "description", "idempotency_key",
                                               "metadata", "mode",   "actor_id"};
  if (!item.is_object()) throw misuse("not an object", "Each request is an object with user_id and amount.");
  for (const auto& member : item.items())
    if (kKnown.count(member.key()) == 0)
      throw misuse("unknown member \"" + member.key() + "\"",
                   "Members are user_id, amount, description, idempotency_key, metadata, mode, actor_id.");
  const auto text = [&](const char* name, std::size_t limit) {
    const Json& value = at(item, name);
    if (value.is_null()) return std::string();
    if (!value.is_string()) throw misuse(std::string(name) + " must be text", "Quote it, or leave it out.");
    return bounded(value.get<std::string>(), name, limit);
  };
  Use use;
  std::string user_id;
  try {
    user_id = text("user_id", 255);
    use.note.description = text("description", kMaxDescription);
    use.note.idempotency_key = text("idempotency_key", 255);
    use.note.actor_id = text("actor_id", 255);
    if (const std::string mode = text("mode", 64); !mode.empty()) use.partial = partial_mode(mode);
    if (const Json& metadata = at(item, "metadata"); !metadata.is_null()) {
      check_metadata(metadata, to_text(metadata).size());
      use.note.metadata = metadata;
    }
  } catch (const pg::SqlError& error) {
    const std::string place = "request " + std::to_string(ordinal) + ": ";
    const std::string message = error.what();
    throw pg::SqlError(error.code, message.starts_with(place) ? message : place + message, error.hint);
  }
  if (user_id.empty()) throw misuse("no user_id", "Each request names whoever pays.");
  if (!at(item, "amount").is_number_integer() || integer_of(item, "amount").value_or(0) < 1)
    throw misuse("amount must be a whole number of at least 1", "Credits are whole numbers.");
  use.amount = *integer_of(item, "amount");
  describe(use, user_id);
  return use;
}

// What parse_json() makes of its text, which is not made.
Json document_in(Datum jsonb) {
  std::size_t count = 0;
  const pg::Token* tokens = pg::guard([&] { return pg::tokens_of(jsonb, &count); });
  int depth = 0;
  for (std::size_t i = 0; i < count; ++i) {
    using Kind = pg::Token::Kind;
    if (tokens[i].kind == Kind::close) --depth;
    if ((tokens[i].kind == Kind::open_object || tokens[i].kind == Kind::open_array) &&
        ++depth > kMaxJsonDepth)
      throw JsonError("json is nested deeper than " + std::to_string(kMaxJsonDepth) + " levels");
  }
  try {
    return pg::document_of(tokens);
  } catch (const Json::out_of_range&) {
    throw JsonError("json holds a number that is out of range");
  }
}

std::vector<Use> uses_from(FunctionCallInfo fcinfo) {
  if (PG_ARGISNULL(0))
    throw pg::SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, "requests must not be null", "Pass a JSON array.");
  Json requests;
  try {
    requests = document_in(PG_GETARG_DATUM(0));
  } catch (const JsonError& error) {
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE, std::string("unusable requests: ") + error.what(),
                       "Pass a JSON array of flat objects.");
  }
  if (!requests.is_array() || requests.size() > kMaxBatch)
    throw pg::SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       requests.is_array() ? std::to_string(requests.size()) + " requests in one batch"
                                           : "requests must be a JSON array",
                       "Pass an array of at most 10000 objects.");
  std::vector<Use> uses;
  for (const Json& item : requests) uses.push_back(use_from(item, uses.size() + 1));
  return uses;
}

}  // namespace

PG_BILLING_FUNCTION(use_credits_validated) {
  Use use;
  const std::string user_id = user_argument(fcinfo, 0);
  use.amount = amount_argument(fcinfo, 1, "amount");
  use.note.description = optional_text_argument(fcinfo, 2, "description", kMaxDescription);
  use.note.idempotency_key = optional_text_argument(fcinfo, 3, "idempotency_key", 255);
  use.note.metadata = metadata_argument(fcinfo, 4);
  use.partial = partial_mode(text_argument(fcinfo, 5, "mode"));
  use.note.actor_id = optional_text_argument(fcinfo, 6, "actor_id", 255);
  describe(use, user_id);
  const Oid schema = pg::function_schema(fcinfo);
  const MemoryContext context = CurrentMemoryContext;
  const Jsonb* answer = nullptr;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    const Settings& rules = settings(schema);
    store::Accounts accounts;
    Account* account = lock_account(accounts, user_id, false, rules);
    if (account == nullptr) {
      answer = answer_in(context, refuse_amount(empty_account(user_id), Access{}, rules, use.amount));
    } else {
      Answers answers({&use.request});
      answer = perform(*account, use, access_now(*account, rules), rules, answers, context);
      store::save(*account);
      answers.save();
    }
  }
  return JsonbPGetDatum(answer);
}

PG_BILLING_FUNCTION(use_credits_batch) {
  const std::vector<Use> uses = uses_from(fcinfo);
  const Oid schema = pg::function_schema(fcinfo);
  const MemoryContext context = CurrentMemoryContext;
  std::vector<const Jsonb*> answers;
  {
    pg::Session session(schema, pg::Session::Access::read_write);
    const Settings& rules = settings(schema);
    std::set<std::string> users;
    for (const Use& use : uses) users.insert(use.request.user_id);
    store::Accounts accounts = store::lock(users, false, true, rules);
    std::map<std::string, Access> access;
    for (auto& [user, account] : accounts) {
      store::advance(account);
      access[user] = access_now(account, rules);
    }
    std::vector<const Request*> requests;
    for (const Use& use : uses) requests.push_back(&use.request);
    Answers before(requests);
    for (const Use& use : uses) {
      const std::string& user_id = use.request.user_id;
      const auto found = accounts.find(user_id);
      answers.push_back(
          found == accounts.end()
              ? answer_in(context, refuse_amount(empty_account(user_id), Access{}, rules, use.amount))
              : perform(found->second, use, access[user_id], rules, before, context));
    }
    before.save();
    store::save(accounts);
  }
  pg::guard([&] { materialize(fcinfo); });
  ReturnSetInfo* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const Jsonb* answer = answers[i];
    pg::guard([&] {
      Datum values[2] = {Int32GetDatum(static_cast<int32>(i + 1)), JsonbPGetDatum(answer)};
      bool nulls[2] = {false, false};
      tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    });
  }
  return Datum(0);
}
