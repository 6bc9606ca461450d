// Where Stripe's API has the objects of each type. https://docs.stripe.com/api
#pragma once

#include <span>
#include <string_view>

namespace billing::stripe {

struct Resource {
  std::string_view type;  // an object's "object"
  std::string_view path;  // behind /v1/
};
std::span<const Resource> resources();
// Nothing when objects of this type cannot be asked for by their id.
const Resource* find_resource(std::string_view type);

}  // namespace billing::stripe
