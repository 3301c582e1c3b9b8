#include "orchestrator/kubeproxy/iptables/cleanup.h"

#include <algorithm>
#include <array>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/process/run_process.h"
#include "orchestrator/kubeproxy/iptables/fragment.h"

namespace meltemi::kubeproxy::iptables {
namespace {

constexpr std::array<const char*, 8> kChains = {
    "KUBE-SERVICES",  "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS",      "KUBE-POSTROUTING",
    "KUBE-MARK-MASQ", "KUBE-FORWARD",           "KUBE-PROXY-FIREWALL", kMarkerChain};

// One table of what was saved.
struct Table {
  std::string name;
  std::vector<std::string> chains;
  std::vector<absl::string_view> rules;  // "-A CHAIN …"
};

std::vector<Table> Read(absl::string_view saved) {
  std::vector<Table> tables;
  for (absl::string_view line : absl::StrSplit(saved, '\n')) {
    if (absl::ConsumePrefix(&line, "*")) {
      tables.push_back({std::string(line), {}, {}});
    } else if (tables.empty()) {
      continue;
    } else if (absl::ConsumePrefix(&line, ":")) {
      tables.back().chains.emplace_back(line.substr(0, line.find(' ')));
    } else if (absl::StartsWith(line, "-A ")) {
      tables.back().rules.push_back(line);
    }
  }
  return tables;
}

// "-A FROM … -j TO …"
std::string WordAfter(absl::string_view rule, absl::string_view option) {
  const size_t at = rule.find(option);
  if (at == absl::string_view::npos) return "";
  rule.remove_prefix(at + option.size());
  return std::string(rule.substr(0, rule.find(' ')));
}

std::string RemovalOf(const Table& table, const std::function<bool(const std::string&)>& remove) {
  std::string flush, rules, chains;
  for (const std::string& chain : table.chains) {
    if (!remove(chain)) continue;
    absl::StrAppend(&flush, ":", chain, " - [0:0]\n");
    absl::StrAppend(&chains, "-X ", chain, "\n");
  }
  if (flush.empty()) return "";
  for (absl::string_view rule : table.rules) {
    if (remove(WordAfter(rule, "-A ")) || !remove(WordAfter(rule, " -j "))) continue;
    absl::StrAppend(&rules, "-D", absl::StripPrefix(rule, "-A"), "\n");
  }
  return absl::StrCat("*", table.name, "\n", flush, rules, chains, "COMMIT\n");
}

}  // namespace

bool IsOurs(const std::string& chain) {
  return IsServiceChain(chain) ||
         std::any_of(kChains.begin(), kChains.end(), [&](const char* c) { return chain == c; });
}

std::string RemovalOf(absl::string_view saved,
                      const std::function<bool(const std::string&)>& remove) {
  std::string out;
  for (const Table& table : Read(saved)) {
    const auto& chains = table.chains;
    if (std::find(chains.begin(), chains.end(), kMarkerChain) == chains.end()) continue;
    out += RemovalOf(table, remove);
  }
  return out;
}

absl::Status RemoveAll(const std::string& program) {
  ProcessOptions options;
  options.timeout = seconds(120);
  options.output_bytes_max = size_t{256} * 1024 * 1024;  // hundreds of thousands of rules
  // Without a table's name: that would make tables that are not there.
  const absl::StatusOr<ProcessResult> saved = RunProcess({program + "-save"}, "", options);
  if (!saved.ok()) return saved.status();
  if (saved->exit_code != 0) return absl::InternalError(saved->err);
  const std::string removal = RemovalOf(saved->out, IsOurs);
  if (removal.empty()) return absl::OkStatus();
  return RunToSuccess({program + "-restore", "--noflush", "-w", "30"}, removal, options);
}

}  // namespace meltemi::kubeproxy::iptables
