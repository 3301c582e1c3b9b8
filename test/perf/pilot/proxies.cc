#include "test/perf/pilot/proxies.h"

#include <cstring>
#include <future>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/grpc/bidi_stream.h"
#include "base/net/address.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace meltemi::bench {
namespace {

namespace discovery = envoy::service::discovery::v3;
namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;

constexpr char kMethod[] =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
constexpr char kClusters[] = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
constexpr char kEndpoints[] = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
constexpr char kListeners[] = "type.googleapis.com/envoy.config.listener.v3.Listener";
constexpr char kRoutes[] = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

// What of a response a client needs; the views point into it.
struct Response {
  absl::string_view type, nonce;
  std::vector<absl::string_view> resources;  // serialised Resource messages
};

// Reads one field of a serialised message. False at the end, and for what is none.
bool NextField(absl::string_view* in, int* number, absl::string_view* value) {
  const auto varint = [in](uint64_t* out) {
    *out = 0;
    for (int shift = 0; !in->empty() && shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(in->front());
      in->remove_prefix(1);
      *out |= static_cast<uint64_t>(byte & 127) << shift;
      if (byte < 128) return true;
    }
    return false;
  };
  uint64_t tag = 0, size = 0;
  if (in->empty() || !varint(&tag) || !varint(&size)) return false;
  *number = static_cast<int>(tag >> 3);
  *value = absl::string_view();
  if ((tag & 7) == 0) return true;
  if ((tag & 7) != 2 || size > in->size()) return false;
  *value = in->substr(0, size);
  in->remove_prefix(size);
  return true;
}

Response Parse(absl::string_view message) {
  Response response;
  int number = 0;
  absl::string_view value;
  while (NextField(&message, &number, &value)) {
    if (number == 2) response.resources.push_back(value);
    if (number == 4) response.type = value;
    if (number == 5) response.nonce = value;
  }
  return response;
}

absl::string_view FieldOf(absl::string_view message, int wanted) {
  int number = 0;
  absl::string_view value;
  while (NextField(&message, &number, &value)) {
    if (number == wanted) return value;
  }
  return {};
}

// The newest rounds that are written in bytes; 0: none.
using Newest = std::array<uint32_t, kReaches>;

Newest RouteRounds(absl::string_view bytes) {
  Newest newest = {};
  constexpr absl::string_view kMark = "round=";
  constexpr size_t kDigits = 9;
  for (size_t at = bytes.find(kMark); at != absl::string_view::npos;
       at = bytes.find(kMark, at + 1)) {
    uint32_t mark = 0;
    if (!absl::SimpleAtoi(bytes.substr(at + kMark.size(), kDigits), &mark)) continue;
    uint32_t& place = newest[mark / kRoundsMax - 1];
    place = std::max(place, mark % kRoundsMax);
  }
  return newest;
}

Newest EndpointRounds(absl::string_view bytes) {
  Newest newest = {};
  constexpr absl::string_view kMark = "10.2";
  for (size_t at = bytes.find(kMark); at != absl::string_view::npos;
       at = bytes.find(kMark, at + 1)) {
    const std::string text(bytes.substr(at, 16));
    unsigned a = 0, b = 0, c = 0;
    if (std::sscanf(text.c_str(), "10.2%u.%u.%u", &a, &b, &c) != 3 || a < 40) continue;
    const auto reach = static_cast<size_t>(a >= 50 ? Reach::kAll : Reach::kNamespace);
    newest[reach] = std::max(newest[reach], a % 10 * 62'500 + b * 250 + c - 1);
  }
  return newest;
}

}  // namespace

void Rounds::Begin(uint32_t round, size_t concerned) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (rounds_.size() <= round) rounds_.resize(round + 1);
  rounds_[round] = {clock_.Now(), {}, concerned, true};
  ++open_;
}

void Rounds::OnClientHas(uint32_t before, uint32_t round) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (uint32_t i = before + 1; i <= round && i < rounds_.size(); ++i) {
    if (!rounds_[i].known || rounds_[i].missing == 0 || --rounds_[i].missing > 0) continue;
    rounds_[i].end = clock_.Now();
    --open_;
  }
}

double Rounds::Taken(uint32_t round) const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (round >= rounds_.size() || !rounds_[round].known || rounds_[round].missing > 0) return -1;
  return std::chrono::duration<double>(rounds_[round].end - rounds_[round].begin).count();
}

// What the clients of one thread share.
struct Proxies::Worker {
  SystemClock clock;
  std::unique_ptr<Loop> loop = NewEventLoop(clock);
  std::thread thread;
  std::vector<std::unique_ptr<Client>> clients;
  // By the version of a listener: the routes that it needs.
  absl::flat_hash_map<std::string, std::vector<std::string>> routes_of;
};

class Proxies::Client final : private http::grpc::BidiEvents {
 public:
  Client(Proxies* owner, Worker* worker, uint32_t number)
      : owner_(owner), worker_(worker), number_(number) {}

  void Connect() {
    asked_endpoints_ = asked_routes_ = missing_ = 0;
    got_clusters_ = got_listeners_ = settled_ = false;
    http::grpc::BidiOptions options;
    options.path = kMethod;
    options.keepalive_interval = Duration::zero();
    options.connect_timeout = seconds(30);
    stream_ = http::grpc::OpenBidiStream(
        *worker_->loop, *net::Address::FromIp("127.0.0.1", owner_->options_.port), options, *this);
  }
  void Disconnect() {
    stream_ = nullptr;
    if (settled_) --owner_->settled_;
    settled_ = false;
  }

