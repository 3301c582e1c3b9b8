// api/kube against the official Go modules of Kubernetes: the protocol files (numbers, types) and
// the Go types (JSON names, presence, merge strategies, values). Skipped, with the reason, where
// the modules cannot be had.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/io/gzip_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "api/kube/descriptors.h"
#include "kube/options.pb.h"
#include "test/interop/api/compare.h"
#include "test/interop/api/fetch.h"
#include "test/interop/api/go_source.h"
#include "test/interop/api/proto_source.h"

namespace meltemi::interop {
namespace {

using google::protobuf::DescriptorProto;
using google::protobuf::FieldDescriptorProto;
using google::protobuf::FileDescriptor;
using google::protobuf::FileDescriptorProto;
using google::protobuf::FileDescriptorSet;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Where the package of ours comes from: the module's place in fetch.sh's answer, the folder in it,
// the official package.
struct Origin {
  size_t module = 0;
  std::string folder, package;
};

std::string WithoutPrefix(const std::string& package) {
  return package.substr(std::string("meltemi.kube.").size());
}

Origin OriginOf(const std::string& our_package) {
  static const std::map<std::string, Origin> kElsewhere = {
      {"meta.v1", {1, "pkg/apis/meta/v1", "k8s.io.apimachinery.pkg.apis.meta.v1"}},
      {"runtime", {1, "pkg/runtime", "k8s.io.apimachinery.pkg.runtime"}},
      {"quantity", {1, "pkg/api/resource", "k8s.io.apimachinery.pkg.api.resource"}},
      {"intstr", {1, "pkg/util/intstr", "k8s.io.apimachinery.pkg.util.intstr"}},
      {"apiextensions.v1",
       {2, "pkg/apis/apiextensions/v1",
        "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1"}},
      {"metrics.v1beta1",
       {3, "pkg/apis/metrics/v1beta1", "k8s.io.metrics.pkg.apis.metrics.v1beta1"}},
  };
  const std::string name = WithoutPrefix(our_package);
  const auto it = kElsewhere.find(name);
  if (it != kElsewhere.end()) return it->second;
  std::string folder = name;
  std::replace(folder.begin(), folder.end(), '.', '/');
  return {0, folder, "k8s.io.api." + name};
}

FileDescriptorSet OurFiles() {
  const absl::string_view bytes = kube::Descriptors();
  google::protobuf::io::ArrayInputStream compressed(bytes.data(), static_cast<int>(bytes.size()));
  google::protobuf::io::GzipInputStream stream(&compressed);
  FileDescriptorSet files;
  EXPECT_TRUE(files.ParseFromZeroCopyStream(&stream));
  return files;
}

TEST(OfficialKubernetes, NumbersAndTypes) {
  const Fetched fetched = Fetch("kube");
  if (fetched.folders.empty()) GTEST_SKIP() << fetched.reason;
  ASSERT_EQ(fetched.folders.size(), 4u);
  ProtoSource official({{"k8s.io/api/", fetched.folders[0]},
                        {"k8s.io/apimachinery/", fetched.folders[1]},
                        {"k8s.io/apiextensions-apiserver/", fetched.folders[2]},
                        {"k8s.io/metrics/", fetched.folders[3]}});
  ProtoSource ours({{"", "api"}, {"", "/usr/include"}});
  CompareOptions options;
  options.names = false;
  options.official_name = [](const std::string& name) {
    const size_t dot = name.rfind('.');
    return absl::StrCat(OriginOf(name.substr(0, dot)).package, name.substr(dot));
  };
  static constexpr const char* kModules[] = {"k8s.io/api/", "k8s.io/apimachinery/",
                                             "k8s.io/apiextensions-apiserver/", "k8s.io/metrics/"};
  Compared compared;
  const FileDescriptorSet our_files = OurFiles();
  for (const FileDescriptorProto& file : our_files.file()) {
    if (file.name() == "kube/options.proto") continue;
    const FileDescriptor* our_file = ours.Load(file.name());
    ASSERT_NE(our_file, nullptr) << absl::StrJoin(ours.errors(), "\n");
    const Origin origin = OriginOf(file.package());
    ASSERT_NE(official.Load(kModules[origin.module] + origin.folder + "/generated.proto"), nullptr)
        << absl::StrJoin(official.errors(), "\n");
    Compare(*our_file, official.pool(), options, &compared);
  }
  std::printf("kube: %zu messages, %zu fields compared\n", compared.messages, compared.fields);
  EXPECT_THAT(compared.differences, IsEmpty());
  EXPECT_GT(compared.fields, 1500u);
}

class GoTypes {
 public:
  explicit GoTypes(std::vector<std::string> modules) : modules_(std::move(modules)) {}

  void Compare(const FileDescriptorProto& file, const DescriptorProto& message);

  size_t fields = 0;
  std::vector<std::string> differences;

 private:
  const GoPackage& PackageOf(const std::string& our_package);
  void CompareField(const std::string& where, const FieldDescriptorProto& ours,
                    const GoField& official, const GoPackage& package);
  std::string ValuesOf(const GoField& field, const GoPackage& package);
  template <typename T>
  void Expect(const std::string& where, const char* what, const T& ours, const T& official) {
    if (ours != official) {
      differences.push_back(
          absl::StrCat(where, ": ", what, " is ", ours, ", officially ", official));
    }
  }

