// The analyses, one function per kind of object that they speak about.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "pilot/ingest/diagnostic.h"
#include "pilot/validate/registry.h"

namespace meltemi::pilot {

inline constexpr char kNotFound[] = "IST0101";

void AnalyzeVirtualServices(const Registry& registry, std::vector<Diagnostic>* out);
void AnalyzeDestinationRules(const Registry& registry, std::vector<Diagnostic>* out);
void AnalyzeGateways(const Registry& registry, std::vector<Diagnostic>* out);
void AnalyzeSidecars(const Registry& registry, std::vector<Diagnostic>* out);
void AnalyzeServices(const Registry& registry, std::vector<Diagnostic>* out);
// Policies that compete or select nobody, and rules that make clients send what servers refuse.
void AnalyzePeerAuthentications(const Registry& registry, absl::string_view root_ns,
                                std::vector<Diagnostic>* out);
// Credentials and ports of Gateways.
void AnalyzeGatewayTls(const Registry& registry, std::vector<Diagnostic>* out);

// The namespace and name of a gateway as a VirtualService in `ns` writes it: NAME, NAMESPACE/NAME,
// or NAME.NAMESPACE[.svc…].
std::pair<std::string, std::string> GatewayName(absl::string_view text, absl::string_view ns);

// The gateways of a VirtualService; "mesh" when it names none.
template <typename VirtualService>
std::vector<std::string> GatewaysOf(const VirtualService& spec) {
  if (spec.gateways_size() == 0) return {"mesh"};
  return {spec.gateways().begin(), spec.gateways().end()};
}

}  // namespace meltemi::pilot
