#include "orchestrator/store/etcd/etcd_store.h"

#include <stdlib.h>

#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/store/contract_test.h"
#include "orchestrator/store/etcd/etcd_process.h"
#include "orchestrator/store/watcher_fake.h"

namespace meltemi::store {
namespace {

std::string NewFolder() {
  std::string name = absl::StrCat(testing::TempDir(), "/etcd-XXXXXX");
  EXPECT_NE(mkdtemp(name.data()), nullptr);
  return name;
}

// One etcd for all tests of the contract: each has its own keys. Ends with this process.
absl::StatusOr<std::unique_ptr<Store>> OpenShared() {
  static const auto* const process =
      new absl::StatusOr<std::unique_ptr<EtcdProcess>>(EtcdProcess::Start({.folder = NewFolder()}));
  if (!process->ok()) return process->status();
  return OpenEtcdStore({.endpoints = {(**process)->endpoint()}});
}

INSTANTIATE_TEST_SUITE_P(Etcd, StoreContract, testing::Values(&OpenShared));

class EtcdTest : public testing::Test {
 protected:
  // False: there is no etcd.
  bool StartEtcd(bool tls = false) {
    auto process = EtcdProcess::Start({.folder = NewFolder(), .tls = tls});
    if (absl::IsNotFound(process.status())) return false;
    EXPECT_TRUE(process.ok()) << process.status();
    process_ = *std::move(process);
    return true;
  }
  static std::unique_ptr<Store> Open(const EtcdOptions& options) {
    auto store = OpenEtcdStore(options);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  static absl::Status Put(Store& store, absl::string_view key, absl::string_view value) {
    return store.Transact({}, {{.key = std::string(key), .value = std::string(value)}}).status();
  }

  std::unique_ptr<EtcdProcess> process_;
};

TEST_F(EtcdTest, EverythingGoesOnAfterARestart) {
  if (!StartEtcd()) GTEST_SKIP() << "there is no etcd on this machine";
  const auto store = Open({.endpoints = {process_->endpoint()}});
  CollectingWatcher watcher;
  const auto watch = store->Watch("a", "z", 2, watcher);
  ASSERT_TRUE(Put(*store, "a", "1").ok());
  ASSERT_EQ(watcher.WaitForEvents(1).size(), 1u);
  process_->Kill();
  const absl::Status down = store->Health();
  EXPECT_TRUE(absl::IsUnavailable(down)) << down;
  ASSERT_TRUE(process_->Restart().ok());
  absl::Status written = Put(*store, "b", "2");
  for (int i = 0; i < 20 && absl::IsUnavailable(written); ++i) written = Put(*store, "b", "2");
  ASSERT_TRUE(written.ok()) << written;
  EXPECT_EQ((*store->Get("a"))->value, "1");
  const auto events = watcher.WaitForEvents(2);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].kv.value, "2");
}

TEST_F(EtcdTest, AMemberThatIsDownIsPassedOver) {
  if (!StartEtcd()) GTEST_SKIP() << "there is no etcd on this machine";
  const auto store = Open({.endpoints = {"http://127.0.0.1:1", process_->endpoint()}});
  EXPECT_TRUE(Put(*store, "a", "1").ok());
  EXPECT_EQ((*store->Get("a"))->value, "1");
}

TEST_F(EtcdTest, SpeaksTlsAndChecksTheMember) {
  if (!StartEtcd(/*tls=*/true)) GTEST_SKIP() << "there is no etcd on this machine";
  const auto store = Open({.endpoints = {process_->endpoint()}, .ca_pem = process_->ca_pem()});
  EXPECT_TRUE(Put(*store, "a", "1").ok());
  const auto stranger =
      Open({.endpoints = {process_->endpoint()}, .request_timeout = milliseconds(300)});
  EXPECT_TRUE(absl::IsUnavailable(Put(*stranger, "a", "2")));
  EXPECT_EQ((*store->Get("a"))->value, "1");
}

TEST_F(EtcdTest, NobodyThereIsSaid) {
  const auto store =
      Open({.endpoints = {"http://127.0.0.1:1"}, .request_timeout = milliseconds(200)});
  const absl::Status status = Put(*store, "a", "1");
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(status.message(),
            "no member of the etcd cluster can be reached (127.0.0.1:1): is it running, and do its "
            "certificates fit?");
  CollectingWatcher watcher;
  const auto watch = store->Watch("a", "", 0, watcher);
  EXPECT_TRUE(absl::IsUnavailable(watcher.WaitForEnd()));
}

TEST(EtcdOptions, AreChecked) {
  EXPECT_TRUE(absl::IsInvalidArgument(OpenEtcdStore({}).status()));
  for (const char* endpoint : {"", "ftp://x:1", "http://", "localhost", "http://a:1/b"}) {
    const auto store = OpenEtcdStore({.endpoints = {endpoint}});
    EXPECT_TRUE(absl::IsInvalidArgument(store.status())) << endpoint;
  }
  const auto half = OpenEtcdStore({.endpoints = {"a:1"}, .certificate_pem = "x"});
  EXPECT_TRUE(absl::StrContains(half.status().message(), "needs its key")) << half.status();
}

}  // namespace
}  // namespace meltemi::store
