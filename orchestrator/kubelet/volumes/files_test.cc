#include "orchestrator/kubelet/volumes/files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "orchestrator/kubelet/volumes/atomic_writer.h"
#include "orchestrator/kubelet/volumes/ownership.h"
#include "orchestrator/kubelet/volumes/paths.h"

namespace meltemi::kubelet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class FilesTest : public testing::Test {
 protected:
  FilesTest() {
    std::string pattern = absl::StrCat(testing::TempDir(), "volumes-XXXXXX");
    root_ = mkdtemp(pattern.data());
  }
  ~FilesTest() override { EXPECT_TRUE(RemoveTree(root_).ok()); }

  std::string At(const std::string& name) const { return absl::StrCat(root_, "/", name); }
  std::string Read(const std::string& name) const {
    return ReadSmallFile(At(name), 1 << 20).value_or("(none)");
  }
  void Put(const std::string& name, const std::string& bytes) {
    const std::string path = At(name);
    ASSERT_TRUE(MakeFolders(path.substr(0, path.rfind('/')), 0755).ok());
    ASSERT_TRUE(WriteFile(path, bytes, 0644).ok());
  }
  void Link(const std::string& target, const std::string& name) {
    ASSERT_EQ(symlink(target.c_str(), At(name).c_str()), 0);
  }
  absl::Status Write(const VolumeFiles& files) {
    now_ += seconds(1);
    MakeFolders(At("v"), 0777).IgnoreError();
    return WriteAtomically(At("v"), files, now_, {});
  }
  static mode_t ModeOf(const std::string& path) { return StatOf(path)->st_mode & 07777; }

  std::string root_;
  WallTime now_{};
};

// ---- atomic updates ----

TEST_F(FilesTest, FilesAreLinksIntoOneVersion) {
  ASSERT_TRUE(Write({{"color", {"blue"}}, {"path/to/size", {"10", 0400}}}).ok());
  EXPECT_EQ(Read("v/color"), "blue");
  EXPECT_EQ(Read("v/path/to/size"), "10");
  EXPECT_EQ(ModeOf(At("v/path/to/size")), 0400u);
  char target[256] = {};
  ASSERT_GT(readlink(At("v/color").c_str(), target, sizeof(target)), 0);
  EXPECT_STREQ(target, "..data/color");
  EXPECT_TRUE(HasVersion(At("v")));
}

TEST_F(FilesTest, AnUpdateChangesAllAtOnceAndTidiesUp) {
  ASSERT_TRUE(Write({{"a", {"1"}}, {"b", {"1"}}, {"dir/c", {"1"}}}).ok());
  ASSERT_TRUE(Write({{"a", {"2"}}, {"d", {"2"}}}).ok());
  EXPECT_EQ(Read("v/a"), "2");
  EXPECT_EQ(Read("v/d"), "2");
  const std::vector<std::string> names = NamesIn(At("v"));
  EXPECT_EQ(names.size(), 4u) << "one version, ..data, a, d";
  EXPECT_FALSE(LinkStatOf(At("v/b")).has_value());
  EXPECT_FALSE(LinkStatOf(At("v/dir")).has_value());
}

TEST_F(FilesTest, WhatIsTheSameIsNotWrittenAgain) {
  ASSERT_TRUE(Write({{"a", {"1"}}}).ok());
  const auto before = StatOf(At("v/a"));
  ASSERT_TRUE(Write({{"a", {"1"}}}).ok());
  EXPECT_EQ(StatOf(At("v/a"))->st_ino, before->st_ino);
}

