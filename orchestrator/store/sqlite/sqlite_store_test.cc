#include "orchestrator/store/sqlite/sqlite_store.h"

#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/store/contract_test.h"
#include "orchestrator/store/watcher_fake.h"

namespace meltemi::store {
namespace {

const SystemClock kClock;

absl::StatusOr<std::unique_ptr<Store>> InMemory() { return OpenSqliteStore({}, kClock); }

std::string NewFolder() {
  std::string name = absl::StrCat(testing::TempDir(), "/store-XXXXXX");
  EXPECT_NE(mkdtemp(name.data()), nullptr);
  return name;
}

absl::StatusOr<std::unique_ptr<Store>> InAFile() {
  return OpenSqliteStore({.path = NewFolder() + "/store.db"}, kClock);
}

// Watches are served from the file alone.
absl::StatusOr<std::unique_ptr<Store>> WithoutRecentEvents() {
  return OpenSqliteStore(
      {.path = NewFolder() + "/store.db", .recent_events_bytes_max = 0, .sync = false}, kClock);
}

std::string NameOf(const testing::TestParamInfo<OpenStore>& info) {
  const char* const names[] = {"InMemory", "InAFile", "FromTheFile"};
  return names[info.index];
}

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreContract,
                         testing::Values(&InMemory, &InAFile, &WithoutRecentEvents), NameOf);

class SqliteFile : public testing::Test {
 protected:
  std::unique_ptr<Store> Open(int64_t bytes_max = 1 << 30) {
    auto store = OpenSqliteStore(OptionsOf(bytes_max), kClock);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }
  SqliteOptions OptionsOf(int64_t bytes_max = 1 << 30) const {
    return {.path = path_, .bytes_max = bytes_max, .lock_wait = Duration::zero()};
  }
  std::string ErrorOfOpen() const {
    const auto store = OpenSqliteStore(OptionsOf(), kClock);
    return store.ok() ? "opened" : store.status().ToString();
  }
  static absl::Status TryPut(Store& store, absl::string_view key, absl::string_view value) {
    return store.Transact({}, {{.key = std::string(key), .value = std::string(value)}}).status();
  }
  static Revision Put(Store& store, absl::string_view key, absl::string_view value) {
    const absl::Status status = TryPut(store, key, value);
    EXPECT_TRUE(status.ok()) << status;
    return *store.CurrentRevision();
  }

  const std::string folder_ = NewFolder();
  const std::string path_ = folder_ + "/store.db";
};

TEST_F(SqliteFile, TheFirstWriteIsRevisionTwo) {
  const auto store = Open();
  EXPECT_EQ(*store->CurrentRevision(), 1);
  EXPECT_EQ(Put(*store, "a", "1"), 2);
}

TEST_F(SqliteFile, EverythingIsThereAfterARestart) {
  {
    const auto store = Open();
    Put(*store, "a", "1");
    Put(*store, "a", "2");
    Put(*store, "b", "3");
    ASSERT_TRUE(store->Transact({}, {{.type = Write::Type::kDelete, .key = "b"}}).ok());
  }
  const auto store = Open();
  EXPECT_EQ(*store->CurrentRevision(), 5);
  EXPECT_EQ((*store->Get("a"))->value, "2");
  EXPECT_EQ((*store->Get("a", 2))->value, "1");
  EXPECT_FALSE((*store->Get("b")).has_value());
  CollectingWatcher watcher;
  const auto watch = store->Watch("a", "z", 2, watcher);
  EXPECT_EQ(Put(*store, "c", "4"), 6);
  EXPECT_EQ(watcher.WaitForEvents(5).size(), 5u);
}

TEST_F(SqliteFile, TheRevisionIsKeptWhenTheLastWriteWasADeletionAndIsCompacted) {
  {
    const auto store = Open();
    Put(*store, "a", "1");
    ASSERT_TRUE(store->Transact({}, {{.type = Write::Type::kDelete, .key = "a"}}).ok());
    ASSERT_TRUE(store->Compact(3).ok());
  }
  const auto store = Open();
  EXPECT_EQ(*store->CurrentRevision(), 3);
  EXPECT_TRUE(absl::IsOutOfRange(store->Get("a", 2).status()));
  EXPECT_EQ(Put(*store, "b", "1"), 4);
}

TEST_F(SqliteFile, ALeaseEndsAlsoAfterARestart) {
  int64_t lease = 0;
  {
    const auto store = Open();
    lease = *store->GrantLease(milliseconds(50));
    const Write under{.key = "a", .value = "1", .lease = lease};
    ASSERT_TRUE(store->Transact({}, {under}).ok());
  }
  const auto store = Open();
  CollectingWatcher watcher;
  const auto watch = store->Watch("a", "", 3, watcher);
  const auto events = watcher.WaitForEvents(1);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].deleted);
}

