// For tests of kinds: objects written as YAML, treated as the API server treats them.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/write.h"
#include "base/yaml/parse.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/kinds/strategy.h"
#include "orchestrator/apiserver/schema/empty.h"
#include "orchestrator/apiserver/schema/walk.h"

namespace meltemi::apiserver {

inline std::vector<std::string> Texts(const kube::FieldErrors& errors) {
  std::vector<std::string> texts;
  for (const kube::FieldError& error : errors) texts.push_back(error.ToString());
  return texts;
}

class KindTest : public testing::Test {
 protected:
  static const std::vector<std::shared_ptr<const Resource>>& Resources() {
    static auto& arena = *new SchemaArena;
    static const auto& resources =
        *new std::vector<std::shared_ptr<const Resource>>(BuiltinResources(arena));
    return resources;
  }
  static const Resource& Find(absl::string_view group, absl::string_view version,
                              absl::string_view plural) {
    for (const auto& resource : Resources()) {
      if (resource->group == group && resource->version == version && resource->plural == plural) {
        return *resource;
      }
    }
    ADD_FAILURE() << "no resource " << group << "/" << version << " " << plural;
    return *Resources()[0];
  }
  // The resource that most tests of a file are about.
  void Use(absl::string_view group, absl::string_view version, absl::string_view plural) {
    resource_ = &Find(group, version, plural);
  }

  static json::Value Yaml(absl::string_view text) {
    auto parsed = yaml::Parse(text);
    EXPECT_TRUE(parsed.ok()) << parsed.status() << "\n" << text;
    return parsed.ok() ? *std::move(parsed) : json::Value::Object();
  }
  // Pruned, without what is empty, with the defaults of schema and strategy.
  json::Value Defaulted(absl::string_view text) const {
    json::Value object = Yaml(text);
    EXPECT_EQ(CheckTypes(*resource_->schema, object), "") << text;
    EXPECT_THAT(Prune(*resource_->schema, object), testing::IsEmpty()) << text;
    DropEmpty(*resource_->schema, object);
    ApplyDefaults(*resource_->schema, object);
    resource_->strategy->Default(*resource_, object);
    return object;
  }
  // As it would be stored, but for metadata.
  json::Value Created(absl::string_view text) const {
    json::Value object = Defaulted(text);
    resource_->strategy->PrepareForCreate(*resource_, object);
    return object;
  }
  std::vector<std::string> CreateErrors(absl::string_view text) const {
    const json::Value object = Created(text);
    kube::FieldErrors errors = ValidateMetadata(*resource_, object);
    for (kube::FieldError& error : resource_->strategy->Validate(*resource_, object)) {
      errors.push_back(std::move(error));
    }
    return Texts(errors);
  }
  // The new object after an update of what `old_text` created.
  json::Value Updated(absl::string_view old_text, absl::string_view text,
                      Scope scope = Scope::kMain) const {
    json::Value object = Defaulted(text);
    resource_->strategy->PrepareForUpdate(*resource_, scope, Created(old_text), object);
    return object;
  }
  std::vector<std::string> UpdateErrors(absl::string_view old_text, absl::string_view text,
                                        Scope scope = Scope::kMain) const {
    const json::Value old_object = Created(old_text);
    json::Value object = Defaulted(text);
    resource_->strategy->PrepareForUpdate(*resource_, scope, old_object, object);
    return Texts(resource_->strategy->ValidateUpdate(*resource_, scope, old_object, object));
  }
  // The cells, as a table prints them.
  std::vector<std::string> Row(absl::string_view text, int64_t now_s = 0) const {
    std::vector<std::string> texts;
    for (const json::Value& cell : resource_->columns->Cells(Yaml(text), now_s)) {
      texts.push_back(cell.is_bool() ? (cell.bool_value() ? "true" : "false") : cell.text());
    }
    EXPECT_EQ(texts.size(), resource_->columns->columns().size());
    return texts;
  }
  static std::string Json(const json::Value& value) { return json::ToString(value); }

  const Resource* resource_ = nullptr;
};

}  // namespace meltemi::apiserver
