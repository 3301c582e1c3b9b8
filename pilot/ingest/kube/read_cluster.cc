#include "pilot/ingest/kube/read_cluster.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/client/resource.h"
#include "kube/codec/codec.h"
#include "kube/discovery/discovery.h"
#include "pilot/ingest/decode/kinds.h"

namespace meltemi::pilot {
namespace {

using google::protobuf::Message;

constexpr int kPageItems = 500;
constexpr char kUnread[] = "MELT0004";

std::optional<kube::ApiResource> Served(const kube::ServedResources& served, const KindInfo& info) {
  if (!info.message_is_spec) return kube::ResourceOf(*PrototypeOf(info).GetDescriptor());
  for (const absl::string_view version : info.versions) {
    if (version.empty()) continue;
    const kube::ServedResource* found =
        served.FindKind(absl::StrCat(info.group, "/", version), KindName(info.kind));
    if (found != nullptr && found->Can("list")) return found->resource;
  }
  return std::nullopt;
}

void Take(Arrival arrival, ClusterObjects* out) {
  if (arrival.object != nullptr) out->objects.push_back(std::move(arrival.object));
  for (Diagnostic& diagnostic : arrival.diagnostics) {
    out->diagnostics.push_back(std::move(diagnostic));
  }
}

kube::Outcome ReadKind(kube::Client& client, const KindInfo& info,
                       const kube::ApiResource& resource, const KubeValidator& validator,
                       ClusterObjects* out) {
  std::string token;
  do {
    kube::ApiCall call{.path = resource.Path(""), .query = {{"limit", absl::StrCat(kPageItems)}}};
    const absl::string_view selector = FieldSelectorOf(info.kind);
    if (!selector.empty()) call.query.emplace_back("fieldSelector", selector);
    if (!token.empty()) call.query.emplace_back("continue", token);
    const kube::Result<kube::ApiAnswer> answer = client.Call(call);
    if (!answer.ok()) return answer.status();
    std::unique_ptr<Message> last;
    const auto take_last = [&] {
      if (last != nullptr) Take(Convert(info, resource, std::move(last), validator), out);
    };
    kube::ListHead head;
    const absl::Status decoded = kube::ListFromJson(
        answer->body,
        [&] {
          take_last();
          last.reset(PrototypeOf(info).New());
          return last.get();
        },
        &head);
    if (!decoded.ok()) return kube::InternalError(decoded.message());
    take_last();
    token = std::move(head.continue_token);
  } while (!token.empty());
  return kube::Done{};
}

}  // namespace

kube::Result<ClusterObjects> ReadCluster(kube::Client& client, const KubeValidator& validator) {
  const kube::Result<kube::ServedResources> served = kube::Discover(client);
  if (!served.ok()) return served.status();
  ClusterObjects out;
  for (const KindInfo& info : AllKinds()) {
    if (info.kind == Kind::kEndpoints) continue;  // slices say the same
    const std::optional<kube::ApiResource> resource = Served(*served, info);
    if (!resource.has_value()) continue;
    const kube::Outcome read = ReadKind(client, info, *resource, validator, &out);
    if (read.ok()) continue;
    if (read.status().code == 0) return read.status();
    out.diagnostics.push_back({.severity = Severity::kWarning,
                               .code = kUnread,
                               .object = std::string(KindName(info.kind)),
                               .message = absl::StrCat("can't be read, so what is said of the rest "
                                                       "may be wrong: ",
                                                       read.status().message)});
  }
  std::sort(out.objects.begin(), out.objects.end(),
            [](const ObjectPtr& a, const ObjectPtr& b) { return a->Key() < b->Key(); });
  return out;
}

}  // namespace meltemi::pilot
