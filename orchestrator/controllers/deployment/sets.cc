#include "orchestrator/controllers/deployment/sets.h"

#include <google/protobuf/util/field_comparator.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kube/quantity/quantity.h"
#include "kube/quantity/quantity.pb.h"
#include "orchestrator/controllers/deployment/rolling.h"
#include "orchestrator/controllers/runtime/owners.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::util::MessageDifferencer;
using kube::apps::v1::Deployment;
using kube::apps::v1::ReplicaSet;
using kube::core::v1::PodTemplateSpec;

constexpr size_t kRevisionHistoryBytesMax = 2000;

// The annotations that a ReplicaSet does not get from its Deployment.
constexpr const char* kOwnAnnotations[] = {
    "kubectl.kubernetes.io/last-applied-configuration",
    kRevision,
    kRevisionHistory,
    kDesiredReplicas,
    kMaxReplicas,
    "deprecated.deployment.rollback.to",
};

// "1" and "1000m" are the same.
class QuantitiesByValue final : public google::protobuf::util::SimpleFieldComparator {
 public:
  ComparisonResult Compare(const Message& a, const Message& b, const FieldDescriptor* field,
                           int index_a, int index_b,
                           const google::protobuf::util::FieldContext* context) override {
    if (field->containing_type() == kube::quantity::Quantity::descriptor()) {
      const auto& text_a = static_cast<const kube::quantity::Quantity&>(a).string();
      const auto& text_b = static_cast<const kube::quantity::Quantity&>(b).string();
      const auto value_a = kube::Quantity::Parse(text_a);
      const auto value_b = kube::Quantity::Parse(text_b);
      const bool same =
          value_a.has_value() && value_b.has_value() ? *value_a == *value_b : text_a == text_b;
      return same ? SAME : DIFFERENT;
    }
    return SimpleCompare(a, b, field, index_a, index_b, context);
  }
};

bool SetAnnotation(ReplicaSet* set, const std::string& key, const std::string& value) {
  auto& annotations = *set->mutable_metadata()->mutable_annotations();
  const auto found = annotations.find(key);
  if (found != annotations.end() && found->second == value) return false;
  annotations[key] = value;
  return true;
}

std::string AnnotationOf(const ReplicaSet& set, const char* key) {
  const auto found = set.metadata().annotations().find(key);
  return found == set.metadata().annotations().end() ? "" : found->second;
}

// The oldest are dropped when it becomes too long.
std::string LongerHistory(const std::string& history, const std::string& revision) {
  if (history.empty()) return revision;
  std::vector<absl::string_view> parts = absl::StrSplit(history, ',');
  parts.push_back(revision);
  size_t bytes = history.size() + 1 + revision.size();
  auto first = parts.begin();
  while (bytes > kRevisionHistoryBytesMax && first + 1 != parts.end()) {
    bytes -= first->size() + 1;
    ++first;
  }
  return absl::StrJoin(first, parts.end(), ",");
}

}  // namespace

bool SameTemplate(const PodTemplateSpec& a, const PodTemplateSpec& b) {
  PodTemplateSpec plain_a = a;
  PodTemplateSpec plain_b = b;
  plain_a.mutable_metadata()->mutable_labels()->erase(kTemplateHash);
  plain_b.mutable_metadata()->mutable_labels()->erase(kTemplateHash);
  QuantitiesByValue quantities;
  MessageDifferencer differencer;
  differencer.set_field_comparator(&quantities);
  return differencer.Compare(plain_a, plain_b);
}

bool OlderSet(const WorkingSet* a, const WorkingSet* b) {
  const int64_t time_a = a->now.metadata().creation_timestamp().seconds();
  const int64_t time_b = b->now.metadata().creation_timestamp().seconds();
  return time_a != time_b ? time_a < time_b : a->now.metadata().name() < b->now.metadata().name();
}

WorkingSet* FindNewSet(const Deployment& deployment, std::vector<WorkingSet>& sets) {
  WorkingSet* found = nullptr;
  for (WorkingSet& set : sets) {
    if (found != nullptr && OlderSet(found, &set)) continue;
    if (SameTemplate(set.now.spec().template_(), deployment.spec().template_())) found = &set;
  }
  return found;
}

WorkingSet* ActiveOrLatest(WorkingSet* new_set, const std::vector<WorkingSet*>& old_sets) {
  std::vector<WorkingSet*> active;
  WorkingSet* latest = new_set;
  for (WorkingSet* set : old_sets) {
    if (set->replicas() > 0) active.push_back(set);
    if (new_set == nullptr && (latest == nullptr || OlderSet(latest, set))) latest = set;
  }
  if (new_set != nullptr && new_set->replicas() > 0) active.push_back(new_set);
  if (active.empty()) return latest;
  return active.size() == 1 ? active[0] : nullptr;
}

