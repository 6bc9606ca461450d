#include "functions/batch.hpp"

#include <algorithm>
#include <tuple>

#include "core/activity.hpp"
#include "functions/audit.hpp"
#include "functions/cache.hpp"
#include "functions/concern.hpp"
#include "functions/credit_follow.hpp"
#include "functions/dependencies.hpp"
#include "functions/imported_sources.hpp"
#include "functions/inbox.hpp"
#include "functions/links.hpp"
#include "functions/mirror.hpp"
#include "functions/payments.hpp"
#include "functions/redaction.hpp"
#include "functions/refetches.hpp"
#include "functions/stripe_entitlements.hpp"
#include "functions/subscription_follow.hpp"
#include "functions/test_clocks.hpp"
#include "pg/spi.hpp"
#include "pg/subtransaction.hpp"

namespace billing {

namespace {

constexpr const char* kWaitingForCustomer = "customer:";
constexpr const char* kWaitingForUser = "user:";
constexpr const char* kWaitingForLink = "link:";

class Batch {
 public:
  Batch(const std::vector<Work*>& works, const Settings& settings, const BatchOptions& options)
      : works_(works),
        settings_(settings),
        options_(options),
        news_(settings),
        now_(pg::from_timestamptz(GetCurrentStatementStartTimestamp())) {}

  void run() {
    if (!options_.admitted)
      for (Work* work : open()) judge_admission(*work, settings_);
    drop_duplicates();
    name_customers();
    lock_links();
    redaction::apply(works_, links_, settings_);
    bind_customers();
    wake_waiting();
    // A rebuild brings nothing that is new.
    if (!options_.admitted) credits::note_imported(open(), settings_);
    dependencies_.fold(open(), told_payers_);
    if (!options_.admitted) refetches::follow(works_, dependencies_.ambiguous());
    moved_clocks_ = test_clocks::learn(open(), settings_);
    stripe_entitlements::follow(open());
    park_unlinked();
    lock_users();
    follow_mirror();
    follow_payments();
    follow_credits();
    write_audit();
    dependencies_.park(open());
    give_up();
    cache::store(cache::outdated(users_, changed_, settings_, now_), settings_, now_, news_.occasion());
    news_.write();
    write_inbox();
    test_clocks::announce(moved_clocks_, settings_, now_);
    dependencies_.follow_plans(settings_);
  }

  std::vector<Told> woken() const {
    std::vector<Told> all;
    for (const inbox::Stored& stored : woken_) all.push_back(told_of(stored.work));
    return all;
  }

 private:
  std::vector<Work*> open() const {
    std::vector<Work*> left;
    for (Work* work : works_)
      if (!work->settled) left.push_back(work);
    return left;
  }

  // Before any lock is taken: whatever is stored already needs none.
  void drop_duplicates() {
    std::vector<Work*> arrivals;
    for (Work* work : works_)
      if (!work->stored) arrivals.push_back(work);
    if (arrivals.empty()) return;
    const std::set<std::string> known = inbox::find_known_events(arrivals);
    std::set<std::string> seen;
    inbox::Arrivals again;
    for (Work* work : arrivals) {
      const bool stored = known.count(work->id) > 0;
      if (!stored && seen.insert(work->id).second) continue;
      work->settle(Outcome::duplicate);
      // What is new and came twice in this batch is counted once its row is there.
      ++(stored ? again : uncounted_)[work->id];
    }
    uncounted_.merge(inbox::count_duplicates(again));
  }

