// What is for sale: products and prices, made before the first customer comes.
#pragma once

#include <deque>
#include <vector>

#include "worker/simulation/event.hpp"

namespace billing::simulation {

class Catalogue {
 public:
  Catalogue(Random& random, Seconds start);

  // Plans in ascending order of price, all of one interval.
  const std::vector<const Price*>& plans(int months) const { return months == 12 ? yearly_ : monthly_; }
  const Price& seats() const { return prices_.back(); }

  // The events about it, up to `end`, in order.
  std::vector<Emitted> events(Random& random, Seconds end, const Shape& shape);

 private:
  std::deque<Product> products_;
  std::deque<Price> prices_;  // what items point to does not move
  std::vector<const Price*> monthly_;
  std::vector<const Price*> yearly_;
  Seconds start_;
};

}  // namespace billing::simulation
