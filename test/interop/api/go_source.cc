#include "test/interop/api/go_source.h"

#include <re2/re2.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace meltemi::interop {
namespace {

// One file, line by line; a line belongs to the comment block right above it.
class Reader {
 public:
  explicit Reader(GoPackage* package) : package_(*package) {}

  void Line(const std::string& line);
  std::set<std::string> enum_types;
  std::map<std::string, std::vector<std::string>> constants;

 private:
  void Field(const std::string& line);

  GoPackage& package_;
  GoStruct* struct_ = nullptr;  // the one being read
  std::vector<std::string> markers_;
};

void Reader::Line(const std::string& raw) {
  static const RE2 kStruct(R"(type (\w+) struct \{)");
  static const RE2 kString(R"(type (\w+) string)");
  static const RE2 kConstant(R"re((\w+)\s+(\w+)\s*=\s*"([^"]*)".*)re");
  const std::string line(absl::StripAsciiWhitespace(raw));
  if (absl::StartsWith(line, "//")) {
    absl::string_view text = absl::StripAsciiWhitespace(absl::string_view(line).substr(2));
    if (absl::ConsumePrefix(&text, "+")) markers_.emplace_back(text);
    return;
  }
  std::string name, type, value;
  if (struct_ != nullptr) {
    if (raw == "}") {
      struct_ = nullptr;
    } else {
      Field(line);
    }
  } else if (RE2::FullMatch(line, kStruct, &name)) {
    struct_ = &package_.structs[name];
    struct_->markers = markers_;
  } else if (RE2::FullMatch(line, kString, &name)) {
    if (std::find(markers_.begin(), markers_.end(), "enum") != markers_.end()) {
      enum_types.insert(name);
    }
  } else if (RE2::FullMatch(line, kConstant, &name, &type, &value)) {
    if (!value.empty()) constants[type].push_back(value);
  }
  markers_.clear();
}

void Reader::Field(const std::string& line) {
  static const RE2 kField(R"((?:(\w+)\s+)?([*\[\]\w.]+)\s+`([^`]*)`.*)");
  static const RE2 kJson(R"re(json:"([^",]*)((?:,\w+)*)")re");
  static const RE2 kNumber(R"re(protobuf:"\w+,(\d+),)re");
  static const RE2 kStrategy(R"re(patchStrategy:"([^"]*)")re");
  static const RE2 kMergeKey(R"re(patchMergeKey:"([^"]*)")re");
  GoField field;
  std::string tags, json_options, number;
  if (!RE2::FullMatch(line, kField, &field.name, &field.type, &tags)) return;
  RE2::PartialMatch(tags, kJson, &field.json, &json_options);
  field.inlined = absl::StrContains(json_options, ",inline");
  field.omitempty = absl::StrContains(json_options, ",omitempty");
  if (!RE2::PartialMatch(tags, kNumber, &field.number)) return;
  RE2::PartialMatch(tags, kStrategy, &field.patch_strategy);
  RE2::PartialMatch(tags, kMergeKey, &field.patch_merge_key);
  field.markers = markers_;
  struct_->fields[field.number] = std::move(field);
}

}  // namespace

bool GoField::HasMarker(const std::string& marker) const {
  return std::find(markers.begin(), markers.end(), marker) != markers.end();
}

std::string GoField::MarkerValue(const std::string& marker) const {
  std::vector<absl::string_view> values;
  for (absl::string_view text : markers) {
    if (absl::ConsumePrefix(&text, marker) && absl::ConsumePrefix(&text, "=")) {
      values.push_back(text);
    }
  }
  return absl::StrJoin(values, ",");
}

GoPackage ReadGoPackage(const std::string& folder) {
  GoPackage package;
  Reader reader(&package);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() != ".go" || absl::EndsWith(name, "_test.go") ||
        absl::StartsWith(name, "zz_") || absl::StartsWith(name, "generated")) {
      continue;
    }
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) reader.Line(line);
  }
  for (const std::string& type : reader.enum_types) {
    std::vector<std::string>& values = package.enums[type];
    values = reader.constants[type];
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
  }
  return package;
}

}  // namespace meltemi::interop
