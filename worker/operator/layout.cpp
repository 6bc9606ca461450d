// What every page has around it.
#include "worker/operator/layout.hpp"

#include "worker/operator/assets.hpp"
#include "worker/operator/fragments.hpp"

namespace billing::worker::operators {
namespace {

struct Place {
  Literal path;
  Literal name;
};

constexpr Place kPlaces[] = {{"/", "Overview"},
                             {"/events", "Events"},
                             {"/parked", "Parked"},
                             {"/users", "Users"},
                             {"/alerts", "Alerts"}};

// The entry of the navigation that a page is under.
std::string_view home_of(std::string_view path) {
  if (path.starts_with("/event")) return "/events";
  if (path == "/link" || path == "/conflict") return "/parked";
  if (path == "/user" || path == "/credits") return "/users";
  return path;
}

void put_head(Html& html, const std::string& title) {
  const auto head = html.open("head");
  html.single("meta", {{"charset", "utf-8"}});
  html.put("title", title + " · pg_billing");
  html.single("meta", {{"name", "viewport"}, {"content", "width=device-width, initial-scale=1"}});
  html.single("meta", {{"name", "color-scheme"}, {"content", "light dark"}});
  html.single("link", {{"rel", "stylesheet"}, {"href", "/style.css"}});
  html.single("link", {{"rel", "icon"}, {"href", "/icon.svg"}, {"type", "image/svg+xml"}});
  const auto script = html.open("script", {{"src", "/script.js"}, {"defer", true}});
}

void put_navigation(Html& html, Visit& visit) {
  const auto header = html.open("header");
  {
    const auto name = html.open("p", {{"class", "name"}});
    html.text("pg_billing");
    const std::string& mode = visit.worker.mode();
    if (!mode.empty())
      html.put("span", {{"class", mode == "live" ? "mode live" : "mode"}},
               mode == "live" ? "live" : "test mode");
  }
  if (visit.form_key.empty()) return;
  {
    const auto navigation = html.open("nav", {{"aria-label", "Pages"}});
    const auto list = html.open("ul");
    for (const Place& place : kPlaces) {
      const auto item = html.open("li");
      const std::string_view home = home_of(visit.request.path);
      const auto current = home != place.path.text()    ? std::nullopt
                           : visit.request.path == home ? std::optional<std::string>("page")
                                                        : std::optional<std::string>("true");
      html.put("a", {{"href", place.path.text()}, {"aria-current", current}}, place.name.text());
    }
  }
  const auto form = html.open("form", {{"method", "post"}, {"action", "/sign-out"}, {"class", "sign-out"}});
  html.single("input", {{"type", "hidden"}, {"name", "key"}, {"value", visit.form_key}});
  html.put("button", {{"type", "submit"}, {"class", "plain"}}, "Sign out");
}

Response asset(std::string_view text, const char* type) {
  Response response;
  response.body = text;
  response.content_type = type;
  guard(response);
  return response;
}

}  // namespace

Response page_of(Visit& visit) {
  Html html;
  {
    const auto page = html.open("html", {{"lang", "en"}});
    put_head(html, visit.title);
    const auto body = html.open("body");
    html.put("a", {{"href", "#main"}, {"class", "skip"}}, "Skip to the content");
    put_navigation(html, visit);
    {
      const auto main = html.open("main", {{"id", "main"}, {"tabindex", "-1"}});
      html.put("h1", visit.title);
      if (!visit.notice.empty()) html.put("p", {{"class", "notice"}, {"role", "status"}}, visit.notice);
      html.add(std::move(visit.html));
    }
    const auto footer = html.open("footer");
    std::string line = "All times are UTC. pg_billing " PG_BILLING_VERSION;
    if (!visit.role.empty()) line += ". Acts as role " + visit.role;
    html.put("p", line + ".");
  }
  Response response;
  response.status = visit.status;
  response.content_type = "text/html; charset=utf-8";
  response.body = "<!DOCTYPE html>\n" + html.take() + "\n";
  guard(response);
  return response;
}

void guard(Response& response) {
  response.fields.emplace_back("Content-Security-Policy",
                               "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
                               "form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
  response.fields.emplace_back("X-Content-Type-Options", "nosniff");
  response.fields.emplace_back("Referrer-Policy", "no-referrer");
  response.fields.emplace_back("Cross-Origin-Opener-Policy", "same-origin");
  response.fields.emplace_back("Cross-Origin-Resource-Policy", "same-origin");
}

Response stylesheet() { return asset(kStyle, "text/css; charset=utf-8"); }
Response script() { return asset(kScript, "text/javascript; charset=utf-8"); }
Response icon() { return asset(kIcon, "image/svg+xml"); }

}  // namespace billing::worker::operators
