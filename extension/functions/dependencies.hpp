// What events depend on beside their customer's link: the prices that an invoice's credits follow from, the
// payment that a refund or dispute is about. They wait for it, and are due when it comes.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "functions/credit_catalogue.hpp"
#include "functions/mirror.hpp"
#include "functions/work.hpp"
#include "settings.hpp"

namespace billing {

// A refund or dispute says which charge or payment intent it is about, but not whose that is.
bool tells_of_charge(const Event& event);

// Of one batch.
class Dependencies {
 public:
  // Folds the events into the mirror, and makes due what waited for something that they bring.
  // `told` is what they say about whose payments are.
  void fold(const std::vector<Work*>& works, const mirror::Payers& told);
  // The payments of the events' invoices, by invoice payments that were there before or are brought with
  // them.
  const mirror::Payers& told_by_invoices() const { return told_by_invoices_; }
  // What the events brought into the mirror.
  const mirror::Snapshots& brought() const { return brought_; }
  // Objects that the events have left in doubt, and the second in question.
  const std::map<mirror::Key, Seconds>& ambiguous() const { return ambiguous_; }
  // All that can be done of the events is done; what depends on something that is not known yet comes with
  // it.
  void park(const std::vector<Work*>& works) const;
  // Which plan a price is may depend on what the events say of it: then what is kept of plans is obsolete. To
  // be called last, because those who change settings wait from here on.
  void follow_plans(const Settings& settings) const;

 private:
  void wake_those_who_wait_for(const std::set<mirror::Key>& found, const std::vector<Work*>& works);
  void park_without_payment(Work& work) const;

  credits::PriceNeeds prices_;
  std::set<std::string> told_;  // the prices and products that the events tell of
  mirror::Unknown unknown_;
  mirror::Payers told_by_invoices_;
  mirror::Snapshots brought_;
  std::map<mirror::Key, Seconds> ambiguous_;
};

}  // namespace billing
