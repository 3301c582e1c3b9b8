// The handler of all requests for resources: which endpoint a request means, and one function per
// endpoint. Shared by the source files of verbs/ alone; rest.h makes it.
//
// Threads: thread-safe; runs on the threads of the request pool.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "orchestrator/apiserver/verbs/encode.h"
#include "orchestrator/apiserver/verbs/options.h"
#include "orchestrator/apiserver/verbs/rest.h"

namespace meltemi::apiserver {

// One request and what it is about. `catalog` stays the same until the answer is made.
struct Call {
  Request& request;
  std::shared_ptr<const Catalog> catalog;
  const Resource& resource;
  std::string ns, name;  // ns is empty for what is cluster-scoped
};

class ResourceHandler final : public Handler {
 public:
  explicit ResourceHandler(ResourceHandlerDeps deps) : deps_(std::move(deps)) {}

  Reply Handle(Request& request) override;

 private:
  // rest.cc
  Reply HandleMain(Call& call);
  Reply HandleSubresource(Call& call);
  Reply HandleAnswered(Call& call);  // reviews and other kinds that are not stored
  Reply HandleReview(Call& call, const ReviewHandler& review);
  Reply HandleRead(Call& call, const ObjectReader& reader);

  // read.cc
  Reply Get(Call& call);
  Reply List(Call& call);
  Reply Watch(Call& call);
  kube::Result<ObjectPtr> Find(const Call& call);
  kube::Result<Encoder> EncoderFor(const Call& call);

  // write.cc
  Reply Create(Call& call);
  Reply Update(Call& call);
  Reply Delete(Call& call);
  Reply DeleteCollection(Call& call);
  // Runs an update and answers with the object. `context` is of the request.
  Reply RunUpdate(Call& call, WriteContext& context, const UpdateFunction& update,
                  bool allow_create);
  // The body as an object of the resource.
  kube::Result<json::Value> ReadBody(Call& call, const Resource& resource, WriteContext& context);

  // patch_verb.cc
  Reply Patch(Call& call);

  // scale.cc
  Reply Scale(Call& call);
  Reply UpdateScale(Call& call, WriteContext& context,
                    const std::function<kube::Result<json::Value>(const json::Value&)>& change);

  // pods.cc
  Reply Bind(Call& call, const Resource& pods, absl::string_view name);
  Reply Evict(Call& call);
  Reply EphemeralContainers(Call& call);
  Reply Finalize(Call& call);
  Reply Approve(Call& call);
  kube::Outcome TakeDisruption(Call& call, const json::Value& pod, bool dry_run,
                               bool* only_this_version);

  // token.cc
  Reply CreateToken(Call& call);
  // Looks up what the token is to be bound to, if anything.
  kube::Outcome BindToken(const Call& call, const json::Value& request, TokenRequest& token);

  // kubelet.cc
  Reply PodStream(Call& call);  // log, exec, attach, portforward
  Reply PodProxy(Call& call);
  Reply NodeProxy(Call& call);
  Reply ServiceProxy(Call& call);
  kube::Result<std::string> KubeletHost(const Call& call, absl::string_view node);
  kube::Outcome AdmitConnect(const Call& call, absl::string_view options_kind);

  // Helpers.
  kube::Outcome AdmitCreate(const Call& call, const WriteContext& context, absl::string_view name,
                            const json::Value& object);
  int64_t NowSeconds() const;
  double RandomUnit();
  kube::Result<json::Value> GetCore(const Call& call, absl::string_view plural,
                                    absl::string_view ns, absl::string_view name);

  const ResourceHandlerDeps deps_;
  std::mutex random_mutex_;  // guards deps_.random
};

// Moves the warnings of a write to the answer's headers.
void PassWarnings(WriteContext& context, Request& request);

// {"kind":"Status",…,"status":"Success"} with what it is about.
Reply SuccessReply(int code, const Representation& representation, absl::string_view name = "",
                   const kube::GroupResource& resource = {}, absl::string_view uid = "");

}  // namespace meltemi::apiserver
