// What is particular about a kind when it is written: defaults that depend on other fields, fields
// that clients may not set, validation. (Kubernetes' rest strategies, defaults.go, validation.go.)
//
// Threads: stateless; called from any request's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/selector/selector.h"
#include "kube/status/field_error.h"
#include "orchestrator/apiserver/kinds/resource.h"

namespace meltemi::apiserver {

// Which part of the object a request may change.
enum class Scope : uint8_t { kMain, kStatus };

class Strategy {
 public:
  virtual ~Strategy() = default;

  // Of `object` in the version of `resource`, after the schema's own defaults.
  virtual void Default(const Resource& resource, json::Value& object) const {}

  // After mutating admission, as in Kubernetes. Creating: drops status where there is a status
  // subresource, sets generation. Updating: copies what `scope` may not change from `old_object`
  // (status or spec, and metadata of status updates), counts generation up when the spec changed.
  // The base class does what is the same for all kinds: override to add to it.
  virtual void PrepareForCreate(const Resource& resource, json::Value& object) const;
  virtual void PrepareForUpdate(const Resource& resource, Scope scope,
                                const json::Value& old_object, json::Value& object) const;

  // After admission. metadata is validated by the caller (object_meta.h).
  virtual kube::FieldErrors Validate(const Resource& resource, const json::Value& object) const {
    return {};
  }
  virtual kube::FieldErrors ValidateUpdate(const Resource& resource, Scope scope,
                                           const json::Value& old_object,
                                           const json::Value& object) const {
    return {};
  }
  // Warning headers: deprecated fields and the like.
  virtual std::vector<std::string> Warnings(const Resource& resource,
                                            const json::Value& object) const {
    return {};
  }

  // Kubernetes' rule for metadata.name of the kind; DNS subdomain unless overridden. Returns the
  // texts of what is wrong. `prefix`: it is a generateName.
  virtual std::vector<std::string> CheckName(absl::string_view name, bool prefix) const;

  // What field selectors see beside metadata.name and metadata.namespace: "spec.nodeName" …
  virtual kube::StringPairs SelectableFields(const json::Value& object) const { return {}; }
  virtual std::vector<std::string> SelectableFieldNames() const { return {}; }

  // metadata.generation is 1 at first and grows with each change of what SpecChanged looks at.
  virtual bool CountsGenerations(const Resource& resource) const { return resource.custom; }
  // Anything but metadata and status, unless overridden.
  virtual bool SpecChanged(const json::Value& old_object, const json::Value& object) const;
  // A request to /status may change labels, annotations and finalizers too (pods, nodes).
  virtual bool StatusUpdatesMetadata() const { return false; }
  // The status of a creation is dropped (where there is a subresource for it); nodes keep theirs.
  virtual bool DropsStatusOnCreate() const { return true; }

  virtual bool AllowCreateOnUpdate() const { return false; }
  // An update without resourceVersion is allowed.
  virtual bool AllowUnconditionalUpdate() const { return true; }
  // Seconds that a deletion waits for somebody to finish (pods: the kubelet); 0: deleted at once.
  // `requested` is what DeleteOptions ask for, if they do.
  virtual int64_t GracePeriodSeconds(const json::Value& object,
                                     std::optional<int64_t> requested) const {
    return 0;
  }
  // "background" or "orphan" where DeleteOptions say nothing.
  virtual bool OrphansDependentsByDefault() const { return false; }
};

// The columns of a Table: `kubectl get`, and with priority above 0 `-o wide`.
struct TableColumn {
  std::string name, type, format, description;
  int priority = 0;
};

class TableColumns {
 public:
  virtual ~TableColumns() = default;
  virtual const std::vector<TableColumn>& columns() const = 0;
  // One cell per column, printed as Kubernetes prints them. `now_s`: Unix time, for ages.
  virtual std::vector<json::Value> Cells(const json::Value& object, int64_t now_s) const = 0;
};

// The built-in resources; what is registered where is read off kinds/builtin.cc.
std::vector<std::shared_ptr<const Resource>> BuiltinResources(SchemaArena& arena);

}  // namespace meltemi::apiserver
