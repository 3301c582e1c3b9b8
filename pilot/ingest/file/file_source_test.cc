#include "pilot/ingest/file/file_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/clock/clock.h"
#include "base/loop/loop.h"
#include "networking/v1/destination_rule.pb.h"

namespace meltemi::pilot {
namespace {

using ::istio::networking::v1alpha3::DestinationRule;
using ::testing::HasSubstr;

std::string Rule(absl::string_view name, absl::string_view host) {
  return absl::StrCat(
      "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: ", name,
      "}\nspec: {host: ", host, "}\n");
}

class FileSourceTest : public ::testing::Test {
 protected:
  FileSourceTest() {
    std::string pattern = ::testing::TempDir() + "/source.XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~FileSourceTest() override {
    source_.reset();
    std::filesystem::remove_all(folder_);
  }

  absl::Status Start(std::vector<std::string> paths, Duration poll_interval = minutes(10)) {
    source_ = NewFileSource(
        *loop_,
        {.paths = std::move(paths), .settle = milliseconds(5), .poll_interval = poll_interval},
        nullptr, [this](const Changes& changes) {
          ++calls_;
          for (const ObjectPtr& object : changes.updated) {
            state_[object->meta.name] = object->Spec<DestinationRule>().host();
          }
          for (const ObjectKey& key : changes.deleted) state_.erase(key.name);
        });
    return source_->Start();
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }
  // "a=x b=y"
  std::string State() const { return absl::StrJoin(state_, " ", absl::PairFormatter("=")); }
  // Runs the loop until it is so; false after ten seconds.
  bool Until(const std::function<bool()>& condition) {
    const MonotonicTime deadline = clock_.Now() + seconds(10);
    while (!condition()) {
      if (clock_.Now() > deadline) return false;
      loop_->RunOnce(milliseconds(50));
    }
    return true;
  }
  bool UntilState(const std::string& state) {
    return Until([&] { return State() == state; });
  }

