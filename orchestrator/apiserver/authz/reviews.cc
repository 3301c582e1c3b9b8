#include "orchestrator/apiserver/authz/reviews.h"

#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/object/object.h"
#include "kube/selector/selector.h"
#include "kube/status/field_error.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using ReviewResult = kube::Result<Value>;

constexpr absl::string_view kAuthorization = "authorization.k8s.io";
constexpr absl::string_view kAuthentication = "authentication.k8s.io";

Value TextList(const std::vector<std::string>& texts) {
  Value out = Value::Array();
  for (const std::string& text : texts) out.Append(Value::String(text));
  return out;
}

std::vector<std::string> TextsAt(const Value* list) {
  std::vector<std::string> out;
  if (list == nullptr) return out;
  for (const Value& item : list->items()) out.push_back(item.text());
  return out;
}

Value UserJson(const UserInfo& user) {
  Value out = Value::Object();
  if (!user.name.empty()) out.Add("username", Value::String(user.name));
  if (!user.uid.empty()) out.Add("uid", Value::String(user.uid));
  if (!user.groups.empty()) out.Add("groups", TextList(user.groups));
  if (user.extra.empty()) return out;
  Value& extra = out.Add("extra", Value::Object());
  for (const auto& [key, values] : user.extra) extra.Add(key, TextList(values));
  return out;
}

// What a spec of a SubjectAccessReview asks about.
struct Question {
  Attributes attributes;
  std::string evaluation_error;
};

// metav1.FieldSelectorRequirements: In and NotIn with one value have a counterpart as text.
std::string SelectorText(const Value& selector, bool* dropped) {
  std::string out(selector.FindString("rawSelector"));
  const Value* requirements = selector.Find("requirements");
  if (requirements == nullptr) return out;
  for (const Value& item : requirements->items()) {
    const std::vector<std::string> values = TextsAt(item.Find("values"));
    const absl::string_view op = item.FindString("operator");
    if (values.size() != 1 || (op != "In" && op != "NotIn")) {
      *dropped = true;
      continue;
    }
    absl::StrAppend(&out, out.empty() ? "" : ",", item.FindString("key"),
                    op == "In" ? "=" : "!=", values[0]);
  }
  return out;
}

Question QuestionOf(const Value& spec, UserInfo user) {
  Question out;
  out.attributes.user = std::move(user);
  const Value* resource = spec.Find("resourceAttributes");
  if (resource == nullptr) {
    out.attributes.is_resource = false;
    out.attributes.path = kube::TextAt(spec, "nonResourceAttributes.path");
    out.attributes.verb = kube::TextAt(spec, "nonResourceAttributes.verb");
    return out;
  }
  const auto text = [&](absl::string_view member) {
    return std::string(resource->FindString(member));
  };
  out.attributes.verb = text("verb");
  out.attributes.group = text("group");
  out.attributes.version = text("version").empty() ? "*" : text("version");
  out.attributes.resource = text("resource");
  out.attributes.subresource = text("subresource");
  out.attributes.ns = text("namespace");
  out.attributes.name = text("name");
  const Value* selector = resource->Find("fieldSelector");
  if (selector == nullptr) return out;
  bool dropped = false;
  absl::StatusOr<kube::FieldSelector> parsed =
      kube::FieldSelector::Parse(SelectorText(*selector, &dropped));
  if (parsed.ok()) out.attributes.field_selector = *std::move(parsed);
  if (!parsed.ok() || dropped) {
    out.evaluation_error = absl::StrCat("spec.resourceAttributes.fieldSelector ",
                                        out.attributes.field_selector.empty() ? "" : "partially ",
                                        "ignored due to parse error");
  }
  return out;
}

Value AnswerOf(const Verdict& verdict, const std::string& evaluation_error) {
  Value status = Value::Object();
  status.Add("allowed", Value::Bool(verdict.decision == Decision::kAllow));
  if (verdict.decision == Decision::kDeny) status.Add("denied", Value::Bool(true));
  if (!verdict.reason.empty()) status.Add("reason", Value::String(verdict.reason));
  if (!evaluation_error.empty()) status.Add("evaluationError", Value::String(evaluation_error));
  return status;
}

bool HasObject(const Value& spec, absl::string_view member) {
  const Value* value = spec.Find(member);
  return value != nullptr && value->is_object();
}

// metadata has nothing but what the server itself puts there, and the namespace if
// `with_namespace`.
bool EmptyMetadata(const Value& review, bool with_namespace) {
  for (const json::Member& member : kube::Metadata(review).members()) {
    const bool allowed = member.key == "managedFields" || member.key == "creationTimestamp" ||
                         (with_namespace && member.key == "namespace");
    const bool empty =
        member.value.is_null() || (member.value.is_string() && member.value.text().empty());
    if (!allowed && !empty) return false;
  }
  return true;
}

