// Manifests as text -> objects. Strict: an unknown field, a wrong type, a bad enum value is an
// error that names file and line, object and field path. Kinds that the mesh does not read are
// passed over.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "pilot/ingest/diagnostic.h"
#include "pilot/ingest/object.h"

namespace meltemi::pilot {

struct DecodeManifestsOptions {
  std::string default_namespace = "default";
};

struct Manifests {
  std::vector<ObjectPtr> objects;       // those without an error, in the order of the text
  std::vector<ObjectKey> failed;        // those that have one, as far as their names are known
  std::vector<Diagnostic> diagnostics;  // of all; not sorted
  // The text as a whole could be read: what is in neither list is not in the text.
  bool complete = true;
};

// YAML (any number of documents) or JSON; `kind: List` is taken apart. `file` names the text in
// messages. Never fails as a whole: what cannot be read is in the diagnostics.
Manifests DecodeManifests(absl::string_view text, absl::string_view file,
                          const DecodeManifestsOptions& options = {});

// One object as a tree, as an API server or an admission review has it: with the same strictness.
// It keeps no manifest.
Manifests DecodeObject(json::Value document, const DecodeManifestsOptions& options = {});

}  // namespace meltemi::pilot
