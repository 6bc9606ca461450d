// credit_imported_sources: invoices and checkouts that were paid before an import brought them, and so grant
// nothing, or only what is left of the period in which it began.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/credit_plan.hpp"
#include "functions/work.hpp"
#include "settings.hpp"

namespace billing::credits {

// Notes those that these events bring and that nobody has told of as paid. Before the mirror follows them,
// with their customers' links held: what a webhook has told of first grants as ever.
void note_imported(const std::vector<Work*>& works, const Settings& settings);

class ImportedSources {
 public:
  // Of the sources with these ids, by account.
  void read(const std::vector<std::string>& accounts, const std::vector<std::string>& ids, bool live);

  bool contains(const std::string& account, const std::string& id) const;
  // Whether an imported source grants this all the same.
  bool grants(const std::string& account, const PlannedGrant& grant) const;

 private:
  std::map<std::pair<std::string, std::string>, Seconds> current_since_;  // 0: nothing
};

}  // namespace billing::credits
