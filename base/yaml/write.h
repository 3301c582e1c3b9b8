// Trees -> YAML text, as people write manifests: block style, two spaces, texts plain where that is
// unambiguous. What yaml::Parse reads of it is the same tree.
//
// Threads: a function without state.
#pragma once

#include <string>

#include "base/json/value.h"

namespace meltemi::yaml {

// One document, without "---"; ends with a line break.
std::string ToYaml(const json::Value& value);

}  // namespace meltemi::yaml
