#include "security/v1/peer_authentication.pb.h"

#include <map>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/core/v1/config.pb.h"
#include "pilot/validate/grammar.h"
#include "pilot/validate/rules.h"
#include "pilot/validate/shared_rules.h"

namespace meltemi::pilot {

using istio::security::v1beta1::PeerAuthentication;

void ValidatePeerAuthentication(const PeerAuthentication& spec, Report* report) {
  const Path path("spec");
  const auto& selector = spec.selector().match_labels();
  for (const auto& [key, value] : selector) {
    if (absl::StrContains(key, '*') || absl::StrContains(value, '*')) {
      report->Error((path / "selector" / "matchLabels").Key(key),
                    "a selector takes no wildcards: labels are compared as they stand");
    }
  }
  ValidateLabels(selector, path / "selector" / "matchLabels", report);
  if (selector.empty() && !spec.port_level_mtls().empty()) {
    report->Error(path / "portLevelMtls",
                  "mesh/namespace peer authentication cannot have port level mTLS: name the "
                  "workloads in a selector");
  }
  const std::map<uint32_t, PeerAuthentication::MutualTLS> ports(spec.port_level_mtls().begin(),
                                                                spec.port_level_mtls().end());
  for (const auto& [port, mtls] : ports) {
    report->Check((path / "portLevelMtls").Key(absl::StrCat(port)), WhyNoPort(port));
  }
}

void ValidateSecret(const kube::core::v1::Secret& secret, Report* report) {
  if (secret.type() != "kubernetes.io/tls") return;
  for (const char* key : {"tls.crt", "tls.key"}) {
    if (secret.data().contains(key) || secret.string_data().contains(key)) continue;
    report->Error(Path("data").Key(key), "Required value");
  }
}

}  // namespace meltemi::pilot
