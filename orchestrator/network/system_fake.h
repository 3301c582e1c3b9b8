// A machine that remembers what it was asked to do.
//
// Threads: one.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "orchestrator/network/system.h"

namespace meltemi::network {

class SystemFake final : public System {
 public:
  absl::StatusOr<std::string> Run(const std::vector<std::string>& argv,
                                  const std::string& input) override {
    const std::string command = absl::StrJoin(argv, " ");
    commands.push_back(input.empty() ? command : absl::StrCat(command, " <<\n", input));
    const auto failure = failures.find(command);
    if (failure != failures.end()) return absl::InternalError(failure->second);
    if (command == "ip -4 route show proto 77") return Routes();
    if (argv[0] == "ip" && command.find("-batch") != std::string::npos) return Batch(input);
    const auto answer = answers.find(command);
    return answer == answers.end() ? std::string() : answer->second;
  }
  absl::Status SetSysctl(const std::string& name, const std::string& value) override {
    if (missing_sysctl == name) return absl::NotFoundError(name);
    sysctls[name] = value;
    return absl::OkStatus();
  }
  int DefaultMtu() override { return mtu; }

  // What was run since the last call.
  std::vector<std::string> Take() { return std::exchange(commands, {}); }

  std::map<std::string, std::string> routes;             // CIDR → gateway, of our protocol
  std::map<std::string, std::string> failures, answers;  // by command
  std::map<std::string, std::string> sysctls;
  std::string missing_sysctl;
  int mtu = 1500;
  std::vector<std::string> commands;

 private:
  std::string Routes() const {
    std::string out;
    for (const auto& [cidr, gateway] : routes) {
      absl::StrAppend(&out, cidr, " via ", gateway, " dev eth0 \n");
    }
    return out;
  }
  absl::StatusOr<std::string> Batch(const std::string& input) {
    for (const absl::string_view line : absl::StrSplit(input, '\n', absl::SkipEmpty())) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ');
      if (words[1] == "replace") routes[words[2]] = words[4];
      if (words[1] == "del") routes.erase(words[2]);
    }
    return std::string();
  }
};

}  // namespace meltemi::network
