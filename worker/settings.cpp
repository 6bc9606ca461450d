// The table of settings: it drives parsing, --help and reload.
#include "worker/settings.hpp"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "worker/text.hpp"

namespace billing::worker {
namespace {

using Apply = std::string (*)(Config&, const std::string&);

template <std::string Config::*member>
std::string text(Config& config, const std::string& value) {
  config.*member = value;
  return "";
}

template <bool Config::*member>
std::string yes_or_no(Config& config, const std::string& value) {
  if (value != "true" && value != "false") return "is " + json_string(value) + ", not true or false";
  config.*member = value == "true";
  return "";
}

std::string log_level(Config& config, const std::string& value) {
  constexpr std::string_view kNames[] = {"debug", "info", "warning", "error"};
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (value != kNames[i]) continue;
    config.log_level = static_cast<log::Level>(i);
    return "";
  }
  return "is " + json_string(value) + ", not debug, info, warning or error";
}

// Splits "1.5s" style text into its whole number and its unit; false when there is no such number.
bool number_and_unit(const std::string& value, std::uint64_t& number, std::string& unit) {
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc()) return false;
  unit = trim(value.substr(static_cast<std::size_t>(end - value.data())));
  return true;
}

std::string scaled(const std::string& value, const std::map<std::string, std::uint64_t>& units,
                   std::uint64_t low, std::uint64_t high, const std::string& expected,
                   std::uint64_t& result) {
  std::uint64_t number = 0;
  std::string unit;
  if (!number_and_unit(value, number, unit) || !units.contains(unit))
    return "is " + json_string(value) + ", not " + expected;
  const std::uint64_t factor = units.at(unit);
  if (number > high / factor || number * factor < low || number * factor > high)
    return "is " + json_string(value) + ", not between " + std::to_string(low) + " and " +
           std::to_string(high) +
           (units.contains("ms")   ? " ms"
            : units.contains("kB") ? " bytes"
                                   : "");
  result = number * factor;
  return "";
}

template <std::uint64_t Config::*member, std::uint64_t low, std::uint64_t high>
std::string count(Config& config, const std::string& value) {
  return scaled(value, {{"", 1}}, low, high, "a whole number", config.*member);
}

template <std::uint64_t Config::*member, std::uint64_t low, std::uint64_t high>
std::string bytes(Config& config, const std::string& value) {
  return scaled(value, {{"", 1}, {"kB", 1024}, {"MB", 1024 * 1024}, {"GB", 1024 * 1024 * 1024}}, low, high,
                "a size such as 1048576, 512kB or 1MB", config.*member);
}

std::string reconcile_every(Config& config, const std::string& value) {
  constexpr std::uint64_t kDay = 24 * 3600 * 1000;
  static const std::map<std::string, std::uint64_t> units = {{"s", 1000}, {"min", 60000}, {"h", 3600000}};
  std::uint64_t milliseconds = 0;
  const std::string problem =
      value == "0" ? "" : scaled(value, units, 1000, kDay, "a time like 1h, or 0", milliseconds);
  config.reconcile_every = Config::Milliseconds(milliseconds);
  return problem;
}

template <Config::Milliseconds Config::*member>
std::string duration(Config& config, const std::string& value) {
  std::uint64_t milliseconds = 0;
  std::string problem = scaled(value, {{"", 1000}, {"ms", 1}, {"s", 1000}, {"min", 60000}}, 10, 3600000,
                               "a time such as 10, 10s, 500ms or 2min", milliseconds);
  config.*member = Config::Milliseconds(milliseconds);
  return problem;
}

constexpr std::uint64_t kMega = 1024 * 1024;

