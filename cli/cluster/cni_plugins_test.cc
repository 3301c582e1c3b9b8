#include "cli/cluster/cni_plugins.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;

TEST(CniPluginsTest, TheMachinesOwnAndOursStandInOneFolder) {
  const fs::path root = fs::path(testing::TempDir()) / "cni";
  fs::remove_all(root);
  fs::create_directories(root / "system");
  std::ofstream(root / "system/bridge") << "bridge";
  std::ofstream(root / "plugin") << "first";
  const std::string folder = root / "own/bin";
  for (const char* content : {"first", "second"}) {
    std::ofstream(root / "plugin") << content;
    const absl::Status status = PrepareCniPlugins(root / "plugin", root / "system", folder);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(fs::read_symlink(folder + "/bridge"), root / "system/bridge");
    std::string copied;
    std::ifstream(folder + "/meltemi-cni") >> copied;
    EXPECT_EQ(copied, content);
    EXPECT_EQ(fs::status(folder + "/meltemi-cni").permissions(), fs::perms(0755));
  }
  EXPECT_FALSE(PrepareCniPlugins(root / "plugin", root / "nowhere", folder).ok());
  EXPECT_FALSE(PrepareCniPlugins(root / "nothing", root / "system", folder).ok());
}

}  // namespace
}  // namespace meltemi::cli