std::optional<int64_t> RevisionOf(const ReplicaSet& set) {
  const std::string text = AnnotationOf(set, kRevision);
  int64_t revision = 0;
  if (!text.empty() && !absl::SimpleAtoi(text, &revision)) return std::nullopt;
  return revision;
}

int64_t MaxRevision(const std::vector<WorkingSet*>& sets) {
  int64_t revision = 0;
  for (const WorkingSet* set : sets) {
    revision = std::max(revision, RevisionOf(set->now).value_or(0));
  }
  return revision;
}

std::optional<int> DesiredReplicasOf(const ReplicaSet& set) {
  int replicas = 0;
  if (!absl::SimpleAtoi(AnnotationOf(set, kDesiredReplicas), &replicas) || replicas < 0) {
    return std::nullopt;
  }
  return replicas;
}

bool AnnotateNewSet(const Deployment& deployment, int64_t revision, ReplicaSet* set) {
  bool changed = false;
  for (const auto& [key, value] : deployment.metadata().annotations()) {
    if (std::find(std::begin(kOwnAnnotations), std::end(kOwnAnnotations), key) ==
        std::end(kOwnAnnotations)) {
      changed |= SetAnnotation(set, key, value);
    }
  }
  const std::optional<int64_t> before = RevisionOf(*set);
  // Somebody has written something else there: it is left alone.
  if (!before.has_value() || *before >= revision) return changed;
  const std::string text = AnnotationOf(*set, kRevision);
  if (!text.empty()) {
    SetAnnotation(set, kRevisionHistory, LongerHistory(AnnotationOf(*set, kRevisionHistory), text));
  }
  SetAnnotation(set, kRevision, absl::StrCat(revision));
  return true;
}

bool AnnotateSize(const Deployment& deployment, ReplicaSet* set) {
  const int replicas = ReplicasOf(deployment);
  bool changed = SetAnnotation(set, kDesiredReplicas, absl::StrCat(replicas));
  changed |= SetAnnotation(set, kMaxReplicas, absl::StrCat(replicas + MaxSurge(deployment)));
  return changed;
}

ReplicaSet MakeSet(const Deployment& deployment) {
  const std::string hash =
      TemplateHash(deployment.spec().template_(), deployment.status().collision_count());
  ReplicaSet set;
  kube::meta::v1::ObjectMeta& meta = *set.mutable_metadata();
  meta.set_name(absl::StrCat(deployment.metadata().name(), "-", hash));
  meta.set_namespace_(deployment.metadata().namespace_());
  *meta.add_owner_references() = ControllerReference(deployment);
  kube::apps::v1::ReplicaSetSpec& spec = *set.mutable_spec();
  spec.set_min_ready_seconds(deployment.spec().min_ready_seconds());
  *spec.mutable_selector() = deployment.spec().selector();
  (*spec.mutable_selector()->mutable_match_labels())[kTemplateHash] = hash;
  *spec.mutable_template_() = deployment.spec().template_();
  (*spec.mutable_template_()->mutable_metadata()->mutable_labels())[kTemplateHash] = hash;
  *meta.mutable_labels() = spec.template_().metadata().labels();
  return set;
}

std::vector<WorkingSet*> SetsToRemove(const Deployment& deployment,
                                      std::vector<WorkingSet*> old_sets) {
  if (!deployment.spec().has_revision_history_limit()) return {};
  const int limit = deployment.spec().revision_history_limit();
  old_sets.erase(std::remove_if(old_sets.begin(), old_sets.end(),
                                [](const WorkingSet* set) {
                                  return set->now.metadata().has_deletion_timestamp();
                                }),
                 old_sets.end());
  if (old_sets.size() <= static_cast<size_t>(limit)) return {};
  std::sort(old_sets.begin(), old_sets.end(), [](const WorkingSet* a, const WorkingSet* b) {
    const int64_t revision_a = RevisionOf(a->now).value_or(0);
    const int64_t revision_b = RevisionOf(b->now).value_or(0);
    return revision_a != revision_b ? revision_a < revision_b : OlderSet(a, b);
  });
  old_sets.resize(old_sets.size() - static_cast<size_t>(limit));
  old_sets.erase(std::remove_if(old_sets.begin(), old_sets.end(),
                                [](const WorkingSet* set) {
                                  return set->replicas() != 0 ||
                                         set->now.status().replicas() != 0 || !set->observed();
                                }),
                 old_sets.end());
  return old_sets;
}

}  // namespace meltemi::controllers
