#include "kube/discovery/any_resource.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "kube/client/client.h"
#include "kube/codec/codec.h"
#include "kube/object/object.h"

namespace meltemi::kube {
namespace {

constexpr size_t kPageObjects = 500;
constexpr char kAcceptList[] =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
constexpr char kAcceptOne[] =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

ObjectHead HeadOf(const json::Value& object) {
  ObjectHead head{std::string(Namespace(object)),
                  std::string(Name(object)),
                  std::string(Uid(object)),
                  Finalizers(object),
                  {}};
  if (const json::Value* owners = At(object, "metadata.ownerReferences")) {
    for (const json::Value& owner : owners->items()) {
      head.owner_uids.emplace_back(owner.FindString("uid"));
    }
  }
  return head;
}

}  // namespace

Result<std::vector<ObjectHead>> ListHeads(Client& client, const ApiResource& resource,
                                          absl::string_view ns) {
  std::vector<ObjectHead> out;
  std::string rest;
  do {
    ApiCall call;
    call.path = resource.Path(ns);
    call.accept = kAcceptList;
    call.query = {{"limit", absl::StrCat(kPageObjects)}};
    if (!rest.empty()) call.query.emplace_back("continue", rest);
    const Result<ApiAnswer> answer = client.Call(call);
    if (!answer.ok()) return answer.status();
    const absl::StatusOr<json::Value> list = json::Parse(answer->body);
    const json::Value* items = list.ok() ? list->Find("items") : nullptr;
    if (items == nullptr) return InternalError(absl::StrCat(call.path, " did not answer a list"));
    for (const json::Value& item : items->items()) {
      out.push_back(HeadOf(item));
    }
    rest = TextAt(*list, "metadata.continue");
  } while (!rest.empty());
  return out;
}

Result<meta::v1::PartialObjectMetadata> GetMetadata(Client& client, const ApiResource& resource,
                                                    absl::string_view ns, absl::string_view name) {
  ApiCall call;
  call.path = resource.Path(ns, name);
  call.accept = kAcceptOne;
  const Result<ApiAnswer> answer = client.Call(call);
  if (!answer.ok()) return answer.status();
  meta::v1::PartialObjectMetadata out;
  const absl::Status decoded = FromJson(answer->body, &out);
  if (!decoded.ok()) return InternalError(absl::StrCat(call.path, ": ", decoded.message()));
  return out;
}

Outcome DeleteCollection(Client& client, const ApiResource& resource, absl::string_view ns) {
  ApiCall call;
  call.method = "DELETE";
  call.path = resource.Path(ns);
  call.body = R"({"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"})";
  Result<ApiAnswer> answer = client.Call(call);
  if (!answer.ok()) return answer.status();
  return Done{};
}

Outcome PatchObject(Client& client, const ApiResource& resource, absl::string_view ns,
                    absl::string_view name, PatchType type, absl::string_view patch_json) {
  return internal::PatchInto(client, resource, ns, name, "", type, patch_json, "", nullptr);
}

}  // namespace meltemi::kube
