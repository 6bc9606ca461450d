#include "functions/dependencies.hpp"

#include "core/fields.hpp"
#include "functions/inbox.hpp"
#include "functions/plan_store.hpp"
#include "functions/test_clocks.hpp"

namespace billing {

bool tells_of_charge(const Event& event) {
  return event.object_type == "refund" || event.object_type == "dispute";
}

void Dependencies::fold(const std::vector<Work*>& works, const mirror::Payers& told) {
  prices_ = credits::price_needs(works);
  for (const Work* work : works)
    if (work->event->object_type == "price" || work->event->object_type == "product")
      told_.insert(work->event->object_id);
  for (const Event& price : prices_.extras.embedded) told_.insert(price.object_id);
  // The same placeholders whatever is known, so that they do not depend on the order of events.
  std::set<mirror::Key> named;
  for (const Work* work : works) {
    if (!tells_of_charge(*work->event)) continue;
    const std::set<mirror::Key> keys = mirror::payment_of(*work->event);
    named.insert(keys.begin(), keys.end());
    if (work->customer.empty()) prices_.unknown.insert(keys.begin(), keys.end());
  }
  named.merge(test_clocks::named_by(works));
  prices_.extras.awaited.merge(mirror::absent(named));
  prices_.extras.payers = mirror::news_among(told);
  mirror::Folded folded = mirror::fold(works, prices_.extras);
  ambiguous_ = std::move(folded.ambiguous);
  brought_ = std::move(folded.brought);
  // Of an invoice that came after what tells of its payment. Read while its row is held: whoever brings an
  // invoice payment holds it too.
  mirror::Extras later;
  told_by_invoices_ = mirror::payers_by_invoice_payments(works);
  later.payers = mirror::news_among(told_by_invoices_);
  if (!later.payers.empty()) folded.found.merge(mirror::fold({}, later).found);
  unknown_ = mirror::look_again(prices_.unknown);
  wake_those_who_wait_for(folded.found, works);
}

void Dependencies::follow_plans(const Settings& settings) const {
  if (settings.access.plans && !told_.empty()) plan_store::follow(*settings.access.plans, told_);
}

// What is there at last makes those due that waited for it, and those that did without.
void Dependencies::wake_those_who_wait_for(const std::set<mirror::Key>& found,
                                           const std::vector<Work*>& works) {
  std::vector<std::string> due, reopened;
  for (const mirror::Key& key : found) {
    if (key.type == "price" || key.type == "charge" || key.type == "payment_intent")
      due.push_back(key.type + ":" + key.id);
    if (key.type == "product") reopened.push_back(key.type + ":" + key.id);
  }
  for (const Work* work : works)
    if (work->event->object_type == "charge" && found.count(mirror::key_of(*work->event)) > 0)
      due.push_back("payment_intent:" + id_of(work->event->object, "payment_intent"));
  inbox::make_due(due);
  inbox::reopen(reopened);
}

void Dependencies::park_without_payment(Work& work) const {
  const std::set<mirror::Key> keys = mirror::payment_of(*work.event);
  if (keys.empty()) return;
  const std::string what = keys.rbegin()->type + ":" + keys.rbegin()->id;  // the intent, when there is one
  bool known = false;
  for (const mirror::Key& key : keys) {
    if (unknown_.busy.count(key) > 0) return work.defer(what, key.id + " is just arriving");
    known = known || unknown_.unknown.count(key) == 0;
  }
  if (known) return work.defer(what, keys.begin()->id + " has just arrived");
  work.park(what, keys.begin()->id + " has not been seen, which says whose payment it was");
}

void Dependencies::park(const std::vector<Work*>& works) const {
  for (Work* work : works) {
    const Event& event = *work->event;
    if (tells_of_charge(event)) {
      if (work->customer.empty()) park_without_payment(*work);
      continue;
    }
    if (const auto busy = credits::lack_of(event, prices_, unknown_.busy);
        !busy.price.empty() || !busy.product.empty()) {
      const std::string what = busy.price.empty() ? "product:" + busy.product : "price:" + busy.price;
      work->defer(what, what + " is just arriving");
      continue;
    }
    const auto lack = credits::lack_of(event, prices_, unknown_.unknown);
    if (!lack.price.empty())
      work->park("price:" + lack.price,
                 "price " + lack.price +
                     " has not been seen, which says how many credits are granted; "
                     "send price.created or the subscription's events to this endpoint");
    else if (!lack.product.empty())
      work->waiting_for = "product:" + lack.product;
  }
}

}  // namespace billing
