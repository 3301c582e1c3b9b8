#include "proxy/observe/mesh_stats.h"

#include <cstring>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/node_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/bytes/xxhash.h"
#include "base/metrics/metrics.h"
#include "proxy/observe/peer_metadata.h"
#include "proxy/observe/stream_info.h"
#include "proxy/observe/tls_info.h"
#include "proxy/route/route.h"
#include "proxy/stream/reply/reply.h"
#include "proxy/upstream/cluster/host.h"

namespace meltemi::proxy {
namespace {

using http::HeaderId;
using http::HeaderMap;
using metrics::Labels;

// Per worker. What comes above is counted under one label set whose values are "overflow".
constexpr size_t kLabelSetsMax = 2000;
// Workloads told apart; above, a peer is unknown.
constexpr size_t kPeersMax = 10000;
// Distinct header values remembered (a pod each); the memory of them is dropped when it is full.
constexpr size_t kDecodedMax = 4096;

constexpr absl::string_view kUnknown = "unknown";
// Istio's name for where requests to hosts go that no service claims.
constexpr absl::string_view kPassthrough = "PassthroughCluster";

absl::string_view OrUnknown(absl::string_view text) { return text.empty() ? kUnknown : text; }

// Everything that distinguishes label sets, without a string: fits a cache line, compared bytewise.
struct Key {
  uint64_t service = 0;            // fingerprint of the cluster, or hash of the authority
  const MeshPeer* peer = nullptr;  // interned
  // Interned: who the peer is by its certificate; null: unknown.
  const std::string* principal = nullptr;
  uint32_t flags = 0;
  int16_t code = 0;
  int8_t grpc_status = -1;
  uint8_t bits = 0;  // kInbound | kGrpc | kTcp | kByAuthority

  friend bool operator==(const Key& a, const Key& b) { return memcmp(&a, &b, sizeof(Key)) == 0; }
  template <typename H>
  friend H AbslHashValue(H h, const Key& k) {
    return H::combine_contiguous(std::move(h), reinterpret_cast<const unsigned char*>(&k),
                                 sizeof(Key));
  }
};
static_assert(sizeof(Key) == 32, "no padding: keys are compared bytewise");

enum KeyBit : uint8_t {
  kInbound = 1,
  kGrpc = 2,
  kTcp = 4,
  kByAuthority = 8,
  kOverflowed = 16,
  kMutualTls = 32,
};

struct HttpMetrics {
  HttpMetrics(metrics::Shard& shard, Labels labels)
      : scope(shard, std::move(labels)),
        requests(scope.GetCounter("istio_requests_total")),
        duration(
            scope.GetHistogram("istio_request_duration_milliseconds", metrics::kMillisecondBounds)),
        request_bytes(scope.GetHistogram("istio_request_bytes", metrics::kByteBounds)),
        response_bytes(scope.GetHistogram("istio_response_bytes", metrics::kByteBounds)) {}
  metrics::Scope scope;
  metrics::Counter& requests;
  metrics::Histogram& duration;
  metrics::Histogram& request_bytes;
  metrics::Histogram& response_bytes;
};

struct TcpMetrics {
  TcpMetrics(metrics::Shard& shard, Labels labels)
      : scope(shard, std::move(labels)),
        opened(scope.GetCounter("istio_tcp_connections_opened_total")),
        closed(scope.GetCounter("istio_tcp_connections_closed_total")),
        sent(scope.GetCounter("istio_tcp_sent_bytes_total")),
        received(scope.GetCounter("istio_tcp_received_bytes_total")) {}
  metrics::Scope scope;
  metrics::Counter& opened;
  metrics::Counter& closed;
  metrics::Counter& sent;
  metrics::Counter& received;
};

// Who was called, in Istio's three labels.
struct Service {
  std::string host, name, namespace_;
};

void AddWorkload(absl::string_view side, const MeshPeer* peer, absl::string_view principal,
                 Labels* labels) {
  const auto add = [&](absl::string_view what, absl::string_view value) {
    labels->emplace_back(absl::StrCat(side, what), std::string(value));
  };
  const MeshPeer nobody;
  const MeshPeer& p = peer == nullptr ? nobody : *peer;
  const bool known = peer != nullptr && !peer->workload.empty();
  add("_workload", OrUnknown(p.workload));
  add("_workload_namespace", OrUnknown(p.namespace_));
  add("_principal", OrUnknown(principal));
  add("_app", OrUnknown(p.app));
  add("_version", OrUnknown(p.version));
  add("_cluster", OrUnknown(p.cluster));
  add("_canonical_service",
      OrUnknown(p.canonical_service.empty() ? p.workload : p.canonical_service));
  add("_canonical_revision", !p.canonical_revision.empty() ? p.canonical_revision
                             : known                       ? "latest"
                                                           : kUnknown);
}

class MeshStatsImpl final : public MeshStats {
 public:
  MeshStatsImpl(metrics::Shard& shard, std::shared_ptr<const Workload> self)
      : shard_(shard), self_(std::move(self)), self_peer_(PeerOf(*self_)) {
    if (!self_->name.empty()) self_metadata_ = EncodePeerMetadata(*self_);
  }