void CheckSelector(const Value& attributes, absl::string_view member, kube::FieldErrors* errors) {
  const Value* selector = attributes.Find(member);
  if (selector == nullptr || !selector->is_object()) return;
  const kube::FieldPath path = kube::FieldPath("spec").Child("resourceAttributes").Child(member);
  const bool raw = !selector->FindString("rawSelector").empty();
  const Value* requirements = selector->Find("requirements");
  const bool some = requirements != nullptr && !requirements->items().empty();
  if (raw && some) {
    errors->push_back(kube::InvalidField(path.Child("rawSelector"),
                                         selector->FindString("rawSelector"),
                                         "may not specified at the same time as requirements"));
  } else if (!raw && !some) {
    errors->push_back(kube::Required(path.Child("requirements"),
                                     absl::StrCat("when ", path.text(),
                                                  " is specified, requirements or rawSelector is "
                                                  "required")));
  }
}

kube::FieldErrors CheckSpec(const Value& spec, bool needs_subject) {
  kube::FieldErrors errors;
  const kube::FieldPath path("spec");
  const bool resource = HasObject(spec, "resourceAttributes");
  const bool other = HasObject(spec, "nonResourceAttributes");
  if (resource && other) {
    errors.push_back(
        kube::InvalidField(path.Child("nonResourceAttributes"), *spec.Find("nonResourceAttributes"),
                           "cannot be specified in combination with resourceAttributes"));
  }
  if (!resource && !other) {
    errors.push_back(kube::InvalidField(path.Child("resourceAttributes"), Value(),
                                        "exactly one of nonResourceAttributes or "
                                        "resourceAttributes must be specified"));
  }
  const Value* groups = spec.Find("groups");
  if (needs_subject && spec.FindString("user").empty() &&
      (groups == nullptr || groups->items().empty())) {
    errors.push_back(kube::InvalidField(path.Child("user"), "",
                                        "at least one of user or group must be specified"));
  }
  if (resource) {
    CheckSelector(*spec.Find("resourceAttributes"), "fieldSelector", &errors);
    CheckSelector(*spec.Find("resourceAttributes"), "labelSelector", &errors);
  }
  return errors;
}

UserInfo SubjectOf(const Value& spec) {
  UserInfo out;
  out.name = std::string(spec.FindString("user"));
  out.uid = std::string(spec.FindString("uid"));
  out.groups = TextsAt(spec.Find("groups"));
  const Value* extra = spec.Find("extra");
  if (extra == nullptr) return out;
  for (const json::Member& member : extra->members()) {
    out.extra[member.key] = TextsAt(&member.value);
  }
  return out;
}

enum class AccessReview : uint8_t { kSubject, kLocal, kSelf };

class Reviews {
 public:
  explicit Reviews(const ReviewDeps& deps) : deps_(deps) {}

  ReviewResult Access(AccessReview which, const Request& request, Value review) const {
    const bool local = which == AccessReview::kLocal;
    const Value& spec = review.MutableObject("spec");
    kube::FieldErrors errors = CheckSpec(spec, which != AccessReview::kSelf);
    if (!EmptyMetadata(review, local)) {
      errors.push_back(
          kube::InvalidField(kube::FieldPath("metadata"), kube::Metadata(review),
                             local ? "must be empty except for namespace" : "must be empty"));
    }
    if (local) CheckLocal(review, spec, &errors);
    if (!errors.empty()) {
      return kube::Invalid({std::string(kAuthorization), "v1", KindName(which)}, "", errors);
    }
    if (local && request.info.ns != kube::Namespace(review)) {
      return kube::BadRequest(absl::StrCat(
          "spec.resourceAttributes.namespace must match namespace: ", request.info.ns));
    }
    const Question question =
        QuestionOf(spec, which == AccessReview::kSelf ? request.user : SubjectOf(spec));
    const Verdict verdict = deps_.authorizer.Authorize(question.attributes);
    review.Set("status", AnswerOf(verdict, question.evaluation_error));
    return review;
  }

