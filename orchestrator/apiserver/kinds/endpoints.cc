#include "orchestrator/apiserver/kinds/endpoints.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/service.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr size_t kShownMax = 3;

void ValidateAddress(const json::Value& address, const FieldPath& path, FieldErrors& errors) {
  const absl::string_view ip = Text(address, "ip");
  const absl::string_view host = Text(address, "hostname"), node = Text(address, "nodeName");
  ValidateIp(path.Child("ip"), ip, errors);
  if (!host.empty()) AddInvalid(path.Child("hostname"), host, CheckDns1123Label(host), errors);
  if (!node.empty()) {
    AddInvalid(path.Child("nodeName"), node, NameIsDnsSubdomain(node, false), errors);
  }
  ValidateNonSpecialIp(ip, path.Child("ip"), errors);
}

void ValidatePort(const json::Value& port, bool name_required, const FieldPath& path,
                  FieldErrors& errors) {
  const absl::string_view name = Text(port, "name");
  if (!name.empty()) {
    AddInvalid(path.Child("name"), name, CheckDns1123Label(name), errors);
  } else if (name_required) {
    errors.push_back(kube::Required(path.Child("name")));
  }
  AddInvalid(path.Child("port"), Int(port, "port"), CheckPortNumber(Int(port, "port")), errors);
  ValidateOneOf(port, "protocol", path, {"SCTP", "TCP", "UDP"}, true, errors);
  if (Has(port, "appProtocol")) {
    const absl::string_view protocol = Text(port, "appProtocol");
    AddInvalid(path.Child("appProtocol"), protocol, CheckQualifiedName(protocol), errors);
  }
}

class EndpointsRules final : public Strategy {
 public:
  void Default(const Resource& resource, json::Value& object) const override {
    std::vector<json::Value>* subsets = MutableItems(object, "subsets");
    if (subsets == nullptr) return;
    for (json::Value& subset : *subsets) {
      std::vector<json::Value>* ports = MutableItems(subset, "ports");
      if (ports == nullptr) continue;
      for (json::Value& port : *ports) SetDefault(port, "protocol", "TCP");
    }
  }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    const std::vector<json::Value>& subsets = Items(object, "subsets");
    for (size_t i = 0; i < subsets.size(); ++i) {
      const FieldPath path = FieldPath("subsets").Index(i);
      if (Items(subsets[i], "addresses").empty() &&
          Items(subsets[i], "notReadyAddresses").empty()) {
        errors.push_back(kube::Required(path, "must specify `addresses` or `notReadyAddresses`"));
      }
      for (const char* list : {"addresses", "notReadyAddresses"}) {
        const std::vector<json::Value>& addresses = Items(subsets[i], list);
        for (size_t a = 0; a < addresses.size(); ++a) {
          ValidateAddress(addresses[a], path.Child(list).Index(a), errors);
        }
      }
      const std::vector<json::Value>& ports = Items(subsets[i], "ports");
      for (size_t p = 0; p < ports.size(); ++p) {
        ValidatePort(ports[p], ports.size() > 1, path.Child("ports").Index(p), errors);
      }
    }
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    return Validate(resource, object);
  }
  bool AllowCreateOnUpdate() const override { return true; }
};

std::string EndpointsText(const json::Value& object) {
  const std::vector<json::Value>& subsets = Items(object, "subsets");
  if (subsets.empty()) return "<none>";
  std::vector<std::string> shown;
  size_t count = 0;
  const auto add = [&](const json::Value& address, const std::string& port) {
    ++count;
    if (shown.size() == kShownMax) return;
    const absl::string_view ip = Text(address, "ip");
    const bool brackets = !port.empty() && IsIpv6(ip);
    shown.push_back(absl::StrCat(brackets ? "[" : "", ip, brackets ? "]" : "", port));
  };
  for (const json::Value& subset : subsets) {
    const std::vector<json::Value>& addresses = Items(subset, "addresses");
    if (Items(subset, "ports").empty()) {
      for (const json::Value& address : addresses) add(address, "");
    }
    for (const json::Value& port : Items(subset, "ports")) {
      for (const json::Value& address : addresses) {
        add(address, absl::StrCat(":", Int(port, "port")));
      }
    }
  }
  const std::string text = absl::StrJoin(shown, ",");
  return count > kShownMax ? absl::StrCat(text, " + ", count - kShownMax, " more...") : text;
}

}  // namespace

std::unique_ptr<const Strategy> EndpointsStrategy() { return std::make_unique<EndpointsRules>(); }

std::unique_ptr<const TableColumns> EndpointsColumns() {
  return MakeColumns(
      {NameColumn(), TextColumn("Endpoints", "Addresses and ports that are ready."), AgeColumn()},
      [](const json::Value& object, int64_t now_s) {
        return std::vector<json::Value>{NameCell(object), TextCell(EndpointsText(object)),
                                        AgeCell(object, now_s)};
      });
}

std::unique_ptr<const TableColumns> ServiceAccountColumns() {
  return MakeColumns(
      {NameColumn(), TextColumn("Secrets", "How many secrets its pods may mount."), AgeColumn()},
      [](const json::Value& object, int64_t now_s) {
        const int64_t secrets = static_cast<int64_t>(Items(object, "secrets").size());
        return std::vector<json::Value>{NameCell(object), json::Value::Int(secrets),
                                        AgeCell(object, now_s)};
      });
}

}  // namespace meltemi::apiserver