  void OnRequestHeaders(HeaderMap& request, StreamInfo& info, bool inbound) override {
    if (inbound) {
      TakePeer(request, info);
    } else if (LeavesTheMesh(info)) {
      Strip(request);  // who we are is no business of the outside
    } else {
      Introduce(request);
    }
  }

  void OnResponseHeaders(HeaderMap& response, StreamInfo& info, bool inbound) override {
    if (!inbound) {
      TakePeer(response, info);
    } else if (info.peer_introduced) {
      Introduce(response);  // only to those who told who they are
    }
  }

  void OnStreamEnd(const HeaderMap* request, const StreamInfo& info, bool inbound) override {
    Key key = KeyOf(request, info, inbound);
    key.flags = info.response_flags;
    key.code = static_cast<int16_t>(info.response_code);
    key.grpc_status = static_cast<int8_t>(info.grpc_status);
    if (request != nullptr && IsGrpcRequest(*request)) key.bits |= kGrpc;
    HttpMetrics& m = HttpFor(key, request, info);
    m.requests.Inc();
    const Duration took = info.end > info.start ? info.end - info.start : Duration(0);
    m.duration.Record(static_cast<double>(took.count()) / 1e6);
    m.request_bytes.Record(static_cast<double>(info.bytes_received));
    m.response_bytes.Record(static_cast<double>(info.bytes_sent));
  }

  void OnTcpOpen(const StreamInfo& info, bool inbound) override {
    TcpFor(info, inbound).opened.Inc();
  }
  void OnTcpBytes(const StreamInfo& info, bool inbound, uint64_t sent, uint64_t received) override {
    TcpMetrics& m = TcpFor(info, inbound);
    m.sent.Add(sent);
    m.received.Add(received);
  }
  void OnTcpClose(const StreamInfo& info, bool inbound) override {
    TcpFor(info, inbound).closed.Inc();
  }

 private:
  void Introduce(HeaderMap& headers) {
    Strip(headers);
    if (self_metadata_.empty()) return;
    // Views: this object outlives the worker's streams.
    headers.AddView(HeaderId::kXEnvoyPeerMetadataId, "x-envoy-peer-metadata-id", self_->node_id);
    headers.AddView(HeaderId::kXEnvoyPeerMetadata, "x-envoy-peer-metadata", self_metadata_);
  }

  static bool LeavesTheMesh(const StreamInfo& info) {
    return info.route != nullptr && info.route->clusters.size() == 1 &&
           info.route->clusters[0].cluster == kPassthrough;
  }

  static void Strip(HeaderMap& headers) {
    if (headers.Has(HeaderId::kXEnvoyPeerMetadata)) headers.Remove(HeaderId::kXEnvoyPeerMetadata);
    if (headers.Has(HeaderId::kXEnvoyPeerMetadataId)) {
      headers.Remove(HeaderId::kXEnvoyPeerMetadataId);
    }
  }

  void TakePeer(HeaderMap& headers, StreamInfo& info) {
    const absl::string_view metadata = headers.Get(HeaderId::kXEnvoyPeerMetadata);
    info.peer_introduced = !metadata.empty() || headers.Has(HeaderId::kXEnvoyPeerMetadataId);
    if (!metadata.empty()) info.peer = Decoded(metadata, /*text=*/false);
    if (info.peer_introduced) Strip(headers);
  }

