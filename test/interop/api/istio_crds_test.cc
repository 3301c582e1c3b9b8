// Our CustomResourceDefinitions against Istio's own: names, versions, columns, and every field with
// its type. Skipped, with the reason, where Istio's cannot be had.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "base/yaml/parse.h"
#include "pilot/crds/crds.h"
#include "test/interop/api/fetch.h"

namespace meltemi::interop {
namespace {

using json::Value;
using ::testing::IsEmpty;
using Fields = std::map<std::string, std::string>;

std::string Name(const Value& definition) {
  return std::string(definition.Find("metadata")->FindString("name"));
}

// "spec.http[].route[].weight" -> "integer int32". Bounds are rules, which admission has.
void Collect(const Value& schema, const std::string& path, Fields* out) {
  std::string type(schema.FindString("type"));
  if (schema.Find("x-kubernetes-int-or-string") != nullptr) type = "int-or-string";
  const absl::string_view format = schema.FindString("format");
  if (!format.empty()) absl::StrAppend(&type, " ", format);
  if (const Value* nullable = schema.Find("nullable")) {
    absl::StrAppend(&type, nullable->bool_value() ? " or null" : "");
  }
  if (const Value* names = schema.Find("enum")) absl::StrAppend(&type, " ", json::ToString(*names));
  if (!path.empty()) (*out)[path] = type;
  if (const Value* properties = schema.Find("properties")) {
    for (const json::Member& member : properties->members()) {
      Collect(member.value, absl::StrCat(path, path.empty() ? "" : ".", member.key), out);
    }
  }
  if (const Value* items = schema.Find("items")) Collect(*items, path + "[]", out);
  const Value* values = schema.Find("additionalProperties");
  if (values != nullptr && values->is_object()) Collect(*values, path + "{}", out);
}

Fields SpecOf(const Value& version) {
  Fields out;
  Collect(*version.Find("schema", "openAPIV3Schema", "properties", "spec"), "spec", &out);
  return out;
}

const Value* FindVersion(const Value& definition, absl::string_view name) {
  for (const Value& version : definition.Find("spec", "versions")->items()) {
    if (version.FindString("name") == name) return &version;
  }
  return nullptr;
}

std::string ColumnsOf(const Value& version) {
  std::string out;
  const Value* columns = version.Find("additionalPrinterColumns");
  if (columns == nullptr) return out;
  for (const Value& column : columns->items()) {
    absl::StrAppend(&out, column.FindString("name"), " ", column.FindString("type"), " ",
                    column.FindString("jsonPath"), "\n");
  }
  return out;
}

class IstioCrds : public testing::Test {
 protected:
  void SetUp() override {
    const Fetched fetched = Fetch("istio");
    if (fetched.folders.empty()) GTEST_SKIP() << fetched.reason;
    std::ifstream file(fetched.folders[0] + "/kubernetes/customresourcedefinitions.gen.yaml");
    if (!file) GTEST_SKIP() << "no definitions in " << fetched.folders[0];
    std::stringstream text;
    text << file.rdbuf();
    auto documents = yaml::ParseAll(text.str());
    ASSERT_TRUE(documents.ok()) << documents.status();
    for (Value& document : *documents) theirs_.emplace(Name(document), document);
  }

  std::map<std::string, Value> theirs_;
};

TEST_F(IstioCrds, NamesVersionsAndColumnsAreIstios) {
  for (const Value& ours : pilot::CrdObjects()) {
    ASSERT_EQ(theirs_.count(Name(ours)), 1u) << Name(ours);
    const Value& theirs = theirs_.at(Name(ours));
    for (const char* part : {"kind", "listKind", "plural", "singular"}) {
      EXPECT_EQ(ours.Find("spec", "names")->FindString(part),
                theirs.Find("spec", "names")->FindString(part));
    }
    for (const char* part : {"shortNames", "categories"}) {
      const Value* our_part = ours.Find("spec", "names", part);
      const Value* their_part = theirs.Find("spec", "names", part);
      EXPECT_EQ(our_part == nullptr ? "" : json::ToString(*our_part),
                their_part == nullptr ? "" : json::ToString(*their_part))
          << Name(ours);
    }
    EXPECT_EQ(ours.Find("spec", "versions")->items().size(),
              theirs.Find("spec", "versions")->items().size());
    for (const Value& version : ours.Find("spec", "versions")->items()) {
      const Value* their_version = FindVersion(theirs, version.FindString("name"));
      ASSERT_NE(their_version, nullptr) << Name(ours) << " " << version.FindString("name");
      EXPECT_EQ(ColumnsOf(version), ColumnsOf(*their_version)) << Name(ours);
    }
  }
}

// Of a newer Istio than the one whose messages ours follow: the API server refuses them by name.
bool IsKnownToBeMissing(absl::string_view path) {
  for (const char* name : {"erviceAccounts", "rustDomains"}) {
    if (absl::StrContains(path, "source.") && absl::StrContains(path, name)) return true;
  }
  return false;
}

TEST_F(IstioCrds, EveryFieldHasIstiosNameAndType) {
  size_t fields = 0;
  std::vector<std::string> different, missing;
  for (const Value& ours : pilot::CrdObjects()) {
    const auto found = theirs_.find(Name(ours));
    ASSERT_NE(found, theirs_.end());
    const Fields mine = SpecOf(*FindVersion(ours, "v1"));
    const Fields theirs = SpecOf(*FindVersion(found->second, "v1"));
    for (const auto& [path, type] : mine) {
      ++fields;
      const auto at = theirs.find(path);
      if (at == theirs.end() || at->second != type) {
        different.push_back(absl::StrCat(Name(ours), " ", path, ": ", type,
                                         ", Istio: ", at == theirs.end() ? "none" : at->second));
      }
    }
    for (const auto& [path, type] : theirs) {
      if (mine.count(path) > 0 || IsKnownToBeMissing(path)) continue;
      missing.push_back(absl::StrCat(Name(ours), " ", path));
    }
  }
  std::printf("%zu fields compared\n", fields);
  RecordProperty("fields", static_cast<int>(fields));
  EXPECT_THAT(different, IsEmpty());
  EXPECT_THAT(missing, IsEmpty());
}

}  // namespace
}  // namespace meltemi::interop
