#include "functions/paid_through.hpp"

#include <deque>
#include <vector>

#include "core/credit_plan.hpp"
#include "functions/payment_facts.hpp"
#include "pg/row_reader.hpp"

namespace billing {

namespace {

pg::RowReader invoices_of("stripe_objects", "stripe_objects_parent_idx",
                          "object_id stripe_account livemode paid_until");
pg::RowReader object_of("stripe_objects", "stripe_objects_pkey", "object");

// The invoices of a subscription by the end of what they pay, those that pay furthest ahead last.
using Paying = std::multimap<Seconds, mirror::Key>;

Paying paying_for(const std::string& subscription) {
  Paying paying;
  const pg::Rows rows = invoices_of.find({pg::parameter(subscription), pg::parameter("invoice")});
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (const auto until = rows.maybe_seconds(i, 3))
      paying.emplace(*until, mirror::Key{rows.text(i, 1), rows.flag(i, 2), "invoice", rows.text(i, 0)});
  return paying;
}

const Json& invoice(const mirror::Key& key, const mirror::Snapshots& brought, std::deque<Json>& read) {
  if (const auto found = brought.find(key); found != brought.end()) return found->second->object;
  const pg::Rows rows = object_of.find({pg::parameter(key.account), pg::parameter(key.livemode),
                                        pg::parameter(key.type), pg::parameter(key.id)});
  return read.emplace_back(rows.empty() ? Json() : rows.document(0, 0));
}

}  // namespace

// Nearly always the invoices that pay furthest ahead stand, and no other is looked at.
std::map<std::string, Seconds> paid_through(const std::set<std::string>& subscriptions,
                                            const mirror::Snapshots& brought) {
  std::map<std::string, Paying> open;
  for (const std::string& id : subscriptions)
    if (Paying paying = paying_for(id); !paying.empty()) open.emplace(id, std::move(paying));
  std::map<std::string, Seconds> paid;
  while (!open.empty()) {
    std::deque<Json> read;
    std::vector<PaymentSubject> subjects;
    for (const auto& [id, paying] : open) {
      const auto [first, last] = paying.equal_range(paying.rbegin()->first);
      for (auto one = first; one != last; ++one)
        subjects.push_back({one->second.id, one->second.account, one->second.livemode,
                            &invoice(one->second, brought, read)});
    }
    const auto facts = read_payment_facts(subjects);
    auto subject = subjects.begin();
    for (auto one = open.begin(); one != open.end();) {
      Paying& paying = one->second;
      const Seconds until = paying.rbegin()->first;
      bool stands = false;
      for (std::size_t n = paying.count(until); n > 0; --n, ++subject) {
        const PaymentFacts& known = facts.at(subject->id);
        stands = stands || !credits::went_back(
                               credits::read_reversal(*subject->object, known.charges, known.credit_notes));
      }
      if (stands) paid[one->first] = until;
      paying.erase(until);
      one = stands || paying.empty() ? open.erase(one) : std::next(one);
    }
  }
  return paid;
}

}  // namespace billing
