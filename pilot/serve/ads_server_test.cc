// The ADS server over a real gRPC channel: a client asks, acknowledges, rejects, comes back.
#include "pilot/serve/ads_server.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock/clock.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/service/discovery/v3/ads.grpc.pb.h"
#include "pilot/push/caller.h"
#include "pilot/push/push_server.h"
#include "pilot/snapshot/mesh_fake.h"

namespace meltemi::pilot {
namespace {

namespace discovery = envoy::service::discovery::v3;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kNodeId[] = "sidecar~10.1.0.1~sleep.default~default.svc.cluster.local";
constexpr char kWeb[] = R"(
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
)";

std::string Entry(const std::string& address) {
  return absl::StrCat(
      "{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: w", address,
      "}, spec: {address: ", address, ", labels: {app: web}}}");
}

// A server on a loop of its own thread.
class Server {
 public:
  explicit Server(CallAuthenticator* authenticator = nullptr) {
    loop_ = NewEventLoop(clock_);
    thread_ = std::thread([this] { loop_->Run(); });
    Sync([this, authenticator] {
      push_ = std::make_unique<PushServer>(loop_.get(), &registry_.NewShard().root(),
                                           PushServer::Options{});
      auto server = AdsServer::Start(loop_.get(), push_.get(),
                                     {.address = "127.0.0.1:0", .authenticator = authenticator});
      ASSERT_TRUE(server.ok()) << server.status().ToString();
      ads_ = *std::move(server);
    });
  }
  ~Server() {
    Sync([this] {
      ads_ = nullptr;
      push_ = nullptr;
    });
    loop_->Exit();
    thread_.join();
  }

  void Sync(std::function<void()> work) {
    std::promise<void> done;
    loop_->Post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }
  void Show(SnapshotPtr snapshot) {
    Sync([&] { push_->SetSnapshot(std::move(snapshot), "test", loop_->Now()); });
  }
  std::vector<ClientStatus> Clients() {
    std::vector<ClientStatus> result;
    Sync([&] { result = push_->Clients(); });
    return result;
  }
  // Waits until the server sees the state, at most ten seconds.
  bool Until(std::function<bool()> holds) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!holds()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }
  int port() const { return ads_->port(); }
  int64_t Metric(const std::string& name) { return registry_.Sum(name); }

 private:
  SystemClock clock_;
  metrics::Registry registry_;
  std::unique_ptr<Loop> loop_;
  std::thread thread_;
  std::unique_ptr<PushServer> push_;
  std::unique_ptr<AdsServer> ads_;
};

class Client {
 public:
  explicit Client(int port, const std::string& token = "") {
    if (!token.empty()) context_.AddMetadata("authorization", "Bearer " + token);
    stub_ = discovery::AggregatedDiscoveryService::NewStub(
        grpc::CreateChannel(absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials()));
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    stream_ = stub_->StreamAggregatedResources(&context_);
  }
  void Ask(XdsType type, std::vector<std::string> names = {}, const std::string& id = kNodeId) {
    discovery::DiscoveryRequest request;
    request.mutable_node()->set_id(id);
    request.set_type_url(std::string(XdsTypeUrl(type)));
    for (std::string& name : names) request.add_resource_names(std::move(name));
    stream_->Write(request);
  }
  void Answer(const discovery::DiscoveryResponse& response, const std::string& error = "",
              std::vector<std::string> names = {}) {
    discovery::DiscoveryRequest request;
    request.set_type_url(response.type_url());
    request.set_version_info(response.version_info());
    request.set_response_nonce(response.nonce());
    for (std::string& name : names) request.add_resource_names(std::move(name));
    if (!error.empty()) request.mutable_error_detail()->set_message(error);
    stream_->Write(request);
  }
  discovery::DiscoveryResponse Read() {
    discovery::DiscoveryResponse response;
    EXPECT_TRUE(stream_->Read(&response));
    return response;
  }
  grpc::Status Finish() {
    stream_->WritesDone();
    discovery::DiscoveryResponse rest;
    while (stream_->Read(&rest)) {
    }
    return stream_->Finish();
  }

 private:
  std::unique_ptr<discovery::AggregatedDiscoveryService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<discovery::DiscoveryRequest, discovery::DiscoveryResponse>>
      stream_;
};

std::vector<std::string> ClusterNames(const discovery::DiscoveryResponse& response) {
  std::vector<std::string> names;
  for (const auto& any : response.resources()) {
    envoy::config::cluster::v3::Cluster cluster;
    EXPECT_TRUE(any.UnpackTo(&cluster));
    names.push_back(cluster.name());
  }
  return names;
}

int EndpointCount(const discovery::DiscoveryResponse& response) {
  envoy::config::endpoint::v3::ClusterLoadAssignment assignment;
  EXPECT_TRUE(response.resources(0).UnpackTo(&assignment));
  int count = 0;
  for (const auto& group : assignment.endpoints()) count += group.lb_endpoints_size();
  return count;
}

constexpr char kWebCluster[] = "outbound|80||web.default.svc.cluster.local";

