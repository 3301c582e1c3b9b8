// Host names and namespaces as Istio resolves them. Pure functions; any thread.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace meltemi::pilot {

// "NAME.NS.svc.DOMAIN"
std::string ServiceHost(absl::string_view name, absl::string_view ns, absl::string_view domain);

// The full name of `host` as written in a rule of namespace `ns`: a name without a dot is a
// service of that namespace; anything else, wildcards and addresses too, is taken as it stands.
std::string ResolveHost(absl::string_view host, absl::string_view ns, absl::string_view domain);

// True if `pattern` ("a.b", "*.b" or "*") covers `host`. `host` may itself be a wildcard, which is
// covered only by an equal or a wider one.
bool HostCovers(absl::string_view pattern, absl::string_view host);

// True if some name exists that both cover.
bool HostsOverlap(absl::string_view a, absl::string_view b);

inline bool IsWildcard(absl::string_view host) { return !host.empty() && host[0] == '*'; }

// Order of specificity: exact names before wildcards, longer wildcards before shorter, "*" last;
// equals by text. Usable as a strict weak ordering.
bool MoreSpecificHost(absl::string_view a, absl::string_view b);

bool IsIpAddress(absl::string_view text);

// To which namespaces an object is visible (Istio's exportTo).
class ExportTo {
 public:
  // An empty list means all. "." is the object's own namespace `ns`, "*" all, "~" none.
  static ExportTo Parse(const std::vector<std::string>& words, absl::string_view ns);

  bool VisibleIn(absl::string_view ns) const;
  bool everywhere() const { return all_; }
  bool operator==(const ExportTo& other) const {
    return all_ == other.all_ && namespaces_ == other.namespaces_;
  }

 private:
  bool all_ = true;
  std::set<std::string, std::less<>> namespaces_;
};

}  // namespace meltemi::pilot
