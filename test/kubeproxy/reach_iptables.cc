#include <map>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "orchestrator/kubeproxy/model/facts.h"
#include "test/kubeproxy/reach.h"

namespace meltemi::kubeproxy {
namespace {

using From = Packet::From;

// Of both tables: "nat KUBE-SERVICES" -> words of its rules.
using Rules = std::map<std::string, std::vector<std::vector<std::string>>>;

Rules Read(const std::string& saved) {
  Rules rules;
  std::string table;
  for (absl::string_view line : absl::StrSplit(saved, '\n')) {
    if (absl::ConsumePrefix(&line, "*")) {
      table = std::string(line);
    } else if (absl::ConsumePrefix(&line, "-A ")) {
      std::vector<std::string> words = absl::StrSplit(line, ' ');
      const std::string chain = absl::StrCat(table, " ", words[0]);
      words.erase(words.begin());
      rules[chain].push_back(std::move(words));
    }
  }
  return rules;
}

class Walk {
 public:
  Walk(const Rules& rules, const Packet& packet) : rules_(rules), packet_(packet) {}

  Reach Run() {
    Chain("nat", "KUBE-SERVICES");
    if (!reach_.endpoints.empty()) return reach_;
    reach_.masquerade = false;
    for (const char* chain : {"KUBE-EXTERNAL-SERVICES", "KUBE-SERVICES"}) {
      if (Chain("filter", chain)) break;
    }
    return reach_;
  }

 private:
  // True: the packet goes no further.
  bool Chain(const std::string& table, const std::string& name) {
    const auto rules = rules_.find(absl::StrCat(table, " ", name));
    if (rules == rules_.end()) return false;
    for (const std::vector<std::string>& rule : rules->second) {
      if (Rule(table, rule)) return true;
    }
    return false;
  }

  bool Rule(const std::string& table, const std::vector<std::string>& words) {
    bool certain = true, negate = false;
    std::string target, destination;
    for (size_t i = 0; i < words.size(); i++) {
      const std::string& word = words[i];
      const std::string value = i + 1 < words.size() ? words[i + 1] : "";
      const bool wanted = !std::exchange(negate, word == "!");
      if (word == "-d" && Inside(packet_.ip == 0 ? kNodeIp : packet_.ip, value) != wanted) {
        return false;
      }
      if (word == "-s" && Inside(Source(), value) != wanted) return false;
      if (word == "-p" && value != ProtocolWord(packet_.protocol)) return false;
      if (word == "--dport" && value != absl::StrCat(packet_.port)) return false;
      if (word == "--dst-type" && packet_.ip != 0) return false;
      if (word == "--src-type" && packet_.from != From::kNode) return false;
      if (word == "--rcheck") return false;  // which of them it is, not whether
      if (word == "--probability") certain = false;
      if (word == "-j") target = value;
      if (word == "--to-destination") destination = value;
    }
    return Target(table, target, destination) && certain;
  }

  bool Target(const std::string& table, const std::string& target, const std::string& destination) {
    if (target == "DNAT") {
      reach_.endpoints.insert(destination);
      return true;
    }
    if (target == "REJECT" || target == "DROP") {
      reach_.refusal = target == "DROP" ? "drop" : "refuse";
      return true;
    }
    if (target == "KUBE-MARK-MASQ") reach_.masquerade = true;
    return Chain(table, target);
  }

  static bool Inside(Ipv4 ip, const std::string& range) {
    const auto parsed = ParseRange(absl::StrContains(range, '/') ? range : range + "/32");
    return parsed && parsed->Contains(ip);
  }
  Ipv4 Source() const {
    return ParseIp(packet_.from == From::kPod    ? "10.244.255.1"
                   : packet_.from == From::kNode ? "192.168.50.1"
                                                 : "192.168.50.2")
        .value_or(0);
  }

  static constexpr Ipv4 kNodeIp = 0xc0a83201;  // 192.168.50.1
  const Rules& rules_;
  const Packet& packet_;
  Reach reach_;
};

}  // namespace

Reach ReachByIptables(const std::string& saved, const Packet& packet) {
  const Rules rules = Read(saved);
  return Walk(rules, packet).Run();
}

}  // namespace meltemi::kubeproxy