constexpr Setting kSettings[] = {
    {"DATABASE_URL", "--database-url", "", false, true,
     "libpq URL or keywords of the database with the extension; empty: libpq's own defaults (PGHOST...). "
     "Give a "
     "password in the environment or a file, since flags show in the process list",
     text<&Config::database_url>},
    {"PG_BILLING_API_ALIASES", "--api-aliases", "", true, false,
     "further paths of the API, comma-separated: /old/status=subscription for one, /api/v1/billing/* for all",
     text<&Config::api_aliases>},
    {"PG_BILLING_API_CHECKOUTS", "--api-checkouts", "10", true, false,
     "checkouts that a user may ask for in a minute", count<&Config::api_checkouts, 1, 1000>},
    {"PG_BILLING_API_CONNECTIONS", "--api-connections", "4", true, false,
     "database connections for the API, opened when it is used", count<&Config::api_connections, 1, 64>},
    {"PG_BILLING_API_PREFIX", "--api-prefix", "/billing", true, false,
     "where the API for front ends is: /billing/checkout and so on", text<&Config::api_prefix>},
    {"PG_BILLING_BATCH_TIMEOUT", "--batch-timeout", "30s", true, false,
     "a batch that takes longer in the database is cancelled and run again",
     duration<&Config::batch_timeout>},
    {"PG_BILLING_BODY_TIMEOUT", "--body-timeout", "10s", true, false, "time for a request's body to arrive",
     duration<&Config::body_timeout>},
    {"PG_BILLING_CANCEL_URL", "--cancel-url", "/billing/canceled", true, false,
     "where customers come back to who leave a checkout, unless it says so itself: a path of the page that "
     "asks, or a URL",
     text<&Config::cancel_url>},
    {"PG_BILLING_CONNECTIONS", "--connections", "2", false, false,
     "database connections for webhooks, 2 to 64; housekeeping has one more",
     count<&Config::connections, 2, 64>},
    {"PG_BILLING_DRAIN_TIMEOUT", "--drain-timeout", "30s", true, false,
     "after SIGTERM, time for the requests in flight", duration<&Config::drain_timeout>},
    {"PG_BILLING_HEADER_TIMEOUT", "--header-timeout", "5s", true, false,
     "time for a request's header, and for a TLS handshake, to arrive", duration<&Config::header_timeout>},
    {"PG_BILLING_IDLE_TIMEOUT", "--idle-timeout", "60s", true, false,
     "a kept connection without a request is closed after this", duration<&Config::idle_timeout>},
    {"PG_BILLING_JWT_AUDIENCE", "--jwt-audience", "", true, false,
     "comma-separated; a token's aud must have one of them", text<&Config::jwt_audience>},
    {"PG_BILLING_JWT_CLAIM", "--jwt-claim", "sub", true, false,
     "the claim that is the user id; a.b is b inside of a", text<&Config::jwt_claim>},
    {"PG_BILLING_JWT_ISSUER", "--jwt-issuer", "", true, false,
     "comma-separated; a token's iss must be one of them", text<&Config::jwt_issuer>},
    {"PG_BILLING_JWT_JWKS", "--jwt-jwks", "", true, false,
     "file or https URL of the key set (JWKS) that signs users' tokens with RS256 or ES256; switches the API "
     "on",
     text<&Config::jwt_key_set>},
    {"PG_BILLING_JWT_SECRET", "", "", true, true,
     "comma-separated secrets, of 32 characters or more, that sign users' tokens with HS256; switches the "
     "API "
     "on",
     text<&Config::jwt_secret>},
    {"PG_BILLING_LISTEN", "--listen", "127.0.0.1:8480", false, false,
     "comma-separated address:port pairs; [::1]:8480 for IPv6, port 0 for any", text<&Config::listen>},
    {"PG_BILLING_LOG_LEVEL", "--log-level", "info", true, false,
     "debug, info, warning or error; the line of each event is info", log_level},
    {"PG_BILLING_MAX_BODY", "--max-body", "1MB", true, false,
     "largest body of a request; more is answered with 413",
     bytes<&Config::max_body, 1024, 4 * kMega - 4096>},
    {"PG_BILLING_MAX_CONNECTIONS", "--max-connections", "1000", true, false,
     "client connections; more are answered with 503", count<&Config::max_connections, 1, 100000>},
    {"PG_BILLING_NOTIFY_ALLOW_HTTP", "--notify-allow-http", "false", true, false,
     "true sends notifications over plain HTTP to other machines too: whoever is in between reads them",
     yes_or_no<&Config::notify_allow_http>},
    {"PG_BILLING_NOTIFY_CA", "--notify-ca", "", true, false,
     "certificates (PEM) to trust besides the system's when notifications are sent",
     text<&Config::notify_certificates>},
    {"PG_BILLING_NOTIFY_CONNECTIONS", "--notify-connections", "4", true, false,
     "notifications sent at the same time", count<&Config::notify_connections, 1, 64>},
    {"PG_BILLING_NOTIFY_SECRET", "", "", true, true,
     "comma-separated secrets (whsec_ and base64) that sign notifications; two while one is being replaced",
     text<&Config::notify_secret>},
    {"PG_BILLING_NOTIFY_TIMEOUT", "--notify-timeout", "10s", true, false,
     "time for one notification to be sent and answered", duration<&Config::notify_timeout>},
    {"PG_BILLING_NOTIFY_URL", "--notify-url", "", true, false,
     "where notifications are sent as signed webhooks; empty: nowhere, applications fetch them",
     text<&Config::notify_url>},
    {"PG_BILLING_OPERATOR_DATABASE_URL", "", "", false, true,
     "like DATABASE_URL, for the operator's page: a role of kind admin, whose name is kept with what is done "
     "there",
     text<&Config::operator_database_url>},
    {"PG_BILLING_OPERATOR_HOSTS", "--operator-hosts", "", true, false,
     "comma-separated names by which browsers reach the operator's page, besides localhost and its address: "
     "a "
     "proxy's",
     text<&Config::operator_hosts>},
    {"PG_BILLING_OPERATOR_LISTEN", "--operator-listen", "127.0.0.1:8481", false, false,
     "where the operator's page is served; other machines reach it only with TLS",
     text<&Config::operator_listen>},
    {"PG_BILLING_OPERATOR_TOKEN", "", "", true, true,
     "switches the operator's page on, and signs in there: at least 24 characters; comma-separated, several "
     "while one is being replaced",
     text<&Config::operator_token>},
    {"PG_BILLING_ORIGINS", "--origins", "", true, false,
     "comma-separated origins of the front ends, https://app.example.com: they may call the API, and "
     "customers are sent nowhere else",
     text<&Config::origins>},
    {"PG_BILLING_QUEUE_BYTES", "--queue-bytes", "64MB", true, false, "bodies held in memory; beyond it 503",
     bytes<&Config::queue_bytes, 64 * 1024, 4096 * kMega>},
    {"PG_BILLING_QUEUE_EVENTS", "--queue-events", "2000", true, false,
     "events waiting for their commit; beyond it 503", count<&Config::queue_events, 1, 1000000>},
    {"PG_BILLING_RECONCILE_EVERY", "--reconcile-every", "0", false, false,
     "time between two comparisons with Stripe's API, which make good what webhooks did not bring (1h is a "
     "good one); 0: never",
     reconcile_every},
    {"PG_BILLING_REQUEST_TIMEOUT", "--request-timeout", "20s", true, false,
     "time from a request's first byte to its answer; then 503 (or 408 while it still arrives)",
     duration<&Config::request_timeout>},
    {"PG_BILLING_RETURN_URL", "--return-url", "/billing", true, false,
     "where customers come back to from the portal, unless the request says so itself",
     text<&Config::return_url>},
    {"PG_BILLING_SCHEMA", "--schema", "", false, false,
     "the extension's schema; empty: found in pg_extension", text<&Config::schema>},
    {"PG_BILLING_SHADOW", "--shadow", "false", false, false,
     "true runs beside another system: events take effect in the database and nowhere else, and what that "
     "system says otherwise is reported",
     yes_or_no<&Config::shadow>},
    {"PG_BILLING_SHADOW_INTERVAL", "--shadow-interval", "60s", true, false,
     "time between two comparisons; what two in a row find is reported", duration<&Config::shadow_interval>},
    {"PG_BILLING_SHADOW_QUERY", "--shadow-query", "", true, false,
     "what the other system says: a table, a view or a SELECT with user_id and any of has_access, state, "
     "plan, stripe_status, credits",
     text<&Config::shadow_query>},
    {"PG_BILLING_SUCCESS_URL", "--success-url", "/billing/success?session_id={CHECKOUT_SESSION_ID}", true,
     false, "where customers come back to who have paid, unless the checkout says so itself",
     text<&Config::success_url>},
    {"PG_BILLING_TLS_CERT", "--tls-cert", "", true, false,
     "certificate chain (PEM) that switches TLS on; default is plain HTTP behind a proxy",
     text<&Config::tls_certificate>},
    {"PG_BILLING_TLS_KEY", "--tls-key", "", true, false, "private key (PEM) of the certificate",
     text<&Config::tls_key>},
    {"PG_BILLING_WEBHOOK_PATHS", "--webhook-paths", "/stripe/webhook", true, false,
     "comma-separated exact paths; path=NAME takes the secrets of that endpoint from the variable NAME "
     "instead of "
     "STRIPE_WEBHOOK_SECRET",
     text<&Config::webhook_paths>},
    {"PG_BILLING_WEBHOOK_URL", "--webhook-url", "", false, false,
     "the public address of the webhook path, as Stripe calls it; for `doctor` and `webhook`",
     text<&Config::webhook_url>},
    {"STRIPE_API_BASE", "", "https://api.stripe.com", false, false,
     "where Stripe's API is; plain http only on this machine, for tests", text<&Config::api_base>},
    {"STRIPE_API_CA", "", "", false, false, "certificates (PEM) to trust in place of the system's, for tests",
     text<&Config::api_certificates>},
    {"STRIPE_API_RATE", "--api-rate", "20", false, false,
     "requests to Stripe's API a second; Stripe allows 100 in live mode and 25 in test mode",
     count<&Config::api_rate, 1, 1000>},
    {"STRIPE_LIVE_MODE", "--live-mode", "false", false, false,
     "true for live keys and events, false for test ones; must agree with the extension's setting mode",
     yes_or_no<&Config::live_mode>},
    {"STRIPE_PUBLISHABLE_KEY", "", "", false, false, "pk_..., which the API tells front ends",
     text<&Config::publishable_key>},
    {"STRIPE_SECRET_KEY", "", "", false, true,
     "sk_... or rk_...: settles what webhooks leave in doubt by asking Stripe's API; without it that stays "
     "flagged",
     text<&Config::secret_key>},
    {"STRIPE_WEBHOOK_SECRET", "", "", true, true,
     "comma-separated signing secrets (whsec_...) of the endpoints; two while one is being rolled",
     text<&Config::webhook_secret>},
};
static_assert(std::is_sorted(std::begin(kSettings), std::end(kSettings),
                             [](const Setting& a, const Setting& b) { return a.name < b.name; }));

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0u);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({changed, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return row.back();
}

void append_wrapped(std::string& out, std::string_view words, std::size_t indent, std::size_t width) {
  std::size_t column = 0;
  for (const std::string& word : split(words, ' ')) {
    if (column == 0 || column + 1 + word.size() > width) {
      if (column != 0) out += '\n';
      out.append(indent, ' ');
      column = indent;
    } else {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  out += '\n';
}

}  // namespace

std::span<const Setting> settings() { return kSettings; }

const Setting* find_setting(std::string_view name) {
  const auto found = std::find_if(std::begin(kSettings), std::end(kSettings),
                                  [&](const Setting& setting) { return setting.name == name; });
  return found == std::end(kSettings) ? nullptr : found;
}

const Setting* find_flag(std::string_view flag) {
  const auto found = std::find_if(std::begin(kSettings), std::end(kSettings), [&](const Setting& setting) {
    return !setting.flag.empty() && setting.flag == flag;
  });
  return found == std::end(kSettings) ? nullptr : found;
}

std::string_view nearest(std::string_view given, const std::vector<std::string_view>& known) {
  std::string_view best;
  std::size_t distance = std::max<std::size_t>(2, given.size() / 3) + 1;
  for (const std::string_view candidate : known) {
    const std::size_t found = edit_distance(given, candidate);
    if (found >= distance) continue;
    distance = found;
    best = candidate;
  }
  return best;
}

std::string settings_help() {
  std::string out;
  for (const Setting& setting : kSettings) {
    out.append("  ").append(setting.name);
    if (!setting.flag.empty())
      out.append("  ").append(setting.flag).append(is_switch(setting) ? " [true|false]" : " VALUE");
    out += '\n';
    std::string meaning(setting.meaning);
    if (!setting.fallback.empty()) meaning.append(". Default: ").append(setting.fallback);
    if (setting.reloads) meaning.append(". Reloads");
    append_wrapped(out, meaning, 6, 100);
  }
  return out;
}

}  // namespace billing::worker