  const SystemClock clock_;
  const std::unique_ptr<Loop> loop_ = NewEventLoop(clock_);
  std::string folder_;
  std::map<std::string, std::string> state_;
  int calls_ = 0;
  std::unique_ptr<ConfigSource> source_;
};

TEST_F(FileSourceTest, ReadsAFolderAndFollowsIt) {
  Write("a.yaml", Rule("a", "x"));
  Write("notes.txt", "not for us");
  Write(".hidden.yaml", Rule("h", "h"));
  ASSERT_TRUE(Start({folder_ + "/"}).ok());
  EXPECT_EQ(State(), "a=x");
  EXPECT_EQ(calls_, 1);

  Write("b.yml", Rule("b", "y"));
  EXPECT_TRUE(UntilState("a=x b=y")) << State();
  Write("a.yaml", Rule("a", "z"));
  EXPECT_TRUE(UntilState("a=z b=y")) << State();
  std::filesystem::remove(folder_ + "/a.yaml");
  EXPECT_TRUE(UntilState("b=y")) << State();
}

TEST_F(FileSourceTest, AFileMovedIntoPlaceReplacesTheOldOne) {
  Write("a.yaml", Rule("a", "x"));
  ASSERT_TRUE(Start({folder_}).ok());
  Write("a.yaml.new", Rule("a", "y"));
  std::filesystem::rename(folder_ + "/a.yaml.new", folder_ + "/a.yaml");
  EXPECT_TRUE(UntilState("a=y")) << State();
  std::filesystem::rename(folder_ + "/a.yaml", folder_ + "/b.yaml");
  Write("c.yaml", Rule("c", "c"));
  EXPECT_TRUE(UntilState("a=y c=c")) << State();
}

TEST_F(FileSourceTest, AFileIsReadOnceItsWriterIsDone) {
  ASSERT_TRUE(Start({folder_}).ok());
  std::ofstream slow(folder_ + "/a.yaml");
  slow << Rule("a", "x") << std::flush;
  Write("b.yaml", Rule("b", "y"));
  EXPECT_TRUE(UntilState("b=y")) << State();
  slow << Rule("c", "z");
  slow.close();
  EXPECT_TRUE(UntilState("a=x b=y c=z")) << State();
}

TEST_F(FileSourceTest, ABrokenFileIsToldAndTakesNothingAway) {
  Write("a.yaml", Rule("a", "x"));
  ASSERT_TRUE(Start({folder_}).ok());
  Write("a.yaml", "apiVersion: [\n");
  EXPECT_TRUE(Until([&] { return HasErrors(source_->Diagnostics()); }));
  EXPECT_EQ(State(), "a=x");
  EXPECT_EQ(source_->Diagnostics()[0].file, folder_ + "/a.yaml");
  EXPECT_EQ(source_->Diagnostics()[0].line, 2);
  Write("a.yaml", Rule("a", "y"));
  EXPECT_TRUE(UntilState("a=y")) << State();
  EXPECT_EQ(calls_, 3);
}

TEST_F(FileSourceTest, SingleFilesAreWatchedAlone) {
  Write("a.yaml", Rule("a", "x"));
  Write("b.yaml", Rule("b", "y"));
  Write("c.conf", Rule("c", "z"));
  ASSERT_TRUE(Start({folder_ + "/a.yaml", folder_ + "/c.conf"}).ok());
  EXPECT_EQ(State(), "a=x c=z");
  Write("b.yaml", Rule("b", "new"));
  Write("c.conf", Rule("c", "new"));
  EXPECT_TRUE(UntilState("a=x c=new")) << State();
}

TEST_F(FileSourceTest, AConfigMapsLinksAreFollowed) {
  std::filesystem::create_directory(folder_ + "/..1");
  Write("..1/a.yaml", Rule("a", "x"));
  std::filesystem::create_directory_symlink("..1", folder_ + "/..data");
  std::filesystem::create_symlink("..data/a.yaml", folder_ + "/a.yaml");
  ASSERT_TRUE(Start({folder_}).ok());
  EXPECT_EQ(State(), "a=x");
  std::filesystem::create_directory(folder_ + "/..2");
  Write("..2/a.yaml", Rule("a", "y"));
  std::filesystem::create_directory_symlink("..2", folder_ + "/..data_tmp");
  std::filesystem::rename(folder_ + "/..data_tmp", folder_ + "/..data");
  EXPECT_TRUE(UntilState("a=y")) << State();
}

TEST_F(FileSourceTest, ThePollFindsWhatInotifyDoesNotTell) {
  // A change behind a link raises no event in the watched folder.
  std::filesystem::create_directory(folder_ + "/watched");
  Write("a.yaml", Rule("a", "x"));
  std::filesystem::create_symlink("../a.yaml", folder_ + "/watched/a.yaml");
  ASSERT_TRUE(Start({folder_ + "/watched"}, milliseconds(20)).ok());
  EXPECT_EQ(State(), "a=x");
  Write("a.yaml", Rule("a", "longer"));
  EXPECT_TRUE(UntilState("a=longer")) << State();
}

TEST_F(FileSourceTest, AFolderThatComesBackIsReadAgain) {
  const std::string inner = folder_ + "/inner";
  std::filesystem::create_directory(inner);
  Write("inner/a.yaml", Rule("a", "x"));
  ASSERT_TRUE(Start({inner}, milliseconds(20)).ok());
  std::filesystem::rename(inner, folder_ + "/away");
  std::filesystem::create_directory(inner);
  Write("inner/b.yaml", Rule("b", "y"));
  EXPECT_TRUE(UntilState("b=y")) << State();
}

TEST_F(FileSourceTest, AMissingPathIsSaidAtOnce) {
  const absl::Status status = Start({folder_ + "/nowhere"});
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nowhere\": No such file or directory"));
}

TEST_F(FileSourceTest, WhatIsNoRegularFileIsSaid) {
  std::filesystem::create_directory(folder_ + "/x.yaml");
  ASSERT_TRUE(Start({folder_}).ok());
  ASSERT_EQ(source_->Diagnostics().size(), 1u);
  EXPECT_THAT(source_->Diagnostics()[0].ToString(), HasSubstr("it is not a regular file"));
}

}  // namespace
}  // namespace meltemi::pilot
