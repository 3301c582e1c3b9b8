#include "orchestrator/controllers/autoscaler/targets.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json/write.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/codec/codec.h"
#include "kube/core/v1/replication.pb.h"
#include "kube/discovery/discovery.h"
#include "kube/status/field_error.h"

namespace meltemi::controllers {
namespace {

using kube::autoscaling::v2::CrossVersionObjectReference;

// Custom resources come and go.
constexpr Duration kKnownFor = minutes(1);
constexpr size_t kKnownMax = 1000;

// What everybody has needs no discovery.
std::optional<kube::ApiResource> BuiltIn(const std::string& group, const std::string& kind) {
  for (const kube::ApiResource* resource :
       {&kube::ResourceOf<kube::apps::v1::Deployment>(),
        &kube::ResourceOf<kube::apps::v1::ReplicaSet>(),
        &kube::ResourceOf<kube::apps::v1::StatefulSet>(),
        &kube::ResourceOf<kube::core::v1::ReplicationController>()}) {
    if (resource->group == group && resource->kind == kind) return *resource;
  }
  return std::nullopt;
}

kube::Status Refused(std::string message) {
  kube::Status out;
  out.code = 422;
  out.message = std::move(message);
  return out;
}

}  // namespace

kube::Result<std::vector<kube::ApiResource>> Targets::ResourcesOf(const std::string& group,
                                                                  const std::string& kind) {
  if (const auto resource = BuiltIn(group, kind)) return std::vector{*resource};
  const std::pair<std::string, std::string> key{group, kind};
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = known_.find(key);
    if (at != known_.end() && at->second.until > clock_.Now()) return at->second.resources;
  }
  const kube::Result<kube::ServedResources> served = kube::Discover(client_);
  if (!served.ok()) return served.status();
  std::vector<kube::ApiResource> found;
  for (const kube::ServedResource& candidate : served->resources) {
    if (candidate.resource.group != group || candidate.resource.kind != kind) continue;
    found.insert(candidate.preferred ? found.begin() : found.end(), candidate.resource);
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  if (known_.size() >= kKnownMax) known_.clear();
  // What is not there may be made any moment.
  if (!found.empty()) known_[key] = {found, clock_.Now() + kKnownFor};
  return found;
}

kube::Result<ScaleTarget> Targets::Get(absl::string_view ns,
                                       const CrossVersionObjectReference& reference) {
  const std::vector<std::string> parts = absl::StrSplit(reference.api_version(), '/');
  if (parts.size() > 2) {
    return Refused(absl::StrCat("unexpected GroupVersion string: ", reference.api_version()));
  }
  const std::string group = parts.size() == 2 ? parts[0] : "";
  const kube::Result<std::vector<kube::ApiResource>> resources =
      ResourcesOf(group, reference.kind());
  if (!resources.ok()) return resources.status();
  if (resources->empty()) {
    return Refused(absl::StrCat("no matches for kind ", kube::GoQuote(reference.kind()),
                                " in group ", kube::GoQuote(group)));
  }
  std::optional<kube::Status> first;
  for (const kube::ApiResource& resource : *resources) {
    kube::Result<kube::ApiAnswer> answer =
        client_.Call({.path = resource.Path(ns, reference.name(), "scale")});
    if (answer.ok()) {
      ScaleTarget out{resource, {}};
      const absl::Status read = kube::FromJson(answer->body, &out.scale);
      if (read.ok()) return out;
      return kube::InternalError(read.message());
    }
    if (!first.has_value()) first = answer.status();
  }
  return *std::move(first);
}

kube::Outcome Targets::Scale(const ScaleTarget& target, int32_t replicas) {
  const kube::meta::v1::ObjectMeta& meta = target.scale.metadata();
  std::string body;
  json::Writer writer(&body);
  writer.BeginObject();
  writer.Key("kind").String("Scale").Key("apiVersion").String("autoscaling/v1");
  writer.Key("metadata").BeginObject();
  writer.Key("name").String(meta.name()).Key("namespace").String(meta.namespace_());
  writer.Key("uid").String(meta.uid()).Key("resourceVersion").String(meta.resource_version());
  writer.EndObject();
  writer.Key("spec").BeginObject().Key("replicas").Int(replicas).EndObject();
  writer.EndObject();
  kube::Result<kube::ApiAnswer> answer =
      client_.Call({.method = "PUT",
                    .path = target.resource.Path(meta.namespace_(), meta.name(), "scale"),
                    .body = std::move(body)});
  if (!answer.ok()) return answer.status();
  return kube::Done{};
}

}  // namespace meltemi::controllers
