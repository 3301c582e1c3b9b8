// Incremental responses: of a control plane that says anything, and of one that keeps to the
// protocol but sends bad resources, repeats itself and is cut off. Whatever comes, the client
// answers each response once, and what it has of the second is what was last sent well and not
// taken away.
//
// The first byte says which; the others are read as a script.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/loop/loop_fake.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "google/rpc/status.pb.h"
#include "proxy/config/store/config_store.h"
#include "proxy/config/store/config_store_fake.h"
#include "proxy/config/xds/compiler_fake.h"
#include "proxy/config/xds/intake.h"
#include "proxy/config/xds/xds_client.h"

namespace meltemi::proxy {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;

constexpr ResourceType kWildcards[] = {ResourceType::kCluster, ResourceType::kListener};

void Require(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what.c_str());
  std::abort();
}

class Script {
 public:
  Script(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  bool done() const { return left_ == 0; }
  unsigned Next() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  std::string Take(size_t size) {
    size = std::min(size, left_);
    std::string bytes(reinterpret_cast<const char*>(data_), size);
    data_ += size;
    left_ -= size;
    return bytes;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

class Proxy {
 public:
  Proxy() {
    envoy::config::core::v3::Node node;
    client_ = std::make_unique<XdsClient>(loop_, intake_, store_, node, registry_.NewShard().root(),
                                          [this](std::string bytes) { Heard(bytes); });
    client_->SetProtocol(XdsProtocol::kDelta);
    client_->Advance();
    client_->OnConnected();
  }

  void Reconnect() {
    client_->OnDisconnected("reset");
    client_->OnConnected();
  }
  void Pass(Duration time) { loop_.Advance(time); }
  // Whether the response was accepted.
  bool Serve(const DeltaDiscoveryResponse& response) {
    return Serve(response.SerializeAsString(), response.nonce());
  }
  bool Serve(const std::string& bytes, const std::string& nonce) {
    answers_ = 0;
    const bool readable = client_->OnMessage(bytes).ok();
    if (readable && !nonce.empty()) {
      Require(answers_ == 1, absl::StrCat(answers_, " answers to one response"));
      Require(nonce_ == nonce, "another nonce than the response's");
    }
    return readable && !refused_;
  }
  const std::map<std::string, ResourceRecord>& Has(ResourceType type) const {
    return intake_.records(type);
  }
  bool Installed(const std::string& cluster) const { return directory_.known.contains(cluster); }

 private:
  void Heard(const std::string& bytes) {
    DeltaDiscoveryRequest request;
    Require(request.ParseFromString(bytes), "not a request");
    if (request.response_nonce().empty()) return;
    ++answers_;
    nonce_ = request.response_nonce();
    refused_ = !request.error_detail().message().empty();
  }

  FakeClock clock_;
  FakeLoop loop_{clock_};
  metrics::Registry registry_;
  std::vector<std::string> events_;
  FakeClusterDirectory directory_{events_};
  FakeSnapshotSink sink_{events_};
  ConfigStore store_{directory_, sink_};
  NameCompiler compiler_;
  Intake intake_{compiler_, store_, clock_};
  std::unique_ptr<XdsClient> client_;
  int answers_ = 0;
  std::string nonce_;
  bool refused_ = false;
};

// One resource of a response, and what the proxy should make of it.
struct Sent {
  std::string name, version;
  bool good = false;
};

class Server {
 public:
  void Act(Script* script, Proxy* proxy) {
    const unsigned what = script->Next() % 8;
    if (what == 0) return proxy->Reconnect();
    if (what == 1) return proxy->Pass(milliseconds(script->Next() * 100));
    const ResourceType type = kWildcards[script->Next() % 2];
    DeltaDiscoveryResponse response;
    response.set_type_url(std::string(TypeUrl(type)));
    response.set_nonce(absl::StrCat("n", ++nonce_));
    std::map<std::string, std::string> now = expected_[type];
    std::map<std::string, int> times;
    bool all_good = true;
    for (unsigned left = script->Next() % 4; left > 0; --left) {
      const Sent sent = Add(type, script, &response);
      const bool first = times[sent.name]++ == 0;
      all_good = all_good && first && sent.good;
      if (first && sent.good) now[sent.name] = sent.version;
    }
    for (unsigned left = script->Next() % 3; left > 0; --left) {
      const std::string name = Name(script);
      response.add_removed_resources(name);
      if (times.contains(name)) {
        all_good = false;
      } else {
        now.erase(name);
      }
    }
    Require(proxy->Serve(response) == all_good, "accepted what is bad, or refused what is good");
    expected_[type] = std::move(now);
    Check(*proxy);
  }
  void Check(const Proxy& proxy) {
    for (const ResourceType type : kWildcards) {
      std::map<std::string, std::string> has;
      for (const auto& [name, record] : proxy.Has(type)) {
        if (!record.version.empty()) has[name] = record.version;
      }
      Require(has == expected_[type], absl::StrCat("other ", ShortName(type), " than was sent"));
    }
  }
  // Nothing names the clusters that are gone.
  void CheckInstalled(const Proxy& proxy) {
    for (int i = 0; i < 8; ++i) {
      const std::string name = absl::StrCat("c", i);
      Require(proxy.Installed(name) == expected_[ResourceType::kCluster].contains(name),
              absl::StrCat(name, " is there and should not be, or the other way round"));
    }
  }

 private:
  static std::string Name(Script* script) {
    const unsigned i = script->Next() % 10;
    return i < 8 ? absl::StrCat("c", i) : absl::StrCat("bad", i);
  }
  Sent Add(ResourceType type, Script* script, DeltaDiscoveryResponse* response) {
    Sent sent;
    sent.name = Name(script);
    // Some repeat the bytes of before, some the version too.
    const unsigned variant = script->Next() % 3;
    sent.version = absl::StrCat("v", variant == 0 ? 0 : ++version_);
    sent.good = !absl::StartsWith(sent.name, "bad");
    auto& resource = *response->add_resources();
    resource.set_name(sent.name);
    resource.set_version(sent.version);
    if (type == ResourceType::kCluster) {
      envoy::config::cluster::v3::Cluster cluster;
      cluster.set_name(sent.name);
      cluster.set_alt_stat_name(absl::StrCat(variant));
      resource.mutable_resource()->PackFrom(cluster);
    } else {
      envoy::config::listener::v3::Listener listener;
      listener.set_name(sent.name);
      listener.set_stat_prefix(absl::StrCat(variant));
      resource.mutable_resource()->PackFrom(listener);
    }
    return sent;
  }

  int nonce_ = 0, version_ = 0;
  std::map<ResourceType, std::map<std::string, std::string>> expected_;  // versions by name
};

void RunServer(Script* script) {
  Proxy proxy;
  Server server;
  while (!script->done()) server.Act(script, &proxy);
  proxy.Pass(minutes(2));
  server.CheckInstalled(proxy);
}

void RunAnything(Script* script) {
  Proxy proxy;
  while (!script->done()) {
    const unsigned what = script->Next();
    if (what % 16 == 0) {
      proxy.Reconnect();
    } else if (what % 16 == 1) {
      proxy.Pass(milliseconds(script->Next() * 100));
    } else {
      const std::string bytes = script->Take(script->Next() * 256 + script->Next());
      DeltaDiscoveryResponse response;
      const bool readable = response.ParseFromString(bytes);
      Require(!proxy.Serve(bytes, response.nonce()) || readable, "took in what can't be read");
    }
  }
}

}  // namespace
}  // namespace meltemi::proxy

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  meltemi::log::SetLevel("*", "off");  // what is refused is no news here
  meltemi::proxy::Script script(data + 1, size - 1);
  if (data[0] % 2 == 0) {
    meltemi::proxy::RunServer(&script);
  } else {
    meltemi::proxy::RunAnything(&script);
  }
  return 0;
}
