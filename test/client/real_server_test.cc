// The client machinery against a running `meltemi-orchestrator apiserver`: typed calls, informers
// over a restart, service-account tokens, events and leader election.
#include <stdlib.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kube/authentication/v1/authentication.pb.h"
#include "kube/client/http_client.h"
#include "kube/client/kubeconfig.h"
#include "kube/client/token_client.h"
#include "kube/client/typed.h"
#include "kube/codec/codec.h"
#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/event.pb.h"
#include "kube/core/v1/namespace.pb.h"
#include "kube/events/recorder.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"
#include "kube/leader/leader.h"
#include "test/machine/process.h"

namespace meltemi::kube {
namespace {

using core::v1::ConfigMap;
using machine::Eventually;

constexpr std::chrono::seconds kWaitMax(30);

// One for all tests: it takes a while to start.
class ServerUnderTest {
 public:
  ServerUnderTest() {
    std::string name = absl::StrCat(testing::TempDir(), "/client-XXXXXX");
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }

  // At the port that it had before, if any.
  void Start() {
    const std::string file = folder_ + "/url";
    std::remove(file.c_str());
    auto process = machine::Process::Start(
        {.argv = {"orchestrator/app/meltemi-orchestrator", "apiserver", "--data-dir",
                  folder_ + "/data", "--bind-address", "127.0.0.1", "--secure-port", port_,
                  "--address-file", file, "--log-level", "warn"},
         .output_path = folder_ + "/log"});
    ASSERT_TRUE(process.ok()) << process.status();
    process_ = *std::move(process);
    std::string url;
    Eventually(
        [&] {
          std::ifstream in(file);
          return (std::getline(in, url) && !url.empty()) || !process_.running();
        },
        std::chrono::seconds(60));
    ASSERT_FALSE(url.empty()) << process_.Output();
    port_ = url.substr(url.rfind(':') + 1);
  }
  void Kill() { process_.Kill(); }
  std::unique_ptr<Client> NewClient() {
    const auto access = ReadKubeconfig(folder_ + "/data/admin.kubeconfig");
    EXPECT_TRUE(access.ok()) << access.status();
    auto client = NewHttpClient(*access, clock_, {.user_agent = "client-test/1"});
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }
  const Clock& clock() const { return clock_; }

 private:
  const SystemClock clock_;
  std::string folder_, port_ = "0";
  machine::Process process_;
};

class RealServerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    server_ = new ServerUnderTest;
    server_->Start();
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  RealServerTest()
      : client_(server_->NewClient()), executor_(NewThreadExecutor(server_->clock())) {}

  static ConfigMap Map(const std::string& name, const std::string& value = "v") {
    ConfigMap out;
    out.mutable_metadata()->set_namespace_("default");
    out.mutable_metadata()->set_name(name);
    (*out.mutable_data())["k"] = value;
    return out;
  }

