#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/verbs/continue_token.h"
#include "orchestrator/apiserver/verbs/resource_handler.h"

namespace meltemi::apiserver {
namespace {

constexpr Duration kVersionWait = seconds(3);

// How the version that a client asks for is looked up.
void SetVersion(const ListOptions& options, ListQuery& query) {
  if (options.resource_version.empty()) return;
  if (options.version == 0) {
    query.any_version = true;
    return;
  }
  query.min_revision = static_cast<store::Revision>(options.version);
  // Paged lists of a given version begin at exactly that one, unless told otherwise.
  query.exact = options.resource_version_match == "Exact" ||
                (options.resource_version_match.empty() && options.limit > 0);
}

// A page that is gone: the answer tells how to go on from there without it.
Reply ListFailed(const kube::Status& status, const ListQuery& query) {
  if (status.reason != "Expired" || query.continue_key.empty()) return StatusReply(status);
  json::Value body = status.ToJson();
  body.MutableObject("metadata")
      .Set("continue", json::Value::String(EncodeContinue(
                           {.revision = kNewestRevision, .start = query.continue_key})));
  return JsonReply(status.code, body);
}

}  // namespace

kube::Result<Encoder> ResourceHandler::EncoderFor(const Call& call) {
  const bool watch = call.request.info.verb == "watch";
  kube::Result<Representation> representation =
      watch ? NegotiateWatch(call.request) : NegotiateAnswer(call.request);
  if (!representation.ok()) return representation.status();
  IncludeObject include = IncludeObject::kMetadata;
  if (representation->shape == Representation::Shape::kTable) {
    kube::Result<IncludeObject> asked = ParseIncludeObject(call.request);
    if (!asked.ok()) return asked.status();
    include = *asked;
  }
  return Encoder(call.resource, *std::move(representation), include, deps_.clock);
}

kube::Result<ObjectPtr> ResourceHandler::Find(const Call& call) {
  const std::string version = call.request.query.Get("resourceVersion").value_or("");
  const kube::Result<uint64_t> number = ParseResourceVersion(version);
  if (!number.ok()) return number.status();
  if (*number > 0 && !deps_.cache.WaitFor(static_cast<store::Revision>(*number), kVersionWait)) {
    kube::Status late = kube::Timeout(absl::StrCat("Too large resource version: ", *number,
                                                   ", current: ", deps_.cache.revision()),
                                      1);
    late.causes.push_back({"ResourceVersionTooLarge", "Too large resource version", ""});
    return late;
  }
  kube::Result<ObjectPtr> found =
      deps_.cache.Get(call.resource.storage, call.ns, call.name, version.empty());
  if (found.ok() && *found == nullptr) {
    return kube::NotFound(call.resource.group_resource(), call.name);
  }
  return found;
}

Reply ResourceHandler::Get(Call& call) {
  const kube::Result<Encoder> encoder = EncoderFor(call);
  if (!encoder.ok()) return StatusReply(encoder.status());
  const kube::Result<ObjectPtr> found = Find(call);
  if (!found.ok()) return StatusReply(found.status());
  return encoder->Cached(**found);
}

Reply ResourceHandler::List(Call& call) {
  kube::Result<ListOptions> options = ParseListOptions(call.request, call.resource, false);
  if (!options.ok()) return StatusReply(options.status());
  const kube::Result<Encoder> encoder = EncoderFor(call);
  if (!encoder.ok()) return StatusReply(encoder.status());
  ListQuery query;
  query.ns = call.ns;
  query.labels = std::move(options->labels);
  query.fields = std::move(options->fields);
  query.limit = options->limit;
  if (options->continue_token.empty()) {
    SetVersion(*options, query);
  } else {
    kube::Result<ContinueToken> token = DecodeContinue(options->continue_token);
    if (!token.ok()) return StatusReply(token.status());
    query.continue_key = std::move(token->start);
    query.continue_revision = token->revision;
  }
  const kube::Result<ListResult> list = deps_.cache.List(call.resource.storage, query);
  if (!list.ok()) return ListFailed(list.status(), query);
  ListHead head;
  head.resource_version = absl::StrCat(list->revision);
  if (!list->continue_key.empty()) {
    head.continue_token = EncodeContinue({.revision = list->revision, .start = list->continue_key});
    head.remaining = list->remaining;
  }
  return encoder->List(list->objects, head);
}

Reply ResourceHandler::Watch(Call& call) {
  kube::Result<ListOptions> options = ParseListOptions(call.request, call.resource, true);
  if (!options.ok()) return StatusReply(options.status());
  kube::Result<Encoder> made = EncoderFor(call);
  if (!made.ok()) return StatusReply(made.status());
  const auto encoder = std::make_shared<const Encoder>(*std::move(made));
  WatchAnswer answer;
  WatchQuery& query = answer.query;
  query.storage = call.resource.storage;
  query.ns = call.ns;
  query.labels = std::move(options->labels);
  query.fields = std::move(options->fields);
  query.from_revision = static_cast<store::Revision>(options->version);
  query.bookmarks = options->bookmarks;
  if (options->send_initial_events.has_value()) {
    query.send_initial_events = *options->send_initial_events;
    if (!query.send_initial_events && query.from_revision == 0) {
      // Neither what is there nor what was: from now on.
      if (kube::Outcome fresh = deps_.cache.WaitFresh(); !fresh.ok()) {
        return StatusReply(fresh.status());
      }
      query.from_revision = deps_.cache.revision();
    }
  }
  query.encoding_key = encoder->Key();
  // The catalog keeps the resource alive that the encoder refers to.
  query.encode = [encoder, catalog = call.catalog](const CachedObject& object, std::string* out) {
    encoder->AppendEvent(object, out);
  };
  query.api_version = encoder->api_version();
  query.kind = encoder->kind();
  if (options->timeout_seconds.value_or(0) > 0) {
    answer.timeout = seconds(std::min<int64_t>(*options->timeout_seconds, 366LL * 24 * 3600));
  } else {
    answer.timeout = deps_.watch_timeout_min +
                     Duration(static_cast<int64_t>(
                         RandomUnit() * static_cast<double>(deps_.watch_timeout_min.count())));
  }
  return answer;
}

}  // namespace meltemi::apiserver
