// Parameters as Stripe reads them: form-encoded, nested members and elements in brackets.
// https://docs.stripe.com/api and the form encoding of its official libraries
#pragma once

#include <string>

#include "core/json.hpp"

namespace billing::stripe {

// {"items": [{"price": "price_1", "quantity": 2}], "metadata": {"a b": true}} becomes
// items[0][price]=price_1&items[0][quantity]=2&metadata[a%20b]=true. Null is the empty text, which unsets; an
// empty object or array is left out. `parameters` must be an object.
std::string encode_form(const Json& parameters);

}  // namespace billing::stripe
