// Whether clients and servers that pilot configures understand each other: a client's cluster and
// endpoints against the chain that its connection meets at the server.
#include <gmock/gmock.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/struct.pb.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "pilot/snapshot/mesh_fake.h"
#include "pilot/translate/node.h"
#include "pilot/translate/translator.h"

namespace meltemi::pilot {
namespace {

namespace tls = envoy::extensions::transport_sockets::tls::v3;
using envoy::config::cluster::v3::Cluster;
using envoy::config::core::v3::TransportSocket;
using envoy::config::endpoint::v3::ClusterLoadAssignment;
using envoy::config::endpoint::v3::LbEndpoint;
using envoy::config::listener::v3::FilterChain;
using envoy::config::listener::v3::FilterChainMatch;
using envoy::config::listener::v3::Listener;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

template <typename M>
M Unpack(const ResourcePtr& resource) {
  M message;
  google::protobuf::Any any;
  EXPECT_TRUE(resource != nullptr && any.ParseFromString(resource->any) && any.UnpackTo(&message));
  return message;
}

ProxyNode Node(const std::string& name, const std::string& address, bool identity = true) {
  ProxyNode node;
  node.id = absl::StrCat("sidecar~", address, "~", name, ".default~default.svc.cluster.local");
  node.name = name;
  node.ns = "default";
  node.addresses = {address};
  node.labels = {{"app", name}};
  if (identity) node.labels[kTlsModeLabel] = "istio";
  return node;
}

// ---- What a connection looks like on the wire ---------------------------------------------------

struct Connection {
  bool encrypted = false;
  std::vector<std::string> alpn;
  std::vector<std::string> names;  // that the server's certificate may have; empty: any
};

const TransportSocket* SocketFor(const Cluster& cluster, const LbEndpoint& endpoint) {
  const auto& metadata = endpoint.metadata().filter_metadata();
  const auto labels = metadata.find("envoy.transport_socket_match");
  for (const auto& match : cluster.transport_socket_matches()) {
    const bool fits = std::all_of(
        match.match().fields().begin(), match.match().fields().end(), [&](const auto& wanted) {
          if (labels == metadata.end()) return false;
          const auto it = labels->second.fields().find(wanted.first);
          return it != labels->second.fields().end() &&
                 it->second.string_value() == wanted.second.string_value();
        });
    if (fits) return &match.transport_socket();
  }
  return cluster.has_transport_socket() ? &cluster.transport_socket() : nullptr;
}

Connection Connect(const Cluster& cluster, const LbEndpoint& endpoint, bool http) {
  Connection connection;
  const TransportSocket* socket = SocketFor(cluster, endpoint);
  tls::UpstreamTlsContext context;
  if (socket == nullptr || !socket->typed_config().UnpackTo(&context)) return connection;
  connection.encrypted = true;
  const auto& common = context.common_tls_context();
  connection.alpn.assign(common.alpn_protocols().begin(), common.alpn_protocols().end());
  // The filter "istio.alpn".
  if (http) connection.alpn = {"istio-http/1.1", "istio", "http/1.1"};
  for (const auto& name : common.combined_validation_context()
                              .default_validation_context()
                              .match_subject_alt_names()) {
    connection.names.push_back(name.exact());
  }
  return connection;
}

// ---- Which chain it meets -----------------------------------------------------------------------

bool MatchesAlpn(const FilterChainMatch& match, const Connection& connection, bool http) {
  std::vector<std::string> seen = connection.alpn;
  if (!connection.encrypted && http) seen = {"http/1.1"};
  return std::any_of(match.application_protocols().begin(), match.application_protocols().end(),
                     [&](const std::string& protocol) {
                       return std::find(seen.begin(), seen.end(), protocol) != seen.end();
                     });
}

// As Envoy: of each criterion in turn only the most specific chains stay.
const FilterChain* ChainFor(const Listener& listener, uint32_t port, const Connection& connection,
                            bool http) {
  std::vector<const FilterChain*> chains;
  for (const FilterChain& chain : listener.filter_chains()) chains.push_back(&chain);
  const auto narrow = [&chains](auto given, auto fits) {
    std::vector<const FilterChain*> exact, any;
    for (const FilterChain* chain : chains) {
      if (!given(chain->filter_chain_match())) any.push_back(chain);
      if (given(chain->filter_chain_match()) && fits(chain->filter_chain_match())) {
        exact.push_back(chain);
      }
    }
    chains = exact.empty() ? any : exact;
  };
  narrow([](const auto& match) { return match.has_destination_port(); },
         [&](const auto& match) { return match.destination_port().value() == port; });
  narrow([](const auto& match) { return !match.transport_protocol().empty(); },
         [&](const auto& match) {
           return match.transport_protocol() == (connection.encrypted ? "tls" : "raw_buffer");
         });
  narrow([](const auto& match) { return match.application_protocols_size() > 0; },
         [&](const auto& match) { return MatchesAlpn(match, connection, http); });
  return chains.empty() ? nullptr : chains[0];
}

struct Talk {
  uint32_t port = 80;    // of the service
  uint32_t target = 80;  // of the workload
  bool http = true;
  std::string account = "spiffe://cluster.local/ns/default/sa/robot";
};

// "mTLS", "plaintext", or what goes wrong.
std::string Try(const Cluster& cluster, const LbEndpoint& endpoint, const Listener& listener,
                const Talk& talk) {
  const Connection connection = Connect(cluster, endpoint, talk.http);
  const FilterChain* chain = ChainFor(listener, talk.target, connection, talk.http);
  if (chain == nullptr) return "no chain";
  const bool terminates = chain->has_transport_socket();
  if (!connection.encrypted) return terminates ? "TLS expected" : "plaintext";
  if (!terminates) return "TLS reaches the application";
  if (connection.names.empty() || std::find(connection.names.begin(), connection.names.end(),
                                            talk.account) != connection.names.end()) {
    return "mTLS";
  }
  return "wrong name";
}

constexpr char kHost[] = "server.default.svc.cluster.local";

// A client and a server, each with what it last got.
class Pair {
 public:
  explicit Pair(bool client_identity = true, bool server_identity = true)
      : client_(translator_.NewView(Node("client", "10.1.0.1", client_identity))),
        server_(translator_.NewView(Node("server", "10.1.0.2", server_identity))) {}