TEST_F(FilesTest, AWriterThatWasKilledHalfWayIsMadeUpFor) {
  ASSERT_TRUE(Write({{"a", {"1"}}}).ok());
  // Killed with a half-written version and the new link not renamed; and with names missing.
  Put("v/..2026_01_01_00_00_00.7/a", "half");
  Link("..2026_01_01_00_00_00.7", "v/..data_tmp");
  unlink(At("v/a").c_str());
  ASSERT_TRUE(Write({{"a", {"1"}}}).ok());
  EXPECT_EQ(Read("v/a"), "1");
  ASSERT_TRUE(Write({{"a", {"2"}}}).ok());
  EXPECT_EQ(Read("v/a"), "2");
  EXPECT_EQ(NamesIn(At("v")).size(), 3u);
}

TEST_F(FilesTest, NamesOfTheWritersOwnAndOutsideAreRefused) {
  EXPECT_THAT(std::string(Write({{"../x", {""}}}).message()), HasSubstr("must not contain '..'"));
  EXPECT_THAT(std::string(Write({{"/x", {""}}}).message()), HasSubstr("must be relative path"));
  EXPECT_THAT(std::string(Write({{"..data", {""}}}).message()),
              HasSubstr("must not start with '..'"));
}

// ---- removing ----

TEST_F(FilesTest, RemovingDoesNotFollowLinks) {
  Put("outside/precious", "data");
  Put("tree/a/b/file", "x");
  Link(At("outside"), "tree/link");
  Link("../../../outside/precious", "tree/a/b/link");
  ASSERT_TRUE(RemoveTree(At("tree")).ok());
  EXPECT_FALSE(LinkStatOf(At("tree")).has_value());
  EXPECT_EQ(Read("outside/precious"), "data");
  // A tree that is a link itself: the link goes.
  Link(At("outside"), "tree");
  ASSERT_TRUE(RemoveTree(At("tree")).ok());
  EXPECT_EQ(Read("outside/precious"), "data");
  EXPECT_TRUE(RemoveTree(At("nothing")).ok());
}

TEST_F(FilesTest, RemovesWhatIsNestedDeeperThanPathsMayBe) {
  ASSERT_EQ(mkdir(At("deep").c_str(), 0755), 0);
  Fd folder(open(At("deep").c_str(), O_RDONLY | O_DIRECTORY));
  const std::string name(200, 'd');
  for (int i = 0; i < 60; ++i) {
    ASSERT_EQ(mkdirat(folder.get(), name.c_str(), 0755), 0);
    folder = Fd(openat(folder.get(), name.c_str(), O_RDONLY | O_DIRECTORY));
    ASSERT_TRUE(folder.ok());
  }
  EXPECT_TRUE(RemoveTree(At("deep")).ok());
  EXPECT_FALSE(LinkStatOf(At("deep")).has_value());
}

