// What every page has around it: the head, the way to the other pages, what was done last.
#pragma once

#include "worker/operator/visit.hpp"
#include "worker/response.hpp"

namespace billing::worker::operators {

// The whole page around what the visit has made.
Response page_of(Visit& visit);
// The header fields that keep a page to itself.
void guard(Response& response);

Response stylesheet();
Response script();
Response icon();

}  // namespace billing::worker::operators
