// The mesh of the benchmark as manifests: services in namespaces, each with a few endpoints, some
// with rules; what changes is marked, so that a proxy can tell from the bytes it gets which change
// it has.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace meltemi::bench {

struct MeshShape {
  uint32_t services = 1000;
  uint32_t namespaces = 50;
  bool scoped = true;  // a Sidecar in each namespace: it sees itself and the common namespace
};

// Whom a change concerns.
enum class Reach : uint8_t { kAll, kNamespace };
constexpr size_t kReaches = 2;

// The service that changes: of the namespace that everybody sees, or of another one.
inline uint32_t ServiceOf(Reach reach) { return reach == Reach::kAll ? 0 : 1; }

inline std::string NamespaceOf(const MeshShape& shape, uint32_t service) {
  return absl::StrCat("ns-", service % shape.namespaces);
}

inline std::string EndpointText(const MeshShape& shape, uint32_t service, uint32_t endpoint,
                                absl::string_view address) {
  return absl::StrCat(
      "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: s", service,
      "-", endpoint, ", namespace: ", NamespaceOf(shape, service), "}\nspec: {address: ", address,
      ", labels: {app: s", service, ", version: v", endpoint % 2, "}}\n");
}

inline uint32_t EndpointsOf(uint32_t service) { return 2 + service % 4; }

inline std::string AddressOf(uint32_t service, uint32_t endpoint) {
  return absl::StrCat("10.", service / 256, ".", service % 256, ".", endpoint + 1);
}

inline std::string ServiceText(const MeshShape& shape, uint32_t service) {
  std::string text =
      absl::StrCat("---\napiVersion: v1\nkind: Service\nmetadata: {name: s", service,
                   ", namespace: ", NamespaceOf(shape, service), "}\nspec: {clusterIP: 10.100.",
                   service / 250, ".", service % 250 + 1, ", selector: {app: s", service,
                   "}, ports: [{name: http, port: 80, targetPort: 8080}]}\n");
  for (uint32_t i = 0; i < EndpointsOf(service); ++i) {
    text += EndpointText(shape, service, i, AddressOf(service, i));
  }
  return text;
}

// The round, and whose, is in the bytes of the route.
constexpr uint32_t kRoundsMax = 100'000'000;
inline std::string RouteText(const MeshShape& shape, uint32_t service, uint32_t round) {
  const uint32_t mark = (service == ServiceOf(Reach::kNamespace) ? 2 : 1) * kRoundsMax + round;
  return absl::StrCat(
      "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: "
      "{name: s",
      service, ", namespace: ", NamespaceOf(shape, service), "}\nspec: {hosts: [s", service,
      "], http: [{headers: {response: {set: {x-round: \"round=", mark,
      "\"}}}, route: [{destination: {host: s", service,
      ", subset: v0}, weight: 80}, {destination: {host: s", service,
      ", subset: v1}, weight: 20}]}]}\n");
}

inline std::string RuleText(const MeshShape& shape, uint32_t service) {
  return absl::StrCat(
      "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: "
      "{name: s",
      service, ", namespace: ", NamespaceOf(shape, service), "}\nspec: {host: s", service,
      ", subsets: [{name: v0, labels: {version: v0}}, {name: v1, labels: "
      "{version: v1}}]}\n");
}

// An address that says which round it is of, and whose.
inline std::string RoundAddress(Reach reach, uint32_t round) {
  return absl::StrCat("10.2", (reach == Reach::kAll ? 50 : 40) + round / 62'500, ".",
                      round / 250 % 250, ".", round % 250 + 1);
}

inline std::string MeshText(const MeshShape& shape) {
  std::string text;
  for (uint32_t i = 0; i < shape.services; ++i) {
    text += ServiceText(shape, i);
    // Every fifth service of each namespace has rules.
    if (i / shape.namespaces % 5 == 0) text += RuleText(shape, i) + RouteText(shape, i, 0);
  }
  if (!shape.scoped) return text;
  for (uint32_t i = 0; i < shape.namespaces; ++i) {
    absl::StrAppend(&text,
                    "---\napiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: "
                    "default, namespace: ns-",
                    i, "}\nspec: {egress: [{hosts: [\"./*\"", i == 0 ? "" : ", \"ns-0/*\"",
                    "]}]}\n");
  }
  return text;
}

}  // namespace meltemi::bench
