// What the credit functions share: arguments, idempotency, whose subscriptions give access, answers.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/credit_account.hpp"
#include "functions/arguments.hpp"
#include "settings.hpp"

namespace billing::credits {

// Amounts are at least 1. `what` names the argument.
Amount amount_argument(FunctionCallInfo fcinfo, int index, const char* what);
std::int64_t id_argument(FunctionCallInfo fcinfo, int index, const char* what);
// The text when it has 1 to `limit` bytes; raises otherwise.
std::string bounded(std::string text, const char* what, std::size_t limit);
// "" when null; at most `limit` bytes.
std::string optional_text_argument(FunctionCallInfo fcinfo, int index, const char* what, std::size_t limit);
// An object of at most 16 KiB as text; {} when null.
Json metadata_argument(FunctionCallInfo fcinfo, int index);
void check_metadata(const Json& metadata, std::size_t size);
// Nothing when null. From 1970 to 9999, or infinity where that is allowed.
std::optional<Instant> time_argument(FunctionCallInfo fcinfo, int index, const char* what);

// A request that may be sent again with the same idempotency key.
struct Request {
  Request() = default;
  Request(const std::string& user_id, const std::string& operation, const std::string& key, const Json& body);
  // The body as to_text() writes it.
  Request(const std::string& user_id, const std::string& operation, const std::string& key,
          const std::string& body);
  std::string user_id;
  std::string operation;  // the function's name
  std::string key;        // "" for none
  std::string hash;       // of everything that makes it this request; "" without a key
};
// The answers of requests that had an effect. To be read with the accounts locked. The requests outlive it,
// and it lives no longer than the session.
class Answers {
 public:
  explicit Answers(const std::vector<const Request*>& requests);
  // The answer given before, or the refusal of a key that was used for something else.
  std::optional<Json> find(const Request& request) const;
  void keep(const Request& request, const Json& answer);
  void keep(const Request& request, const Jsonb* answer);
  void save() const;

 private:
  struct Kept {
    std::string_view operation;
    std::string_view hash;
    Json answer;
    const Jsonb* made = nullptr;  // or the answer as it is stored
    bool is_new = false;
  };
  std::map<std::pair<std::string_view, std::string_view>, Kept> kept_;  // by user and key
};

// Whose subscriptions give access at `now`; nothing is read unless a lot of the account asks for it.
Access access_for(const Account& account, const Settings& settings, Instant now);
// The same at the account's own instant, for a writer: the stored state tells it where it holds.
Access access_now(const Account& account, const Settings& settings);

Json burns_json(const std::vector<Burn>& burns);
// Adds balance, held, available and debt.
void add_balances(Json& answer, const Account& account, const Access& access);
// {success: false, status, reason, next_step}.
Json refusal(const std::string& status, const std::string& reason, const std::string& next_step);
// The refusal of an amount that is not available, with the balances. `own_hold` would be used beside it.
Json refuse_amount(const Account& account, const Access& access, const Settings& settings, Amount amount,
                   Amount own_hold = 0);

// Grants the lot, and says so.
Json granted(Account& account, Lot lot, const Note& note, const Settings& settings);

// A session for one user's account: queue, row, lapses. Nothing when there is no account.
Account* lock_account(std::map<std::string, Account>& accounts, const std::string& user_id, bool create,
                      const Settings& settings);

}  // namespace billing::credits
