#include "functions/notifications.hpp"

#include "core/credit_alarm.hpp"
#include "core/digest.hpp"
#include "pg/spi.hpp"

namespace billing::notifications {

int Silence::depth_ = 0;

namespace {

pg::Statement insert(
    "INSERT INTO @billing_notifications (user_id, notification_id, kind, dedupe_key, payload, event_id,"
    "  livemode)"
    " SELECT r.user_id, r.id, r.kind, r.key, r.payload::jsonb, r.event, $7"
    " FROM unnest($1, $2, $3, $4, $5, $6) r(user_id, id, kind, key, payload, event)"
    " ON CONFLICT DO NOTHING RETURNING user_id");
pg::Statement keep_told(
    "UPDATE @billing_users u SET access_told = r.told, access_due_at = r.due"
    " FROM unnest($1, $2, $3) r(user_id, told, due) WHERE u.user_id = r.user_id");
pg::Statement paid_invoices(
    "SELECT o.object_id FROM unnest($1, $2) k(account, id) JOIN @stripe_objects o"
    "  ON o.stripe_account = k.account AND o.livemode = $3 AND o.object_type = 'invoice' AND o.object_id = "
    "k.id"
    " WHERE o.object ->> 'status' = 'paid' OR o.object -> 'paid' = 'true'");

// The same for the same fact: what is lost with a restored backup and told again is the same notification.
std::string id_of_key(const std::string& user_id, const std::string& key) {
  return "ntf_" + sha256_hex(user_id + '\0' + key).substr(0, 32);
}

// A payment that failed and was made good before it could be told of need not be told of.
void drop_made_good(std::vector<Entry>& entries, const Settings& settings) {
  pg::Texts account, invoice;
  const auto failed_invoice = [](const Entry& entry) {
    return entry.notice.kind == "payment_failed" ? text_of(entry.notice.payload, "invoice_id").value_or("")
                                                 : "";
  };
  for (const Entry& entry : entries)
    if (std::string id = failed_invoice(entry); !id.empty()) {
      account.push_back(entry.account);
      invoice.push_back(std::move(id));
    }
  if (invoice.empty()) return;
  std::set<std::string> paid;
  const pg::Rows rows = paid_invoices.run(account, invoice, settings.live);
  for (std::size_t i = 0; i < rows.size(); ++i) paid.insert(rows.text(i, 0));
  std::erase_if(entries, [&](const Entry& entry) { return paid.count(failed_invoice(entry)) > 0; });
}

}  // namespace

Seconds since(const Settings& settings) { return settings.notify_since.value_or(settings.installed_at); }

void write(const std::vector<Entry>& entries, const Settings& settings) {
  if (entries.empty() || Silence::holds() || !settings.notifications) return;
  pg::Texts user_id, id, kind, key, payload, event;
  for (const Entry& entry : entries) {
    user_id.push_back(entry.user_id);
    id.push_back(id_of_key(entry.user_id, entry.notice.key));
    kind.push_back(entry.notice.kind);
    key.push_back(entry.notice.key);
    payload.push_back(to_text(entry.notice.payload));
    event.push_back(entry.event_id.empty() ? std::nullopt : std::optional(entry.event_id));
  }
  if (insert.run(user_id, id, kind, key, payload, event, settings.live).empty()) return;
  // Once per transaction, however often this runs, and it says nothing of anybody.
  if (settings.notify_wake_up) pg::guard([] { Async_Notify("pg_billing_notifications", ""); });
}

void AccessTeller::judge(const std::string& user_id, const Anchor& anchor, const Json& state,
                         const UserState& user, const std::vector<Subscription>& subscriptions,
                         const std::vector<AccessGrant>& grants, Instant now,
                         std::optional<Instant> clock_time) {
  using Kind = Occasion::Kind;
  const auto began_since = [&]() -> Seconds {
    // Nobody knows when somebody's access began whom nothing was ever told of, and who is only looked at.
    if (occasion_.kind == Kind::time) return kEndOfTime;
    const auto cause = occasion_.causes.find(user_id);
    return std::max(notifications::since(settings_),
                    cause == occasion_.causes.end() ? 0 : cause->second.since);
  };
  AccessNews news =
      access_news(anchor.told, state, user, subscriptions, grants, now, began_since, clock_time);
  if (news.told != anchor.told || news.due != anchor.due)
    changed_[user_id] = {std::move(news.told), news.due};
  if (news.notices.empty() || is_history(user_id)) return;
  const auto cause = occasion_.causes.find(user_id);
  for (Notice& notice : news.notices)
    entries_.push_back(
        {user_id, std::move(notice), cause == occasion_.causes.end() ? "" : cause->second.event_id, ""});
}

bool AccessTeller::is_history(const std::string& user_id) {
  const auto cause = occasion_.causes.find(user_id);
  if (cause == occasion_.causes.end()) return false;
  return cause->second.created < std::max(notifications::since(settings_), cause->second.since);
}

void AccessTeller::write() {
  pg::Texts user_id;
  pg::Documents told;
  pg::Times due;
  for (const auto& [user, anchor] : changed_) {
    user_id.push_back(user);
    told.push_back(&anchor.told);
    due.values.push_back(anchor.due);
  }
  if (!user_id.empty()) keep_told.run(user_id, told, due);
  notifications::write(entries_, settings_);
}

void News::hear(const std::string& user_id, const Work& work, const std::optional<Instant>& imported_at) {
  const Event& event = *work.event;
  Occasion::Cause& cause = occasion_.causes[user_id];
  if (event.import) {
    cause.since = std::max(cause.since, event.import->began);
  } else if (cause.event_id.empty() || cause.created < event.created) {
    cause.event_id = event.id;
    cause.created = event.created;
  }
  cause.since = std::max(cause.since, imported_at.value_or(0) / 1'000'000);
}

void News::tell(const std::string& user_id, const Work& work) {
  if (work.had_effect || work.event->import) return;
  for (Notice& notice : invoice_notices(*work.event))
    entries_.push_back({user_id, std::move(notice), work.event->id, work.event->account});
}

void News::add(const std::string& user_id, std::vector<Notice> notices,
               const std::map<std::string, const Event*>& events) {
  for (Notice& notice : notices) {
    const auto event = events.find(notice.told_by);
    if (event != events.end() && event->second->import) continue;
    entries_.push_back({user_id, std::move(notice), event == events.end() ? "" : event->second->id, ""});
  }
}

void News::write() {
  if (entries_.empty()) return;
  const Seconds since = notifications::since(settings_);
  std::erase_if(entries_, [&](const Entry& entry) {
    const auto cause = occasion_.causes.find(entry.user_id);
    const Seconds imported = cause == occasion_.causes.end() ? 0 : cause->second.since;
    return entry.notice.at < std::max(since, imported);
  });
  drop_made_good(entries_, settings_);
  notifications::write(entries_, settings_);
}

void tell_of_low_credits(const std::vector<credits::Account*>& accounts) {
  const Settings& rules = last_settings(pg::Session::current().schema());
  std::vector<Entry> entries;
  for (credits::Account* account : accounts) {
    const auto threshold =
        credits::note_balance(*account, account->low_thresholds.value_or(rules.low_credits));
    if (!threshold) continue;
    // One entry of the ledger takes the balance below a threshold once.
    Notice notice{"credits_low",
                  "credits_low:" + std::to_string(*threshold) + ":" + std::to_string(account->last_entry_id),
                  Json::object(), 0, ""};
    notice.payload = {{"threshold", *threshold},
                      {"balance", account->balance},
                      {"held", account->held},
                      {"debt", account->debt},
                      {"transaction_id", account->last_entry_id}};
    entries.push_back({account->user_id, std::move(notice), "", ""});
  }
  write(entries, rules);
}

}  // namespace billing::notifications
