// metadata.managedFields as a list of managers with what each owns.
//
// Threads: plain value types. Source: k8s.io/apimachinery/pkg/util/managedfields.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "orchestrator/apiserver/patch/field_set.h"

namespace meltemi::apiserver {

// Who a manager is: every combination has an entry of its own. Appliers keep theirs when they
// change to another version.
struct ManagerEntry {
  std::string manager;
  bool applies = false;  // operation "Apply", else "Update"
  std::string api_version;
  std::string subresource;
  std::string time;  // RFC 3339; "" when there is none
  FieldSet fields;
  // The entry as it was read, while that is what would be written: most writes change one of many.
  std::optional<json::Value> written;

  void SetFields(FieldSet changed) {
    fields = std::move(changed);
    written.reset();
  }

  bool SameManager(const ManagerEntry& other) const;
  // As conflicts name it: `"kubectl" with subresource "status" using apps/v1`.
  std::string Text() const;
};

class Managers {
 public:
  // Nullopt when it is no list of entries.
  static std::optional<Managers> FromJson(json::Value managed_fields);
  // Sorted: appliers first, then by time, name, version, subresource. Null when there are none.
  json::Value ToJson() &&;

  bool empty() const { return entries_.empty(); }
  std::vector<ManagerEntry>& entries() { return entries_; }
  const std::vector<ManagerEntry>& entries() const { return entries_; }

  ManagerEntry* Find(const ManagerEntry& like);
  // The manager's entry, which is made when there is none.
  ManagerEntry& Of(const ManagerEntry& like);
  void RemoveEmpty();
  // At most ten entries of updates stay: the oldest are merged, version by version, into an entry
  // of "ancient-changes".
  void Cap();

 private:
  std::vector<ManagerEntry> entries_;
};

}  // namespace meltemi::apiserver
