// metadata of all objects: what the server fills in, what may be in it, what may change.
//
// Threads: functions without state. `random` belongs to the caller (see base/random).
// Source: k8s.io/apimachinery/pkg/api/validation, k8s.io/apiserver/pkg/registry/rest.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "base/random/random.h"
#include "kube/status/field_error.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/kinds/strategy.h"

namespace meltemi::apiserver {

// "web-" becomes "web-x7k2p": at most 58 bytes of `base` and five characters of Kubernetes' own
// alphabet, which has no vowels and nothing that is easily mistaken.
std::string GenerateName(absl::string_view base, Random& random);

// A random (version 4) UUID.
std::string NewUid(Random& random);

// The namespace of the request goes into an object that has none; cluster-scoped objects lose
// theirs. BadRequest when the two differ. `ns` is "" for cluster-scoped resources.
kube::Outcome MatchNamespace(const Resource& resource, absl::string_view ns, json::Value& object);

// A new object, before admission: uid, creationTimestamp, the name after generateName; nothing of
// what only the server may say (deletionTimestamp, deletionGracePeriodSeconds, selfLink). Whether
// the resourceVersion is empty is the caller's matter.
void FillMetadata(int64_t now_s, Random& random, json::Value& object);

// An update, after Strategy::PrepareForUpdate: uid, creationTimestamp, deletionTimestamp and the
// grace period stay what they are where Kubernetes overlooks that a client left them out.
void KeepMetadata(const json::Value& old_object, json::Value& object);

// After admission. On creation the name is checked by the kind's rule (Strategy::CheckName); on an
// update, like in Kubernetes, only for what no path can hold.
kube::FieldErrors ValidateMetadata(const Resource& resource, const json::Value& object);
// Everything that ValidateMetadata checks, and what may not change. resourceVersion excepted:
// whether it must be there is Strategy::AllowUnconditionalUpdate.
kube::FieldErrors ValidateMetadataUpdate(const Resource& resource, const json::Value& old_object,
                                         const json::Value& object);

// Parts, for objects within objects (pod templates). `labels` and the like may be null.
void ValidateLabels(const json::Value* labels, const kube::FieldPath& path,
                    kube::FieldErrors& errors);
void ValidateAnnotations(const json::Value* annotations, const kube::FieldPath& path,
                         kube::FieldErrors& errors);
void ValidateFinalizerName(absl::string_view name, const kube::FieldPath& path,
                           kube::FieldErrors& errors);
// metav1.LabelSelector.
void ValidateLabelSelector(const json::Value* selector, const kube::FieldPath& path,
                           kube::FieldErrors& errors);

}  // namespace meltemi::apiserver
