#include "proxy/observe/mesh_stats.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/metrics/metrics.h"
#include "google/protobuf/struct.pb.h"
#include "gtest/gtest.h"
#include "proxy/observe/peer_metadata.h"
#include "proxy/observe/stream_info.h"
#include "proxy/observe/tls_info.h"
#include "proxy/route/route.h"
#include "proxy/stream/reply/stream_error.h"
#include "proxy/upstream/cluster/host.h"

namespace meltemi::proxy {
namespace {

using http::HeaderId;
using http::HeaderMap;
using metrics::Labels;

Workload Sleep() {
  return {.name = "sleep",
          .namespace_ = "default",
          .app = "sleep",
          .version = "v1",
          .canonical_service = "sleep",
          .canonical_revision = "v1",
          .cluster = "Kubernetes",
          .node_id = "sidecar~10.0.0.5~sleep-1.default~default.svc.cluster.local"};
}
Workload Flask() {
  return {.name = "flaskapp-v2",
          .namespace_ = "default",
          .app = "flaskapp",
          .version = "v2",
          .canonical_service = "flaskapp",
          .cluster = "Kubernetes",
          .node_id = "sidecar~flask"};
}

// --- The header

TEST(PeerMetadataTest, IsASerialisedStructAsIstiosSidecarsReadIt) {
  std::string bytes;
  ASSERT_TRUE(absl::Base64Unescape(EncodePeerMetadata(Sleep()), &bytes));
  google::protobuf::Struct parsed;
  ASSERT_TRUE(parsed.ParseFromString(bytes));
  const auto& fields = parsed.fields();
  EXPECT_EQ(fields.at("WORKLOAD_NAME").string_value(), "sleep");
  EXPECT_EQ(fields.at("NAMESPACE").string_value(), "default");
  EXPECT_EQ(fields.at("CLUSTER_ID").string_value(), "Kubernetes");
  EXPECT_EQ(fields.at("OWNER").string_value(),
            "kubernetes://apis/apps/v1/namespaces/default/deployments/sleep");
  const auto& labels = fields.at("LABELS").struct_value().fields();
  EXPECT_EQ(labels.at("app").string_value(), "sleep");
  EXPECT_EQ(labels.at("service.istio.io/canonical-name").string_value(), "sleep");
  EXPECT_EQ(labels.at("service.istio.io/canonical-revision").string_value(), "v1");
}

TEST(PeerMetadataTest, WhatAnotherSidecarSaysIsRead) {
  google::protobuf::Struct said;
  auto& fields = *said.mutable_fields();
  fields["WORKLOAD_NAME"].set_string_value("httpbin");
  fields["NAMESPACE"].set_string_value("test");
  fields["PLATFORM_METADATA"].mutable_struct_value();
  fields["INSTANCE_IPS"].set_string_value("10.1.1.1");
  fields["X"].set_number_value(3);
  fields["Y"].mutable_list_value()->add_values()->set_bool_value(true);
  auto& labels = *fields["LABELS"].mutable_struct_value()->mutable_fields();
  labels["app"].set_string_value("httpbin");
  labels["pod-template-hash"].set_string_value("abc");
  const auto peer = DecodePeerMetadata(absl::Base64Escape(said.SerializeAsString()));
  ASSERT_TRUE(peer.has_value());
  EXPECT_EQ(peer->workload, "httpbin");
  EXPECT_EQ(peer->namespace_, "test");
  EXPECT_EQ(peer->app, "httpbin");
  EXPECT_EQ(peer->version, "");
}

TEST(PeerMetadataTest, NonsenseIsNobody) {
  EXPECT_FALSE(DecodePeerMetadata("").has_value());
  EXPECT_FALSE(DecodePeerMetadata("!!!").has_value());
  EXPECT_FALSE(DecodePeerMetadata(absl::Base64Escape("\x0a\xff")).has_value());
  EXPECT_FALSE(DecodePeerMetadata(std::string(20000, 'A')).has_value());
  // Every truncation of a good value ends cleanly.
  std::string bytes;
  ASSERT_TRUE(absl::Base64Unescape(EncodePeerMetadata(Sleep()), &bytes));
  for (size_t i = 0; i < bytes.size(); ++i) {
    DecodePeerMetadata(absl::Base64Escape(absl::string_view(bytes).substr(0, i)));
  }
}

// --- The metrics: a request from sleep to flaskapp, seen by both sidecars

class MeshStatsTest : public ::testing::Test {
 protected:
  MeshStatsTest() : host_(Endpoint(), "c") {
    cluster_.name = "outbound|80|v2|flaskapp.default.svc.cluster.local";
    cluster_.service_host = "flaskapp.default.svc.cluster.local";
    cluster_.service_name = "flaskapp";
    cluster_.service_namespace = "default";
    cluster_.fingerprint = 7;
    request_->set_method("GET");
    request_->set_authority("flaskapp");
    info_.start = MonotonicTime(seconds(1));
    info_.end = MonotonicTime(seconds(1) + milliseconds(30));
    info_.response_code = 200;
    info_.cluster = &cluster_;
  }
  static EndpointConfig Endpoint() {
    EndpointConfig endpoint;
    endpoint.workload = "flaskapp-v2;default;flaskapp;v2;Kubernetes";
    return endpoint;
  }
  std::unique_ptr<MeshStats> New(Workload self) {
    return NewMeshStats(shard_, std::make_shared<Workload>(std::move(self)));
  }
  int64_t Requests(const Labels& labels) { return registry_.Sum("istio_requests_total", labels); }

