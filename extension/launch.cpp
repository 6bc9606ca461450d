#include "launch.hpp"

#include "pg/postmaster_file.hpp"
#include "pg/prelude.hpp"

namespace billing {
namespace {

constexpr char kUrlVariable[] = "DATABASE_URL";

bool enabled = false;
char* database = nullptr;
char* user = nullptr;
char* config = nullptr;

static_assert(sizeof(Launch::database) == NAMEDATALEN && sizeof(Launch::user) == NAMEDATALEN);

bool check_name(char** value, void**, GucSource) {
  if (strlen(*value) < NAMEDATALEN) return true;
  GUC_check_errdetail("A name has at most %d bytes, this one has %zu.", NAMEDATALEN - 1, strlen(*value));
  return false;
}

bool check_path(char** value, void**, GucSource) {
  if (strlen(*value) >= sizeof(Launch::config)) {
    GUC_check_errdetail("A path has at most %zu bytes, this one has %zu.", sizeof(Launch::config) - 1,
                        strlen(*value));
    return false;
  }
  if (**value == '\0' || **value == '/') return true;
  GUC_check_errdetail("\"%s\" is not an absolute path.", *value);
  GUC_check_errhint("Write it from the root, such as /etc/pg_billing/worker.conf.");
  return false;
}

void append_percent_encoded(StringInfo out, const char* text) {
  for (; *text != '\0'; ++text) {
    auto byte = static_cast<unsigned char>(*text);
    bool plain = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
                 (byte >= 'a' && byte <= 'z') || strchr("-._~", byte) != nullptr;
    if (plain)
      appendStringInfoChar(out, *text);
    else
      appendStringInfo(out, "%%%02X", byte);
  }
}

const char* database_url(const Launch& launch) {
  pg::ServerAddress address;
  pg::read_server_address(&address);
  StringInfoData url;
  initStringInfo(&url);
  appendStringInfo(&url, "%s=postgresql:///", kUrlVariable);
  append_percent_encoded(&url, launch.database);
  appendStringInfo(&url, "?port=%s", address.port);
  if (address.host[0] != '\0') {
    appendStringInfoString(&url, "&host=");
    append_percent_encoded(&url, address.host);
  }
  if (launch.user[0] != '\0') {
    appendStringInfoString(&url, "&user=");
    append_percent_encoded(&url, launch.user);
  }
  return url.data;
}

const char* skip_blanks(const char* text) {
  while (*text == ' ' || *text == '\t') ++text;
  return text;
}

bool line_names_database(const char* line) {
  constexpr char kExport[] = "export ";
  line = skip_blanks(line);
  if (strncmp(line, kExport, strlen(kExport)) == 0) line = skip_blanks(line + strlen(kExport));
  if (strncmp(line, kUrlVariable, strlen(kUrlVariable)) != 0) return false;
  line = skip_blanks(line + strlen(kUrlVariable));
  if (*line != '=') return false;
  line = skip_blanks(line + 1);
  return *line != '\0' && *line != '\r' && *line != '\n' && *line != '#';
}

void define_text(const char* name, const char* short_description, const char* long_description,
                 char** variable, const char* boot_value, int flags, GucStringCheckHook check) {
  DefineCustomStringVariable(name, short_description, long_description, variable, boot_value, PGC_SIGHUP,
                             flags, check, nullptr, nullptr);
}

}  // namespace

bool worker_enabled() { return enabled; }

void define_launch_settings() {
  DefineCustomBoolVariable(
      "pg_billing.worker", "Runs the pg_billing worker beside the server.",
      "The worker receives Stripe's webhooks. It runs as the server's operating-system user.", &enabled,
      false, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
  define_text("pg_billing.worker_database", "Database whose pg_billing extension the worker serves.",
              "Used unless the worker's configuration file gives DATABASE_URL.", &database, "postgres", 0,
              check_name);
  define_text("pg_billing.worker_config", "Path of the worker's configuration file, with its secrets.",
              "Lines of NAME=value, readable by the server's operating-system user alone.", &config, "",
              GUC_SUPERUSER_ONLY, check_path);
  define_text("pg_billing.worker_user", "Role as which the worker connects.",
              "Empty: the one that DATABASE_URL names, else the server's operating-system user.", &user, "",
              0, check_name);
  // From here on a misspelt pg_billing.* is reported instead of ignored.
  EmitWarningsOnPlaceholders("pg_billing");
}

Launch current_launch() {
  Launch launch;
  strlcpy(launch.database, database, sizeof(launch.database));
  strlcpy(launch.user, user, sizeof(launch.user));
  strlcpy(launch.config, config, sizeof(launch.config));
  return launch;
}

bool operator==(const Launch& left, const Launch& right) {
  return strcmp(left.database, right.database) == 0 && strcmp(left.user, right.user) == 0 &&
         strcmp(left.config, right.config) == 0;
}

const char* const* launch_environment(const Launch& launch) {
  constexpr int kMost = 6;
  auto** environment = static_cast<const char**>(palloc0(kMost * sizeof(const char*)));
  int count = 0;
  environment[count++] = "PATH=/usr/local/bin:/usr/bin:/bin";
  environment[count++] = "LANG=C.UTF-8";
  environment[count++] = "PG_BILLING_SUPERVISED=1";
  if (config_names_database(launch.config)) {
    if (launch.user[0] != '\0') environment[count++] = psprintf("PGUSER=%s", launch.user);
  } else if (launch.database[0] != '\0') {
    environment[count++] = database_url(launch);
  }
  return environment;
}

bool config_names_database(const char* path) {
  if (path[0] == '\0') return false;
  FILE* file = fopen(path, "re");
  if (file == nullptr) return false;  // the worker will say that it can't read it
  bool named = false;
  bool at_line_start = true;
  char line[1024];
  while (!named && fgets(line, sizeof(line), file) != nullptr) {
    named = at_line_start && line_names_database(line);
    at_line_start = strchr(line, '\n') != nullptr;
  }
  fclose(file);
  explicit_bzero(line, sizeof(line));  // the file holds secrets
  return named;
}

}  // namespace billing
