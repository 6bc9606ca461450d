// POST cancel, resume, change: written to the outbox, performed at once, answered with the new state.
#include "worker/api/patience.hpp"
#include "worker/config.hpp"

namespace billing::worker::api {

namespace asio = boost::asio;

namespace {

constexpr auto kPatience = std::chrono::seconds(15);

// What it would cost, without what only Stripe's own pages need.
Json preview_of(const Json& invoice) {
  Json shown = Json::object();
  for (const char* name : {"amount_due", "subtotal", "total", "currency", "starting_balance",
                           "ending_balance", "next_payment_attempt", "period_start", "period_end"})
    shown[name] = at(invoice, name);
  shown["lines"] = Json::array();
  for (const Json& line : list_of(invoice, "lines"))
    shown["lines"].push_back({{"description", at(line, "description")},
                              {"amount", at(line, "amount")},
                              {"quantity", at(line, "quantity")},
                              {"period", at(line, "period")}});
  return shown;
}

[[noreturn]] void refuse(const Json& told) {
  if (told.contains("retry_in")) too_many(told);
  Error error;
  error.code = text_of(told, "reason").value_or("refused");
  error.status = error.code == "no_subscription" ? 409 : 422;
  error.message = error.code == "no_subscription" ? "there is no subscription"
                                                  : text_of(told, "message").value_or("that cannot be done");
  error.param = text_of(told, "param").value_or("");
  if (error.code == "no_subscription") error.hint = "begin with a checkout";
  throw Failure(error);
}

// Answered with 200, though nothing was to be done: it is as it was asked for.
bool is_so_already(const std::string& status) {
  return status == "already_ending" || status == "not_ending" || status == "unchanged";
}

asio::awaitable<Response> change(Call& call, const char* action, Json wanted) {
  call.client();
  wanted["most"] = std::stoi(kMostWrites);
  const Json told = co_await call.database.json("SELECT {s}.api_change($1, $2, $3::pg_catalog.jsonb)",
                                                call.user.user_id, std::string(action), to_text(wanted));
  std::string status = text_of(told, "status").value_or("");
  const auto request_id = text_of(told, "request_id");
  if (!request_id && !is_so_already(status)) refuse(told);
  Json answer = Json::object();
  int code = 200;
  if (request_id) {
    const Json row = co_await perform(call, *request_id);
    status = text_of(row, "status").value_or("pending");
    // Whoever asks for the subscription later sees it.
    if (status == "pending" || status == "held") code = 202;
    if (status == "succeeded")
      co_await wait_until(call, "SELECT {s}.is_api_change_applied($1, $2)", *request_id);
    answer["request_id"] = *request_id;
    if (flag_of(wanted, "preview") && code == 200) answer["preview"] = preview_of(at(row, "response"));
  }
  answer["status"] = status;
  answer["subscription"] = co_await call.database.json("SELECT {s}.api_subscription($1)", call.user.user_id);
  co_return answer_with(answer, code);
}

Json flag_in(const Call& call, const char* name) {
  const Json& value = at(call.body, name);
  if (!value.is_null() && !value.is_boolean())
    throw Failure(invalid(name, std::string(name) + " must be true or false"));
  return value;
}

void put(Json& wanted, const char* name, std::string text) {
  if (!text.empty()) wanted[name] = std::move(text);
}

}  // namespace

asio::awaitable<Json> perform(Call& call, std::string request_id) {
  call.client();
  const auto row = co_await call.outbox.perform(request_id, kPatience);
  if (!row) co_return Json::object();
  if (text_of(*row, "status") != "failed") co_return *row;
  const Json& told = at(*row, "error");
  const auto member = [&](const char* name) { return text_of(told, name).value_or(""); };
  stripe::Answer answer;
  answer.status = static_cast<int>(integer_of(*row, "http_status").value_or(500));
  answer.request_id = text_of(*row, "stripe_request_id").value_or("");
  answer.error = stripe::ApiError{member("type"), member("code"), member("decline_code"), member("param"),
                                  member("message")};
  stripe_refused(call, answer);
}

asio::awaitable<Response> answer_cancel(Call& call) {
  Json wanted = Json::object();
  const Json at_end = flag_in(call, "at_period_end");
  if (!at_end.is_null()) wanted["at_period_end"] = at_end;
  put(wanted, "comment", call.text({"comment"}));
  put(wanted, "feedback", call.text({"feedback"}));
  return change(call, "cancel", std::move(wanted));
}

asio::awaitable<Response> answer_resume(Call& call) { return change(call, "resume", Json::object()); }

asio::awaitable<Response> answer_change(Call& call) {
  Json wanted = Json::object();
  put(wanted, "price", call.text({"price", "price_id"}));
  put(wanted, "plan", call.text({"plan", "plan_name"}));
  put(wanted, "cycle", call.text({"cycle", "billing_cycle"}));
  put(wanted, "apply_when", call.text({"apply_when"}));
  if (wanted.contains("price") && wanted.contains("plan"))
    throw Failure(invalid("price", "either a price or a plan must be given, not both"));
  if (const std::string when = wanted.value("apply_when", "now"); when != "now" && when != "period_end")
    throw Failure(invalid("apply_when", "apply_when must be now or period_end"));
  if (const Json quantity = quantity_in(call); !quantity.is_null()) wanted["quantity"] = quantity;
  if (wanted.empty())
    throw Failure(
        invalid("plan", "nothing to change is given", "pass a plan, a cycle, a price or a quantity"));
  const Json preview = flag_in(call, "preview");
  if (!preview.is_null()) wanted["preview"] = preview;
  return change(call, "change", std::move(wanted));
}

}  // namespace billing::worker::api