  // Since basil an invoice payment says which invoice it pays, but not whose. Refunds and disputes never do.
  void name_customers() {
    std::set<mirror::Key> invoices;
    for (const Work* work : open())
      if (pays_invoice(*work->event)) invoices.insert(invoice_of(*work->event));
    const auto customers = mirror::await_customers(invoices);
    for (Work* work : open()) {
      if (!pays_invoice(*work->event)) continue;
      const auto found = customers.find(invoice_of(*work->event));
      if (found != customers.end()) work->customer = found->second;
    }
    told_payers_ = mirror::payers_told_by(open());
    std::vector<Work*> about_charges;
    for (Work* work : open())
      if (tells_of_charge(*work->event) && work->customer.empty()) about_charges.push_back(work);
    mirror::name_payers(about_charges, told_payers_);
    payers_beside_ = payments::payers_beside(open());
    // An invoice says whose the payments are that were told of before it.
    for (const auto& [payment, customer] : mirror::payers_by_invoice_payments(open()))
      payers_beside_.insert(customer);
  }

  void lock_links() {
    std::set<std::string> customers;
    for (const Work* work : open())
      if (concerns_user(*work)) customers.insert(work->customer);
    for (const auto& [customer, evidence] : options_.links) customers.insert(customer);
    customers.insert(options_.follow.begin(), options_.follow.end());
    customers.insert(payers_beside_.begin(), payers_beside_.end());
    links_ = links::lock(customers, options_.wait_for_locks);
    for (Work* work : open()) {
      const std::string& customer = work->customer;
      if (customers.count(customer) > 0 && links_.count(customer) == 0)
        work->defer(kWaitingForLink + customer, customer + " is being linked in another transaction");
    }
  }

  // The strongest claim binds a customer that nobody is linked to, and stands for the link afterwards,
  // whichever came first. What names somebody else is recorded and waits for a person.
  void bind_customers() {
    std::vector<std::pair<std::string, links::Claim>> claims;
    for (const auto& [customer, evidence] : options_.links) claims.push_back({customer, {evidence, 0, ""}});
    for (const Work* work : open()) {
      const Event& event = *work->event;
      if (work->customer.empty()) continue;
      if (const auto evidence = link_evidence(event))
        claims.push_back({work->customer, {*evidence, event.created, event.id}});
    }
    links::follow_names(links_, claims);
    std::sort(claims.begin(), claims.end());
    for (const auto& [customer, claim] : claims) {
      const auto found = links_.find(customer);
      if (found == links_.end()) continue;
      links::Link& link = found->second;
      if (!link.user_id) {
        link.user_id = claim.evidence.user_id;
        link.claim = claim;
        bind(customer, claim);
        newly_linked_.insert(customer);
      } else if (*link.user_id != claim.evidence.user_id) {
        if (!link.conflict) links::record_conflict(customer, claim);
        link.conflict = true;
      } else if (claim < link.claim) {
        link.claim = claim;
        bind(customer, claim);
      }
    }
  }

  void bind(const std::string& customer, const links::Claim& claim) {
    links::bind(customer, claim, options_.actor);
    audit::Entry entry;
    entry.user_id = claim.evidence.user_id;
    entry.fact = "customer_linked:" + customer;
    entry.action = "customer_linked";
    entry.subject = customer;
    entry.actor = options_.actor;
    entry.reason = options_.reason.empty() ? claim.evidence.source : options_.reason;
    entry.event_id = claim.event_id;
    if (!claim.event_id.empty()) entry.event_created = claim.created;
    entry.replaces = true;
    audit_.push_back(std::move(entry));
  }

  // Events that waited for a customer linked just now join this batch; where that has failed before, they are
  // only made due, so that a bad one among them harms nobody else.
  void wake_waiting() {
    std::vector<std::string> keys;
    for (const std::string& customer : newly_linked_) keys.push_back(kWaitingForCustomer + customer);
    if (!options_.apply_waiting) return inbox::make_due(keys);
    std::set<std::string> have;
    for (const Work* work : works_)
      if (work->stored) have.insert(work->id);
    for (inbox::Stored& stored : inbox::claim_waiting(keys))
      if (have.count(stored.work.id) == 0) woken_.push_back(std::move(stored));
    for (inbox::Stored& stored : woken_) {
      Work& work = stored.work;
      work.payload = stored.payload;
      // Without its payload the object still takes effect: the mirror outlives the payload.
      if (stored.payload_kept)
        read_payload(work);
      else
        work.settle(Outcome::processed);
      works_.push_back(&work);
    }
  }

