// Manifests in, xDS out: each testdata/NAME.yaml is translated for the nodes that its first lines
// name ("# node: NODE-ID [label=value …]") and compared with testdata/NAME.POD.json.
//
// Refresh after a wanted change, then read the diff:
//   bazel run //pilot/translate:golden_test -- --refresh
#include <google/protobuf/any.pb.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/protojson/encode.h"
#include "pilot/snapshot/mesh_fake.h"
#include "pilot/translate/node.h"
#include "pilot/translate/translator.h"

namespace meltemi::pilot {
namespace {

namespace fs = std::filesystem;

bool refresh = false;

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<ProxyNode> NodesOf(const std::string& yaml) {
  std::vector<ProxyNode> nodes;
  for (const absl::string_view line : absl::StrSplit(yaml, '\n')) {
    if (!absl::StartsWith(line, "# node: ")) continue;
    const std::vector<std::string> words = absl::StrSplit(line.substr(8), ' ');
    const std::vector<std::string> id = absl::StrSplit(words[0], '~');
    ProxyNode node;
    node.id = words[0];
    if (id[0] == "router") node.kind = ProxyKind::kGateway;
    if (id[0] == "grpc") node.kind = ProxyKind::kProxyless;
    node.addresses = {id[1]};
    const std::pair<std::string, std::string> name = absl::StrSplit(id[2], '.');
    node.name = name.first;
    node.ns = name.second;
    node.cluster_id = "Kubernetes";
    for (size_t i = 1; i < words.size(); ++i) {
      node.labels.insert(
          std::pair<std::string, std::string>(absl::StrSplit(words[i], absl::MaxSplits('=', 1))));
    }
    nodes.push_back(std::move(node));
  }
  return nodes;
}

std::string Dump(const SnapshotPtr& snapshot, const ProxyNode& node) {
  Translator translator;
  const std::unique_ptr<ProxyView> view = translator.NewView(node);
  view->Use(snapshot);
  std::string out;
  for (const XdsType type :
       {XdsType::kCluster, XdsType::kEndpoint, XdsType::kListener, XdsType::kRoute}) {
    for (const ResourcePtr& resource : view->Everything(type)) {
      google::protobuf::Any any;
      EXPECT_TRUE(any.ParseFromString(resource->any));
      absl::StrAppend(&out, "// ", XdsTypeShortName(type), " ", resource->name, "\n",
                      protojson::ToJson(any, {.proto_names = true, .indent = 1}), "\n");
    }
  }
  return out;
}

fs::path DataFolder() {
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  const fs::path root = refresh && workspace != nullptr ? workspace : ".";
  return root / "pilot/translate/testdata";
}

std::vector<std::string> Cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(DataFolder())) {
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST(Golden, TranslationIsAsRecorded) {
  for (const std::string& name : Cases()) {
    SCOPED_TRACE(name);
    const std::string yaml = ReadFile(DataFolder() / (name + ".yaml"));
    const std::vector<ProxyNode> nodes = NodesOf(yaml);
    ASSERT_FALSE(nodes.empty()) << "name a node: # node: sidecar~IP~POD.NS~DOMAIN";
    for (const ProxyNode& node : nodes) {
      const fs::path golden = DataFolder() / absl::StrCat(name, ".", node.name, ".json");
      const std::string now = Dump(FakeMesh().Apply(yaml).Build(), node);
      if (refresh) {
        std::ofstream(golden) << now;
        continue;
      }
      EXPECT_EQ(now, ReadFile(golden)) << golden << " differs: see this file's head on refreshing";
    }
  }
}

TEST(Golden, TwoRunsAreIdentical) {
  for (const std::string& name : Cases()) {
    SCOPED_TRACE(name);
    const std::string yaml = ReadFile(DataFolder() / (name + ".yaml"));
    for (const ProxyNode& node : NodesOf(yaml)) {
      EXPECT_EQ(Dump(FakeMesh().Apply(yaml).Build(), node),
                Dump(FakeMesh().Apply(yaml).Build(), node));
    }
  }
}

}  // namespace
}  // namespace meltemi::pilot

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  meltemi::pilot::refresh = argc > 1 && std::string(argv[1]) == "--refresh";
  return RUN_ALL_TESTS();
}
