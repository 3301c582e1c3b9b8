// The configuration as the analysis looks things up in it: services by host, workloads by labels,
// destination rules by host, gateways by name. Built once, then only read.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "pilot/ingest/object.h"
#include "pilot/model/names.h"

namespace meltemi::pilot {

struct KnownService {
  std::string host;  // full name, possibly a wildcard (ServiceEntry)
  std::string ns;
  std::vector<uint32_t> ports;
  Labels selector;                // empty: its endpoints are not found by labels
  std::vector<Labels> endpoints;  // labels of the endpoints that the entry itself lists
  ExportTo export_to;
};

struct KnownWorkload {
  std::string ns;
  Labels labels;
  bool has_sidecar = false;  // as the injector notes it on the pod
};

struct KnownRule {
  const Object* object = nullptr;
  std::string host;
  ExportTo export_to;
};

class Registry {
 public:
  Registry(const std::vector<ObjectPtr>& objects, std::string domain);

  const std::string& domain() const { return domain_; }
  std::string Resolve(absl::string_view host, absl::string_view ns) const {
    return ResolveHost(host, ns, domain_);
  }
  // The service that `host` (a full name) means for clients in `ns`: exact names before wildcards.
  const KnownService* FindService(absl::string_view host, absl::string_view ns) const;
  // True if some service that clients in `ns` see fits the pattern "NAMESPACE/HOST" of a Sidecar.
  bool FindsAny(absl::string_view service_ns, absl::string_view host, absl::string_view ns) const;
  // Whether a rule for `host` that clients in `ns` see defines `subset`.
  bool HasSubset(absl::string_view host, absl::string_view subset, absl::string_view ns) const;
  const Object* FindGateway(absl::string_view ns, absl::string_view name) const;
  const Object* FindVirtualService(absl::string_view ns, absl::string_view name) const;
  const Object* FindSecret(absl::string_view ns, absl::string_view name) const;

  const std::vector<KnownWorkload>& workloads() const { return workloads_; }
  const std::vector<KnownRule>& rules() const { return rules_; }
  // Objects of a kind, in the order of keys.
  const std::vector<const Object*>& OfKind(Kind kind) const;

 private:
  void AddService(const Object& object);
  void AddServiceEntry(const Object& object);
  void AddWorkload(const Object& object);
  void AddRule(const Object& object);
  const Object* Find(Kind kind, absl::string_view ns, absl::string_view name) const;

  const std::string domain_;
  std::map<Kind, std::vector<const Object*>> by_kind_;
  std::map<std::string, std::vector<KnownService>, std::less<>> services_;  // by host
  std::vector<std::string> wildcards_;                                      // among those hosts
  std::vector<KnownWorkload> workloads_;
  std::vector<KnownRule> rules_;
  std::map<std::string, std::vector<size_t>, std::less<>> rules_by_host_;
};

}  // namespace meltemi::pilot
