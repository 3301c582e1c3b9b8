#include "orchestrator/component/access.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "base/tls/certificate.h"

namespace meltemi::orchestrator {
namespace {

constexpr Duration kAllowedFor = seconds(10);
constexpr size_t kRememberedMax = 1000;

using apiserver::UserInfo;

kube::Result<json::Value> Post(kube::Client& client, const char* path, std::string body) {
  kube::ApiCall call;
  call.method = "POST";
  call.path = path;
  call.body = std::move(body);
  call.timeout = seconds(10);
  kube::Result<kube::ApiAnswer> answer = client.Call(call);
  if (!answer.ok()) return answer.status();
  absl::StatusOr<json::Value> value = json::Parse(answer->body);
  if (!value.ok()) return kube::InternalError(value.status().message());
  return *std::move(value);
}

bool IsTrue(const json::Value* value) { return value != nullptr && value->bool_value(); }

UserInfo UserOf(const json::Value& review) {
  UserInfo user;
  const json::Value* told = review.Find("status", "user");
  if (told == nullptr) return user;
  user.name = std::string(told->FindString("username"));
  user.uid = std::string(told->FindString("uid"));
  if (const json::Value* groups = told->Find("groups"); groups != nullptr) {
    for (const json::Value& group : groups->items()) user.groups.push_back(group.text());
  }
  return user;
}

template <typename Map>
void MakeRoom(Map& map) {
  if (map.size() >= kRememberedMax) map.clear();
}

}  // namespace

kube::Result<UserInfo> DelegatedAccess::Authenticate(const apiserver::Request& request) {
  if (request.certificate) {
    UserInfo user;
    user.name = request.certificate->common_name;
    user.groups = request.certificate->organizations;
    user.groups.push_back("system:authenticated");
    return user;
  }
  absl::string_view token = request.Header("authorization");
  if (!absl::StartsWithIgnoreCase(token, "bearer ")) return kube::Unauthorized();
  token.remove_prefix(7);
  const std::string key = tls::Sha256(token);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto known = users_.find(key);
    if (known != users_.end() && clock_.Now() < known->second.until) return known->second.value;
  }
  std::string body = R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":)";
  json::Writer(&body).BeginObject().Key("token").String(token).EndObject();
  body += "}";
  kube::Result<json::Value> review =
      Post(client_, "/apis/authentication.k8s.io/v1/tokenreviews", std::move(body));
  if (!review.ok()) return review.status();
  if (!IsTrue(review->Find("status", "authenticated"))) return kube::Unauthorized();
  UserInfo user = UserOf(*review);
  const std::lock_guard<std::mutex> lock(mutex_);
  MakeRoom(users_);
  users_[key] = {user, clock_.Now() + kAllowedFor};
  return user;
}

kube::Outcome DelegatedAccess::AuthorizePath(const UserInfo& user, absl::string_view verb,
                                             absl::string_view path) {
  std::string attributes = "\"nonResourceAttributes\":";
  json::Writer(&attributes)
      .BeginObject()
      .Key("verb")
      .String(verb)
      .Key("path")
      .String(path)
      .EndObject();
  return Review(user, absl::StrCat(verb, " path \"", path, "\""), attributes);
}

kube::Outcome DelegatedAccess::AuthorizeNode(const UserInfo& user, absl::string_view verb,
                                             absl::string_view node,
                                             absl::string_view subresource) {
  std::string attributes = "\"resourceAttributes\":";
  json::Writer(&attributes)
      .BeginObject()
      .Key("verb")
      .String(verb)
      .Key("version")
      .String("v1")
      .Key("resource")
      .String("nodes")
      .Key("subresource")
      .String(subresource)
      .Key("name")
      .String(node)
      .EndObject();
  return Review(user, absl::StrCat(verb, " nodes/", subresource, " of \"", node, "\""), attributes);
}

kube::Outcome DelegatedAccess::Review(const UserInfo& user, absl::string_view what,
                                      absl::string_view attributes_json) {
  if (user.IsSuperuser()) return kube::Done{};
  std::string spec;
  json::Writer writer(&spec);
  writer.BeginObject().Key("user").String(user.name).Key("uid").String(user.uid);
  writer.Key("groups").BeginArray();
  for (const std::string& group : user.groups) writer.String(group);
  writer.EndArray().EndObject();
  spec.back() = ',';
  absl::StrAppend(&spec, attributes_json, "}");
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto known = verdicts_.find(spec);
    if (known != verdicts_.end() && clock_.Now() < known->second.until && known->second.value) {
      return kube::Done{};
    }
  }
  kube::Result<json::Value> review =
      Post(client_, "/apis/authorization.k8s.io/v1/subjectaccessreviews",
           absl::StrCat(R"({"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview",)",
                        R"("spec":)", spec, "}"));
  if (!review.ok()) return review.status();
  const bool allowed = IsTrue(review->Find("status", "allowed"));
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    MakeRoom(verdicts_);
    verdicts_[spec] = {allowed, clock_.Now() + kAllowedFor};
  }
  if (allowed) return kube::Done{};
  return kube::GenericStatus(403,
                             absl::StrCat("forbidden: User \"", user.name, "\" cannot ", what));
}

}  // namespace meltemi::orchestrator
