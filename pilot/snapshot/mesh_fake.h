// A mesh made of manifests, for tests: apply YAML, delete objects, build the snapshot.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "pilot/ingest/decode/manifests.h"
#include "pilot/ingest/object.h"
#include "pilot/snapshot/builder.h"
#include "pilot/snapshot/decoder.h"

namespace meltemi::pilot {

class FakeMesh {
 public:
  explicit FakeMesh(MeshSettings settings = {})
      : decoder_(settings.domain), builder_(std::move(settings)) {}

  // A manifest in error ends the test program with what is wrong.
  FakeMesh& Apply(absl::string_view yaml) {
    const Manifests manifests = DecodeManifests(yaml, "test.yaml");
    for (const Diagnostic& diagnostic : manifests.diagnostics) {
      if (diagnostic.severity != Severity::kError) continue;
      std::fprintf(stderr, "%s\n", diagnostic.ToString().c_str());
      std::abort();
    }
    for (const ObjectPtr& object : manifests.objects) objects_[object->Key()] = object;
    return *this;
  }
  FakeMesh& Delete(Kind kind, absl::string_view name, absl::string_view ns = "default") {
    objects_.erase(ObjectKey{kind, std::string(ns), std::string(name)});
    return *this;
  }
  SnapshotPtr Build() {
    std::vector<ObjectPtr> all;
    for (const auto& [key, object] : objects_) all.push_back(object);
    return builder_.Build(decoder_.Decode(all));
  }

 private:
  std::map<ObjectKey, ObjectPtr> objects_;
  ObjectDecoder decoder_;
  SnapshotBuilder builder_;
};

}  // namespace meltemi::pilot
