// Manifests in, manifests with sidecars out, whole: each testdata/NAME.yaml is injected with the
// settings that its first lines hold ("#: KEY: VALUE") and compared with
// testdata/NAME.injected.yaml.
//
// Refresh after a wanted change, then read the diff:
//   bazel run //pilot/inject:golden_test -- --refresh
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "pilot/inject/manifest.h"
#include "pilot/inject/settings.h"

namespace meltemi::pilot {
namespace {

namespace fs = std::filesystem;

bool refresh = false;

fs::path Folder() {
  const char* const root = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  return fs::path(root == nullptr ? "." : root) / "pilot/inject/testdata";
}

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string SettingsOf(const std::string& manifest) {
  std::string settings;
  for (absl::string_view line : absl::StrSplit(manifest, '\n')) {
    if (absl::StartsWith(line, "#: ")) absl::StrAppend(&settings, line.substr(3), "\n");
  }
  return settings;
}

TEST(Golden, PodsComeOutAsBefore) {
  size_t compared = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(Folder())) {
    const std::string name = entry.path().filename();
    if (absl::EndsWith(name, ".injected.yaml") || !absl::EndsWith(name, ".yaml")) continue;
    const std::string manifest = ReadFile(entry.path());
    const absl::StatusOr<InjectSettings> settings = ParseInjectSettings(SettingsOf(manifest));
    ASSERT_TRUE(settings.ok()) << name << ": " << settings.status();
    const absl::StatusOr<InjectedManifests> injected =
        InjectManifests(manifest, "default", *settings);
    ASSERT_TRUE(injected.ok()) << name << ": " << injected.status();
    const fs::path golden = fs::path(entry.path()).replace_extension(".injected.yaml");
    if (refresh) std::ofstream(golden) << injected->text;
    EXPECT_EQ(injected->text, ReadFile(golden)) << name;
    ++compared;
  }
  EXPECT_GE(compared, 4u);
}

}  // namespace
}  // namespace meltemi::pilot

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    meltemi::pilot::refresh |= absl::string_view(argv[i]) == "--refresh";
  }
  return RUN_ALL_TESTS();
}
