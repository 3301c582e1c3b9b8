// Rules that an earlier rule shadows. A match covers another when each of its conditions follows
// from the conditions of the other: whatever the later one takes, the earlier one has taken.
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/model/names.h"
#include "pilot/validate/rules.h"

namespace meltemi::pilot {
namespace {

using networking::HTTPMatchRequest;
using networking::L4MatchAttributes;
using networking::StringMatch;
using networking::TLSMatchAttributes;

std::string Folded(const std::string& text, bool ignore_case) {
  return ignore_case ? absl::AsciiStrToLower(text) : text;
}

// Does every string that `b` takes fit `a`?
bool Covers(const StringMatch& a, const StringMatch& b, bool ignore_case = false) {
  switch (a.match_type_case()) {
    case StringMatch::MATCH_TYPE_NOT_SET:
      return true;  // any value
    case StringMatch::kExact:
      return b.match_type_case() == StringMatch::kExact &&
             Folded(a.exact(), ignore_case) == Folded(b.exact(), ignore_case);
    case StringMatch::kPrefix: {
      const std::string prefix = Folded(a.prefix(), ignore_case);
      if (b.match_type_case() == StringMatch::kExact) {
        return absl::StartsWith(Folded(b.exact(), ignore_case), prefix);
      }
      return b.match_type_case() == StringMatch::kPrefix &&
             absl::StartsWith(Folded(b.prefix(), ignore_case), prefix);
    }
    case StringMatch::kRegex:
      return b.match_type_case() == StringMatch::kRegex && a.regex() == b.regex();
  }
  return false;
}

bool CoversField(bool a_has, const StringMatch& a, bool b_has, const StringMatch& b,
                 bool ignore_case = false) {
  return !a_has || (b_has && Covers(a, b, ignore_case));
}

template <typename Map>
bool CoversMap(const Map& a, const Map& b) {
  for (const auto& [name, match] : a) {
    const auto it = b.find(name);
    if (it == b.end() || !Covers(match, it->second)) return false;
  }
  return true;
}

// Exclusions: `b` must exclude at least what `a` excludes.
template <typename Map>
bool CoversExclusions(const Map& a, const Map& b) {
  for (const auto& [name, match] : a) {
    const auto it = b.find(name);
    if (it == b.end() || !Covers(it->second, match)) return false;
  }
  return true;
}

template <typename List>
bool Contains(const List& list, const std::string& word) {
  for (const std::string& item : list) {
    if (item == word) return true;
  }
  return false;
}

// The conditions that matches of all protocols have.
template <typename Match>
bool CoversCommon(const Match& a, const Match& b) {
  if (a.port() != 0 && a.port() != b.port()) return false;
  if (!a.source_namespace().empty() && a.source_namespace() != b.source_namespace()) return false;
  for (const auto& [key, value] : a.source_labels()) {
    const auto it = b.source_labels().find(key);
    if (it == b.source_labels().end() || it->second != value) return false;
  }
  if (a.gateways_size() == 0) return true;
  if (b.gateways_size() == 0) return false;
  for (const std::string& gateway : b.gateways()) {
    if (!Contains(a.gateways(), gateway)) return false;
  }
  return true;
}

bool Covers(const HTTPMatchRequest& a, const HTTPMatchRequest& b) {
  if (!CoversCommon(a, b)) return false;
  const bool uri_covered =
      CoversField(a.has_uri(), a.uri(), b.has_uri(), b.uri(), a.ignore_uri_case()) &&
      (!a.has_uri() || a.ignore_uri_case() || !b.ignore_uri_case());
  // Every path begins with "/".
  const bool any_path = a.uri().prefix() == "/";
  return (any_path || uri_covered) &&
         CoversField(a.has_scheme(), a.scheme(), b.has_scheme(), b.scheme()) &&
         CoversField(a.has_method(), a.method(), b.has_method(), b.method()) &&
         CoversField(a.has_authority(), a.authority(), b.has_authority(), b.authority()) &&
         CoversMap(a.headers(), b.headers()) && CoversMap(a.query_params(), b.query_params()) &&
         CoversExclusions(a.without_headers(), b.without_headers());
}

template <typename Match>
bool CoversSubnets(const Match& a, const Match& b) {
  if (a.destination_subnets_size() == 0) return true;
  if (b.destination_subnets_size() == 0) return false;
  for (const std::string& subnet : b.destination_subnets()) {
    if (!Contains(a.destination_subnets(), subnet)) return false;
  }
  return true;
}

bool Covers(const L4MatchAttributes& a, const L4MatchAttributes& b) {
  return CoversCommon(a, b) && CoversSubnets(a, b) &&
         (a.source_subnet().empty() || a.source_subnet() == b.source_subnet());
}

bool Covers(const TLSMatchAttributes& a, const TLSMatchAttributes& b) {
  if (!CoversCommon(a, b) || !CoversSubnets(a, b)) return false;
  for (const std::string& host : b.sni_hosts()) {
    bool covered = false;
    for (const std::string& pattern : a.sni_hosts()) covered |= HostCovers(pattern, host);
    if (!covered) return false;
  }
  return b.sni_hosts_size() > 0;
}

// The first earlier rule that takes everything that `match` would; -1 when there is none.
template <typename Routes, typename Match>
int CoveringRule(const Routes& routes, int rule, const Match& match) {
  for (int i = 0; i < rule; ++i) {
    if (routes[i].match_size() == 0) return i;
    for (const Match& earlier : routes[i].match()) {
      if (Covers(earlier, match)) return i;
    }
  }
  return -1;
}

// Rules and matches are told by their index, as in the paths.
template <typename Routes>
void AnalyzeRules(const Routes& routes, const Path& path, Report* report) {
  for (int rule = 0; rule < routes.size(); ++rule) {
    const Path at = path[static_cast<size_t>(rule)];
    const auto& matches = routes[rule].match();
    if (matches.empty()) {
      const typename std::decay_t<decltype(matches)>::value_type everything;
      const int covering = CoveringRule(routes, rule, everything);
      if (covering < 0) continue;
      report->Warning(at,
                      absl::StrCat("is never used: rule ", covering, " takes everything before"),
                      "IST0130");
      continue;
    }
    std::vector<std::pair<int, int>> covered;  // match -> covering rule
    for (int i = 0; i < matches.size(); ++i) {
      const int covering = CoveringRule(routes, rule, matches[i]);
      if (covering >= 0) covered.emplace_back(i, covering);
    }
    if (static_cast<int>(covered.size()) == matches.size()) {
      report->Warning(at,
                      absl::StrCat("is never used: rule ", covered.front().second,
                                   matches.size() == 1 ? " takes" : " and others take",
                                   " all that it matches before"),
                      "IST0130");
      continue;
    }
    for (const auto& [match, covering] : covered) {
      report->Info((at / "match")[static_cast<size_t>(match)],
                   absl::StrCat("has no effect: rule ", covering, " takes all of it before"),
                   "IST0131");
    }
  }
}

}  // namespace

void AnalyzeReachability(const networking::VirtualService& spec, Report* report) {
  AnalyzeRules(spec.http(), Path("spec.http"), report);
  AnalyzeRules(spec.tls(), Path("spec.tls"), report);
  AnalyzeRules(spec.tcp(), Path("spec.tcp"), report);
}

}  // namespace meltemi::pilot