 private:
  void OnConnected() override {
    discovery::DeltaDiscoveryRequest request;
    auto* node = request.mutable_node();
    const std::string ns = absl::StrCat("ns-", number_ % owner_->options_.namespaces);
    node->set_id(absl::StrCat("sidecar~10.200.", number_ / 250, ".", number_ % 250 + 1, "~client-",
                              number_, ".", ns, "~", ns, ".svc.cluster.local"));
    auto* labels = (*node->mutable_metadata()->mutable_fields())["LABELS"].mutable_struct_value();
    (*labels->mutable_fields())["app"].set_string_value("client");
    request.set_type_url(kClusters);
    Send(request);
    request.Clear();
    request.set_type_url(kListeners);
    Send(request);
  }
  void OnEnded(absl::Status) override {
    ++owner_->failures_;
    Disconnect();
  }
  void OnMessage(absl::string_view message) override {
    ++owner_->responses_;
    owner_->bytes_ += message.size();
    const Response response = Parse(message);
    discovery::DeltaDiscoveryRequest answer;
    answer.set_type_url(response.type.data(), response.type.size());
    answer.set_response_nonce(response.nonce.data(), response.nonce.size());
    if (response.type == kEndpoints) {
      Take(response, EndpointRounds(message), owner_->endpoints_, &endpoint_rounds_, answer);
    } else if (response.type == kRoutes) {
      Take(response, RouteRounds(message), owner_->routes_, &route_rounds_, answer);
    } else {
      Send(answer);
      Follow(response);
    }
    if (!settled_ && got_clusters_ && got_listeners_ && missing_ == 0) {
      settled_ = true;
      ++owner_->settled_;
    }
  }

  void Take(const Response& response, const Newest& newest, const RoundsOf& rounds, Newest* has,
            const discovery::DeltaDiscoveryRequest& answer) {
    Send(answer);
    // What is new is enforced and acknowledged.
    for (size_t i = 0; i < kReaches; ++i) {
      if (newest[i] <= (*has)[i]) continue;
      rounds[i]->OnClientHas(std::exchange((*has)[i], newest[i]), newest[i]);
    }
    if (!settled_) missing_ -= std::min(missing_, response.resources.size());
  }

  // Subscribes to what clusters and listeners need.
  void Follow(const Response& response) {
    discovery::DeltaDiscoveryRequest request;
    const bool clusters = response.type == kClusters;
    request.set_type_url(clusters ? kEndpoints : kRoutes);
    for (const absl::string_view resource : response.resources) {
      const absl::string_view name = FieldOf(resource, 3);
      if (clusters) {
        if (!got_clusters_ && absl::StartsWith(name, "outbound|")) {
          request.add_resource_names_subscribe(name.data(), name.size());
        }
        continue;
      }
      for (const std::string& route : RoutesOf(resource)) {
        if (routes_.insert(route).second) request.add_resource_names_subscribe(route);
      }
    }
    (clusters ? got_clusters_ : got_listeners_) = true;
    if (request.resource_names_subscribe().empty()) return;
    missing_ += static_cast<size_t>(request.resource_names_subscribe_size());
    Send(request);
  }

  const std::vector<std::string>& RoutesOf(absl::string_view resource) {
    const absl::string_view version = FieldOf(resource, 1);
    const auto known = worker_->routes_of.find(version);
    if (known != worker_->routes_of.end()) return known->second;
    std::vector<std::string> routes;
    discovery::Resource wrapper;
    envoy::config::listener::v3::Listener listener;
    if (wrapper.ParseFromArray(resource.data(), static_cast<int>(resource.size())) &&
        wrapper.resource().UnpackTo(&listener)) {
      for (const auto& chain : listener.filter_chains()) {
        hcm::HttpConnectionManager manager;
        for (const auto& filter : chain.filters()) {
          if (filter.typed_config().UnpackTo(&manager) && manager.has_rds()) {
            routes.push_back(manager.rds().route_config_name());
          }
        }
      }
    }
    return worker_->routes_of.emplace(std::string(version), std::move(routes)).first->second;
  }

  void Send(const discovery::DeltaDiscoveryRequest& request) {
    if (stream_ != nullptr) stream_->Send(request.SerializeAsString());
  }

  Proxies* const owner_;
  Worker* const worker_;
  const uint32_t number_;
  std::unique_ptr<http::grpc::BidiStream> stream_;
  std::set<std::string> routes_;
  size_t asked_endpoints_ = 0, asked_routes_ = 0, missing_ = 0;
  bool got_clusters_ = false, got_listeners_ = false, settled_ = false;
  Newest route_rounds_ = {}, endpoint_rounds_ = {};
};

Proxies::Proxies(const ProxiesOptions& options, const RoundsOf& routes, const RoundsOf& endpoints)
    : options_(options), routes_(routes), endpoints_(endpoints) {
  for (uint32_t i = 0; i < options.threads; ++i) workers_.push_back(std::make_unique<Worker>());
  for (uint32_t i = 0; i < options.proxies; ++i) {
    Worker* worker = workers_[i % options.threads].get();
    worker->clients.push_back(std::make_unique<Client>(this, worker, i));
  }
  for (const auto& worker : workers_) {
    worker->thread = std::thread([loop = worker->loop.get()] { loop->Run(); });
  }
}

Proxies::~Proxies() {
  Disconnect();
  for (const auto& worker : workers_) {
    worker->loop->Exit();
    worker->thread.join();
  }
}

void Proxies::Connect() {
  for (const auto& worker : workers_) {
    worker->loop->Post([worker = worker.get()] {
      for (const auto& client : worker->clients) client->Connect();
    });
  }
}

void Proxies::Disconnect() {
  for (const auto& worker : workers_) {
    std::promise<void> done;
    worker->loop->Post([&] {
      for (const auto& client : worker->clients) client->Disconnect();
      done.set_value();
    });
    done.get_future().wait();
  }
}

}  // namespace meltemi::bench
