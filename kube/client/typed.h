// The calls of client.h on typed objects: kube::Create(client, pod), kube::Get<Pod>(client, ns,
// name).
//
// Threads: as Client: they block. The templates only name the type; what they do is in typed.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "kube/client/client.h"
#include "kube/client/resource.h"
#include "kube/status/status.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace meltemi::kube {

struct ListOptions {
  std::string ns;  // empty: all
  std::string label_selector, field_selector;
  std::string resource_version;  // empty: most recent
};

struct DeleteOptions {
  std::optional<int64_t> grace_period_seconds;
  std::string uid, resource_version;  // preconditions; empty: none
  std::string propagation;            // "Background", "Foreground", "Orphan" or empty: the default
};

enum class PatchType : uint8_t { kJson, kMerge, kStrategicMerge, kApply };

namespace internal {
// `out` may be null where the answer is of no interest.
Outcome GetInto(Client& client, const ApiResource& resource, absl::string_view ns,
                absl::string_view name, google::protobuf::Message* out);
Outcome CreateInto(Client& client, const ApiResource& resource,
                   const google::protobuf::Message& object, google::protobuf::Message* out);
Outcome UpdateInto(Client& client, const ApiResource& resource, absl::string_view subresource,
                   const google::protobuf::Message& object, google::protobuf::Message* out);
Outcome PatchInto(Client& client, const ApiResource& resource, absl::string_view ns,
                  absl::string_view name, absl::string_view subresource, PatchType type,
                  absl::string_view patch_json, absl::string_view field_manager,
                  google::protobuf::Message* out);
// Calls `add` for a new message of each item; the answer is the list's resourceVersion.
Result<std::string> ListInto(Client& client, const ApiResource& resource,
                             const ListOptions& options, const google::protobuf::Message& prototype,
                             std::vector<std::unique_ptr<google::protobuf::Message>>* out);
}  // namespace internal

template <typename T>
Result<T> Get(Client& client, absl::string_view ns, absl::string_view name) {
  T out;
  Outcome outcome = internal::GetInto(client, ResourceOf<T>(), ns, name, &out);
  if (!outcome.ok()) return outcome.status();
  return out;
}

// Into the namespace of its metadata. The answer is the object as it was stored.
template <typename T>
Result<T> Create(Client& client, const T& object) {
  T out;
  Outcome outcome = internal::CreateInto(client, ResourceOf<T>(), object, &out);
  if (!outcome.ok()) return outcome.status();
  return out;
}

// Writes the whole object; with its resourceVersion (409 when it is no longer that), or without one
// unconditionally. managedFields are never sent: the server keeps them.
template <typename T>
Result<T> Update(Client& client, const T& object) {
  T out;
  Outcome outcome = internal::UpdateInto(client, ResourceOf<T>(), "", object, &out);
  if (!outcome.ok()) return outcome.status();
  return out;
}

// The status alone counts.
template <typename T>
Result<T> UpdateStatus(Client& client, const T& object) {
  T out;
  Outcome outcome = internal::UpdateInto(client, ResourceOf<T>(), "status", object, &out);
  if (!outcome.ok()) return outcome.status();
  return out;
}

template <typename T>
Result<T> Patch(Client& client, absl::string_view ns, absl::string_view name, PatchType type,
                absl::string_view patch_json, absl::string_view subresource = "",
                absl::string_view field_manager = "") {
  T out;
  Outcome outcome = internal::PatchInto(client, ResourceOf<T>(), ns, name, subresource, type,
                                        patch_json, field_manager, &out);
  if (!outcome.ok()) return outcome.status();
  return out;
}

// All pages.
template <typename T>
Result<std::vector<T>> List(Client& client, const ListOptions& options = {}) {
  std::vector<std::unique_ptr<google::protobuf::Message>> items;
  Result<std::string> listed =
      internal::ListInto(client, ResourceOf<T>(), options, T::default_instance(), &items);
  if (!listed.ok()) return listed.status();
  std::vector<T> out;
  out.reserve(items.size());
  for (auto& item : items) out.push_back(std::move(static_cast<T&>(*item)));
  return out;
}

Outcome Delete(Client& client, const ApiResource& resource, absl::string_view ns,
               absl::string_view name, const DeleteOptions& options = {});

template <typename T>
Outcome Delete(Client& client, absl::string_view ns, absl::string_view name,
               const DeleteOptions& options = {}) {
  return Delete(client, ResourceOf<T>(), ns, name, options);
}

// What a controller does most: read, change, write, and again from the start when somebody was
// faster (at most 5 times). `change` gives false when nothing is to be written.
template <typename T, typename Change>
Result<T> Modify(Client& client, absl::string_view ns, absl::string_view name, Change change,
                 bool status_only = false) {
  for (int attempt = 0;; ++attempt) {
    Result<T> current = Get<T>(client, ns, name);
    if (!current.ok() || !change(*current)) return current;
    Result<T> written = status_only ? UpdateStatus(client, *current) : Update(client, *current);
    if (written.ok() || !IsConflict(written.status()) || attempt == 4) return written;
  }
}

}  // namespace meltemi::kube