  // The interned peer of a header's value, or of Istio's endpoint text.
  const MeshPeer* Decoded(absl::string_view value, bool text) {
    auto& cache = text ? texts_ : headers_;
    if (const auto found = cache.find(value); found != cache.end()) return found->second;
    if (cache.size() >= kDecodedMax) cache.clear();
    const MeshPeer* peer = nullptr;
    if (text) {
      peer = Intern(ParseWorkloadText(value));
    } else if (auto decoded = DecodePeerMetadata(value)) {
      peer = Intern(*std::move(decoded));
    }
    cache.emplace(value, peer);
    return peer;
  }

  const MeshPeer* Intern(MeshPeer peer) {
    if (peers_.size() >= kPeersMax) {
      const auto found = peers_.find(peer);
      return found == peers_.end() ? nullptr : &*found;
    }
    return &*peers_.insert(std::move(peer)).first;
  }

  // The other end: what it said itself, else what discovery says of the chosen endpoint.
  const MeshPeer* PeerOfStream(const StreamInfo& info, bool inbound) {
    if (info.peer != nullptr || inbound || info.upstream_host == nullptr) return info.peer;
    const std::string& text = info.upstream_host->config.workload;
    return text.empty() ? nullptr : Decoded(text, /*text=*/true);
  }

  static const TlsInfo* TlsOf(const StreamInfo& info, bool inbound) {
    return inbound ? info.downstream_tls : info.upstream_tls.get();
  }

  const std::string* Principal(const std::string& name) {
    if (name.empty()) return nullptr;
    // Connections come in runs, too.
    if (last_principal_ != nullptr && *last_principal_ == name) return last_principal_;
    const auto known = principals_.find(name);
    if (known != principals_.end()) return last_principal_ = &*known;
    if (principals_.size() >= kPeersMax) return nullptr;
    return last_principal_ = &*principals_.insert(name).first;
  }

  Key KeyOf(const HeaderMap* request, const StreamInfo& info, bool inbound) {
    Key key;
    key.bits = inbound ? kInbound : 0;
    key.peer = PeerOfStream(info, inbound);
    if (const TlsInfo* tls = TlsOf(info, inbound); tls != nullptr) {
      key.principal = Principal(tls->principal());
      if (tls->peer_presented) key.bits |= kMutualTls;
    }
    const ClusterConfig* cluster = info.cluster;
    if (cluster != nullptr && !cluster->service_host.empty()) {
      key.service = cluster->fingerprint != 0 ? cluster->fingerprint : XxHash64(cluster->name);
      return key;
    }
    // A cluster that stands for no service (pass-through, black hole): the authority tells who was
    // meant.
    key.bits |= kByAuthority;
    if (cluster != nullptr) key.service = XxHash64(cluster->name);
    if (request != nullptr) key.service = XxHash64(request->authority(), key.service);
    return key;
  }

  static Service ServiceOf(const Key& key, const HeaderMap* request, const StreamInfo& info) {
    const ClusterConfig* cluster = info.cluster;
    if ((key.bits & kByAuthority) == 0) {
      return {cluster->service_host, cluster->service_name, cluster->service_namespace};
    }
    Service service;
    if (request != nullptr) service.host = std::string(request->authority());
    // Istio names these clusters in place of a service.
    const bool named =
        cluster != nullptr && (absl::EndsWith(cluster->name, "PassthroughCluster") ||
                               cluster->name == "BlackHoleCluster" ||
                               absl::StartsWith(cluster->name, "InboundPassthrough"));
    if (named && service.host.empty()) service.host = cluster->name;
    service.name = named ? cluster->name : service.host;
    return service;
  }

