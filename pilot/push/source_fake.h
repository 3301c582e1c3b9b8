// Resources that the test sets, as a session's source. Each is a text under a name.
#pragma once

#include <google/protobuf/wrappers.pb.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "pilot/translate/resource.h"
#include "pilot/translate/resource_source.h"

namespace meltemi::pilot {

class FakeSource final : public ResourceSource {
 public:
  // `needs`: what hangs on it.
  void Set(XdsType type, const std::string& name, const std::string& text,
           std::vector<std::string> needs = {}) {
    google::protobuf::StringValue value;
    value.set_value(text);
    all_[type][name] = MakeResource(name, value, std::move(needs));
    if (on_change) on_change();
  }
  void Remove(XdsType type, const std::string& name) {
    all_[type].erase(name);
    if (on_change) on_change();
  }
  std::function<void()> on_change;

  ResourceSetPtr All(XdsType type) override {
    std::vector<ResourcePtr> list;
    for (const auto& [name, resource] : all_[type]) list.push_back(resource);
    return MakeResourceSet(std::move(list));
  }
  ResourcePtr Find(XdsType type, absl::string_view name) override {
    const auto it = all_[type].find(std::string(name));
    return it == all_[type].end() ? nullptr : it->second;
  }

 private:
  std::map<XdsType, std::map<std::string, ResourcePtr>> all_;
};

}  // namespace meltemi::pilot
