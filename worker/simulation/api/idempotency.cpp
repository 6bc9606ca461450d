#include "worker/simulation/api/idempotency.hpp"

#include "worker/simulation/calendar.hpp"

namespace billing::simulation {

std::optional<ApiAnswer> Idempotency::begin(const ApiRequest& request, Seconds now) {
  if (request.method != "POST" || request.idempotency_key.empty()) return std::nullopt;
  const std::string& key = request.idempotency_key;
  if (key.size() > 255)
    return CallError(400, "idempotency_error", "", "The idempotency key is longer than 255 characters.")
        .answer();
  const std::string path = request.target.substr(0, request.target.find('?'));
  const auto found = entries_.find(key);
  if (found == entries_.end() || (found->second.answer && found->second.since + kDay <= now)) {
    entries_[key] = {path, request.body, std::nullopt, now};
    return std::nullopt;
  }
  const Entry& entry = found->second;
  if (!entry.answer)
    return CallError(409, "idempotency_error", "idempotency_key_in_use",
                     "There is currently another in-progress request using this Idempotent Key (that "
                     "probably means "
                     "you submitted twice, and the other request is still going through): " +
                         key + ".")
        .answer();
  if (entry.path != path)
    return CallError(400, "idempotency_error", "",
                     "Keys for idempotent requests can only be used for the same endpoint they were first "
                     "used for ('" +
                         entry.path + "' vs '" + path + "'). Try using a key other than '" + key +
                         "' if you meant to execute a different request.")
        .answer();
  if (entry.body != request.body)
    return CallError(
               400, "idempotency_error", "",
               "Keys for idempotent requests can only be used with the same parameters they were first used "
               "with. Try using a key other than '" +
                   key + "' if you meant to execute a different request.")
        .answer();
  ApiAnswer again = *entry.answer;
  again.headers.emplace_back("Idempotent-Replayed", "true");
  return again;
}

void Idempotency::finish(const ApiRequest& request, const ApiAnswer& answer) {
  const auto found = entries_.find(request.idempotency_key);
  if (request.method != "POST" || found == entries_.end() || found->second.answer) return;
  // A declined card is an outcome; everything else below 500 says that nothing was begun.
  if (answer.status >= 400 && answer.status < 500 && answer.status != 402)
    entries_.erase(found);
  else
    found->second.answer = answer;
}

}  // namespace billing::simulation