  Labels LabelsOf(const Key& key, const Service& service, const TlsInfo* tls) {
    const bool inbound = (key.bits & kInbound) != 0;
    Labels labels;
    labels.reserve(32);
    const auto add = [&](absl::string_view name, absl::string_view value) {
      labels.emplace_back(std::string(name), std::string(value));
    };
    add("reporter", inbound ? "destination" : "source");
    // What certificates say, at both ends; without them nobody is known.
    const std::string peer = key.principal == nullptr ? "" : *key.principal;
    const std::string own =
        tls == nullptr || tls->local_uri_sans.empty() ? "" : tls->local_uri_sans.front();
    AddWorkload("source", inbound ? key.peer : &self_peer_, inbound ? peer : own, &labels);
    AddWorkload("destination", inbound ? &self_peer_ : key.peer, inbound ? own : peer, &labels);
    const absl::string_view destination_namespace = inbound
                                                        ? absl::string_view(self_peer_.namespace_)
                                                    : key.peer == nullptr ? absl::string_view()
                                                                          : key.peer->namespace_;
    add("destination_service", OrUnknown(service.host));
    add("destination_service_name", OrUnknown(service.name));
    add("destination_service_namespace",
        OrUnknown(service.namespace_.empty() ? destination_namespace : service.namespace_));
    add("request_protocol", (key.bits & kTcp) != 0    ? "tcp"
                            : (key.bits & kGrpc) != 0 ? "grpc"
                                                      : "http");
    add("response_flags", ResponseFlagsText(key.flags));
    // The receiver knows whether the peer had shown who it is; the sender does not judge (Istio).
    const bool mutual = (key.bits & kMutualTls) != 0;
    add("connection_security_policy", !inbound ? "unknown" : mutual ? "mutual_tls" : "none");
    if ((key.bits & kTcp) == 0) {
      add("response_code", absl::StrCat(key.code));
      add("grpc_response_status",
          (key.bits & kGrpc) != 0 && key.grpc_status >= 0 ? absl::StrCat(key.grpc_status) : "");
    }
    return labels;
  }

  // The one label set for all that comes when there is no more room.
  Labels OverflowLabels(const Key& key) {
    Labels labels = LabelsOf(key, {}, nullptr);
    for (auto& [name, value] : labels) {
      if (name != "reporter" && name != "request_protocol") value = "overflow";
    }
    return labels;
  }

  static Key OverflowKey(const Key& key) {
    Key overflow;
    overflow.bits = (key.bits & (kInbound | kTcp | kGrpc)) | kOverflowed;
    return overflow;
  }

  template <typename Metrics>
  using Sets = absl::flat_hash_map<Key, std::unique_ptr<Metrics>>;

  template <typename Metrics>
  Metrics& Find(Sets<Metrics>& sets, const Key& key, const HeaderMap* request,
                const StreamInfo& info) {
    if (const auto found = sets.find(key); found != sets.end()) return *found->second;
    if (http_.size() + tcp_.size() < kLabelSetsMax) {
      auto& slot = sets[key];
      const TlsInfo* tls = TlsOf(info, (key.bits & kInbound) != 0);
      slot = std::make_unique<Metrics>(shard_, LabelsOf(key, ServiceOf(key, request, info), tls));
      return *slot;
    }
    auto& slot = sets[OverflowKey(key)];
    if (slot == nullptr) slot = std::make_unique<Metrics>(shard_, OverflowLabels(key));
    return *slot;
  }

  HttpMetrics& HttpFor(const Key& key, const HeaderMap* request, const StreamInfo& info) {
    // Requests come in runs: the last label set is most often the next one too.
    if (last_ != nullptr && key == last_key_) return *last_;
    HttpMetrics& found = Find(http_, key, request, info);
    last_key_ = key;
    last_ = &found;
    return found;
  }

  TcpMetrics& TcpFor(const StreamInfo& info, bool inbound) {
    Key key = KeyOf(nullptr, info, inbound);
    key.bits |= kTcp;
    key.flags = info.response_flags;
    return Find(tcp_, key, nullptr, info);
  }

  metrics::Shard& shard_;
  const std::shared_ptr<const Workload> self_;
  const MeshPeer self_peer_;
  std::string self_metadata_;            // "" when this proxy is no workload of a mesh
  absl::node_hash_set<MeshPeer> peers_;  // never shrinks: keys and streams point into it
  absl::flat_hash_map<std::string, const MeshPeer*> headers_, texts_;
  absl::node_hash_set<std::string> principals_;  // neither
  const std::string* last_principal_ = nullptr;
  Sets<HttpMetrics> http_;
  Sets<TcpMetrics> tcp_;
  Key last_key_;
  HttpMetrics* last_ = nullptr;
};

}  // namespace

std::unique_ptr<MeshStats> NewMeshStats(metrics::Shard& shard,
                                        std::shared_ptr<const Workload> self) {
  return std::make_unique<MeshStatsImpl>(shard, std::move(self));
}

}  // namespace meltemi::proxy
