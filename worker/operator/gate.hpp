// Who gets in: nothing of a page is made, and nothing is looked up, before all of this has been asked.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "worker/operator/request.hpp"
#include "worker/operator/sign_ins.hpp"
#include "worker/refusal.hpp"

namespace billing::worker::operators {

// A name that leads here though it is none of ours is a page of somebody else's that wants to read this one
// (DNS rebinding): only addresses, localhost and the names that the settings list are answered.
std::optional<Refusal> judge_host(const Request& request, const std::vector<std::string>& names);

// What changes something must come from a page of ours, as far as the browser tells.
std::optional<Refusal> judge_origin(const Request& request);

// The value of "Authorization: Bearer …"; nothing when there is none.
std::optional<std::string> bearer_of(const Request& request);

std::string cookie_name(const Request& request);
std::string cookie_of(const Request& request);
std::string cookie_field(const Request& request, const std::string& value);  // "" ends it

// A place on this page, to go to after signing in; "/" for anything else.
std::string safe_place(const std::string& wanted);

}  // namespace billing::worker::operators