TEST(AdsServer, SendsClustersAndFollowsEndpoints) {
  Server server;
  FakeMesh mesh;
  server.Show(mesh.Apply(kWeb).Apply(Entry("10.1.0.2")).Build());
  Client client(server.port());
  client.Ask(XdsType::kCluster);
  discovery::DiscoveryResponse clusters = client.Read();
  EXPECT_THAT(ClusterNames(clusters), Contains(kWebCluster));
  client.Answer(clusters);
  client.Ask(XdsType::kEndpoint, {kWebCluster});
  discovery::DiscoveryResponse endpoints = client.Read();
  EXPECT_EQ(EndpointCount(endpoints), 1);
  client.Answer(endpoints, "", {kWebCluster});
  // Only endpoints change: only endpoints come.
  server.Show(mesh.Apply(Entry("10.1.0.3")).Build());
  endpoints = client.Read();
  EXPECT_EQ(endpoints.type_url(), std::string(XdsTypeUrl(XdsType::kEndpoint)));
  EXPECT_EQ(EndpointCount(endpoints), 2);
  client.Answer(endpoints, "", {kWebCluster});
  EXPECT_TRUE(client.Finish().ok());
}

TEST(AdsServer, TracksAcknowledgementAndRejection) {
  Server server;
  FakeMesh mesh;
  server.Show(mesh.Apply(kWeb).Build());
  Client client(server.port());
  client.Ask(XdsType::kCluster);
  const auto state = [&] { return server.Clients()[0].types[0].state; };
  discovery::DiscoveryResponse response = client.Read();
  client.Answer(response);
  EXPECT_TRUE(server.Until([&] { return state() == SyncState::kSynced; }));
  EXPECT_EQ(server.Clients()[0].node.name, "sleep");
  mesh.Apply("{apiVersion: v1, kind: Service, metadata: {name: more}, spec: {ports: [{port: 1}]}}");
  server.Show(mesh.Build());
  response = client.Read();
  client.Answer(response, "cluster more: unsupported");
  EXPECT_TRUE(server.Until([&] { return state() == SyncState::kRejected; }));
  EXPECT_EQ(server.Clients()[0].types[0].error, "cluster more: unsupported");
  EXPECT_EQ(server.Metric("pilot_total_xds_rejects"), 1);
  client.Finish();
}

TEST(AdsServer, ComesBackAfterAReconnectWithEverything) {
  Server server;
  FakeMesh mesh;
  server.Show(mesh.Apply(kWeb).Build());
  std::string version;
  for (int i = 0; i < 2; ++i) {
    Client client(server.port());
    client.Ask(XdsType::kCluster);
    const discovery::DiscoveryResponse response = client.Read();
    EXPECT_THAT(ClusterNames(response), Contains(kWebCluster));
    if (i == 0) version = response.version_info();
    EXPECT_EQ(response.version_info(), version);
    client.Finish();
  }
  EXPECT_TRUE(server.Until([&] { return server.Clients().empty(); }));
}

TEST(AdsServer, SaysNothingBeforeTheFirstSnapshot) {
  Server server;
  Client client(server.port());
  client.Ask(XdsType::kCluster);
  ASSERT_TRUE(server.Until([&] { return server.Clients().size() == 1; }));
  EXPECT_EQ(server.Clients()[0].types[0].responses, 0u);
  server.Show(FakeMesh().Apply(kWeb).Build());
  EXPECT_THAT(ClusterNames(client.Read()), Contains(kWebCluster));
  client.Finish();
}

TEST(AdsServer, RefusesANodeThatDoesNotSayWhoItIs) {
  Server server;
  server.Show(FakeMesh().Apply(kWeb).Build());
  Client client(server.port());
  client.Ask(XdsType::kCluster, {}, "me");
  const grpc::Status status = client.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("sidecar~IP~NAME.NAMESPACE"));
}

TEST(AdsServer, ShutsDownWithStreamsOpen) {
  auto server = std::make_unique<Server>();
  server->Show(FakeMesh().Apply(kWeb).Build());
  Client client(server->port());
  client.Ask(XdsType::kCluster);
  client.Read();
  server = nullptr;
  EXPECT_EQ(client.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

// Knows one token; answers from a thread of its own, as whoever asks an API server does.
class AuthenticatorFake final : public CallAuthenticator {
 public:
  ~AuthenticatorFake() override {
    for (std::thread& thread : threads_) thread.join();
  }
  void Authenticate(std::string token, Done done) override {
    threads_.emplace_back([token = std::move(token), done = std::move(done)] {
      if (token != "good") {
        done(absl::UnauthenticatedError("the token is not valid"));
        return;
      }
      done(Caller{.ns = "default", .service_account = "sleep", .pod = "sleep"});
    });
  }

 private:
  std::vector<std::thread> threads_;
};

TEST(AdsServer, AStreamComesWithATokenOrNotAtAll) {
  AuthenticatorFake authenticator;
  Server server(&authenticator);
  FakeMesh mesh;
  server.Show(mesh.Apply(kWeb).Build());

  Client without(server.port());
  without.Ask(XdsType::kCluster);
  EXPECT_EQ(without.Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);

  Client stranger(server.port(), "good");
  stranger.Ask(XdsType::kCluster, {}, "sidecar~10.1.0.1~web.default~default.svc.cluster.local");
  const grpc::Status refused = stranger.Finish();
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(refused.error_message(), HasSubstr("says pod 'web', its token is of 'sleep'"));

  Client itself(server.port(), "good");
  itself.Ask(XdsType::kCluster);
  EXPECT_FALSE(itself.Read().resources().empty());
}

}  // namespace
}  // namespace meltemi::pilot
