#include "orchestrator/apiserver/verbs/continue_token.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/write.h"

namespace meltemi::apiserver {
namespace {

constexpr absl::string_view kVersion = "meta.k8s.io/v1";
constexpr size_t kBytesMax = 8 * 1024;

kube::Status NotValid(absl::string_view why) {
  return kube::BadRequest(absl::StrCat("continue key is not valid: ", why));
}

}  // namespace

std::string EncodeContinue(const ContinueToken& token) {
  json::Value value = json::Value::Object();
  value.Add("v", json::Value::String(std::string(kVersion)));
  value.Add("rv", json::Value::Int(token.revision));
  value.Add("start", json::Value::String(token.start));
  return absl::WebSafeBase64Escape(json::ToString(value));
}

kube::Result<ContinueToken> DecodeContinue(absl::string_view text) {
  std::string bytes;
  if (text.size() > kBytesMax || !absl::WebSafeBase64Unescape(text, &bytes)) {
    return NotValid("illegal base64 data");
  }
  const absl::StatusOr<json::Value> value = json::Parse(bytes);
  if (!value.ok()) return NotValid(value.status().message());
  if (value->FindString("v") != kVersion) {
    return NotValid(absl::StrCat("server does not recognize this encoded version ",
                                 kube::GoQuote(value->FindString("v"))));
  }
  ContinueToken token;
  const json::Value* revision = value->Find("rv");
  token.revision = revision == nullptr ? 0 : revision->AsInt64().value_or(0);
  token.start = std::string(value->FindString("start"));
  if (token.revision == 0 || token.revision < kNewestRevision) {
    return NotValid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
  }
  if (token.start.empty()) {
    return NotValid("encoded start key empty (version meta.k8s.io/v1)");
  }
  return token;
}

}  // namespace meltemi::apiserver
