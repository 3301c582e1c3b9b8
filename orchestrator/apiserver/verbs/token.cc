// serviceaccounts/token. Source: k8s.io/kubernetes/pkg/registry/core/serviceaccount/storage.
#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/verbs/decode.h"
#include "orchestrator/apiserver/verbs/resource_handler.h"

namespace meltemi::apiserver {

using json::Value;

namespace {

constexpr absl::string_view kTokenVersion = "authentication.k8s.io/v1";
constexpr int64_t kLeastSeconds = 10 * 60;
constexpr int64_t kMostSeconds = int64_t{1} << 32;
constexpr size_t kAudiencesMax = 100;

const kube::GroupVersionKind& TokenKind() {
  static const auto* const kind =
      new kube::GroupVersionKind{"authentication.k8s.io", "v1", "TokenRequest"};
  return *kind;
}

kube::Result<Value> ReadTokenRequest(const Call& call) {
  const kube::Result<bool> yaml = BodyIsYaml(call.request);
  if (!yaml.ok()) return yaml.status();
  kube::Result<Value> body =
      ParseBody(call.request.body, *yaml, "couldn't get version/kind; json parse error: ", nullptr);
  if (!body.ok()) return body;
  const absl::string_view version = body->FindString("apiVersion");
  if (!body->is_object() || (!version.empty() && version != kTokenVersion)) {
    return kube::BadRequest(absl::StrCat("the API version in the data (", version,
                                         ") does not match the expected API version (",
                                         kTokenVersion, ")"));
  }
  kube::FieldErrors errors;
  const absl::string_view name = kube::Name(*body);
  if (!name.empty() && name != call.name) {
    errors.push_back(kube::InvalidField(kube::FieldPath("metadata.name"), name,
                                        "must match the service account name if specified"));
  }
  const absl::string_view ns = kube::Namespace(*body);
  if (!ns.empty() && ns != call.ns) {
    errors.push_back(kube::InvalidField(kube::FieldPath("metadata.namespace"), ns,
                                        "must match the service account namespace if specified"));
  }
  if (!errors.empty()) return kube::Invalid(TokenKind(), call.name, errors);
  return body;
}

kube::FieldErrors CheckExpiration(int64_t wanted_s) {
  const kube::FieldPath path("spec.expirationSeconds");
  if (wanted_s < kLeastSeconds) {
    return {kube::InvalidField(path, wanted_s, "may not specify a duration less than 10 minutes")};
  }
  if (wanted_s > kMostSeconds) {
    return {
        kube::InvalidField(path, wanted_s, "may not specify a duration larger than 2^32 seconds")};
  }
  return {};
}

// The object that a token is bound to must exist, and be the one that is meant.
kube::Outcome BindTo(const Value& reference, const Value& bound, TokenRequest& token) {
  token.bound_kind = std::string(reference.FindString("kind"));
  token.bound_name = std::string(kube::Name(bound));
  token.bound_uid = std::string(kube::Uid(bound));
  const absl::string_view wanted = reference.FindString("uid");
  if (!wanted.empty() && wanted != token.bound_uid) {
    return kube::Conflict(
        {"", token.bound_kind}, token.bound_name,
        absl::StrCat("the UID in the bound object reference (", wanted,
                     ") does not match the UID in record. The object might have been deleted and "
                     "then recreated"));
  }
  return kube::Done{};
}

}  // namespace

kube::Outcome ResourceHandler::BindToken(const Call& call, const Value& request,
                                         TokenRequest& token) {
  const Value* reference = kube::At(request, "spec.boundObjectRef");
  if (reference == nullptr || !reference->is_object()) return kube::Done{};
  const absl::string_view kind = reference->FindString("kind");
  const absl::string_view name = reference->FindString("name");
  const bool is_core = reference->FindString("apiVersion") == "v1";
  if (!is_core || (kind != "Pod" && kind != "Secret" && kind != "Node")) {
    const kube::GroupVersionKind bad = kube::KindOf(*reference);
    return kube::BadRequest(absl::StrCat("cannot bind token to object of type ", bad.group, "/",
                                         bad.version, ", Kind=", bad.kind));
  }
  const kube::Result<Value> bound = GetCore(call,
                                            kind == "Pod"      ? "pods"
                                            : kind == "Secret" ? "secrets"
                                                               : "nodes",
                                            kind == "Node" ? "" : call.ns, name);
  if (!bound.ok()) return bound.status();
  if (kind == "Pod" && kube::TextAt(*bound, "spec.serviceAccountName") != call.name) {
    return kube::BadRequest(absl::StrCat("cannot bind token for serviceaccount ",
                                         kube::GoQuote(call.name),
                                         " to pod running with different serviceaccount name."));
  }
  if (kube::Outcome fits = BindTo(*reference, *bound, token); !fits.ok()) return fits;
  if (kind == "Pod") token.node_name = kube::TextAt(*bound, "spec.nodeName");
  if (!token.node_name.empty()) {
    const kube::Result<Value> node = GetCore(call, "nodes", "", token.node_name);
    if (node.ok()) token.node_uid = std::string(kube::Uid(*node));
  }
  return kube::Done{};
}

Reply ResourceHandler::CreateToken(Call& call) {
  const kube::Result<Representation> representation = NegotiateAnswer(call.request);
  if (!representation.ok()) return StatusReply(representation.status());
  const kube::Result<WriteOptions> options = ParseWriteOptions(call.request, "CreateOptions");
  if (!options.ok()) return StatusReply(options.status());
  kube::Result<Value> read = ReadTokenRequest(call);
  if (!read.ok()) return StatusReply(read.status());
  Value request = *std::move(read);
  const kube::Result<Value> account = deps_.objects.Get(call.resource, call.ns, call.name);
  if (!account.ok()) return StatusReply(account.status());

  TokenRequest token;
  token.ns = call.ns;
  token.service_account = call.name;
  token.service_account_uid = std::string(kube::Uid(*account));
  if (const Value* audiences = kube::At(request, "spec.audiences")) {
    for (const Value& audience : audiences->items()) token.audiences.push_back(audience.text());
  }
  if (token.audiences.empty()) token.audiences = deps_.api_audiences;
  token.expiration_seconds = kube::IntAt(request, "spec.expirationSeconds", 3600);
  kube::FieldErrors errors = CheckExpiration(token.expiration_seconds);
  if (token.audiences.size() > kAudiencesMax) {
    errors.push_back(
        kube::TooMany(kube::FieldPath("spec.audiences"), token.audiences.size(), kAudiencesMax));
  }
  if (!errors.empty()) return StatusReply(kube::Invalid(TokenKind(), "", errors));
  const WriteContext context = ContextOf(call.request, *options);
  if (kube::Outcome admitted = AdmitCreate(call, context, call.name, request); !admitted.ok()) {
    return StatusReply(admitted.status());
  }
  if (kube::Outcome bound = BindToken(call, request, token); !bound.ok()) {
    return StatusReply(bound.status());
  }
  const IssuedToken issued = deps_.tokens->Issue(token);
  request.Set("kind", Value::String("TokenRequest"));
  request.Set("apiVersion", Value::String(std::string(kTokenVersion)));
  Value& metadata = kube::MutableMetadata(request);
  metadata.Set("name", Value::String(call.name));
  metadata.Set("namespace", Value::String(call.ns));
  metadata.Set("creationTimestamp", Value::String(kube::FormatTime(NowSeconds())));
  Value& spec = request.MutableObject("spec");
  Value audiences = Value::Array();
  for (const std::string& audience : token.audiences) audiences.Append(Value::String(audience));
  spec.Set("audiences", std::move(audiences));
  spec.Set("expirationSeconds", Value::Int(token.expiration_seconds));
  if (spec.Find("boundObjectRef") == nullptr) spec.Add("boundObjectRef", Value());
  Value status = Value::Object();
  status.Add("token", Value::String(issued.token));
  status.Add("expirationTimestamp", Value::String(kube::FormatTime(issued.expires_at_s)));
  request.Set("status", std::move(status));
  return TreeReply(201, request, *representation);
}

}  // namespace meltemi::apiserver
