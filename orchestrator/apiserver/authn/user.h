// Who asks.
//
// Threads: plain value types.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace meltemi::apiserver {

// Of a certificate that a trusted CA signed.
struct ClientCertificate {
  std::string common_name;
  std::vector<std::string> organizations;
  std::string sha256_hex;  // of the DER bytes
};

struct UserInfo {
  std::string name, uid;
  std::vector<std::string> groups;
  std::map<std::string, std::vector<std::string>> extra;

  bool InGroup(absl::string_view group) const;
  // system:masters.
  bool IsSuperuser() const { return InGroup("system:masters"); }
};

}  // namespace meltemi::apiserver
