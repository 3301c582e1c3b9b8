#include "orchestrator/apiserver/kinds/config.h"

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr size_t kBytesMax = 1024 * 1024;

// The size of what base64 text stands for.
size_t DecodedBytes(absl::string_view base64) {
  size_t bytes = base64.size() / 4 * 3;
  for (size_t i = base64.size(); i > 0 && base64[i - 1] == '=' && bytes > 0; --i) --bytes;
  return bytes;
}

void ValidateFrozen(const json::Value& old_object, const json::Value& object,
                    std::initializer_list<absl::string_view> keys, FieldErrors& errors) {
  static constexpr absl::string_view kWhy = "field is immutable when `immutable` is set";
  if (!Bool(old_object, "immutable")) return;
  if (!Bool(object, "immutable")) {
    errors.push_back(kube::ForbiddenField(FieldPath("immutable"), kWhy));
  }
  for (const absl::string_view key : keys) {
    if (!SameMember(old_object, object, key)) {
      errors.push_back(kube::ForbiddenField(FieldPath(key), kWhy));
    }
  }
}

class ConfigMaps final : public Strategy {
 public:
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    size_t bytes = 0;
    const FieldPath data_path("data"), binary_path("binaryData");
    for (const json::Member& entry : Members(object, "data")) {
      AddInvalid(data_path.Key(entry.key), entry.key, CheckConfigMapKey(entry.key), errors);
      if (Get(object, "binaryData").Find(entry.key) != nullptr) {
        errors.push_back(kube::InvalidField(data_path.Key(entry.key), absl::string_view(entry.key),
                                            "duplicate of key present in binaryData"));
      }
      bytes += entry.value.text().size();
    }
    for (const json::Member& entry : Members(object, "binaryData")) {
      AddInvalid(binary_path.Key(entry.key), entry.key, CheckConfigMapKey(entry.key), errors);
      bytes += DecodedBytes(entry.value.text());
    }
    if (bytes > kBytesMax) errors.push_back(kube::TooLong(FieldPath().Key(""), kBytesMax));
    return errors;
  }

  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    FieldErrors errors;
    ValidateFrozen(old_object, object, {"data", "binaryData"}, errors);
    for (kube::FieldError& error : Validate(resource, object)) errors.push_back(std::move(error));
    return errors;
  }
};

// What each type of secret must hold.
void ValidateSecretType(const json::Value& secret, FieldErrors& errors) {
  static constexpr absl::string_view kAccount = "kubernetes.io/service-account.name";
  const absl::string_view type = Text(secret, "type");
  const json::Value& data = Get(secret, "data");
  const FieldPath path("data");
  const auto require = [&](absl::string_view key) {
    if (data.Find(key) != nullptr) return true;
    errors.push_back(kube::Required(path.Key(key)));
    return false;
  };
  const auto require_json = [&](absl::string_view key) {
    if (!require(key)) return;
    std::string text;
    absl::Base64Unescape(Text(data, key), &text);
    const absl::StatusOr<json::Value> parsed = json::Parse(text);
    if (parsed.ok() && (parsed->is_object() || parsed->is_null())) return;
    errors.push_back(
        kube::InvalidField(path.Key(key), absl::string_view("<secret contents redacted>"),
                           parsed.ok() ? "must be a JSON object" : parsed.status().message()));
  };
  if (type == "kubernetes.io/service-account-token") {
    if (Text(Get(secret, "metadata", "annotations"), kAccount).empty()) {
      errors.push_back(kube::Required(FieldPath("metadata").Child("annotations").Key(kAccount)));
    }
  } else if (type == "kubernetes.io/dockercfg") {
    require_json(".dockercfg");
  } else if (type == "kubernetes.io/dockerconfigjson") {
    require_json(".dockerconfigjson");
  } else if (type == "kubernetes.io/basic-auth") {
    if (data.Find("username") == nullptr && data.Find("password") == nullptr) {
      require("username");
      require("password");
    }
  } else if (type == "kubernetes.io/ssh-auth") {
    if (Text(data, "ssh-privatekey").empty()) {
      errors.push_back(kube::Required(path.Key("ssh-privatekey")));
    }
  } else if (type == "kubernetes.io/tls") {
    require("tls.crt");
    require("tls.key");
  }
}

class Secrets final : public Strategy {
 public:
  // stringData is written and never read back.
  void Default(const Resource& resource, json::Value& object) const override {
    if (Has(object, "stringData")) {
      const json::Value texts = Get(object, "stringData");
      json::Value& data = object.MutableObject("data");
      for (const json::Member& entry : texts.members()) {
        data.Set(entry.key, json::Value::String(absl::Base64Escape(entry.value.text())));
      }
    }
    object.Remove("stringData");
    if (Text(object, "type").empty()) object.Set("type", json::Value::String("Opaque"));
  }

  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    size_t bytes = 0;
    const FieldPath path("data");
    for (const json::Member& entry : Members(object, "data")) {
      AddInvalid(path.Key(entry.key), entry.key, CheckConfigMapKey(entry.key), errors);
      bytes += DecodedBytes(entry.value.text());
    }
    if (bytes > kBytesMax) errors.push_back(kube::TooLong(path, kBytesMax));
    ValidateSecretType(object, errors);
    return errors;
  }

  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    FieldErrors errors;
    ValidateImmutable(Get(old_object, "type"), Get(object, "type"), FieldPath("type"), errors);
    ValidateFrozen(old_object, object, {"data"}, errors);
    for (kube::FieldError& error : Validate(resource, object)) errors.push_back(std::move(error));
    return errors;
  }

  kube::StringPairs SelectableFields(const json::Value& object) const override {
    return {{"type", std::string(Text(object, "type"))}};
  }
  std::vector<std::string> SelectableFieldNames() const override { return {"type"}; }
};

}  // namespace

std::unique_ptr<const Strategy> ConfigMapStrategy() { return std::make_unique<ConfigMaps>(); }
std::unique_ptr<const Strategy> SecretStrategy() { return std::make_unique<Secrets>(); }

std::unique_ptr<const TableColumns> ConfigMapColumns() {
  return MakeColumns({NameColumn(), TextColumn("Data", "How many entries it holds."), AgeColumn()},
                     [](const json::Value& object, int64_t now_s) {
                       const size_t entries =
                           Members(object, "data").size() + Members(object, "binaryData").size();
                       return std::vector<json::Value>{
                           NameCell(object), json::Value::Int(static_cast<int64_t>(entries)),
                           AgeCell(object, now_s)};
                     });
}

std::unique_ptr<const TableColumns> SecretColumns() {
  return MakeColumns({NameColumn(), TextColumn("Type", "What the data is for."),
                      TextColumn("Data", "How many entries it holds."), AgeColumn()},
                     [](const json::Value& object, int64_t now_s) {
                       return std::vector<json::Value>{
                           NameCell(object), TextCell(Text(object, "type")),
                           json::Value::Int(static_cast<int64_t>(Members(object, "data").size())),
                           AgeCell(object, now_s)};
                     });
}

}  // namespace meltemi::apiserver
