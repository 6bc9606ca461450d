#include "worker/doctor/doctor.hpp"

#include <algorithm>
#include <iostream>

#include "worker/doctor/check.hpp"

namespace billing::doctor {

int run_doctor(std::vector<std::string> arguments) {
  const auto json_flag = std::find(arguments.begin(), arguments.end(), "--json");
  const bool as_json = json_flag != arguments.end();
  if (as_json) arguments.erase(json_flag);
  const Facts facts = gather_facts(worker::parse_arguments(arguments));
  Json list = Json::array();
  int failed = 0;
  for (const Check& check : checks()) {
    const Finding finding = check.judge(facts);
    failed += finding.verdict == Verdict::failed ? 1 : 0;
    if (as_json) {
      list.push_back({{"check", check.name},
                      {"verdict", name_of(finding.verdict)},
                      {"message", finding.message},
                      {"cause", finding.cause},
                      {"command", finding.command}});
      continue;
    }
    std::cout << name_of(finding.verdict) << '\t' << check.about << ": " << finding.message << '\n';
    if (!finding.cause.empty()) std::cout << "\tcause: " << finding.cause << '\n';
    if (!finding.command.empty()) std::cout << "\tdo: " << finding.command << '\n';
  }
  if (as_json)
    std::cout << Json{{"checks", std::move(list)}, {"failed", failed}}.dump(2) << '\n';
  else
    std::cout << (failed == 0 ? "nothing failed" : std::to_string(failed) + " failed") << '\n';
  return failed == 0 ? 0 : 1;
}

}  // namespace billing::doctor