  ReviewResult Rules(const Request& request, Value review) const {
    const std::string ns = kube::TextAt(review, "spec.namespace");
    if (ns.empty()) return kube::BadRequest("no namespace on request");
    std::vector<std::string> errors;
    std::vector<PolicyRule> rules;
    if (deps_.rbac != nullptr) rules = deps_.rbac->RulesFor(request.user, ns, &errors);
    Value resource_rules = Value::Array(), other_rules = Value::Array();
    for (const PolicyRule& rule : rules) {
      if (!rule.resources.empty()) {
        PolicyRule part = rule;
        part.non_resource_urls.clear();
        resource_rules.Append(part.ToJson());
      }
      if (!rule.non_resource_urls.empty()) {
        other_rules.Append(
            PolicyRule{.verbs = rule.verbs, .non_resource_urls = rule.non_resource_urls}.ToJson());
      }
    }
    bool incomplete = deps_.rbac == nullptr;
    if (request.user.InGroup("system:nodes")) {
      incomplete = true;
      errors.emplace_back("node authorizer does not support user rule resolution");
    }
    Value status = Value::Object();
    status.Add("resourceRules", std::move(resource_rules));
    status.Add("nonResourceRules", std::move(other_rules));
    status.Add("incomplete", Value::Bool(incomplete));
    if (!errors.empty()) {
      status.Add("evaluationError", Value::String(absl::StrJoin(errors, ", ")));
    }
    review.Set("spec", Value::Object());
    review.Set("status", std::move(status));
    return review;
  }

  ReviewResult Token(const Request&, Value review) const {
    const std::string token = kube::TextAt(review, "spec.token");
    if (token.empty()) {
      return kube::BadRequest("token is required for TokenReview in authentication");
    }
    Credentials credentials;
    credentials.bearer_token = token;
    credentials.audiences = TextsAt(kube::At(review, "spec.audiences"));
    if (credentials.audiences.empty()) credentials.audiences = deps_.api_audiences;
    const kube::Result<std::optional<Authenticated>> result =
        deps_.tokens.Authenticate(credentials);
    Value status = Value::Object();
    if (result.ok() && result->has_value()) {
      status.Add("authenticated", Value::Bool(true));
      status.Add("user", UserJson((*result)->user));
      if (!(*result)->audiences.empty()) {
        status.Add("audiences", TextList((*result)->audiences));
      }
    } else {
      status.Add("user", Value::Object());
      status.Add("error",
                 Value::String(result.ok() ? "invalid bearer token" : result.status().message));
    }
    review.Set("status", std::move(status));
    return review;
  }

  ReviewResult Self(const Request& request, Value review) const {
    Value status = Value::Object();
    status.Add("userInfo", UserJson(request.user));
    review.Set("status", std::move(status));
    return review;
  }

 private:
  static std::string KindName(AccessReview which) {
    switch (which) {
      case AccessReview::kSubject:
        return "SubjectAccessReview";
      case AccessReview::kLocal:
        return "LocalSubjectAccessReview";
      case AccessReview::kSelf:
        return "SelfSubjectAccessReview";
    }
    return "";
  }

  static void CheckLocal(const Value& review, const Value& spec, kube::FieldErrors* errors) {
    const std::string ns = kube::TextAt(spec, "resourceAttributes.namespace");
    if (HasObject(spec, "resourceAttributes") && ns != kube::Namespace(review)) {
      errors->push_back(kube::InvalidField(kube::FieldPath("spec.resourceAttributes.namespace"), ns,
                                           "must match metadata.namespace"));
    }
    if (HasObject(spec, "nonResourceAttributes")) {
      errors->push_back(kube::InvalidField(kube::FieldPath("spec.nonResourceAttributes"),
                                           *spec.Find("nonResourceAttributes"),
                                           "disallowed on this kind of request"));
    }
  }

  const ReviewDeps deps_;
};

}  // namespace

std::map<kube::GroupResource, ReviewFunction> ReviewFunctions(const ReviewDeps& deps) {
  const auto reviews = std::make_shared<const Reviews>(deps);
  std::map<kube::GroupResource, ReviewFunction> out;
  const auto access = [&](absl::string_view resource, AccessReview which) {
    out[{std::string(kAuthorization), std::string(resource)}] =
        [reviews, which](const Request& request, Value review) {
          return reviews->Access(which, request, std::move(review));
        };
  };
  access("subjectaccessreviews", AccessReview::kSubject);
  access("localsubjectaccessreviews", AccessReview::kLocal);
  access("selfsubjectaccessreviews", AccessReview::kSelf);
  const auto add = [&](absl::string_view group, absl::string_view resource, auto method) {
    out[{std::string(group), std::string(resource)}] = [reviews, method](const Request& request,
                                                                         Value review) {
      return ((*reviews).*method)(request, std::move(review));
    };
  };
  add(kAuthorization, "selfsubjectrulesreviews", &Reviews::Rules);
  add(kAuthentication, "tokenreviews", &Reviews::Token);
  add(kAuthentication, "selfsubjectreviews", &Reviews::Self);
  return out;
}

}  // namespace meltemi::apiserver