  metrics::Registry registry_;
  metrics::Shard& shard_ = registry_.NewShard();
  ClusterConfig cluster_;
  Host host_;
  http::HeaderMapPtr request_ = HeaderMap::New(), response_ = HeaderMap::New();
  StreamInfo info_;
};

TEST_F(MeshStatsTest, BothSidesLearnOfEachOther) {
  auto client = New(Sleep());
  auto server = New(Flask());
  StreamInfo client_info = info_, server_info = info_;
  request_->Add(HeaderId::kXEnvoyPeerMetadata, "what the application forged");

  client->OnRequestHeaders(*request_, client_info, /*inbound=*/false);
  EXPECT_EQ(request_->Get(HeaderId::kXEnvoyPeerMetadataId), Sleep().node_id);
  server->OnRequestHeaders(*request_, server_info, /*inbound=*/true);
  EXPECT_FALSE(request_->Has(HeaderId::kXEnvoyPeerMetadata));
  EXPECT_FALSE(request_->Has(HeaderId::kXEnvoyPeerMetadataId));
  server->OnResponseHeaders(*response_, server_info, /*inbound=*/true);
  EXPECT_TRUE(response_->Has(HeaderId::kXEnvoyPeerMetadata));
  client->OnResponseHeaders(*response_, client_info, /*inbound=*/false);
  EXPECT_FALSE(response_->Has(HeaderId::kXEnvoyPeerMetadata));

  server->OnStreamEnd(request_.get(), server_info, true);
  client->OnStreamEnd(request_.get(), client_info, false);
  const Labels both = {{"source_workload", "sleep"},
                       {"source_workload_namespace", "default"},
                       {"source_app", "sleep"},
                       {"source_version", "v1"},
                       {"source_canonical_service", "sleep"},
                       {"source_canonical_revision", "v1"},
                       {"source_cluster", "Kubernetes"},
                       {"source_principal", "unknown"},
                       {"destination_workload", "flaskapp-v2"},
                       {"destination_app", "flaskapp"},
                       {"destination_version", "v2"},
                       {"destination_canonical_service", "flaskapp"},
                       {"destination_canonical_revision", "latest"},
                       {"destination_service", "flaskapp.default.svc.cluster.local"},
                       {"destination_service_name", "flaskapp"},
                       {"destination_service_namespace", "default"},
                       {"request_protocol", "http"},
                       {"response_code", "200"},
                       {"grpc_response_status", ""},
                       {"response_flags", "-"}};
  EXPECT_EQ(Requests(both), 2) << registry_.RenderText();
  Labels side = both;
  side.emplace_back("reporter", "source");
  side.emplace_back("connection_security_policy", "unknown");
  EXPECT_EQ(Requests(side), 1);
  EXPECT_EQ(Requests({{"reporter", "destination"}, {"connection_security_policy", "none"}}), 1);
}

TEST_F(MeshStatsTest, CertificatesTellWhoIsWho) {
  const std::string sleep = "spiffe://cluster.local/ns/default/sa/sleep";
  const std::string flask = "spiffe://cluster.local/ns/default/sa/flask";
  auto upstream = std::make_shared<TlsInfo>();
  upstream->peer_presented = upstream->peer_verified = true;
  upstream->peer_uri_sans = {flask};
  upstream->local_uri_sans = {sleep};
  StreamInfo client_info = info_;
  client_info.upstream_tls = upstream;
  auto client = New(Sleep());
  client->OnStreamEnd(request_.get(), client_info, false);
  TlsInfo downstream = *upstream;
  downstream.peer_uri_sans = {sleep};
  downstream.local_uri_sans = {flask};
  StreamInfo server_info = info_;
  server_info.downstream_tls = &downstream;
  auto server = New(Flask());
  server->OnStreamEnd(request_.get(), server_info, true);
  // Whom nobody has vouched for is unknown, and counted for itself.
  downstream.peer_verified = false;
  server->OnStreamEnd(request_.get(), server_info, true);
  const Labels both = {{"source_principal", sleep}, {"destination_principal", flask}};
  EXPECT_EQ(Requests(both), 2) << registry_.RenderText();
  EXPECT_EQ(Requests({{"source_principal", sleep},
                      {"reporter", "destination"},
                      {"connection_security_policy", "mutual_tls"}}),
            1);
  EXPECT_EQ(Requests({{"source_principal", sleep},
                      {"reporter", "source"},
                      {"connection_security_policy", "unknown"}}),
            1);
  EXPECT_EQ(Requests({{"source_principal", "unknown"}, {"destination_principal", flask}}), 1);
}

TEST_F(MeshStatsTest, WithoutMetadataTheEndpointTells) {
  auto client = New(Sleep());
  info_.upstream_host = &host_;
  client->OnStreamEnd(request_.get(), info_, false);
  EXPECT_EQ(
      Requests({{"destination_workload", "flaskapp-v2"}, {"destination_canonical_revision", "v2"}}),
      1);
}

TEST_F(MeshStatsTest, AStrangerIsUnknownAndGetsNoMetadata) {
  auto server = New(Flask());
  server->OnRequestHeaders(*request_, info_, true);
  server->OnResponseHeaders(*response_, info_, true);
  EXPECT_EQ(response_->size(), 0u);
  server->OnStreamEnd(request_.get(), info_, true);
  EXPECT_EQ(Requests({{"source_workload", "unknown"}, {"source_canonical_revision", "unknown"}}),
            1);
}

TEST_F(MeshStatsTest, CodesFlagsAndGrpcAreToldApart) {
  auto client = New(Sleep());
  client->OnStreamEnd(request_.get(), info_, false);
  info_.response_code = 503;
  info_.response_flags = kFlagUpstreamOverflow;
  client->OnStreamEnd(request_.get(), info_, false);
  client->OnStreamEnd(request_.get(), info_, false);
  request_->Add(HeaderId::kContentType, "application/grpc");
  info_.response_code = 200;
  info_.response_flags = 0;
  info_.grpc_status = 14;
  client->OnStreamEnd(request_.get(), info_, false);
  EXPECT_EQ(Requests({{"response_code", "200"}, {"request_protocol", "http"}}), 1);
  EXPECT_EQ(Requests({{"response_code", "503"}, {"response_flags", "UO"}}), 2);
  EXPECT_EQ(Requests({{"request_protocol", "grpc"}, {"grpc_response_status", "14"}}), 1);
}

TEST_F(MeshStatsTest, AClusterWithoutAServiceIsNamedByTheAuthority) {
  auto client = New(Sleep());
  cluster_ = ClusterConfig();
  cluster_.name = "PassthroughCluster";
  request_->set_authority("example.org");
  client->OnStreamEnd(request_.get(), info_, false);
  EXPECT_EQ(Requests({{"destination_service", "example.org"},
                      {"destination_service_name", "PassthroughCluster"}}),
            1);
  info_.cluster = nullptr;
  client->OnStreamEnd(request_.get(), info_, false);
  EXPECT_EQ(Requests({{"destination_service_name", "example.org"}}), 1);
}

TEST_F(MeshStatsTest, LabelSetsAreBounded) {
  auto server = New(Flask());
  cluster_.service_host = "";
  for (int i = 0; i < 3000; ++i) {
    request_->set_authority(absl::StrCat("made-up-", i));
    server->OnStreamEnd(request_.get(), info_, true);
  }
  EXPECT_EQ(Requests({}), 3000);
  EXPECT_EQ(Requests({{"destination_service", "made-up-0"}}), 1);
  EXPECT_EQ(Requests({{"destination_service", "made-up-2999"}}), 0);
  EXPECT_EQ(Requests({{"destination_service", "overflow"}, {"reporter", "destination"}}), 1000);
}

TEST_F(MeshStatsTest, TcpConnections) {
  auto client = New(Sleep());
  client->OnTcpOpen(info_, false);
  client->OnTcpBytes(info_, false, 10, 20);
  client->OnTcpClose(info_, false);
  const Labels labels = {{"request_protocol", "tcp"}, {"destination_service_name", "flaskapp"}};
  EXPECT_EQ(registry_.Sum("istio_tcp_connections_opened_total", labels), 1);
  EXPECT_EQ(registry_.Sum("istio_tcp_connections_closed_total", labels), 1);
  EXPECT_EQ(registry_.Sum("istio_tcp_sent_bytes_total", labels), 10);
  EXPECT_EQ(registry_.Sum("istio_tcp_received_bytes_total", labels), 20);
}

TEST_F(MeshStatsTest, WhatLeavesTheMeshDoesNotSayWhereItComesFrom) {
  auto client = New(Sleep());
  Route route;
  route.clusters.push_back({.cluster = "PassthroughCluster"});
  info_.route = &route;
  request_->Add(HeaderId::kXEnvoyPeerMetadata, "forged");
  client->OnRequestHeaders(*request_, info_, /*inbound=*/false);
  EXPECT_EQ(request_->size(), 0u);
}

TEST_F(MeshStatsTest, AProxyThatIsNoWorkloadSaysNothing) {
  auto plain = New({});
  plain->OnRequestHeaders(*request_, info_, false);
  EXPECT_EQ(request_->size(), 0u);
}

}  // namespace
}  // namespace meltemi::proxy
