#include "kube/client/typed.h"

#include <google/protobuf/message.h>

#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "kube/client/meta.h"
#include "kube/codec/codec.h"
#include "kube/meta/v1/meta.pb.h"

namespace meltemi::kube {
namespace {

using google::protobuf::Message;

constexpr int kPageItems = 500;

// An answer that is none, as the way there having failed: what took place is unknown.
Status BadAnswer(const ApiCall& call, absl::string_view why) {
  Status out;
  out.code = 0;
  out.message = absl::StrCat(call.method, " ", call.path, ": the answer can't be read: ", why);
  return out;
}

Outcome CallInto(Client& client, const ApiCall& call, Message* out) {
  Result<ApiAnswer> answer = client.Call(call);
  if (!answer.ok()) return answer.status();
  if (out == nullptr) return Done{};
  const absl::Status decoded = FromJson(answer->body, out);
  if (!decoded.ok()) return BadAnswer(call, decoded.message());
  return Done{};
}

// Without managedFields: the server keeps what it has.
std::string Body(const Message& object) {
  if (MetaOf(object).managed_fields_size() == 0) return ToJson(object);
  const std::unique_ptr<Message> copy(object.New());
  copy->CopyFrom(object);
  MutableMetaOf(*copy).clear_managed_fields();
  return ToJson(*copy);
}

absl::string_view ContentType(PatchType type) {
  switch (type) {
    case PatchType::kJson:
      return "application/json-patch+json";
    case PatchType::kMerge:
      return "application/merge-patch+json";
    case PatchType::kStrategicMerge:
      return "application/strategic-merge-patch+json";
    case PatchType::kApply:
      return "application/apply-patch+yaml";
  }
  return "";
}

ApiCall ListCall(const ApiResource& resource, const ListOptions& options) {
  ApiCall call{.path = resource.Path(options.ns)};
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) call.query.emplace_back(name, value);
  };
  add("labelSelector", options.label_selector);
  add("fieldSelector", options.field_selector);
  add("resourceVersion", options.resource_version);
  return call;
}

}  // namespace

namespace internal {

Outcome GetInto(Client& client, const ApiResource& resource, absl::string_view ns,
                absl::string_view name, Message* out) {
  return CallInto(client, {.path = resource.Path(ns, name)}, out);
}

Outcome CreateInto(Client& client, const ApiResource& resource, const Message& object,
                   Message* out) {
  const ApiCall call{
      .method = "POST", .path = resource.Path(MetaOf(object).namespace_()), .body = Body(object)};
  return CallInto(client, call, out);
}

Outcome UpdateInto(Client& client, const ApiResource& resource, absl::string_view subresource,
                   const Message& object, Message* out) {
  const meta::v1::ObjectMeta& meta = MetaOf(object);
  const ApiCall call{.method = "PUT",
                     .path = resource.Path(meta.namespace_(), meta.name(), subresource),
                     .body = Body(object)};
  return CallInto(client, call, out);
}

Outcome PatchInto(Client& client, const ApiResource& resource, absl::string_view ns,
                  absl::string_view name, absl::string_view subresource, PatchType type,
                  absl::string_view patch_json, absl::string_view field_manager, Message* out) {
  ApiCall call{.method = "PATCH",
               .path = resource.Path(ns, name, subresource),
               .body = std::string(patch_json),
               .content_type = std::string(ContentType(type))};
  if (!field_manager.empty()) call.query.emplace_back("fieldManager", field_manager);
  if (type == PatchType::kApply) call.query.emplace_back("force", "true");
  return CallInto(client, call, out);
}

// Pages, until there is no next one. When the list has grown too old between two of them (410), all
// of it is read once more, in one page.
Result<std::string> ListInto(Client& client, const ApiResource& resource,
                             const ListOptions& options, const Message& prototype,
                             std::vector<std::unique_ptr<Message>>* out) {
  const size_t before = out->size();
  std::string continue_token;
  bool paged = options.resource_version.empty();
  while (true) {
    ApiCall call = ListCall(resource, options);
    if (paged) call.query.emplace_back("limit", absl::StrCat(kPageItems));
    if (!continue_token.empty()) call.query.emplace_back("continue", continue_token);
    Result<ApiAnswer> answer = client.Call(call);
    if (!answer.ok()) {
      if (!IsExpired(answer.status()) || continue_token.empty()) return answer.status();
      out->resize(before);
      continue_token.clear();
      paged = false;
      continue;
    }
    ListHead head;
    const absl::Status decoded = ListFromJson(
        answer->body,
        [&] {
          out->emplace_back(prototype.New());
          return out->back().get();
        },
        &head);
    if (!decoded.ok()) return BadAnswer(call, decoded.message());
    if (head.continue_token.empty()) return head.resource_version;
    continue_token = std::move(head.continue_token);
  }
}

}  // namespace internal

Outcome Delete(Client& client, const ApiResource& resource, absl::string_view ns,
               absl::string_view name, const DeleteOptions& options) {
  std::string body;
  json::Writer out(&body);
  out.BeginObject().Key("kind").String("DeleteOptions").Key("apiVersion").String("v1");
  if (options.grace_period_seconds.has_value()) {
    out.Key("gracePeriodSeconds").Int(*options.grace_period_seconds);
  }
  if (!options.uid.empty() || !options.resource_version.empty()) {
    out.Key("preconditions").BeginObject();
    if (!options.uid.empty()) out.Key("uid").String(options.uid);
    if (!options.resource_version.empty()) {
      out.Key("resourceVersion").String(options.resource_version);
    }
    out.EndObject();
  }
  if (!options.propagation.empty()) out.Key("propagationPolicy").String(options.propagation);
  out.EndObject();
  return CallInto(client,
                  {.method = "DELETE", .path = resource.Path(ns, name), .body = std::move(body)},
                  nullptr);
}

}  // namespace meltemi::kube
