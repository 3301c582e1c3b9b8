#include "orchestrator/kubeproxy/health/service_health.h"

#include <future>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "base/http/server/debug_server.h"
#include "base/log/log.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "kube/core/v1/reference.pb.h"
#include "kube/events/recorder.h"

namespace meltemi::kubeproxy {
namespace {

// Load balancers ask from a few places, every few seconds.
constexpr size_t kConnectionsMax = 64;

// Lives on the loop's thread.
class Server {
 public:
  Server(Loop& loop, std::string node_name, kube::EventRecorder& recorder,
         std::function<bool()> proxy_healthy)
      : loop_(loop),
        node_name_(std::move(node_name)),
        recorder_(recorder),
        proxy_healthy_(std::move(proxy_healthy)) {}

  using States = std::map<kube::NamespacedName, ServiceHealthState>;

  void CloseOthers(const States& wanted) {
    std::erase_if(open_, [&](const auto& entry) {
      const auto at = wanted.find(entry.first);
      return at == wanted.end() || at->second.port != entry.second.state.port;
    });
    std::erase_if(failed_, [&](const ServiceHealthKey& key) {
      const auto at = wanted.find(key.first);
      return at == wanted.end() || at->second.port != key.second;
    });
  }
  void Open(const States& wanted) {
    for (const auto& [service, state] : wanted) {
      Opened& open = open_[service];
      open.state = state;
      if (open.server == nullptr && !Listen(open)) open_.erase(service);
    }
  }

 private:
  using ServiceHealthKey = std::pair<kube::NamespacedName, uint16_t>;
  struct Opened {
    ServiceHealthState state;
    std::unique_ptr<http::DebugServer> server;
  };

  bool Listen(Opened& open) {
    http::DebugServerOptions options;
    options.body_bytes_max = 0;
    options.connections_max = kConnectionsMax;
    auto server = http::ListenDebug(loop_, net::Address::Any4(open.state.port), options);
    if (!server.ok()) {
      Complain(open.state, server.status());
      return false;
    }
    failed_.erase({open.state.service, open.state.port});
    open.server = *std::move(server);
    for (const char* path : {"/", "/healthz"}) {
      open.server->Route(path, http::DebugServer::Methods::kGet, "endpoints on this node",
                         [this, &open](const http::DebugRequest&) { return Answer(open.state); });
    }
    return true;
  }

  http::DebugResponse Answer(const ServiceHealthState& state) const {
    const bool healthy = proxy_healthy_();
    http::DebugResponse response;
    response.status = healthy && state.local_endpoints > 0 ? 200 : 503;
    response.body = ServiceHealthAnswer(state, healthy);
    response.content_type = "application/json";
    response.fields = {{"x-content-type-options", "nosniff"},
                       {"x-load-balancing-endpoint-weight", absl::StrCat(state.local_endpoints)}};
    return response;
  }

  void Complain(const ServiceHealthState& state, const absl::Status& status) {
    if (!failed_.insert({state.service, state.port}).second) return;  // once
    const std::string message =
        absl::StrCat("node ", node_name_, " failed to start healthcheck \"",
                     state.service.ToString(), "\" on port ", state.port, ": ", status.message());
    LOG(kWarn, "kube-proxy", message);
    kube::core::v1::ObjectReference service;
    service.set_kind("Service");
    service.set_api_version("v1");
    service.set_namespace_(state.service.ns);
    service.set_name(state.service.name);
    recorder_.RecordFor(service, kube::kWarning, "FailedToStartServiceHealthcheck", message);
  }

  Loop& loop_;
  const std::string node_name_;
  kube::EventRecorder& recorder_;
  const std::function<bool()> proxy_healthy_;
  std::map<kube::NamespacedName, Opened> open_;  // stable: handlers look into them
  std::set<ServiceHealthKey> failed_;
};

class HttpHealth final : public ServiceHealth {
 public:
  HttpHealth(const Clock& clock, std::string node_name, kube::EventRecorder& recorder,
             std::function<bool()> proxy_healthy)
      : clock_(clock),
        node_name_(std::move(node_name)),
        recorder_(recorder),
        proxy_healthy_(std::move(proxy_healthy)) {}

  ~HttpHealth() override {
    if (!thread_.joinable()) return;
    loop_->Exit();
    thread_.join();
  }

  void Serve(const std::vector<ServiceHealthState>& services) override {
    if (!thread_.joinable()) {
      if (services.empty()) return;
      Begin();
    }
    Server::States wanted;
    for (const ServiceHealthState& state : services) wanted[state.service] = state;
    std::promise<void> done;
    loop_->Post([&] {
      server_->CloseOthers(wanted);
      // A port may go from one service to another: it is free once this turn is over.
      loop_->Post([&] {
        server_->Open(wanted);
        done.set_value();
      });
    });
    done.get_future().wait();
  }

 private:
  void Begin() {
    std::promise<void> begun;
    thread_ = std::thread([&] {
      loop_ = NewEventLoop(clock_);
      server_ = std::make_unique<Server>(*loop_, node_name_, recorder_, proxy_healthy_);
      Loop* loop = loop_.get();
      loop->Post([&begun] { begun.set_value(); });
      loop->Run();
      server_.reset();
    });
    begun.get_future().wait();
  }

  const Clock& clock_;
  const std::string node_name_;
  kube::EventRecorder& recorder_;
  const std::function<bool()> proxy_healthy_;
  std::unique_ptr<Loop> loop_;      // made and used on the thread, destroyed after it
  std::unique_ptr<Server> server_;  // lives on the thread
  std::thread thread_;
};

}  // namespace

std::string ServiceHealthAnswer(const ServiceHealthState& state, bool proxy_healthy) {
  return absl::Substitute(
      "{\n\t\"service\": {\n\t\t\"namespace\": \"$0\",\n\t\t\"name\": \"$1\"\n\t},\n"
      "\t\"localEndpoints\": $2,\n\t\"serviceProxyHealthy\": $3\n}",
      state.service.ns, state.service.name, state.local_endpoints,
      proxy_healthy ? "true" : "false");
}

std::unique_ptr<ServiceHealth> NewServiceHealth(const Clock& clock, const std::string& node_name,
                                                kube::EventRecorder& recorder,
                                                std::function<bool()> proxy_healthy) {
  return std::make_unique<HttpHealth>(clock, node_name, recorder, std::move(proxy_healthy));
}

}  // namespace meltemi::kubeproxy
