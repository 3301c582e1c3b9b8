// With real mounts: needs root.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "orchestrator/kubelet/volumes/files.h"
#include "orchestrator/kubelet/volumes/mounter.h"
#include "orchestrator/kubelet/volumes/paths.h"

namespace meltemi::kubelet {
namespace {

class SystemMounterTest : public testing::Test {
 protected:
  void SetUp() override {
    // A mount namespace of its own: nothing is left behind however this ends.
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      GTEST_SKIP() << "needs root: mounts are not allowed here";
    }
    std::string pattern = absl::StrCat(testing::TempDir(), "mounts x-XXXXXX");
    root_ = mkdtemp(pattern.data());
  }
  void TearDown() override {
    if (root_.empty()) return;
    for (const std::string& path : mounter_->MountsBelow(root_)) {
      EXPECT_TRUE(mounter_->Unmount(path).ok());
    }
    EXPECT_TRUE(RemoveTree(root_).ok());
  }

  std::string At(const std::string& name) const { return absl::StrCat(root_, "/", name); }

  std::string root_;
  const std::unique_ptr<Mounter> mounter_ = NewSystemMounter();
};

TEST_F(SystemMounterTest, TmpfsHasItsSizeAndGoes) {
  ASSERT_TRUE(MakeFolders(At("shm"), 0755).ok());
  EXPECT_FALSE(mounter_->IsMountPoint(At("shm")));
  ASSERT_TRUE(mounter_->MountTmpfs(At("shm"), 1 << 20).ok());
  EXPECT_TRUE(mounter_->IsMountPoint(At("shm")));
  struct statfs fs = {};
  ASSERT_EQ(statfs(At("shm").c_str(), &fs), 0);
  EXPECT_EQ(static_cast<int64_t>(fs.f_blocks) * fs.f_bsize, 1 << 20);
  EXPECT_FALSE(WriteFile(At("shm/large"), std::string(2 << 20, 'x'), 0600).ok());
  EXPECT_EQ(mounter_->MountsBelow(root_), std::vector<std::string>{At("shm")})
      << "blanks in paths are read back";
  // What is mounted below is not removed with the folder.
  EXPECT_FALSE(RemoveTree(root_).ok());
  EXPECT_TRUE(LinkStatOf(At("shm/large")).has_value());
  ASSERT_TRUE(mounter_->Unmount(At("shm")).ok());
  EXPECT_FALSE(mounter_->IsMountPoint(At("shm")));
  EXPECT_TRUE(mounter_->Unmount(At("shm")).ok()) << "twice does no harm";
}

TEST_F(SystemMounterTest, ABindMountIsTheThingWhateverItsNameMeansLater) {
  ASSERT_TRUE(MakeFolders(At("volume/sub"), 0755).ok());
  ASSERT_TRUE(WriteFile(At("volume/sub/file"), "mine", 0600).ok());
  ASSERT_TRUE(MakeFolders(At("target"), 0755).ok());
  absl::StatusOr<Fd> fd = OpenSubPath(At("volume"), "sub");
  ASSERT_TRUE(fd.ok());
  // The pod is faster than the runtime.
  ASSERT_EQ(rename(At("volume/sub").c_str(), At("volume/was").c_str()), 0);
  ASSERT_EQ(symlink("/etc", At("volume/sub").c_str()), 0);
  ASSERT_TRUE(mounter_->Bind(fd->get(), At("target")).ok());
  EXPECT_EQ(*ReadSmallFile(At("target/file"), 100), "mine");
  EXPECT_TRUE(mounter_->IsMountPoint(At("target")));
  // A bind mount of the same file system is another mount all the same.
  EXPECT_FALSE(RemoveTree(root_).ok());
  EXPECT_EQ(*ReadSmallFile(At("volume/was/file"), 100), "mine");
}

}  // namespace
}  // namespace meltemi::kubelet
