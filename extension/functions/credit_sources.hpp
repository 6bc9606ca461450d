// The invoices and checkout sessions that grant credits, as the mirror has them.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "core/json.hpp"
#include "functions/mirror.hpp"
#include "pg/spi.hpp"

namespace billing::credits::follow {

struct Source {
  std::string user_id;
  std::string customer_id;
  std::string account;
  std::string type;
  std::string id;
  std::shared_ptr<const Json> object;  // the batch's own, or read
};

class Sources {
 public:
  // `user_of` says whose the customers are; others' objects are left out.
  // `brought` need not be read.
  Sources(const std::map<std::string, std::string>& user_of, bool live, const mirror::Snapshots& brought)
      : user_of_(user_of), live_(live), brought_(brought) {}

  // The objects with these ids, of these customers, and everything of the whole customers, by id; `reviewed`
  // becomes their ids. With them the other invoices of their subscriptions that what they grant depends on.
  std::map<std::string, Source> read(const std::set<std::string>& customers, const std::set<std::string>& ids,
                                     const std::set<std::string>& whole, std::set<std::string>& reviewed);

 private:
  void add(const pg::Rows& rows);
  std::set<std::string> take_brought(const std::set<std::string>& customers,
                                     const std::set<std::string>& ids);
  void add_siblings();

  const std::map<std::string, std::string>& user_of_;
  bool live_;
  const mirror::Snapshots& brought_;
  std::map<std::string, Source> sources_;
};

}  // namespace billing::credits::follow