TEST_F(SqliteFile, IsOpenInOneProcess) {
  const auto store = Open();
  EXPECT_EQ(ErrorOfOpen(), absl::StrCat("FAILED_PRECONDITION: ", path_, " is open in process ",
                                        getpid(), ": stop it, or use another data folder"));
}

TEST_F(SqliteFile, AFolderThatIsMissingIsNamed) {
  const auto store = OpenSqliteStore({.path = folder_ + "/missing/store.db"}, kClock);
  EXPECT_TRUE(absl::StrContains(store.status().message(),
                                "No such file or directory; does the "
                                "folder exist"))
      << store.status();
}

TEST_F(SqliteFile, AFileOfSomethingElseIsRefused) {
  std::ofstream(path_) << std::string(10'000, 'x');
  const std::string error = ErrorOfOpen();
  EXPECT_TRUE(absl::StrContains(error, "DATA_LOSS: the store's file is damaged: ")) << error;
  EXPECT_TRUE(absl::StrContains(error, "\"file is not a database\"; stop the server, keep a copy"))
      << error;
}

TEST_F(SqliteFile, ADamagedFileIsRefused) {
  {
    const auto store = Open();
    for (int i = 0; i < 200; ++i) Put(*store, absl::StrCat("key", i), std::string(2000, 'v'));
  }
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4 * 8192);
  file << std::string(8192, '\x5a');
  file.close();
  const std::string error = ErrorOfOpen();
  EXPECT_TRUE(absl::StrContains(error, "DATA_LOSS: the store's file is damaged: ")) << error;
  EXPECT_TRUE(absl::StrContains(error, path_)) << error;
}

TEST_F(SqliteFile, TheBoundOnItsSizeStopsWritesButNotDeletions) {
  const auto store = Open(2 << 20);
  absl::Status full;
  int written = 0;
  for (; full.ok() && written < 10'000; ++written) {
    full = TryPut(*store, absl::StrCat("key", written), std::string(10'000, 'v'));
  }
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
  EXPECT_TRUE(absl::StartsWith(full.message(), "etcdserver: mvcc: database space exceeded"))
      << full;
  EXPECT_GT(written, 100);
  EXPECT_LT(written, 250);
  EXPECT_LE(store->Size()->bytes_in_use, 2 << 20);
  for (int i = 0; i < written; ++i) {
    const auto result =
        store->Transact({}, {{.type = Write::Type::kDelete, .key = absl::StrCat("key", i)}});
    ASSERT_TRUE(result.ok()) << result.status();
  }
  ASSERT_TRUE(store->Compact(*store->CurrentRevision()).ok());
  EXPECT_LT(store->Size()->bytes_in_use, 1 << 20);
  EXPECT_TRUE(TryPut(*store, "again", std::string(10'000, 'v')).ok());
}

TEST_F(SqliteFile, CompactionGivesTheDisksSpaceBack) {
  {
    const auto store = Open();
    for (int i = 0; i < 1500; ++i) Put(*store, "a", std::string(100'000, 'v'));
    ASSERT_TRUE(store->Compact(*store->CurrentRevision()).ok());
  }
  EXPECT_LT(std::filesystem::file_size(path_), 40u << 20);
}

TEST_F(SqliteFile, AFullDiskIsSaidAndHarmsNothing) {
  if (mount("tmpfs", folder_.c_str(), "tmpfs", 0, "size=4m") != 0) {
    GTEST_SKIP() << "mounting a small tmpfs needs root";
  }
  {
    const auto store = Open();
    absl::Status full;
    int written = 0;
    while (full.ok() && written < 10'000) {
      full = TryPut(*store, absl::StrCat("key", written), std::string(10'000, 'v'));
      if (full.ok()) ++written;
    }
    EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
    EXPECT_TRUE(absl::StrContains(full.message(), "the disk is full")) << full;
    EXPECT_TRUE(absl::StrContains(full.message(), "free space on the disk")) << full;
    for (int i = 0; i < written; ++i) {
      const auto kv = store->Get(absl::StrCat("key", i));
      ASSERT_TRUE(kv.ok() && kv->has_value()) << i;
    }
    EXPECT_EQ(mount("tmpfs", folder_.c_str(), "tmpfs", MS_REMOUNT, "size=64m"), 0);
    EXPECT_TRUE(TryPut(*store, "after", "1").ok());
  }
  { EXPECT_EQ((*Open()->Get("after"))->value, "1"); }
  umount(folder_.c_str());
}

}  // namespace
}  // namespace meltemi::store