  const std::vector<std::string> modules_;
  std::map<std::string, GoPackage> packages_;
};

const GoPackage& GoTypes::PackageOf(const std::string& our_package) {
  const auto [it, added] = packages_.try_emplace(our_package);
  if (added) {
    const Origin origin = OriginOf(our_package);
    it->second = ReadGoPackage(modules_[origin.module] + "/" + origin.folder);
  }
  return it->second;
}

void GoTypes::Compare(const FileDescriptorProto& file, const DescriptorProto& message) {
  // Those are written by code, not by tags.
  if (message.options().GetExtension(kube::json_form) != kube::OBJECT) return;
  const std::string name = absl::StrCat(WithoutPrefix(file.package()), ".", message.name());
  const GoPackage& package = PackageOf(file.package());
  const auto it = package.structs.find(message.name());
  if (it == package.structs.end()) {
    if (message.field_size() > 0) differences.push_back(name + ": no such struct officially");
    return;
  }
  const auto& markers = it->second.markers;
  const bool atomic =
      std::find(markers.begin(), markers.end(), "structType=atomic") != markers.end();
  Expect(name, "atomic", message.options().GetExtension(kube::atomic), atomic);
  std::set<int> numbers;
  for (const FieldDescriptorProto& field : message.field()) {
    numbers.insert(field.number());
    const auto official = it->second.fields.find(field.number());
    const std::string where = absl::StrCat(name, ".", field.name());
    if (official == it->second.fields.end()) {
      differences.push_back(where + ": no such field officially");
      continue;
    }
    CompareField(where, field, official->second, package);
  }
  for (const auto& [number, field] : it->second.fields) {
    if (numbers.count(number) == 0) differences.push_back(name + "." + field.name + " is missing");
  }
}

std::string GoTypes::ValuesOf(const GoField& field, const GoPackage& package) {
  absl::string_view type = field.type;
  absl::ConsumePrefix(&type, "*");
  absl::ConsumePrefix(&type, "[]");
  const GoPackage* home = &package;
  if (absl::ConsumePrefix(&type, "v1.")) home = &PackageOf("meltemi.kube.core.v1");
  if (absl::ConsumePrefix(&type, "metav1.")) home = &PackageOf("meltemi.kube.meta.v1");
  const auto it = home->enums.find(std::string(type));
  return it == home->enums.end() ? "" : absl::StrJoin(it->second, ",");
}

bool IsStruct(const FieldDescriptorProto& field, const GoField& official) {
  return field.type() == FieldDescriptorProto::TYPE_MESSAGE &&
         field.label() != FieldDescriptorProto::LABEL_REPEATED &&
         !absl::EndsWith(official.type, "ExtraValue") && !absl::EndsWith(official.type, "Verbs");
}

void GoTypes::CompareField(const std::string& where, const FieldDescriptorProto& ours,
                           const GoField& official, const GoPackage& package) {
  ++fields;
  const kube::FieldRule& rule = ours.options().GetExtension(kube::field);
  Expect(where, "inlined", rule.inlined(), official.inlined);
  if (official.inlined) return;
  Expect(where, "the JSON name", ours.json_name(), official.json);
  const bool scalar = ours.type() != FieldDescriptorProto::TYPE_MESSAGE;
  const bool repeated = ours.label() == FieldDescriptorProto::LABEL_REPEATED;
  if (scalar && !repeated) {
    Expect(where, "presence", ours.proto3_optional(), official.pointer());
  }
  const bool always = !official.pointer() && (IsStruct(ours, official) || !official.omitempty);
  Expect(where, "always", rule.always(), always);
  Expect(where, "required", rule.required(),
         !official.omitempty && !official.HasMarker("optional"));
  Expect(where, "the patch strategy", rule.patch(), official.patch_strategy);
  Expect(where, "the merge key", rule.merge_key(), official.patch_merge_key);
  const std::string list = rule.list() == kube::UNSPECIFIED
                               ? ""
                               : absl::AsciiStrToLower(kube::ListType_Name(rule.list()));
  Expect(where, "the list type", list, official.MarkerValue("listType"));
  Expect(where, "the list's keys", rule.list_keys(), official.MarkerValue("listMapKey"));
  Expect(where, "atomic", rule.atomic(),
         official.HasMarker("mapType=atomic") || official.HasMarker("structType=atomic"));
  Expect(where, "the values", rule.values(), ValuesOf(official, package));
  const std::string default_json = official.MarkerValue("default");
  if (!absl::StartsWith(default_json, "ref(")) {
    Expect(where, "the default", rule.default_json(), default_json);
  }
}

TEST(OfficialKubernetes, GoTypesAndTheirMarkers) {
  const Fetched fetched = Fetch("kube");
  if (fetched.folders.empty()) GTEST_SKIP() << fetched.reason;
  ASSERT_EQ(fetched.folders.size(), 4u);
  GoTypes types(fetched.folders);
  const FileDescriptorSet our_files = OurFiles();
  for (const FileDescriptorProto& file : our_files.file()) {
    for (const DescriptorProto& message : file.message_type()) {
      if (file.name() != "kube/options.proto") types.Compare(file, message);
    }
  }
  std::printf("kube: %zu fields of Go structs compared\n", types.fields);
  EXPECT_THAT(types.differences, IsEmpty());
  EXPECT_GT(types.fields, 1500u);
}

}  // namespace
}  // namespace meltemi::interop
