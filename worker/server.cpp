// A whole worker.
#include "worker/server.hpp"

#include "worker/log.hpp"
#include "worker/settings.hpp"
#include "worker/stripe_access.hpp"

namespace billing::worker {
namespace {

// How exact deadlines are. Ten glances a second at a few hundred sessions cost nothing.
constexpr auto kTick = std::chrono::milliseconds(100);

TlsContext tls_of(const Config& config) {
  return config.tls_certificate.empty() ? nullptr : load_tls(config.tls_certificate, config.tls_key);
}

}  // namespace

Server::Server(Config config, Sources sources)
    : sources_(std::move(sources)),
      runtime_(std::make_shared<const Config>(std::move(config))),
      batcher_(runtime_),
      housekeeping_(runtime_),
      deliveries_(runtime_),
      shadow_(runtime_),
      stripe_(make_client(runtime_.io, *runtime_.config)),
      refetch_(runtime_, stripe_.get()),
      // A shadow does nothing that anybody could notice.
      outbox_(runtime_, runtime_.config->shadow ? nullptr : stripe_.get()),
      reconcile_(runtime_, stripe_.get()),
      pages_(runtime_, batcher_, housekeeping_),
      // Nor is anything sold by one.
      api_(runtime_, runtime_.config->shadow ? nullptr : stripe_.get(), outbox_),
      sessions_(std::make_shared<Sessions>()),
      reception_(runtime_, batcher_, pages_, api_, sessions_),
      listener_(runtime_.io, "PG_BILLING_LISTEN", Listener::Plain::warned_of,
                [this](auto socket, const TlsContext& tls) { reception_.take(std::move(socket), tls); }),
      ticker_(runtime_.io) {
  listener_.use_tls(tls_of(*runtime_.config));
  if (runtime_.config->operator_tokens.empty()) return;
  desk_.emplace(runtime_, pages_);
  desk_->use_tls(tls_of(*runtime_.config));
}

Server::~Server() { log::detach(); }

int Server::run(std::chrono::seconds bind_patience) {
  listener_.listen(runtime_.config->listen, bind_patience);
  if (desk_) desk_->listen(bind_patience);
  log::attach(runtime_.io);
  batcher_.start();
  listener_.start();
  if (desk_) desk_->start();
  deliveries_.start();
  shadow_.start();
  refetch_.start();
  outbox_.start();
  reconcile_.start();
  housekeeping_.start([this](const std::optional<Problem>& problem) {
    // Keys of one mode with a database of the other, or a shadow that would not stay one: whoever starts us
    // must learn of it now. Anything else may come right by itself, as a server that is still starting does.
    if (problem && (problem->reason == "mode_mismatch" || problem->reason == "shadow_notifies"))
      stop(2);
    else
      tell_ready();
  });
  tick();
  runtime_.io.run();
  log::Line(log::Level::info, "stopped").add("exit_code", exit_code_);
  return exit_code_;
}

// Ready in systemd's sense: started. Whether webhooks are taken is in the status, and in /readyz.
void Server::tell_ready() const {
  const auto problem = pages_.problem();
  notifier_.ready(problem ? "not taking webhooks: " + problem->message : "taking webhooks");
}

void Server::tick() {
  const auto now = Clock::now();
  sessions_->sweep(now);
  batcher_.expire(now);
  if (desk_) desk_->sweep(now);
  if (const auto interval = notifier_.interval(); interval && now >= next_alive_) {
    notifier_.alive();
    next_alive_ = now + *interval;
  }
  if (runtime_.draining) end_when_drained();
  ticker_.expires_after(kTick);
  ticker_.async_wait([this](const boost::system::error_code& error) {
    if (!error) tick();
  });
}

void Server::drain() {
  if (runtime_.draining) {
    stop(1);
    return;
  }
  log::Line(log::Level::info, "draining").add("connections", static_cast<std::uint64_t>(sessions_->size()));
  notifier_.stopping();
  runtime_.draining = true;
  drain_until_ = Clock::now() + runtime_.config->drain_timeout;
  listener_.stop();
  if (desk_) desk_->stop();
  sessions_->end_idle();
}

void Server::end_when_drained() {
  if (sessions_->size() == 0 && !deliveries_.busy() && !outbox_.busy() && !(desk_ && desk_->busy())) {
    stop(0);
  } else if (Clock::now() >= drain_until_) {
    log::Line(log::Level::warning, "drain_timeout")
        .add("connections", static_cast<std::uint64_t>(sessions_->size()));
    stop(1);
  }
}

void Server::stop(int exit_code) {
  exit_code_ = exit_code;
  runtime_.io.stop();
}

void Server::reload() {
  notifier_.reloading();
  try {
    const auto old = runtime_.config;
    auto fresh = std::make_shared<Config>(load_config(sources_));
    TlsContext tls = tls_of(*fresh);
    if (static_cast<bool>(tls) != !old->tls_certificate.empty())
      throw ConfigError("TLS cannot be switched on or off by a reload", "restart the worker");
    if (fresh->operator_tokens.empty() != !desk_)
      throw ConfigError("the operator's page cannot be switched on or off by a reload", "restart the worker");
    for (const auto& [name, text] : fresh->texts) {
      const auto before = old->texts.find(name);
      if (before != old->texts.end() && before->second == text) continue;
      const Setting* setting = find_setting(name);
      const bool applies = setting == nullptr || setting->reloads;
      // The name only: the value may be a secret.
      log::Line(log::Level::info, "setting_changed").add("setting", name).add("needs_restart", !applies);
    }
    log::set_level(fresh->log_level);
    if (desk_) desk_->use_tls(tls);
    listener_.use_tls(std::move(tls));
    runtime_.config = std::move(fresh);
    deliveries_.resume();
    log::Line(log::Level::info, "reloaded");
  } catch (const ConfigError& error) {
    log::Line(log::Level::error, "reload_failed").add("error", error.what()).add("next_step", error.hint());
  }
  tell_ready();
}

}  // namespace billing::worker
