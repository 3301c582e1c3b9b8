#include "pilot/model/names.h"

#include <arpa/inet.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace meltemi::pilot {

std::string ServiceHost(absl::string_view name, absl::string_view ns, absl::string_view domain) {
  return absl::StrCat(name, ".", ns, ".svc.", domain);
}

std::string ResolveHost(absl::string_view host, absl::string_view ns, absl::string_view domain) {
  const bool is_short = !host.empty() && host.find('.') == absl::string_view::npos &&
                        host.find(':') == absl::string_view::npos && !IsWildcard(host);
  return is_short ? ServiceHost(host, ns, domain) : std::string(host);
}

bool HostCovers(absl::string_view pattern, absl::string_view host) {
  if (!IsWildcard(pattern)) return pattern == host;
  if (IsWildcard(host)) {
    return host.size() >= pattern.size() && absl::EndsWith(host, pattern.substr(1));
  }
  return host.size() >= pattern.size() - 1 && absl::EndsWith(host, pattern.substr(1));
}

bool HostsOverlap(absl::string_view a, absl::string_view b) {
  return HostCovers(a, b) || HostCovers(b, a);
}

bool MoreSpecificHost(absl::string_view a, absl::string_view b) {
  if (IsWildcard(a) != IsWildcard(b)) return !IsWildcard(a);
  if (a.size() != b.size()) return a.size() > b.size();
  return a < b;
}

bool IsIpAddress(absl::string_view text) {
  const std::string copy(text);
  unsigned char parsed[sizeof(struct in6_addr)];
  return inet_pton(AF_INET, copy.c_str(), parsed) == 1 ||
         inet_pton(AF_INET6, copy.c_str(), parsed) == 1;
}

ExportTo ExportTo::Parse(const std::vector<std::string>& words, absl::string_view ns) {
  ExportTo result;
  if (words.empty()) return result;
  result.all_ = false;
  for (const std::string& word : words) {
    if (word == "*") {
      result.all_ = true;
    } else if (word == ".") {
      result.namespaces_.emplace(ns);
    } else if (word != "~") {
      result.namespaces_.insert(word);
    }
  }
  return result;
}

bool ExportTo::VisibleIn(absl::string_view ns) const {
  return all_ || namespaces_.find(std::string(ns)) != namespaces_.end();
}

}  // namespace meltemi::pilot
