// The group "networking.k8s.io".
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/groups.h"
#include "orchestrator/apiserver/kinds/ingress.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

void ValidatePort(const json::Value& port, const FieldPath& path, FieldErrors& errors) {
  ValidateOneOf(port, "protocol", path, {"TCP", "UDP", "SCTP"}, false, errors);
  const json::Value& first = Get(port, "port");
  const std::optional<int64_t> last = OptionalInt(port, "endPort");
  const FieldPath last_path = path.Child("endPort");
  if (first.is_number()) {
    const int64_t number = first.AsInt64().value_or(0);
    AddInvalid(path.Child("port"), number, CheckPortNumber(number), errors);
    if (!last.has_value()) return;
    if (*last < number) {
      errors.push_back(
          kube::InvalidField(last_path, number, "must be greater than or equal to `port`"));
    }
    AddInvalid(last_path, *last, CheckPortNumber(*last), errors);
    return;
  }
  if (last.has_value()) {
    errors.push_back(kube::InvalidField(last_path, *last,
                                        first.is_null()
                                            ? "may not be specified when `port` is not specified"
                                            : "may not be specified when `port` is non-numeric"));
  }
  if (first.is_string()) {
    AddInvalid(path.Child("port"), first.text(), CheckPortName(first.text()), errors);
  }
}

struct Cidr {
  std::string address;  // 4 or 16 bytes
  int length = 0;
};

// Precondition: IsCidr().
Cidr ParseCidr(absl::string_view text) {
  const size_t slash = text.find('/');
  Cidr cidr{.address = IpBytes(text.substr(0, slash))};
  if (!absl::SimpleAtoi(text.substr(slash + 1), &cidr.length)) cidr.length = 0;
  return cidr;
}

bool IsStrictSubset(const Cidr& inner, const Cidr& outer) {
  if (inner.address.size() != outer.address.size() || inner.length <= outer.length) return false;
  for (int bit = 0; bit < outer.length; ++bit) {
    const size_t byte = static_cast<size_t>(bit) / 8;
    if (((inner.address[byte] ^ outer.address[byte]) >> (7 - bit % 8)) & 1) return false;
  }
  return true;
}

void ValidateIpBlock(const json::Value& block, const FieldPath& path, FieldErrors& errors) {
  const absl::string_view range = Text(block, "cidr");
  if (range.empty()) {
    errors.push_back(kube::Required(path.Child("cidr")));
    return;
  }
  ValidateCidr(path.Child("cidr"), range, errors);
  if (!IsCidr(range)) return;
  const auto& except = Items(block, "except");
  for (size_t i = 0; i < except.size(); ++i) {
    const FieldPath except_path = path.Child("except").Index(i);
    ValidateCidr(except_path, except[i].text(), errors);
    if (IsCidr(except[i].text()) &&
        !IsStrictSubset(ParseCidr(except[i].text()), ParseCidr(range))) {
      errors.push_back(
          kube::InvalidField(except_path, except[i].text(), "must be a strict subset of `cidr`"));
    }
  }
}

void ValidatePeer(const json::Value& peer, const FieldPath& path, FieldErrors& errors) {
  size_t peers = 0;
  for (const char* key : {"podSelector", "namespaceSelector"}) {
    if (!Has(peer, key)) continue;
    ++peers;
    ValidateLabelSelector(peer.Find(key), path.Child(key), errors);
  }
  const bool block = Has(peer, "ipBlock");
  if (block) ValidateIpBlock(Get(peer, "ipBlock"), path.Child("ipBlock"), errors);
  if (peers == 0 && !block) {
    errors.push_back(kube::Required(path, "must specify a peer"));
  } else if (peers > 0 && block) {
    errors.push_back(kube::ForbiddenField(path, "may not specify both ipBlock and another peer"));
  }
}

void ValidateDirection(const json::Value& spec, absl::string_view direction,
                       absl::string_view peers_key, FieldErrors& errors) {
  const auto& rules = Items(spec, direction);
  for (size_t i = 0; i < rules.size(); ++i) {
    const FieldPath path = FieldPath("spec").Child(direction).Index(i);
    const auto& ports = Items(rules[i], "ports");
    for (size_t j = 0; j < ports.size(); ++j) {
      ValidatePort(ports[j], path.Child("ports").Index(j), errors);
    }
    const auto& peers = Items(rules[i], peers_key);
    for (size_t j = 0; j < peers.size(); ++j) {
      ValidatePeer(peers[j], path.Child(peers_key).Index(j), errors);
    }
  }
}

void ValidatePolicyTypes(const json::Value& spec, FieldErrors& errors) {
  const auto& types = Items(spec, "policyTypes");
  const FieldPath path = FieldPath("spec").Child("policyTypes");
  if (types.size() > 2) {
    std::string printed = GoTextList(Get(spec, "policyTypes"));
    printed.replace(0, absl::string_view("[]string").size(), "[]networking.PolicyType");
    errors.push_back(
        InvalidPrinted(path, std::move(printed), "may not specify more than two policyTypes"));
    return;
  }
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i].text() == "Ingress" || types[i].text() == "Egress") continue;
    errors.push_back(kube::NotSupported(path.Index(i), types[i], {"Ingress", "Egress"}));
  }
}

class NetworkPolicyStrategy final : public Strategy {
 public:
  void Default(const Resource& resource, json::Value& object) const override {
    json::Value* spec = MutableMember(object, "spec");
    if (spec == nullptr) return;
    for (const char* direction : {"ingress", "egress"}) {
      std::vector<json::Value>* rules = MutableItems(*spec, direction);
      if (rules == nullptr) continue;
      for (json::Value& rule : *rules) {
        std::vector<json::Value>* ports = MutableItems(rule, "ports");
        if (ports == nullptr) continue;
        for (json::Value& port : *ports) SetDefault(port, "protocol", "TCP");
      }
    }
    if (!Items(*spec, "policyTypes").empty()) return;
    json::Value& types = spec->Set("policyTypes", json::Value::Array());
    types.Append(json::Value::String("Ingress"));
    if (!Items(*spec, "egress").empty()) types.Append(json::Value::String("Egress"));
  }
  bool CountsGenerations(const Resource& resource) const override { return true; }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    const json::Value& spec = Get(object, "spec");
    ValidateLabelSelector(spec.Find("podSelector"), FieldPath("spec").Child("podSelector"), errors);
    ValidateDirection(spec, "ingress", "from", errors);
    ValidateDirection(spec, "egress", "to", errors);
    ValidatePolicyTypes(spec, errors);
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    return Validate(resource, object);
  }
};

std::vector<json::Value> NetworkPolicyRow(const json::Value& object, int64_t now_s) {
  const json::Value& selector = Get(object, "spec", "podSelector");
  return {NameCell(object),
          TextCell(SelectorText(selector.is_null() ? json::Value::Object() : selector)),
          AgeCell(object, now_s)};
}

}  // namespace

void AddNetworking(KindTable& table) {
  table.Add("networking.k8s.io", "ingresses", IngressStrategy(), IngressColumns());
  table.Add("networking.k8s.io", "ingressclasses", IngressClassStrategy(), IngressClassColumns());
  table.Add("networking.k8s.io", "networkpolicies", std::make_unique<NetworkPolicyStrategy>(),
            MakeColumns(
                {NameColumn(), TextColumn("Pod-Selector", "The pods that it is for."), AgeColumn()},
                NetworkPolicyRow));
}

}  // namespace meltemi::apiserver
