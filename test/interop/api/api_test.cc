// Our protocol files against the official ones, message by message and field by field. Skipped,
// with the reason, where the official ones cannot be had.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "test/interop/api/compare.h"
#include "test/interop/api/fetch.h"
#include "test/interop/api/proto_source.h"

namespace meltemi::interop {
namespace {

using google::protobuf::FileDescriptor;
using ::testing::ElementsAre;

// Import paths of our files below api/.
std::vector<std::string> OurFiles(const std::vector<std::string>& below) {
  std::vector<std::string> files;
  for (const std::string& folder : below) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator("api/" + folder)) {
      if (entry.path().extension() == ".proto") {
        files.push_back(entry.path().lexically_relative("api").string());
      }
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

const ProtoSource::Roots kOurs = {{"", "api"}, {"", "/usr/include"}};

void Report(const char* name, const Compared& compared) {
  ::testing::Test::RecordProperty(std::string(name) + "_messages",
                                  static_cast<int>(compared.messages));
  ::testing::Test::RecordProperty(std::string(name) + "_fields", static_cast<int>(compared.fields));
  std::printf("%s: %zu messages, %zu fields, %zu enum values, %zu methods compared\n", name,
              compared.messages, compared.fields, compared.enum_values, compared.methods);
}

TEST(OfficialApi, XdsSubset) {
  const Fetched fetched = Fetch("xds");
  if (fetched.folders.empty()) GTEST_SKIP() << fetched.reason;
  ProtoSource::Roots roots;
  for (const std::string& folder : fetched.folders) roots.emplace_back("", folder);
  roots.emplace_back("google/protobuf/", "/usr/include/google/protobuf");
  ProtoSource official(roots);
  ProtoSource ours(kOurs);
  Compared compared;
  for (const std::string& file : OurFiles({"envoy", "xds", "udpa", "google"})) {
    const FileDescriptor* our_file = ours.Load(file);
    ASSERT_NE(our_file, nullptr) << absl::StrJoin(ours.errors(), "\n");
    ASSERT_NE(official.Load(file), nullptr) << absl::StrJoin(official.errors(), "\n");
    Compare(*our_file, official.pool(), {}, &compared);
  }
  Report("xds", compared);
  EXPECT_THAT(compared.differences, ElementsAre());
  EXPECT_GT(compared.fields, 1000u);
  EXPECT_GE(compared.methods, 10u);
}

TEST(OfficialApi, IstioNetworking) {
  const Fetched fetched = Fetch("istio");
  if (fetched.folders.empty()) GTEST_SKIP() << fetched.reason;
  ProtoSource official({{"google/protobuf/", "/usr/include/google/protobuf"},
                        {"", fetched.folders[0]},
                        {"", fetched.folders[0] + "/common-protos"}});
  ProtoSource ours(kOurs);
  Compared compared;
  for (const std::string& file : OurFiles({"networking", "security"})) {
    // Of Istio's proxy, which is published as a binary alone.
    if (absl::StartsWith(file, "networking/alpn/")) continue;
    // One object under all versions: our folder is v1, the package is Istio's.
    std::string official_file = file;
    if (absl::StartsWith(file, "networking/v1/")) official_file.insert(13, "alpha3");
    if (absl::StartsWith(file, "networking/type/")) official_file = file.substr(11);
    if (absl::StartsWith(file, "security/v1/")) official_file.insert(11, "beta1");
    const FileDescriptor* our_file = ours.Load(file);
    ASSERT_NE(our_file, nullptr) << absl::StrJoin(ours.errors(), "\n");
    ASSERT_NE(official.Load(official_file), nullptr) << absl::StrJoin(official.errors(), "\n");
    Compare(*our_file, official.pool(), {}, &compared);
  }
  Report("istio", compared);
  EXPECT_THAT(compared.differences, ElementsAre());
  EXPECT_GT(compared.fields, 250u);
}

TEST(OfficialApi, ContainerRuntimeInterface) {
  const Fetched fetched = Fetch("cri");
  if (fetched.folders.size() < 2) GTEST_SKIP() << fetched.reason;
  ProtoSource official({{"google/protobuf/", "/usr/include/google/protobuf"},
                        {"github.com/gogo/protobuf/", fetched.folders[1]},
                        {"", fetched.folders[0]}});
  ASSERT_NE(official.Load("pkg/apis/runtime/v1/api.proto"), nullptr)
      << absl::StrJoin(official.errors(), "\n");
  ProtoSource ours(kOurs);
  Compared compared;
  for (const std::string& file : OurFiles({"cri"})) {
    const FileDescriptor* our_file = ours.Load(file);
    ASSERT_NE(our_file, nullptr) << absl::StrJoin(ours.errors(), "\n");
    Compare(*our_file, official.pool(), {}, &compared);
  }
  Report("cri", compared);
  EXPECT_THAT(compared.differences, ElementsAre());
  EXPECT_GT(compared.fields, 300u);
  EXPECT_EQ(compared.methods, 31u);
}

// The comparison sees each kind of difference.
TEST(Compare, TellsWhatDiffers) {
  const std::string folder = ::testing::TempDir();
  const auto write = [&](const std::string& name, const std::string& text) {
    std::filesystem::create_directories(folder + "/" + name);
    std::ofstream(folder + "/" + name + "/x.proto") << "syntax = \"proto3\";\npackage p;\n" << text;
  };
  write("ours", R"(
    message A { string same = 1; int32 b = 2; string c = 3; string d = 4; repeated string e = 5;
                string f = 6; E g = 7; string h = 8; map<string, string> i = 9; A j = 10;
                string k = 11; oneof o { string l = 12; } optional string m = 13; }
    message OnlyOurs {}
    enum E { ZERO = 0; ONE = 1; }
    service S { rpc Same(A) returns (A); rpc Streams(stream A) returns (A);
                rpc New(A) returns (A); })");
  write("official", R"(
    message A { string same = 1; int64 b = 2; string see = 3; string e = 5;
                string f = 6 [json_name = "F"]; E g = 7; oneof x { string h = 8; }
                map<string, int32> i = 9; B j = 10; string k = 11; string more = 20;
                oneof o { string l = 12; } string m = 13; }
    message B {}
    enum E { ZERO = 0; ONE = 2; TWO = 3; }
    service S { rpc Same(A) returns (A); rpc Streams(A) returns (A); })");
  ProtoSource ours({{"", folder + "/ours"}});
  ProtoSource official({{"", folder + "/official"}});
  const FileDescriptor* our_file = ours.Load("x.proto");
  ASSERT_NE(our_file, nullptr) << absl::StrJoin(ours.errors(), "\n");
  ASSERT_NE(official.Load("x.proto"), nullptr) << absl::StrJoin(official.errors(), "\n");
  Compared compared;
  Compare(*our_file, official.pool(), {}, &compared);
  EXPECT_THAT(
      compared.differences,
      ElementsAre(
          "p.A.b: the type is int32, officially int64", "p.A.c: the name is c, officially see",
          "p.A.c: the JSON name is c, officially see", "p.A.d: there is no field 4 officially",
          "p.A.e: the type is repeated string, officially string",
          "p.A.f: the JSON name is f, officially F", "p.A.h: the oneof is none, officially x",
          "p.A.h: presence is implicit, officially explicit",
          "p.A.i: the type is map<string, string>, officially map<string, int32>",
          "p.A.j: the type is p.A, officially p.B", "p.A.m: the oneof is _m, officially none",
          "p.A.m: presence is explicit, officially implicit",
          "p.OnlyOurs: no such message officially", "p.E: the number of values is 2, officially 3",
          "p.E: ONE is 1, officially 2", "p.E: TWO is missing, officially 3",
          "p.S.Streams: the signature is stream p.A -> p.A, officially p.A -> p.A",
          "p.S.New: the signature is p.A -> p.A, officially missing"));
}

}  // namespace
}  // namespace meltemi::interop
