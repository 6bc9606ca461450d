// The operator's page.
#include "worker/operator/desk.hpp"

#include <boost/asio/use_awaitable.hpp>

#include "worker/log.hpp"
#include "worker/operator/fragments.hpp"
#include "worker/operator/gate.hpp"
#include "worker/operator/layout.hpp"
#include "worker/operator/pages.hpp"

namespace billing::worker::operators {

namespace asio = boost::asio;

namespace {

constexpr long kMostSessions = 32;

struct Route {
  std::string_view path;
  Void (*put)(Visit&);
};
constexpr Route kPages[] = {{"/", put_overview},     {"/events", put_events}, {"/event", put_event},
                            {"/parked", put_parked}, {"/link", put_link},     {"/conflict", put_conflict},
                            {"/users", put_users},   {"/user", put_user},     {"/credits", put_credits},
                            {"/alerts", put_alerts}};

struct Change {
  std::string_view path;
  asio::awaitable<Done> (*make)(Visit&);
};
constexpr Change kChanges[] = {
    {"/event/replay", replay_event}, {"/link", link_customer}, {"/conflict", resolve_conflict}};

template <typename Entry, std::size_t size>
const Entry* find(const Entry (&entries)[size], std::string_view path) {
  for (const Entry& entry : entries)
    if (entry.path == path) return &entry;
  return nullptr;
}

Response moved_to(const std::string& place) {
  Response response;
  response.status = 303;
  response.fields.emplace_back("Location", place);
  response.content_type = "text/plain; charset=utf-8";
  guard(response);
  return response;
}

Response plainly_refused(const Refusal& refusal) {
  Response response = refused(refusal);
  guard(response);
  return response;
}

Response problem_page(Visit& visit, const Failure& failure) {
  visit.html.clear();
  visit.status = failure.status();
  visit.title = failure.status() == 404   ? "Not found"
                : failure.status() == 403 ? "Not allowed"
                : failure.status() < 500  ? "That did not work"
                : failure.status() == 500 ? "Something is wrong here"
                                          : "No answer from the database";
  put_failure(visit.html, failure);
  return page_of(visit);
}

Failure failure_of(const Refusal& refusal) { return {refusal.status, refusal.message, refusal.next_step}; }

void note_refusal(const Request& request, const Refusal& refusal) {
  log::Line(log::Level::warning, "operator_refused")
      .add("reason", refusal.reason)
      .add("path", request.path)
      .add("remote", request.remote);
}

Failure unforeseen(const std::exception& problem) {
  log::Line(log::Level::error, "operator_page_failed").add("error", problem.what());
  return {500, std::string("the page could not be made: ") + problem.what(),
          "This is a mistake in pg_billing: please report it, with the page's address."};
}

Refusal wrong_method(const char* allowed) {
  return {405, "method_not_allowed", "this is not asked for in this way",
          "Use the page's own links and forms.", allowed};
}

}  // namespace

Desk::Desk(Runtime& runtime, const Pages& worker)
    : runtime_(runtime),
      worker_(worker),
      connections_(std::make_shared<Connections>(runtime.io, runtime.config->operator_connection)),
      listener_(runtime.io, "PG_BILLING_OPERATOR_LISTEN", Listener::Plain::refused,
                [this](auto socket, const TlsContext& tls) { take(std::move(socket), tls); }) {}

void Desk::take(asio::ip::tcp::socket socket, const TlsContext& tls) {
  // Beyond the limit the connection just ends: browsers say so, and try again.
  if (sessions_.use_count() > kMostSessions) return;
  auto answerer = [this](Request request) {
    return answer(std::make_shared<Visit>(std::move(request), worker_, connections_));
  };
  start_session(runtime_.io, std::move(socket), tls, std::move(answerer), sessions_);
}

asio::awaitable<Response> Desk::answer(std::shared_ptr<Visit> visit) {
  const auto held = answering_;
  Response response;
  if (auto at_once = answer_at_once(*visit)) {
    response = std::move(*at_once);
  } else if (const auto bearer = bearer_of(visit->request)) {
    response = co_await answer_program(*visit, *bearer);
  } else {
    response = co_await answer_person(*visit);
  }
  response.omit_body = visit->request.head;
  co_return response;
}

// What nobody has to be known for.
std::optional<Response> Desk::answer_at_once(Visit& visit) {
  const Request& asked = visit.request;
  auto refusal = judge_host(asked, runtime_.config->operator_names);
  if (!refusal && asked.changes() && asked.authorization.empty()) refusal = judge_origin(asked);
  if (refusal) {
    note_refusal(asked, *refusal);
    return problem_page(visit, failure_of(*refusal));
  }
  if (asked.changes()) return std::nullopt;
  if (asked.method != "GET") return plainly_refused(wrong_method("GET, HEAD, POST"));
  if (asked.path == "/style.css") return stylesheet();
  if (asked.path == "/script.js") return script();
  if (asked.path == "/icon.svg") return icon();
  return std::nullopt;
}

asio::awaitable<Response> Desk::answer_program(Visit& visit, std::string token) {
  const Request& asked = visit.request;
  const auto now = Clock::now();
  const bool may = sign_ins_.may_try(asked.remote, now);
  if (!may || SignIns::recognise(token, runtime_.config->operator_tokens).empty()) {
    const Refusal unknown{may ? 401 : 429, may ? "unknown_token" : "too_many_tries",
                          may ? "the token is not one of this page's" : "there were too many wrong tokens",
                          may ? "use one of PG_BILLING_OPERATOR_TOKEN" : "wait a minute", ""};
    if (may) sign_ins_.note_failure(asked.remote, now);
    note_refusal(asked, unknown);
    Response response = plainly_refused(unknown);
    if (may) response.fields.emplace_back("WWW-Authenticate", "Bearer");
    co_return response;
  }
  Response response;
  if (asked.changes())
    response = co_await change(visit, true);
  else
    response = co_await visit_page(visit);
  co_return response;
}

asio::awaitable<Response> Desk::answer_person(Visit& visit) {
  const Request& asked = visit.request;
  if (asked.path == "/sign-in") co_return asked.changes() ? sign_in(visit) : sign_in_page(visit, "");
  SignIn* known = sign_ins_.find(cookie_of(asked), runtime_.config->operator_tokens, Clock::now());
  if (known == nullptr) {
    if (asked.changes())
      co_return problem_page(
          visit, {403, "nobody is signed in, or no longer", "Sign in at /sign-in, and send the form again."});
    const Link wanted = Link("/sign-in").with("next", asked.path == "/" ? "" : asked.target);
    co_return moved_to(wanted.text());
  }
  visit.form_key = known->form_key;
  if (asked.changes() && !same(asked.form.get("key"), visit.form_key))
    co_return problem_page(
        visit, {403, "the form is not one of this sign-in's", "Open the page again, and send its form."});
  if (asked.changes() && asked.path == "/sign-out") co_return sign_out(visit);
  Response response;
  if (asked.changes()) {
    response = co_await change(visit, false);
  } else {
    visit.notice = std::exchange(known->notice, "");
    response = co_await visit_page(visit);
  }
  co_return response;
}

asio::awaitable<Response> Desk::visit_page(Visit& visit) {
  std::optional<Failure> failure;
  const Route* route = find(kPages, visit.request.path);
  if (route == nullptr) {
    failure.emplace(404, "there is no such page", "Begin with the overview: /");
  } else {
    try {
      co_await route->put(visit);
    } catch (const Failure& problem) {
      failure = problem;
    } catch (const std::exception& problem) {
      failure = unforeseen(problem);
    }
  }
  co_return failure ? problem_page(visit, *failure) : page_of(visit);
}

asio::awaitable<Response> Desk::change(Visit& visit, bool program) {
  std::optional<Failure> failure;
  Done done;
  const Change* change = find(kChanges, visit.request.path);
  if (change == nullptr) {
    failure.emplace(405, "nothing can be changed here", "Use the page's own links and forms.");
  } else {
    try {
      done = co_await change->make(visit);
    } catch (const Failure& problem) {
      failure = problem;
    } catch (const std::exception& problem) {
      failure = unforeseen(problem);
    }
  }
  log::Line(failure ? log::Level::warning : log::Level::info, "operator_change")
      .add("path", visit.request.path)
      .add("role", visit.role)
      .add("remote", visit.request.remote)
      .add("error", failure ? failure->what() : "");
  if (program) {
    if (failure)
      co_return plainly_refused({failure->status(),
                                 failure->sqlstate().empty() ? "failed" : failure->sqlstate(),
                                 failure->what(), failure->next_step(), ""});
    Response response;
    response.body = to_text(done.answer) + "\n";
    guard(response);
    co_return response;
  }
  if (failure) co_return problem_page(visit, *failure);
  if (SignIn* known =
          sign_ins_.find(cookie_of(visit.request), runtime_.config->operator_tokens, Clock::now()))
    known->notice = std::move(done.notice);
  co_return moved_to(done.place);
}

Response Desk::sign_in_page(Visit& visit, const std::string& complaint) {
  Html& html = visit.html;
  visit.title = "Sign in";
  if (!complaint.empty())
    html.put("p", {{"class", "failure"}, {"role", "alert"}, {"id", "complaint"}}, complaint);
  const Form& given = visit.request.changes() ? visit.request.form : visit.request.query;
  const auto form = html.open("form", {{"method", "post"}, {"action", "/sign-in"}, {"class", "sign-in"}});
  html.single("input", {{"type", "hidden"}, {"name", "next"}, {"value", safe_place(given.get("next"))}});
  put_field(visit, {"token", "Token", "", "One of PG_BILLING_OPERATOR_TOKEN in the worker's settings.", true,
                    "password", "current-password"});
  html.put("button", {{"type", "submit"}}, "Sign in");
  return page_of(visit);
}

Response Desk::sign_in(Visit& visit) {
  const Request& asked = visit.request;
  const auto now = Clock::now();
  if (!sign_ins_.may_try(asked.remote, now)) {
    visit.status = 429;
    note_refusal(asked, {429, "too_many_tries", "", "", ""});
    return sign_in_page(visit, "There were too many wrong tokens from here. Wait a minute.");
  }
  const std::string token = SignIns::recognise(asked.form.get("token"), runtime_.config->operator_tokens);
  if (token.empty()) {
    sign_ins_.note_failure(asked.remote, now);
    visit.status = 403;
    note_refusal(asked, {403, "unknown_token", "", "", ""});
    return sign_in_page(visit, "That is not one of this page's tokens.");
  }
  log::Line(log::Level::info, "operator_signed_in").add("remote", asked.remote);
  Response response = moved_to(safe_place(asked.form.get("next")));
  response.fields.emplace_back("Set-Cookie", cookie_field(asked, sign_ins_.open(token, now)));
  return response;
}

Response Desk::sign_out(Visit& visit) {
  sign_ins_.close(cookie_of(visit.request));
  Response response = moved_to("/sign-in");
  response.fields.emplace_back("Set-Cookie", cookie_field(visit.request, ""));
  return response;
}

}  // namespace billing::worker::operators
