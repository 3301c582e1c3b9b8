#include "orchestrator/kubeproxy/iptables/writer.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/process/run_process.h"
#include "orchestrator/kubeproxy/iptables/cleanup.h"

namespace meltemi::kubeproxy::iptables {
namespace {

constexpr char kPostrouting[] =
    "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n"
    "-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000\n"
    "-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\" "
    "-j MASQUERADE --random-fully\n"
    "-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000\n";

// Traffic to services is let through even where forwarding is forbidden otherwise.
constexpr char kForward[] =
    "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP\n"
    "-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" "
    "-m mark --mark 0x4000/0x4000 -j ACCEPT\n"
    "-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding conntrack rule\" "
    "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n";

// Where the kernel's chains lead to ours.
struct Jump {
  const char* table;
  const char* from;
  const char* to;
  bool only_new;
  const char* comment;
};
constexpr std::array<Jump, 12> kJumps = {{
    {"filter", "INPUT", "KUBE-EXTERNAL-SERVICES", true,
     "kubernetes externally-visible service portals"},
    {"filter", "FORWARD", "KUBE-EXTERNAL-SERVICES", true,
     "kubernetes externally-visible service portals"},
    {"filter", "INPUT", "KUBE-NODEPORTS", false, "kubernetes health check service ports"},
    {"filter", "FORWARD", "KUBE-SERVICES", true, "kubernetes service portals"},
    {"filter", "OUTPUT", "KUBE-SERVICES", true, "kubernetes service portals"},
    {"filter", "FORWARD", "KUBE-FORWARD", false, "kubernetes forwarding rules"},
    {"filter", "INPUT", "KUBE-PROXY-FIREWALL", true, "kubernetes load balancer firewall"},
    {"filter", "OUTPUT", "KUBE-PROXY-FIREWALL", true, "kubernetes load balancer firewall"},
    {"filter", "FORWARD", "KUBE-PROXY-FIREWALL", true, "kubernetes load balancer firewall"},
    {"nat", "OUTPUT", "KUBE-SERVICES", false, "kubernetes service portals"},
    {"nat", "PREROUTING", "KUBE-SERVICES", false, "kubernetes service portals"},
    {"nat", "POSTROUTING", "KUBE-POSTROUTING", false, "kubernetes postrouting rules"},
}};

absl::Status Restore(const std::string& text) {
  ProcessOptions options;
  options.timeout = seconds(300);
  return RunToSuccess({"iptables-restore", "--noflush", "-w", "30"}, text, options);
}

// At its first place: before what others have.
absl::Status EnsureJump(const Jump& jump) {
  std::vector<std::string> argv = {"iptables", "-w", "30", "-t", jump.table, "-C", jump.from};
  if (jump.only_new) {
    for (const char* word : {"-m", "conntrack", "--ctstate", "NEW"}) argv.push_back(word);
  }
  for (const char* word : {"-m", "comment", "--comment", jump.comment, "-j", jump.to}) {
    argv.push_back(word);
  }
  const absl::StatusOr<ProcessResult> there = RunProcess(argv);
  if (!there.ok()) return there.status();
  if (there->exit_code == 0) return absl::OkStatus();
  argv[5] = "-I";
  return RunToSuccess(argv);
}

// The two tables' texts, in which chains come before rules and deletions of chains last.
class Text {
 public:
  void Declare(bool filter, absl::string_view chain) {
    absl::StrAppend(&chains_[filter], ":", chain, " - [0:0]\n");
  }
  void Line(bool filter, absl::string_view line) { absl::StrAppend(&rules_[filter], line, "\n"); }
  void Rules(bool filter, absl::string_view text) { absl::StrAppend(&rules_[filter], text); }
  void Drop(absl::string_view chain) { absl::StrAppend(&gone_, "-X ", chain, "\n"); }
  // Filters first: what is not translated any more is refused by then.
  std::string Whole() const {
    std::string out;
    if (!chains_[1].empty() || !rules_[1].empty()) {
      absl::StrAppend(&out, "*filter\n", chains_[1], rules_[1], "COMMIT\n");
    }
    if (!chains_[0].empty() || !rules_[0].empty() || !gone_.empty()) {
      absl::StrAppend(&out, "*nat\n", chains_[0], rules_[0], gone_, "COMMIT\n");
    }
    return out;
  }

