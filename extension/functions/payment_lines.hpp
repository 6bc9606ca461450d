// audit_logs: what stored events tell of payments.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "functions/payment_reader.hpp"
#include "functions/work.hpp"

namespace billing::payments {

// Payments do not wait for a user, and whose a payment is, whether an invoice tells of it and what it bought
// may all be told later. So its lines are told again whenever it changes, from all events of its objects: in
// whatever order they came, the lines are the same.
class Lines {
 public:
  explicit Lines(const std::vector<Work*>& works);

  // The lines of a payment of this user, where events of the batch tell of it or its row has changed.
  void add(const std::string& user_id, const Id& id, const Known& known, const Payment& payment);
  // It turned out to be somebody else's.
  void drop(const std::string& user_id, const Id& id);
  // `changed` are users and payments whose rows have changed.
  void write(const std::set<std::pair<std::string, std::string>>& changed, bool live) const;

 private:
  struct Told {
    std::string user_id;
    Id id;
    Payment payment;
    bool stands_alone = false;
    std::set<std::string> objects;
  };
  std::map<Id, std::vector<const Event*>> news_;
  std::vector<Told> told_;
  std::vector<std::pair<std::string, std::string>> dropped_;
};

}  // namespace billing::payments
