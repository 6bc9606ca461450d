// What the stored events determine, compared with what is in the tables.
//
// A part of the rows is emptied and filled again from the inbox inside a subtransaction that is always rolled
// back, so a dry run changes nothing and a healthy row is never touched. What differs is written afterwards,
// row by row, with the links of its customers locked.
//
// Links are facts (a rebuild never moves a customer): missing ones are made from evidence, others are left.
// An object whose winning payload has been dropped by retention starts from its mirror row. Audit entries
// whose event's payload is gone are left. Grants of credits are facts too: what the events determine and is
// not there is granted, nothing is changed or taken. A trial is compared as long as the event that created
// its subscription is stored with its payload; later it is a fact.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/json.hpp"
#include "settings.hpp"

namespace billing::rebuild {

struct Difference {
  std::string table;
  Json key;
  std::string kind;     // missing, different, extra
  Json stored;          // null when missing
  Json rebuilt;         // null when extra
  std::string version;  // of the stored row
  bool repaired = false;
};

// A part of the whole: customers with everything of theirs, or objects that belong to no customer.
struct Part {
  std::vector<std::string> customers;
  std::vector<std::string> objects;  // ids
};

// A look without locks: what is applied meanwhile may show up as a difference. The rest is for repair()
// alone.
std::vector<Difference> compare(const Part& part, const Settings& settings,
                                const std::optional<std::set<std::string>>& known = std::nullopt,
                                bool* passed_over = nullptr);
// Looks again with the links and the mirror rows of the part locked until the transaction ends, and writes
// what differs; returns what was written. A row that has changed since the look is looked at again.
std::vector<Difference> repair(const Part& part, const Settings& settings);

}  // namespace billing::rebuild
