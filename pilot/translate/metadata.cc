#include "pilot/translate/metadata.h"

#include <google/protobuf/struct.pb.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "envoy/config/core/v3/base.pb.h"

namespace meltemi::pilot {
namespace {

google::protobuf::Value& IstioField(absl::string_view key,
                                    envoy::config::core::v3::Metadata* metadata) {
  google::protobuf::Struct& istio = (*metadata->mutable_filter_metadata())["istio"];
  return (*istio.mutable_fields())[std::string(key)];
}

std::string FirstLabel(const Labels& labels, std::initializer_list<const char*> keys,
                       absl::string_view otherwise) {
  for (const char* key : keys) {
    const auto it = labels.find(key);
    if (it != labels.end() && !it->second.empty()) return it->second;
  }
  return std::string(otherwise);
}

}  // namespace

std::string OutboundClusterName(uint32_t port, absl::string_view subset, absl::string_view host) {
  return absl::StrCat("outbound|", port, "|", subset, "|", host);
}

bool ParseOutboundClusterName(absl::string_view name, uint32_t* port, std::string* subset,
                              std::string* host) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '|');
  if (parts.size() != 4 || parts[0] != "outbound") return false;
  *subset = std::string(parts[2]);
  *host = std::string(parts[3]);
  return absl::SimpleAtoi(parts[1], port) && *port <= 65535;
}

std::string InboundClusterName(uint32_t port) { return absl::StrCat("inbound|", port, "||"); }

void AddServiceMetadata(const Service& service, envoy::config::core::v3::Metadata* metadata) {
  google::protobuf::Value* entry =
      IstioField("services", metadata).mutable_list_value()->add_values();
  auto& fields = *entry->mutable_struct_value()->mutable_fields();
  fields["host"].set_string_value(service.host);
  fields["name"].set_string_value(service.meta.kind == "Service" ? service.meta.name
                                                                 : service.host);
  fields["namespace"].set_string_value(service.meta.ns);
}

void SetIstioText(absl::string_view key, absl::string_view value,
                  envoy::config::core::v3::Metadata* metadata) {
  IstioField(key, metadata).set_string_value(std::string(value));
}

void SetIstioNumber(absl::string_view key, double value,
                    envoy::config::core::v3::Metadata* metadata) {
  IstioField(key, metadata).set_number_value(value);
}

void SetTakesMtls(envoy::config::core::v3::Metadata* metadata) {
  auto& match = (*metadata->mutable_filter_metadata())["envoy.transport_socket_match"];
  (*match.mutable_fields())["tlsMode"].set_string_value("istio");
}

std::string ConfigPath(const ObjectMeta& meta) {
  std::string kind;
  for (const char c : meta.kind) {
    if (absl::ascii_isupper(static_cast<unsigned char>(c)) && !kind.empty()) kind += '-';
    kind += absl::ascii_tolower(static_cast<unsigned char>(c));
  }
  return absl::StrCat("/apis/networking.istio.io/v1/namespaces/", meta.ns, "/", kind, "/",
                      meta.name);
}

std::string WorkloadMetadata(const Endpoint& endpoint, absl::string_view cluster_id) {
  const std::string canonical = FirstLabel(
      endpoint.labels, {"service.istio.io/canonical-name", "app.kubernetes.io/name", "app"},
      endpoint.workload);
  const std::string revision = FirstLabel(
      endpoint.labels,
      {"service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"}, "latest");
  return absl::StrCat(endpoint.workload, ";", endpoint.ns, ";", canonical, ";", revision, ";",
                      cluster_id);
}

}  // namespace meltemi::pilot
