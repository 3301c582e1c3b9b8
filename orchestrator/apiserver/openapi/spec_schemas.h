// Schemas as OpenAPI shows them: definitions of version 2, components of version 3.
//
// Threads: one thread; reads immutable schemas.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json/value.h"
#include "base/json/write.h"
#include "kube/names/names.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver {

enum class SpecVersion : uint8_t { kV2, kV3 };

// "io.k8s.api.apps.v1.Deployment"; of custom resources "com.example.v1.Widget".
std::string DefinitionName(const Resource& resource);

// "#/definitions/X" or "#/components/schemas/X".
std::string DefinitionRef(SpecVersion version, absl::string_view name);

// Everything that the added resources need, each under its name once.
class SpecSchemas {
 public:
  explicit SpecSchemas(SpecVersion version) : version_(version) {}

  void Add(const Resource& resource);
  // One object with a member per definition, sorted.
  void Write(json::Writer& out) const;

 private:
  void Collect(const Schema* schema);
  void WriteDefinition(const std::string& name, const Schema& schema, json::Writer& out) const;
  void WriteCustom(const std::string& name, const json::Value& source, json::Writer& out) const;
  void WriteList(const std::string& item_name, const std::string& name, json::Writer& out) const;
  void WriteListMeta(json::Writer& out) const;
  void WriteKinds(const std::string& name, json::Writer& out) const;
  void WriteUse(const Schema& schema, absl::string_view description,
                const json::Value* default_value, json::Writer& out) const;
  void WriteBody(const Schema& schema, absl::string_view description,
                 const json::Value* default_value, json::Writer& out) const;
  void WriteObject(const Schema& schema, json::Writer& out) const;
  void WriteExtensions(const Schema& schema, json::Writer& out) const;
  void WriteRef(absl::string_view name, absl::string_view description,
                const json::Value* default_value, const Schema* schema, json::Writer& out) const;

  const SpecVersion version_;
  std::map<std::string, const Schema*> schemas_;
  std::map<std::string, const json::Value*> customs_;
  std::map<std::string, std::string> lists_;  // the list's definition -> the item's
  std::map<std::string, std::vector<kube::GroupVersionKind>> kinds_;
};

// A custom schema in the subset that OpenAPI v2 has, without what older kubectl would refuse.
void WriteV2Schema(const json::Value& source, json::Writer& out);

}  // namespace meltemi::apiserver
