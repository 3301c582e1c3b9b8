#include "orchestrator/apiserver/http/request.h"

#include "absl/strings/str_cat.h"
#include "base/json/write.h"

namespace meltemi::apiserver {

absl::string_view Request::Header(absl::string_view lower_case_name) const {
  const auto at = headers.find(std::string(lower_case_name));
  return at == headers.end() ? absl::string_view() : at->second;
}

Reply JsonReply(int code, const json::Value& value) {
  Body body;
  body.code = code;
  body.bytes = json::ToString(value);
  body.bytes.push_back('\n');
  return body;
}

Reply StatusReply(const kube::Status& status) {
  Reply reply = JsonReply(status.code, status.ToJson());
  if (status.retry_after_seconds > 0) {
    std::get<Body>(reply).fields.emplace_back("retry-after",
                                              absl::StrCat(status.retry_after_seconds));
  }
  return reply;
}

}  // namespace meltemi::apiserver