  void PushClient(const SnapshotPtr& snapshot) { client_->Use(snapshot); }
  void PushServer(const SnapshotPtr& snapshot) { server_->Use(snapshot); }
  std::string Try(const Talk& talk = {}, const std::string& subset = "") {
    const std::string name = absl::StrCat("outbound|", talk.port, "|", subset, "|", kHost);
    const auto cluster = Unpack<Cluster>(client_->Find(XdsType::kCluster, name));
    const auto assignment = Unpack<ClusterLoadAssignment>(client_->Find(XdsType::kEndpoint, name));
    if (assignment.endpoints().empty()) return "no endpoints";
    const auto listener = Unpack<Listener>(server_->Find(XdsType::kListener, "virtualInbound"));
    return pilot::Try(cluster, assignment.endpoints(0).lb_endpoints(0), listener, talk);
  }
  ProxyView& client() { return *client_; }
  ProxyView& server() { return *server_; }

 private:
  Translator translator_;
  const std::unique_ptr<ProxyView> client_;
  const std::unique_ptr<ProxyView> server_;
};

std::string Server(const std::string& labels = "security.istio.io/tlsMode: istio") {
  return absl::StrCat(R"(
{apiVersion: v1, kind: Service, metadata: {name: server},
 spec: {clusterIP: 10.96.0.1, selector: {app: server},
        ports: [{name: http, port: 80}, {name: tcp, port: 81}, {port: 82, name: guess}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: server, labels: {app: server, version: v1, )",
                      labels, R"(}},
 spec: {serviceAccountName: robot},
 status: {podIP: 10.1.0.2, phase: Running, conditions: [{type: Ready, status: "True"}]}}
)");
}

std::string Peer(const std::string& name, const std::string& spec,
                 const std::string& ns = "default") {
  return absl::StrCat(
      "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: ", name,
      ", namespace: ", ns, "}, spec: ", spec, "}");
}

std::string Rule(const std::string& mode) {
  return absl::StrCat(
      "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: server}, spec: "
      "{host: server, subsets: [{name: v1, labels: {version: v1}}], trafficPolicy: {tls: {mode: ",
      mode, "}}}}");
}

const Talk kHttp{80, 80, true};
const Talk kTcp{81, 81, false};
const Talk kSniffedHttp{82, 82, true};
const Talk kSniffedTcp{82, 82, false};
const Talk kAllTalks[] = {kHttp, kTcp, kSniffedHttp, kSniffedTcp};

TEST(Mtls, IsAutomaticBetweenSidecarsWhateverTheProtocol) {
  FakeMesh mesh;
  Pair pair;
  const SnapshotPtr snapshot = mesh.Apply(Server()).Build();
  pair.PushClient(snapshot);
  pair.PushServer(snapshot);
  for (const Talk& talk : kAllTalks) EXPECT_EQ(pair.Try(talk), "mTLS") << talk.port << talk.http;
}

TEST(Mtls, NobodyWithoutAnIdentityIsAskedForOne) {
  for (const auto& [client, server] : {std::pair(false, true), {true, false}, {false, false}}) {
    FakeMesh mesh;
    Pair pair(client, server);
    const SnapshotPtr snapshot =
        mesh.Apply(server ? Server() : Server("security.istio.io/tlsMode: disabled")).Build();
    pair.PushClient(snapshot);
    pair.PushServer(snapshot);
    for (const Talk& talk : kAllTalks) {
      EXPECT_EQ(pair.Try(talk), "plaintext") << client << server << talk.port << talk.http;
    }
  }
}

TEST(Mtls, StrictRefusesPlaintext) {
  FakeMesh mesh;
  const SnapshotPtr snapshot =
      mesh.Apply(Server()).Apply(Peer("default", "{mtls: {mode: STRICT}}")).Build();
  Pair with(true);
  Pair without(false);
  for (Pair* pair : {&with, &without}) {
    pair->PushClient(snapshot);
    pair->PushServer(snapshot);
  }
  for (const Talk& talk : kAllTalks) {
    EXPECT_EQ(with.Try(talk), "mTLS");
    EXPECT_EQ(without.Try(talk), "no chain");
  }
}

TEST(Mtls, StrictWithoutAnIdentityLetsNobodyIn) {
  FakeMesh mesh;
  const SnapshotPtr snapshot = mesh.Apply(Server("security.istio.io/tlsMode: disabled"))
                                   .Apply(Peer("default", "{mtls: {mode: STRICT}}"))
                                   .Build();
  Pair pair(false, false);
  pair.PushClient(snapshot);
  pair.PushServer(snapshot);
  for (const Talk& talk : kAllTalks) EXPECT_EQ(pair.Try(talk), "no chain");
}

TEST(Mtls, EachModeAtEachLevelFitsBothSides) {
  struct {
    std::string manifest;
    const char* at_80;
    const char* at_81;
  } cases[] = {
      {Peer("m", "{mtls: {mode: DISABLE}}", "istio-system"), "plaintext", "plaintext"},
      {Peer("n", "{mtls: {mode: DISABLE}}"), "plaintext", "plaintext"},
      {Peer("w", "{selector: {matchLabels: {app: server}}, mtls: {mode: DISABLE}}"), "plaintext",
       "plaintext"},
      {Peer("p", "{selector: {matchLabels: {app: server}}, portLevelMtls: {81: {mode: DISABLE}}}"),
       "mTLS", "plaintext"},
      {Peer("p",
            "{selector: {matchLabels: {app: server}}, mtls: {mode: DISABLE}, portLevelMtls: "
            "{81: {mode: STRICT}}}"),
       "plaintext", "mTLS"},
      {Peer("o", "{selector: {matchLabels: {app: other}}, mtls: {mode: DISABLE}}"), "mTLS", "mTLS"},
      {absl::StrCat(Peer("n", "{mtls: {mode: DISABLE}}"), "\n---\n",
                    Peer("w", "{selector: {matchLabels: {app: server}}, mtls: {mode: STRICT}}")),
       "mTLS", "mTLS"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.manifest);
    FakeMesh mesh;
    Pair pair;
    const SnapshotPtr snapshot = mesh.Apply(Server()).Apply(c.manifest).Build();
    pair.PushClient(snapshot);
    pair.PushServer(snapshot);
    EXPECT_EQ(pair.Try(kHttp), c.at_80);
    EXPECT_EQ(pair.Try(kTcp), c.at_81);
  }
}

// Each step reaches the client first, or the server first: nobody may be left without an answer.
TEST(Mtls, NoOrderOfApplyingSeparatesClientsAndServers) {
  std::vector<std::string> steps = {
      Peer("default", "{mtls: {mode: STRICT}}"),
      Peer("w", "{selector: {matchLabels: {app: server}}, mtls: {mode: PERMISSIVE}}"),
      Rule("ISTIO_MUTUAL"),
      Peer("default", "{mtls: {mode: STRICT}}", "istio-system"),
  };
  std::sort(steps.begin(), steps.end());
  do {
    for (const bool client_first : {true, false}) {
      FakeMesh mesh;
      Pair pair;
      SnapshotPtr snapshot = mesh.Apply(Server()).Build();
      pair.PushClient(snapshot);
      pair.PushServer(snapshot);
      for (const std::string& step : steps) {
        snapshot = mesh.Apply(step).Build();
        client_first ? pair.PushClient(snapshot) : pair.PushServer(snapshot);
        for (const Talk& talk : kAllTalks) ASSERT_EQ(pair.Try(talk), "mTLS") << step;
        client_first ? pair.PushServer(snapshot) : pair.PushClient(snapshot);
        for (const Talk& talk : kAllTalks) ASSERT_EQ(pair.Try(talk), "mTLS") << step;
      }
    }
  } while (std::next_permutation(steps.begin(), steps.end()));
}

TEST(Mtls, ARuleDecidesOverWhatIsAutomatic) {
  FakeMesh mesh;
  Pair pair;
  SnapshotPtr snapshot = mesh.Apply(Server()).Apply(Rule("DISABLE")).Build();
  pair.PushClient(snapshot);
  pair.PushServer(snapshot);
  EXPECT_EQ(pair.Try(kHttp), "plaintext");
  EXPECT_EQ(pair.Try(kHttp, "v1"), "plaintext");
  snapshot = mesh.Apply(Rule("ISTIO_MUTUAL")).Build();
  pair.PushClient(snapshot);
  pair.PushServer(snapshot);
  EXPECT_EQ(pair.Try(kHttp, "v1"), "mTLS");
}

// ---- What stays the same, and what must not -----------------------------------------------------

TEST(Mtls, APolicyOfOneNamespaceLeavesTheOthersAlone) {
  FakeMesh mesh;
  Pair pair;
  SnapshotPtr snapshot = mesh.Apply(Server()).Build();
  pair.PushClient(snapshot);
  const std::string name = absl::StrCat("outbound|80||", kHost);
  const auto clusters = pair.client().All(XdsType::kCluster);
  const auto listeners = pair.client().All(XdsType::kListener);
  const uint64_t endpoints = pair.client().Find(XdsType::kEndpoint, name)->hash;
  const auto before = snapshot;
  snapshot = mesh.Apply(Peer("default", "{mtls: {mode: STRICT}}", "elsewhere")).Build();
  EXPECT_EQ(snapshot->services, before->services);
  EXPECT_EQ(snapshot->rules, before->rules);
  EXPECT_EQ(snapshot->endpoints, before->endpoints);
  EXPECT_EQ(snapshot->authorization, before->authorization);
  EXPECT_EQ(snapshot->credentials, before->credentials);
  EXPECT_NE(snapshot->peer_authentications, before->peer_authentications);
  pair.PushClient(snapshot);
  EXPECT_EQ(pair.client().All(XdsType::kCluster), clusters);
  EXPECT_EQ(pair.client().All(XdsType::kListener)->hash, listeners->hash);
  EXPECT_EQ(pair.client().Find(XdsType::kEndpoint, name)->hash, endpoints);
}

// A cluster whose names change has its connections made anew.
TEST(Mtls, AServiceScaledToNothingKeepsItsNames) {
  FakeMesh mesh;
  Pair pair;
  pair.PushClient(mesh.Apply(Server()).Build());
  const std::string name = absl::StrCat("outbound|80||", kHost);
  const auto cluster = pair.client().Find(XdsType::kCluster, name);
  EXPECT_THAT(cluster->any, HasSubstr("spiffe://cluster.local/ns/default/sa/robot"));
  EXPECT_THAT(cluster->any, HasSubstr("outbound_.80_._.server.default.svc.cluster.local"));
  pair.PushClient(mesh.Delete(Kind::kPod, "server").Build());
  EXPECT_EQ(pair.client().Find(XdsType::kCluster, name)->hash, cluster->hash);
}

// ---- Secrets ------------------------------------------------------------------------------------

constexpr char kEdge[] = R"(
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: edge},
 spec: {selector: {app: edge}, servers: [{hosts: [a.example.com],
  port: {number: 443, name: h, protocol: HTTPS}, tls: {mode: MUTUAL, credentialName: cert}}]}}
---
{apiVersion: v1, kind: Secret, metadata: {name: cert}, type: kubernetes.io/tls,
 stringData: {tls.crt: CHAIN, tls.key: KEY, ca.crt: ROOTS}}
---
{apiVersion: v1, kind: Secret, metadata: {name: private}, stringData: {cert: CHAIN, key: KEY}}
---
{apiVersion: v1, kind: Secret, metadata: {name: cert, namespace: other},
 stringData: {cert: CHAIN, key: KEY}}
)";

ProxyNode Edge() {
  ProxyNode node = Node("edge", "10.1.0.8");
  node.kind = ProxyKind::kGateway;
  node.authenticated = true;
  return node;
}

tls::Secret SecretOf(const SnapshotPtr& snapshot, const ProxyNode& node, const std::string& name) {
  Translator translator;
  const auto view = translator.NewView(node);
  view->Use(snapshot);
  const ResourcePtr found = view->Find(XdsType::kSecret, name);
  return found == nullptr ? tls::Secret() : Unpack<tls::Secret>(found);
}

TEST(Secrets, AGatewayGetsWhatItsServersName) {
  FakeMesh mesh;
  const SnapshotPtr snapshot = mesh.Apply(kEdge).Build();
  const tls::Secret pair = SecretOf(snapshot, Edge(), "kubernetes://cert");
  EXPECT_EQ(pair.name(), "kubernetes://cert");
  EXPECT_EQ(pair.tls_certificate().certificate_chain().inline_bytes(), "CHAIN");
  EXPECT_EQ(pair.tls_certificate().private_key().inline_bytes(), "KEY");
  const tls::Secret roots = SecretOf(snapshot, Edge(), "kubernetes://cert-cacert");
  EXPECT_EQ(roots.validation_context().trusted_ca().inline_bytes(), "ROOTS");
}

TEST(Secrets, NobodyGetsMoreThanItsIdentityMaySee) {
  FakeMesh mesh;
  const SnapshotPtr snapshot = mesh.Apply(kEdge)
                                   .Apply(
                                       "{apiVersion: v1, kind: Pod, metadata: {name: liar, labels: "
                                       "{app: else}}, status: {podIP: 10.1.0.9, phase: Running}}")
                                   .Build();
  const auto refused = [&](const ProxyNode& node, const std::string& name) {
    return SecretOf(snapshot, node, name).name().empty();
  };
  EXPECT_TRUE(refused(Edge(), "kubernetes://private"));     // no server names it
  EXPECT_TRUE(refused(Edge(), "kubernetes://other/cert"));  // of another namespace
  EXPECT_TRUE(refused(Edge(), "kubernetes://missing"));
  EXPECT_TRUE(refused(Edge(), "default"));
  ProxyNode node = Edge();
  node.authenticated = false;
  EXPECT_TRUE(refused(node, "kubernetes://cert"));
  node = Edge();
  node.kind = ProxyKind::kSidecar;
  EXPECT_TRUE(refused(node, "kubernetes://cert"));
  node = Edge();
  node.ns = "other";
  EXPECT_TRUE(refused(node, "kubernetes://default/cert"));
  // Says that it has a gateway's labels, but its pod has others.
  node = Edge();
  node.name = "liar";
  node.addresses = {"10.1.0.9"};
  EXPECT_TRUE(refused(node, "kubernetes://cert"));
}

TEST(Secrets, AChangedSecretIsAnotherResourceAndNothingElseIs) {
  FakeMesh mesh;
  Translator translator;
  const auto view = translator.NewView(Edge());
  view->Use(mesh.Apply(kEdge).Build());
  const uint64_t secret = view->Find(XdsType::kSecret, "kubernetes://cert")->hash;
  const uint64_t listeners = view->All(XdsType::kListener)->hash;
  view->Use(
      mesh.Apply("{apiVersion: v1, kind: Secret, metadata: {name: cert}, stringData: {tls.crt: "
                 "NEW, tls.key: KEY}}")
          .Build());
  EXPECT_NE(view->Find(XdsType::kSecret, "kubernetes://cert")->hash, secret);
  EXPECT_EQ(view->All(XdsType::kListener)->hash, listeners);
}

}  // namespace
}  // namespace meltemi::pilot