  // Their objects are in the mirror by now; everything else waits.
  void park_unlinked() {
    for (Work* work : open()) {
      const Event& event = *work->event;
      if (!needs_user(event)) continue;
      const auto link = links_.find(work->customer);
      if (link != links_.end() && link->second.user_id) continue;
      work->park(kWaitingForCustomer + work->customer, work->customer +
                                                           " has no user; run SELECT "
                                                           "link_stripe_customer('user_1','" +
                                                           work->customer + "')");
    }
  }

  const std::string* user_of(const std::string& customer) const {
    const auto link = links_.find(customer);
    return link != links_.end() && link->second.user_id ? &*link->second.user_id : nullptr;
  }

  void lock_users() {
    std::set<std::string> wanted;
    for (const Work* work : open())
      if (const std::string* user = concerns_user(*work) ? user_of(work->customer) : nullptr)
        wanted.insert(*user);
    for (const std::string& customer : newly_linked_) wanted.insert(*user_of(customer));
    for (const std::string& customer : options_.follow) wanted.insert(*user_of(customer));
    for (const std::string& payer : payers_beside_)
      if (const std::string* user = user_of(payer)) wanted.insert(*user);
    users_ = links::lock_users(wanted, options_.wait_for_locks);
    for (Work* work : open()) {
      if (!concerns_user(*work)) continue;
      const std::string* user = user_of(work->customer);
      if (user == nullptr) continue;
      if (users_.count(*user) > 0)
        news_.hear(*user, *work, links_.at(work->customer).imported_at);
      else
        work->defer(kWaitingForUser + *user, *user + " is locked by another transaction");
    }
  }

  void follow_mirror() {
    subscriptions::Following following;
    for (const Work* work : open())
      if (concerns_user(*work) && user_of(work->customer) != nullptr) following.works.push_back(work);
    std::set<std::string> whole = options_.follow;
    whole.insert(newly_linked_.begin(), newly_linked_.end());
    for (const std::string& customer : whole) following.whole_customers.insert(customer);
    for (const auto& [customer, link] : links_)
      if (link.user_id && users_.count(*link.user_id) > 0) following.user_of[customer] = *link.user_id;
    following.brought = dependencies_.brought();
    changed_ = subscriptions::follow(following, settings_.scope);
  }

  void follow_payments() {
    std::set<std::string> whole = options_.follow;
    whole.insert(newly_linked_.begin(), newly_linked_.end());
    // What linked a customer whose user was busy then: the payments from before wait for nothing else.
    for (const Work* work : open())
      if (work->stored && !work->customer.empty() && link_evidence(*work->event))
        whole.insert(work->customer);
    const mirror::Payers& invoiced = dependencies_.told_by_invoices();
    for (Work* work : payments::follow(open(), whole, invoiced, users_, settings_.live, news_))
      work->defer(kWaitingForLink + work->customer, "who pays is just being told");
  }

