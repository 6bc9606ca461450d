// Plans in their tables: read as a whole, written one at a time.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/plan_catalogue.hpp"
#include "pg/prelude.hpp"

namespace billing {

// The plans of the extension in `schema`, as they are now. Each backend keeps a copy for as long as
// settings() keeps its own. The reference holds until the next call of either. Reading them needs no right on
// the tables.
const Plans& plans(Oid schema);

namespace plan_store {

// A fresh copy, for settings(). Null when there is no plan.
std::shared_ptr<const Plans> load(Oid schema);

// As they stand in the session's own view. One plan, or all by id.
std::optional<Plan> read(const std::string& id);
std::vector<Plan> read_all();
// Makes the stored plan this one.
void write(const Plan& plan);

// Whoever changes plans does so one at a time, and begins with this lock.
void lock();
// Makes every cached state obsolete, and every backend forget its copies, once this transaction commits.
// Returns the new generation.
std::int64_t announce(Oid schema, const std::string& reason);
// Does both when the mirror says otherwise of these prices and products than it did when `known` was loaded.
void follow(const Plans& known, const std::set<std::string>& ids);

}  // namespace plan_store

}  // namespace billing
