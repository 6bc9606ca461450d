#include "worker/simulation/api/hosted_page.hpp"

#include "worker/simulation/api/checkout.hpp"
#include "worker/simulation/api/parameters.hpp"
#include "worker/simulation/api/subscribing.hpp"

namespace billing::simulation {
namespace {

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

ApiAnswer page(const std::string& title, const std::string& content, int status = 200) {
  ApiAnswer answer;
  answer.status = status;
  answer.content_type = "text/html; charset=utf-8";
  answer.body = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + escaped(title) +
                "</title></head>\n<body><main><h1>" + escaped(title) + "</h1>\n" + content +
                "</main></body></html>\n";
  return answer;
}

ApiAnswer see_other(const std::string& location) {
  ApiAnswer answer = page("Moved", "<a href=\"" + escaped(location) + "\">Go on</a>\n", 303);
  answer.headers.emplace_back("Location", location);
  return answer;
}

std::string button(const char* action, const char* label, const std::string& more = "") {
  return "<form method=\"post\">" + more + "<button name=\"action\" value=\"" + action + "\">" + label +
         "</button></form>\n";
}

std::string link(const Json& url, const char* label) {
  return url.is_string() ? "<a href=\"" + escaped(url.get<std::string>()) + "\">" + label + "</a>\n" : "";
}

std::string with_session(std::string url, const std::string& id) {
  constexpr std::string_view kPlace = "{CHECKOUT_SESSION_ID}";
  for (std::size_t at = url.find(kPlace); at != std::string::npos; at = url.find(kPlace))
    url.replace(at, kPlace.size(), id);
  return url;
}

std::string amount_of(const Json& session) {
  const std::int64_t amount = session.at("amount_total");
  const std::string cents = std::to_string(amount % 100);
  return std::to_string(amount / 100) + "." + (cents.size() < 2 ? "0" : "") + cents + " " +
         session.at("currency").get<std::string>();
}

ApiAnswer checkout(Shop& shop, const ApiRequest& request, const std::string& id) {
  const Json session = shop.get("checkout.session", id);
  std::string problem;
  if (request.method == "POST") {
    const Json form = parse_form(request.body);
    const bool declined = text_of(form, "action") == "decline";
    const CheckoutResult result =
        pay_checkout(shop, id, text_of(form, "email").value_or("payer@example.org"), declined);
    if (result.paid) return see_other(with_session(session["success_url"], id));
    problem = "<p role=\"alert\">" + escaped(result.message) + "</p>\n";
  }
  if (session["status"] != "open")
    return page("Checkout",
                "<p>This session is " + session["status"].get<std::string>() + ".</p>\n" + problem,
                request.method == "POST" ? 409 : 200);
  std::string items = "<ul>";
  for (const Json& item : list_of(shop.note(id), "line_items"))
    items += "<li>" + std::to_string(item.value("quantity", 1)) + " \u00d7 " +
             escaped(text_of(item, "description").value_or(item.at("price").at("id").get<std::string>())) +
             "</li>";
  items += "</ul>\n";
  const bool named = session["customer"].is_string() || session["customer_email"].is_string();
  const std::string email =
      named ? "" : "<label>Email <input name=\"email\" type=\"email\" required></label> ";
  return page("Checkout: " + amount_of(session),
              problem + items + button("pay", "Pay", email) + button("decline", "Pay with a declined card") +
                  link(session["cancel_url"], "Cancel"),
              problem.empty() ? 200 : 402);
}

void act(Shop& shop, const Json& form, const std::string& customer) {
  Json subscription = shop.get("subscription", text_of(form, "subscription").value_or(""));
  if (id_of(subscription, "customer") != customer || !is_live(subscription))
    throw no_such("subscription", subscription.at("id"));
  const std::string action = text_of(form, "action").value_or("");
  if (action == "cancel_now") {
    end_subscription(shop, subscription, "cancellation_requested");
  } else if (action == "cancel_at_period_end" || action == "resume") {
    shop.change("customer.subscription.updated", subscription, [&](Json& changed) {
      set_cancel_at_period_end(shop, changed, action == "cancel_at_period_end");
    });
    plan_period(shop, subscription);
  } else {
    throw invalid("There is no action " + action, "action");
  }
}

ApiAnswer portal(Shop& shop, const ApiRequest& request, const std::string& id) {
  const Json session = shop.get("billing_portal.session", id);
  const std::string customer = session["customer"];
  if (request.method == "POST") {
    act(shop, parse_form(request.body), customer);
    return see_other(session["url"]);
  }
  std::string content = "<ul>\n";
  for (const Json& subscription : shop.all("subscription", "customer", customer)) {
    const std::string sub = subscription.at("id");
    const std::string which = "<input type=\"hidden\" name=\"subscription\" value=\"" + sub + "\">";
    const bool ends = flag_of(subscription, "cancel_at_period_end") || time_of(subscription, "cancel_at");
    content += "<li>" + sub + ": " + subscription.at("status").get<std::string>() +
               (ends ? ", ends with its period" : "") + "\n";
    if (is_live(subscription)) {
      content += ends ? button("resume", "Keep", which)
                      : button("cancel_at_period_end", "Cancel at the end of the period", which);
      content += button("cancel_now", "Cancel now", which);
    }
    content += "</li>\n";
  }
  return page("Billing", content + "</ul>\n" + link(session["return_url"], "Return"));
}

}  // namespace

std::optional<ApiAnswer> answer_page(Shop& shop, const ApiRequest& request) {
  constexpr std::string_view kCheckout = "/c/pay/";
  constexpr std::string_view kPortal = "/p/session/";
  const std::string path = request.target.substr(0, request.target.find_first_of("?#"));
  try {
    if (path.starts_with(kCheckout)) return checkout(shop, request, path.substr(kCheckout.size()));
    if (path.starts_with(kPortal)) return portal(shop, request, path.substr(kPortal.size()));
  } catch (const CallError& error) {
    return page("Not possible", std::string("<p role=\"alert\">") + escaped(error.what()) + "</p>\n",
                error.status());
  }
  return std::nullopt;
}

}  // namespace billing::simulation