  static ServerUnderTest* server_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Executor> executor_;
};
ServerUnderTest* RealServerTest::server_ = nullptr;

TEST_F(RealServerTest, TypedCalls) {
  const Result<ConfigMap> created = Create(*client_, Map("typed"));
  ASSERT_TRUE(created.ok()) << created.status().message;
  EXPECT_TRUE(IsAlreadyExists(Create(*client_, Map("typed")).status()));
  ConfigMap changed = *created;
  (*changed.mutable_data())["k"] = "w";
  ASSERT_TRUE(Update(*client_, changed).ok());
  EXPECT_TRUE(IsConflict(Update(*client_, changed).status()));  // of a version that is no more
  const auto patched = Patch<ConfigMap>(*client_, "default", "typed", PatchType::kMerge,
                                        R"({"metadata":{"labels":{"a":"b"}}})");
  ASSERT_TRUE(patched.ok()) << patched.status().message;
  EXPECT_EQ(patched->data().at("k"), "w");
  EXPECT_EQ(patched->metadata().managed_fields_size(), 0);
  const auto modified = Modify<ConfigMap>(*client_, "default", "typed", [](ConfigMap& map) {
    (*map.mutable_data())["more"] = "x";
    return true;
  });
  EXPECT_EQ(modified->data_size(), 2);
  EXPECT_TRUE(
      IsConflict(Delete<ConfigMap>(*client_, "default", "typed", {.uid = "another one"}).status()));
  EXPECT_TRUE(
      Delete<ConfigMap>(*client_, "default", "typed", {.uid = created->metadata().uid()}).ok());
  EXPECT_TRUE(IsNotFound(Get<ConfigMap>(*client_, "default", "typed").status()));
}

TEST_F(RealServerTest, LongListsComeInPages) {
  for (int i = 0; i < 1100; ++i) {
    ConfigMap map = Map(absl::StrCat("page-", i));
    (*map.mutable_metadata()->mutable_labels())["of"] = "pages";
    ASSERT_TRUE(Create(*client_, map).ok());
  }
  const auto listed = List<ConfigMap>(*client_, {.ns = "default", .label_selector = "of=pages"});
  ASSERT_TRUE(listed.ok()) << listed.status().message;
  EXPECT_EQ(listed->size(), 1100);
}

TEST_F(RealServerTest, InformersGoOnAfterARestart) {
  const std::unique_ptr<Informers> informers = NewInformers(*client_, *executor_);
  Informer& maps = informers->Of<ConfigMap>();
  std::atomic<int> deleted = 0;
  maps.AddHandler([&](const Change& change) {
    if (change.type == Change::Type::kDeleted) ++deleted;
  });
  informers->Start();
  ASSERT_TRUE(Eventually([&] { return informers->synced(); }, kWaitMax));
  ASSERT_TRUE(Create(*client_, Map("watched")).ok());
  const auto data = [&] {
    const auto map = Lister<ConfigMap>(maps).Get("default", "watched");
    return map == nullptr ? "" : map->data().at("k");
  };
  ASSERT_TRUE(Eventually([&] { return data() == "v"; }, kWaitMax));
  server_->Kill();
  EXPECT_EQ(Get<ConfigMap>(*client_, "default", "watched").status().code, 0);
  server_->Start();
  ASSERT_TRUE(Eventually([&] { return Update(*client_, Map("watched", "after")).ok(); }, kWaitMax));
  EXPECT_TRUE(Eventually([&] { return data() == "after"; }, kWaitMax));
  EXPECT_EQ(deleted, 0);
  ASSERT_TRUE(Delete<ConfigMap>(*client_, "default", "watched").ok());
  EXPECT_TRUE(Eventually([&] { return deleted == 1; }, kWaitMax));
}

TEST_F(RealServerTest, AServiceAccountActsForItself) {
  const auto tokens =
      NewServiceAccountTokens(*client_, server_->clock(), "kube-system", "test-controller");
  const std::unique_ptr<Client> as_controller = NewTokenClient(*client_, *tokens);
  const auto who = [](Client& client) {
    const Result<ApiAnswer> answer =
        client.Call({.method = "POST",
                     .path = "/apis/authentication.k8s.io/v1/selfsubjectreviews",
                     .body = R"({"apiVersion":"authentication.k8s.io/v1",)"
                             R"("kind":"SelfSubjectReview"})"});
    EXPECT_TRUE(answer.ok()) << answer.status().message;
    authentication::v1::SelfSubjectReview review;
    EXPECT_TRUE(answer.ok() && FromJson(answer->body, &review).ok());
    return review.status().user_info().username();
  };
  EXPECT_EQ(who(*as_controller), "system:serviceaccount:kube-system:test-controller");
  EXPECT_EQ(who(*client_), "kubernetes-admin");
  EXPECT_EQ(Create(*as_controller, Map("forbidden")).status().reason, "Forbidden");
}

TEST_F(RealServerTest, EventsAreWrittenAndCounted) {
  const auto recorder = NewEventRecorder(*client_, *executor_, {.component = "client-test"});
  const Result<ConfigMap> map = Create(*client_, Map("eventful"));
  ASSERT_TRUE(map.ok());
  for (int i = 0; i < 3; ++i) recorder->Record(*map, kNormal, "Tested", "once more");
  const auto event = [&]() -> core::v1::Event {
    const auto events = List<core::v1::Event>(
        *client_, {.ns = "default", .field_selector = "involvedObject.name=eventful"});
    return events.ok() && events->size() == 1 ? (*events)[0] : core::v1::Event();
  };
  EXPECT_TRUE(Eventually([&] { return event().count() == 3; }, kWaitMax));
  EXPECT_EQ(event().involved_object().kind(), "ConfigMap");
  EXPECT_EQ(event().reporting_component(), "client-test");
}

TEST_F(RealServerTest, OneOfTwoLeadsAndTheOtherFollows) {
  std::atomic<int> leading = 0;
  LeaderOptions options{.lease = "client-test", .retry_period = milliseconds(100)};
  const auto start = [&](const char* identity) {
    options.identity = identity;
    return StartLeaderElection(
        *client_, *executor_, options, [&] { ++leading; },
        [] { ADD_FAILURE() << "nobody loses here"; });
  };
  auto a = start("a");
  auto b = start("b");
  ASSERT_TRUE(Eventually([&] { return leading == 1; }, kWaitMax));
  (a->leading() ? a : b).reset();
  EXPECT_TRUE(Eventually([&] { return leading == 2; }, kWaitMax));
}

}  // namespace
}  // namespace meltemi::kube
