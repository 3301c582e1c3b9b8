// What Kubernetes says of its kinds in Go: struct tags and the markers in comments.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace meltemi::interop {

struct GoField {
  std::string name, type;  // "*metav1.LabelSelector"
  int number = 0;          // protobuf's; 0 when it has none
  std::string json;
  bool inlined = false, omitempty = false;
  std::string patch_strategy, patch_merge_key;
  std::vector<std::string> markers;  // "optional", "listType=map"

  bool pointer() const { return type[0] == '*'; }
  bool HasMarker(const std::string& marker) const;
  // "map" for the marker "listType=map"; all of them, separated by commas.
  std::string MarkerValue(const std::string& marker) const;
};

struct GoStruct {
  std::vector<std::string> markers;
  std::map<int, GoField> fields;  // by number
};

struct GoPackage {
  std::map<std::string, GoStruct> structs;
  // Values of named string types with the marker "enum", sorted.
  std::map<std::string, std::vector<std::string>> enums;
};

// All of a folder's .go files that are written by hand.
GoPackage ReadGoPackage(const std::string& folder);

}  // namespace meltemi::interop
