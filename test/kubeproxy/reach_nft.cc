#include <map>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "re2/re2.h"
#include "test/kubeproxy/reach.h"

namespace meltemi::kubeproxy {
namespace {

using From = Packet::From;

struct Table {
  std::map<std::string, std::vector<std::string>> chains;
  std::map<std::string, std::map<std::string, std::string>> maps;
};

void AddElements(absl::string_view text, std::map<std::string, std::string>& map) {
  for (absl::string_view element : absl::StrSplit(text, ',')) {
    const std::vector<std::string> parts = absl::StrSplit(element, absl::MaxSplits(" : ", 1));
    const std::string key(absl::StripAsciiWhitespace(parts[0]));
    if (!key.empty()) {
      map[key] = parts.size() > 1 ? std::string(absl::StripAsciiWhitespace(parts[1])) : "";
    }
  }
}

Table Read(const std::string& text) {
  Table table;
  std::vector<std::string>* chain = nullptr;
  std::map<std::string, std::string>* map = nullptr;
  bool elements = false;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words.size() == 3 && words[2] == "{") {
      chain = words[0] == "chain" ? &table.chains[words[1]] : nullptr;
      map = words[0] == "chain" ? nullptr : &table.maps[words[1]];
    } else if (map != nullptr && (elements || absl::ConsumePrefix(&line, "elements = {"))) {
      elements = !absl::EndsWith(line, "}");
      AddElements(absl::StripSuffix(line, "}"), *map);
    } else if (chain != nullptr && line != "}" && !line.empty()) {
      chain->emplace_back(line);
    }
  }
  return table;
}

class Walk {
 public:
  Walk(const Table& table, const Packet& packet) : table_(table), packet_(packet) {
    const std::string port = absl::StrCat(ProtocolWord(packet.protocol), " . ", packet.port);
    key_ = packet.ip == 0 ? port : absl::StrCat(IpText(packet.ip), " . ", port);
  }

  Reach Run() {
    const bool of_port = packet_.ip == 0;
    GoTo(Look(of_port ? "node-ports" : "services"));
    if (reach_.endpoints.empty()) {
      reach_.masquerade = false;
      const std::string verdict = Look(of_port ? "no-port-endpoints" : "no-endpoints");
      reach_.refusal = std::string(absl::StripPrefix(verdict, "goto "));
    }
    return reach_;
  }

 private:
  std::string Look(const std::string& map) const {
    const auto elements = table_.maps.find(map);
    if (elements == table_.maps.end()) return "";
    const auto at = elements->second.find(key_);
    return at == elements->second.end() ? "" : at->second;
  }

  void GoTo(absl::string_view verdict) {
    if (absl::ConsumePrefix(&verdict, "goto ")) Chain(std::string(verdict));
  }

  void Chain(const std::string& name) {
    const auto rules = table_.chains.find(name);
    if (rules == table_.chains.end()) {
      reach_.endpoints.insert("no chain " + name);
      return;
    }
    for (const std::string& rule : rules->second) {
      if (Rule(rule)) return;
    }
  }

  // True: the packet goes no further than this rule.
  bool Rule(absl::string_view rule) {
    if (absl::ConsumePrefix(&rule, "ip saddr != @pods ")) {
      return packet_.from != From::kPod && Rule(rule);
    }
    if (absl::ConsumePrefix(&rule, "ip saddr @pods ")) {
      return packet_.from == From::kPod && Rule(rule);
    }
    if (absl::ConsumePrefix(&rule, "fib saddr type local ")) {
      return packet_.from == From::kNode && Rule(rule);
    }
    if (absl::StartsWith(rule, "ip saddr @clients-") || absl::StartsWith(rule, "update @")) {
      return false;  // which of them it is, not whether
    }
    if (rule == "jump mark-masquerade") {
      reach_.masquerade = true;
      return false;
    }
    if (absl::ConsumePrefix(&rule, "jump ")) {
      Chain(std::string(rule));
      return false;
    }
    if (absl::StartsWith(rule, "goto ")) {
      GoTo(rule);
      return true;
    }
    return Choice(std::string(rule));
  }

  bool Choice(const std::string& rule) {
    std::string name, text;
    int mod = 0;
    if (RE2::PartialMatch(rule, R"(vmap @([a-z-]+)$)", &name)) {
      const std::string verdict = Look(name);
      GoTo(verdict);
      return !verdict.empty();
    }
    if (RE2::PartialMatch(rule, R"(numgen random mod (\d+) map @([a-z-]+)$)", &mod, &name)) {
      const auto& elements = table_.maps.at(name);
      for (int i = 0; i < mod; i++) {
        const auto at = elements.find(absl::StrCat(key_, " . ", i));
        AddTarget(at == elements.end() ? absl::StrCat("no number ", i) : at->second);
      }
    } else if (RE2::PartialMatch(rule, R"(map \{(.*)\}$)", &text)) {
      std::map<std::string, std::string> elements;
      AddElements(text, elements);
      for (const auto& [number, value] : elements) {
        if (absl::StartsWith(value, "goto ")) {
          GoTo(value);
        } else {
          AddTarget(value);
        }
      }
    } else if (RE2::PartialMatch(rule, R"(dnat to ([0-9.:]+)$)", &text)) {
      reach_.endpoints.insert(text);
    } else {
      reach_.endpoints.insert("not understood: " + rule);
    }
    return true;
  }

  void AddTarget(const std::string& value) {
    const std::vector<std::string> parts = absl::StrSplit(value, " . ");
    reach_.endpoints.insert(absl::StrJoin(parts, ":"));
  }

  const Table& table_;
  const Packet& packet_;
  std::string key_;
  Reach reach_;
};

}  // namespace

std::string Reach::Text() const {
  return absl::StrCat("[", absl::StrJoin(endpoints, ", "), "]", masquerade ? " masqueraded" : "",
                      refusal.empty() ? "" : " refusal: ", refusal);
}

Reach ReachByNft(const std::string& text, const Packet& packet) {
  const Table table = Read(text);
  return Walk(table, packet).Run();
}

}  // namespace meltemi::kubeproxy