TEST_F(FilesTest, CountsBytesAndInodes) {
  Put("tree/a/file", std::string(10'000, 'x'));
  const TreeUse use = UseOfTree(At("tree"));
  EXPECT_EQ(use.inodes, 3);
  EXPECT_GE(use.bytes, 10'000);
}

// ---- sub-paths ----

TEST_F(FilesTest, SubPathsAreMadeWithinTheVolume) {
  ASSERT_TRUE(MakeFolders(At("v"), 0777).ok());
  absl::StatusOr<Fd> made = OpenSubPath(At("v"), "a/./b");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(IsFolder(At("v/a/b")));
  EXPECT_EQ(ModeOf(At("v/a/b")), 0777u) << "as the volume itself";
  ASSERT_TRUE(OpenSubPath(At("v"), "a/b").ok());
}

TEST_F(FilesTest, SubPathsFollowLinksWithinTheVolume) {
  ASSERT_TRUE(Write({{"key", {"value"}}}).ok());
  absl::StatusOr<Fd> file = OpenSubPath(At("v"), "key");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(*ReadSmallFile(absl::StrCat("/proc/self/fd/", file->get()), 100), "value");
}

TEST_F(FilesTest, SubPathsNeverLeadOutside) {
  Put("outside/precious", "data");
  ASSERT_TRUE(MakeFolders(At("v"), 0777).ok());
  Link("../outside", "v/up");
  Link(At("outside"), "v/absolute");
  Link("/proc/self/root", "v/magic");
  Link("loop", "v/loop");
  for (const char* path : {"up", "up/precious", "up/new", "absolute", "absolute/precious", "magic",
                           "magic/etc", "loop", "..", "a/../..", "/etc", ""}) {
    const absl::StatusOr<Fd> found = OpenSubPath(At("v"), path);
    EXPECT_FALSE(found.ok()) << path;
    EXPECT_THAT(std::string(found.status().message()), HasSubstr("not within volume path")) << path;
  }
  EXPECT_THAT(NamesIn(At("outside")), ElementsAre("precious"));
  EXPECT_FALSE(IsFolder(At("v/a"))) << "nothing is made on the way";
}

// ---- hostPath ----

TEST_F(FilesTest, HostPathsAreWhatTheirTypeSays) {
  Put("file", "x");
  const auto why = [this](const char* name, const char* type) {
    return std::string(CheckHostPath(At(name), type).message());
  };
  EXPECT_EQ(why("nothing", ""), "");
  EXPECT_EQ(why("new/folder", "DirectoryOrCreate"), "");
  EXPECT_TRUE(IsFolder(At("new/folder")));
  EXPECT_EQ(why("new/folder", "Directory"), "");
  EXPECT_EQ(why("new/file", "FileOrCreate"), "");
  EXPECT_EQ(why("new/file", "File"), "");
  EXPECT_EQ(why("file", "Directory"),
            absl::StrCat("hostPath type check failed: ", At("file"), " is not a directory"));
  EXPECT_EQ(why("nothing", "File"),
            absl::StrCat("hostPath type check failed: ", At("nothing"), " is not a file"));
  EXPECT_THAT(why("file", "Socket"), HasSubstr("is not a socket file"));
  EXPECT_THAT(why("file", "CharDevice"), HasSubstr("is not a character device"));
  EXPECT_THAT(why("file", "BlockDevice"), HasSubstr("is not a block device"));
  EXPECT_TRUE(CheckHostPath("/dev/null", "CharDevice").ok());
  EXPECT_THAT(why("none/file", "FileOrCreate"), HasSubstr("no such file or directory"));
}

// ---- fsGroup ----

TEST_F(FilesTest, AGroupGetsAVolumeButNotWhatLinksPointTo) {
  Put("outside/precious", "data");
  Put("v/a/file", "x");
  Link(At("outside/precious"), "v/link");
  chmod(At("v/a/file").c_str(), 0600);
  chmod(At("outside/precious").c_str(), 0600);
  ASSERT_TRUE(GiveToGroup(At("v"), getgid(), /*read_only=*/false, false).ok());
  EXPECT_EQ(ModeOf(At("v/a/file")), 0660u);
  EXPECT_EQ(ModeOf(At("v/a")), 02775u);
  EXPECT_EQ(ModeOf(At("v")), 02775u);
  EXPECT_EQ(ModeOf(At("outside/precious")), 0600u);
}

TEST_F(FilesTest, AVolumeWhoseRootFitsIsLeftAloneIfAsked) {
  Put("v/file", "x");
  ASSERT_TRUE(GiveToGroup(At("v"), getgid(), false, true).ok());
  chmod(At("v/file").c_str(), 0600);
  ASSERT_TRUE(GiveToGroup(At("v"), getgid(), false, true).ok());
  EXPECT_EQ(ModeOf(At("v/file")), 0600u);
  chmod(At("v").c_str(), 0755);
  ASSERT_TRUE(GiveToGroup(At("v"), getgid(), false, true).ok());
  EXPECT_EQ(ModeOf(At("v/file")), 0660u);
}

TEST_F(FilesTest, ErrorsReadLikeGos) {
  Put("file", "");
  EXPECT_EQ(MakeFolders(At("file/x"), 0755).message(),
            absl::StrCat("mkdir ", At("file/x"), ": not a directory"));
}

}  // namespace
}  // namespace meltemi::kubelet
