#include "pilot/translate/node.h"

#include <google/protobuf/struct.pb.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "envoy/config/core/v3/base.pb.h"
#include "pilot/model/names.h"
#include "pilot/model/service.h"

namespace meltemi::pilot {
namespace {

std::string Text(const google::protobuf::Struct& metadata, const std::string& key) {
  const auto it = metadata.fields().find(key);
  return it == metadata.fields().end() ? "" : it->second.string_value();
}

void ReadLabels(const google::protobuf::Struct& metadata, Labels* labels) {
  const auto it = metadata.fields().find("LABELS");
  if (it == metadata.fields().end()) return;
  for (const auto& [key, value] : it->second.struct_value().fields()) {
    (*labels)[key] = value.string_value();
  }
}

void ReadAddresses(const google::protobuf::Struct& metadata, std::vector<std::string>* addresses) {
  const std::string listed = Text(metadata, "INSTANCE_IPS");
  if (listed.empty()) return;
  std::vector<std::string> found;
  for (const absl::string_view ip : absl::StrSplit(listed, ',', absl::SkipEmpty())) {
    if (IsIpAddress(ip)) found.emplace_back(ip);
  }
  if (!found.empty()) *addresses = std::move(found);
}

void Replace(const std::string& value, std::string* field) {
  if (!value.empty()) *field = value;
}

}  // namespace

bool ProxyNode::HasIdentity() const {
  const auto label = labels.find(kTlsModeLabel);
  return label != labels.end() ? label->second == "istio" : authenticated;
}

absl::StatusOr<ProxyNode> ParseNode(const envoy::config::core::v3::Node& node) {
  ProxyNode result;
  result.id = node.id();
  const std::vector<std::string> parts = absl::StrSplit(node.id(), '~');
  if (parts.size() == 4) {
    if (parts[0] == "router" || parts[0] == "ingress") result.kind = ProxyKind::kGateway;
    if (IsIpAddress(parts[1])) result.addresses.push_back(parts[1]);
    const size_t dot = parts[2].rfind('.');
    result.name = parts[2].substr(0, dot);
    if (dot != std::string::npos) result.ns = parts[2].substr(dot + 1);
    if (result.ns.empty()) result.ns = parts[3].substr(0, parts[3].find('.'));
  }
  const google::protobuf::Struct& metadata = node.metadata();
  Replace(Text(metadata, "NAMESPACE"), &result.ns);
  Replace(Text(metadata, "NAME"), &result.name);
  result.workload_name = Text(metadata, "WORKLOAD_NAME");
  result.service_account = Text(metadata, "SERVICE_ACCOUNT");
  result.cluster_id = Text(metadata, "CLUSTER_ID");
  result.access_log_path = Text(metadata, "ACCESS_LOG");
  ReadLabels(metadata, &result.labels);
  ReadAddresses(metadata, &result.addresses);
  if (Text(metadata, "GENERATOR") == "grpc") result.kind = ProxyKind::kProxyless;
  if (result.ns.empty() || (result.addresses.empty() && result.kind == ProxyKind::kSidecar)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "node id \"", node.id(),
        "\" does not tell the proxy's address and namespace: expected "
        "sidecar~IP~NAME.NAMESPACE~NAMESPACE.svc.DOMAIN, or metadata INSTANCE_IPS and NAMESPACE"));
  }
  return result;
}

}  // namespace meltemi::pilot
