// The rows that a rebuild compares: what belongs to a part, emptied and written one by one.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "functions/rebuild.hpp"
#include "pg/spi.hpp"

namespace billing::rebuild {

// The mirror's rows of a part: $1 customers, $2 ids of objects.
#define PART_OBJECTS(o)                                                               \
  " (" o ".stripe_customer_id = ANY ($1) OR (" o ".stripe_customer_id IS NULL AND " o \
  ".object_id = ANY ($2)))"
// Of an event e: that it has had its effect, or has told the mirror and waits.
#define HAD_EFFECT "(e.outcome IN ('processed', 'parked') OR e.waiting_for IS NOT NULL)"

inline pg::Texts texts(const std::vector<std::string>& values) {
  return pg::Texts(values.begin(), values.end());
}

struct Row {
  Json image;
  std::string version;
};
using Snapshot = std::map<std::pair<std::string, std::string>, Row>;  // by table and key

// `events` are the ids of the stored events whose audit entries belong to the part.
Snapshot read(const Part& part, const std::set<std::string>& events);
// Takes away what replaying the events must bring back.
void empty(const Part& part, const std::set<std::string>& events);
std::vector<Difference> differences(const Snapshot& before, const Snapshot& after);
// False when the row is not any more what was compared: an event has come in between. Rows that were not
// there cannot be locked, nor can the link of a customer that has none.
bool write(Difference& difference);

}  // namespace billing::rebuild