  void follow_credits() {
    using credits::follow::Subject;
    credits::follow::Touched touched;
    touched.brought = dependencies_.brought();
    const auto add = [&](Subject::Kind kind, const std::string& id, const std::string& customer) {
      const std::string* user = user_of(customer);
      if (user != nullptr && users_.count(*user) > 0) touched.subjects.insert({kind, id, *user, customer});
    };
    for (const std::string& customer : newly_linked_) add(Subject::Kind::customer, customer, customer);
    for (const std::string& customer : options_.follow) add(Subject::Kind::customer, customer, customer);
    for (const Work* work : open()) {
      const Event& event = *work->event;
      if (!concerns_user(*work)) continue;
      if (event.object_type == "invoice" && credits::may_grant(event.object))
        add(Subject::Kind::invoice, event.object_id, work->customer);
      else if (event.object_type == "checkout.session")
        add(Subject::Kind::checkout, event.object_id, work->customer);
      else if (const std::string* user = begins_trial(event) ? user_of(work->customer) : nullptr)
        touched.trials.push_back(subscriptions::told_by(*work, *user));
      else if (event.object_type == "charge" || event.object_type == "invoice" ||
               event.object_type == "invoice_payment" || event.object_type == "credit_note" ||
               tells_of_charge(event))  // an invoice that grants nothing may be a pack's
        add(Subject::Kind::payments, work->customer, work->customer);
    }
    // Only a rebuild waits: whoever holds the account may want the anchor or the link that we hold.
    const std::set<std::string> busy = credits::follow::apply(touched, settings_, options_.admitted);
    if (busy.empty()) return;
    for (Work* work : open()) {
      const std::string* user = concerns_user(*work) ? user_of(work->customer) : nullptr;
      if (user != nullptr && busy.count(*user) > 0)
        work->defer("credits:" + *user, "the credits of " + *user + " are in use by another transaction");
    }
  }

  void write_audit() {
    // A customer deleted before it was linked: its event waited for nothing, so the mirror tells.
    for (const Event& deletion : mirror::deletions(newly_linked_))
      if (const auto activity = activity_of(deletion))
        audit_.push_back(audit::told_by(*user_of(deletion.customer_id), *activity, deletion));
    for (const Work* work : open()) {
      const Event& event = *work->event;
      const std::string* user = work->customer.empty() ? nullptr : user_of(work->customer);
      if (user == nullptr) continue;
      if (users_.count(*user) > 0) news_.tell(*user, *work);
      if (const auto activity = activity_of(event)) audit_.push_back(audit::told_by(*user, *activity, event));
    }
    audit::write(std::move(audit_));
  }

  // What nobody can say when it comes is not waited for longer than billing.parked_limit; should it come
  // after all, the event is due again.
  void give_up() {
    for (Work* work : works_) {
      if (work->outcome != Outcome::parked || work->retry_in > 0 || !work->stored) continue;
      if (now_ - work->received <= instant(settings_.parked_limit)) continue;
      work->settle(Outcome::failed, work->error + "; given up after waiting for billing.parked_limit");
      work->given_up = true;
    }
  }

  void write_inbox() {
    std::vector<Work*> arrivals, stored;
    for (Work* work : works_) {
      if (work->stored)
        stored.push_back(work);
      else if (work->outcome != Outcome::duplicate)
        arrivals.push_back(work);
    }
    inbox::insert(arrivals, settings_);
    inbox::update(stored, settings_);
    // A row that somebody holds for longer than lock_timeout loses a count, and nothing else.
    if (!uncounted_.empty()) pg::attempt([&] { inbox::count_held_duplicates(uncounted_); });
  }

  std::vector<Work*> works_;
  Settings settings_;  // with what the batch says of test clocks
  const BatchOptions& options_;
  notifications::News news_;
  Instant now_;
  inbox::Arrivals uncounted_;  // duplicates whose row was not there yet, or was held
  std::vector<inbox::Stored> woken_;
  mirror::Payers told_payers_;
  std::set<std::string> payers_beside_;
  std::map<std::string, links::Link> links_;
  std::set<std::string> newly_linked_;
  std::set<std::string> users_;
  std::set<std::string> changed_;  // those of them whose state may be another
  std::set<std::string> moved_clocks_;
  std::vector<audit::Entry> audit_;
  Dependencies dependencies_;
};

}  // namespace

Told told_of(const Work& work) {
  Told told{work.ordinal, work.id, work.outcome, work.error, "", ""};
  if (!work.event) return told;
  told.type = work.event->type;
  if (work.outcome == Outcome::processed)
    if (const auto activity = activity_of(*work.event)) told.activity = activity->action;
  return told;
}

std::vector<Told> run_batch(const std::vector<Work*>& works, const Settings& settings,
                            const BatchOptions& options) {
  Batch batch(works, settings, options);
  batch.run();
  return batch.woken();
}

}  // namespace billing