 private:
  std::array<std::string, 2> chains_, rules_;  // of nat, of filter
  std::string gone_;                           // of nat
};

void WriteBase(const RulesOptions& options, uint32_t owner, Text& text) {
  for (const char* chain : {"KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD",
                            "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL", kMarkerChain}) {
    text.Declare(/*filter=*/true, chain);
  }
  for (const char* chain :
       {"KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ", kMarkerChain}) {
    text.Declare(/*filter=*/false, chain);
  }
  for (bool filter : {false, true}) {
    text.Line(filter, absl::StrCat("-A ", kMarkerChain, " -m comment --comment \"owner ", owner,
                                   "\" -j RETURN"));
  }
  text.Rules(/*filter=*/true, kForward);
  text.Rules(/*filter=*/false, kPostrouting);
  // The last rule of its chain: what is added later is put before it.
  if (options.node_port_addresses.empty()) {
    text.Line(false,
              "-A KUBE-SERVICES ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS");
  }
  for (const SourceRange& range : options.node_port_addresses) {
    text.Line(false, absl::StrCat("-A KUBE-SERVICES -d ", range.ToString(),
                                  " -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"));
  }
}

void WriteChain(const std::string& chain, const std::vector<std::string>& rules, Text& text) {
  text.Declare(/*filter=*/false, chain);
  for (const std::string& rule : rules) text.Line(false, absl::StrCat("-A ", chain, " ", rule));
}

void WriteDifference(const Fragment& before, const Fragment& after, Text& text) {
  for (size_t i = 0; i < kShared; i++) {
    const auto shared = static_cast<Shared>(i);
    std::vector<std::string> gone, made;
    std::set_difference(before.shared[i].begin(), before.shared[i].end(), after.shared[i].begin(),
                        after.shared[i].end(), std::back_inserter(gone));
    std::set_difference(after.shared[i].begin(), after.shared[i].end(), before.shared[i].begin(),
                        before.shared[i].end(), std::back_inserter(made));
    for (const std::string& rule : gone) {
      text.Line(InFilter(shared), absl::StrCat("-D ", ChainOf(shared), " ", rule));
    }
    for (const std::string& rule : made) {
      text.Line(InFilter(shared), absl::StrCat("-I ", ChainOf(shared), " ", rule));
    }
  }
  for (const auto& [chain, rules] : after.chains) {
    const auto old = before.chains.find(chain);
    if (old == before.chains.end() || old->second != rules) WriteChain(chain, rules, text);
  }
  for (const auto& [chain, rules] : before.chains) {
    if (after.chains.contains(chain)) continue;
    text.Declare(/*filter=*/false, chain);
    text.Drop(chain);
  }
}

}  // namespace

absl::Status Writer::Replace(const RulesOptions& options,
                             const std::vector<ServiceRulesPtr>& services) {
  options_ = options;
  Text text;
  WriteBase(options, owner_, text);
  for (const ServiceRulesPtr& service : services) {
    WriteDifference(Fragment(), FragmentOf(service.get(), options), text);
  }
  absl::Status status = Restore(text.Whole());
  if (!status.ok()) return status;
  for (const Jump& jump : kJumps) status.Update(EnsureJump(jump));
  if (!status.ok()) return status;
  return RemoveLeftovers(services);
}

absl::Status Writer::RemoveLeftovers(const std::vector<ServiceRulesPtr>& services) const {
  ProcessOptions options;
  options.timeout = seconds(120);
  options.output_bytes_max = size_t{256} * 1024 * 1024;
  const absl::StatusOr<ProcessResult> saved =
      RunProcess({"iptables-save", "-t", "nat"}, "", options);
  if (!saved.ok()) return saved.status();
  std::set<std::string> wanted;
  for (const ServiceRulesPtr& service : services) {
    for (const auto& [chain, rules] : FragmentOf(service.get(), options_).chains) {
      wanted.insert(chain);
    }
  }
  const std::string removal = RemovalOf(saved->out, [&](const std::string& chain) {
    return IsServiceChain(chain) && !wanted.contains(chain);
  });
  return removal.empty() ? absl::OkStatus() : Restore(removal);
}

absl::Status Writer::Apply(const std::vector<ServiceChange>& changes) {
  Text text;
  for (const ServiceChange& change : changes) {
    WriteDifference(FragmentOf(change.before.get(), options_),
                    FragmentOf(change.after.get(), options_), text);
  }
  const std::string whole = text.Whole();
  return whole.empty() ? absl::OkStatus() : Restore(whole);
}

absl::StatusOr<bool> Writer::Intact() {
  for (const char* table : {"nat", "filter"}) {
    const absl::StatusOr<ProcessResult> listed =
        RunProcess({"iptables", "-w", "30", "-t", table, "-S", kMarkerChain});
    if (!listed.ok()) return listed.status();
    if (listed->exit_code != 0) return false;
    if (!absl::StrContains(listed->out, absl::StrCat("owner ", owner_))) return false;
  }
  return true;
}

}  // namespace meltemi::kubeproxy::iptables
