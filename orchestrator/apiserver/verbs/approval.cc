// certificatesigningrequests/approval: who may decides.
// Source: k8s.io/kubernetes/pkg/registry/certificates/certificates.
#include <utility>

#include "kube/object/object.h"
#include "orchestrator/apiserver/kinds/certificates.h"
#include "orchestrator/apiserver/verbs/decode.h"
#include "orchestrator/apiserver/verbs/resource_handler.h"

namespace meltemi::apiserver {

using json::Value;

Reply ResourceHandler::Approve(Call& call) {
  const std::string& verb = call.request.info.verb;
  if (verb == "get") return Get(call);
  if (verb != "update") return StatusReply(kube::GenericStatus(405, ""));
  const kube::Result<WriteOptions> options = ParseWriteOptions(call.request, "UpdateOptions");
  if (!options.ok()) return StatusReply(options.status());
  WriteContext context = ContextOf(call.request, *options);
  kube::Result<Value> sent = ReadBody(call, call.resource, context);
  if (!sent.ok()) return StatusReply(sent.status());
  if (kube::Outcome named = CheckObjectName(kube::Name(*sent), call.name); !named.ok()) {
    return StatusReply(named.status());
  }
  const std::string now = kube::FormatTime(NowSeconds());
  return RunUpdate(
      call, context,
      [&](const Value& current, bool) -> kube::Result<Value> {
        Value next = WithApproval(current, *sent, now);
        const kube::FieldErrors errors = ValidateApproval(current, next);
        if (!errors.empty()) return kube::Invalid(call.resource.gvk(), call.name, errors);
        return next;
      },
      false);
}

}  // namespace meltemi::apiserver
