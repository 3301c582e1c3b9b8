// The options of requests, from the query or the body: CreateOptions, UpdateOptions, PatchOptions,
// DeleteOptions, ListOptions.
//
// Threads: functions without state. Source: k8s.io/apimachinery/pkg/apis/meta/v1/validation.
#pragma once

#include <optional>
#include <string>

#include "kube/selector/selector.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/verbs/objects.h"

namespace meltemi::apiserver {

struct WriteOptions {
  bool dry_run = false;
  std::string field_manager;  // as it was asked for; "" when not
  std::string field_validation = "Warn";
  std::optional<bool> force;
};

// `kind`: "CreateOptions", "UpdateOptions" or "PatchOptions". `apply`: fieldManager must be there,
// force may be. Error: Invalid.
kube::Result<WriteOptions> ParseWriteOptions(const Request& request, absl::string_view kind,
                                             bool apply = false);

// The context of a write of `request`.
WriteContext ContextOf(const Request& request, const WriteOptions& options);

struct DeleteOptions {
  DeleteRequest request;
  bool dry_run = false;
};

// From the body when there is one, else from the query.
kube::Result<DeleteOptions> ParseDeleteOptions(const Request& request);
kube::Result<DeleteOptions> DeleteOptionsOf(const json::Value& options);

struct ListOptions {
  kube::LabelSelector labels;
  kube::FieldSelector fields;
  size_t limit = 0;
  std::string continue_token;
  std::string resource_version, resource_version_match;
  uint64_t version = 0;  // resource_version as a number
  std::optional<bool> send_initial_events;
  bool bookmarks = false;
  std::optional<int64_t> timeout_seconds;
};

// `watch`: the rules for watches hold. Errors: BadRequest, Invalid.
kube::Result<ListOptions> ParseListOptions(const Request& request, const Resource& resource,
                                           bool watch);

// "", or a number. Error: BadRequest.
kube::Result<uint64_t> ParseResourceVersion(absl::string_view text);

}  // namespace meltemi::apiserver
