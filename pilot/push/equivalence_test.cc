// A client that is fed increments ends with the same resources as one that is fed the state of the
// world, whatever happens in between; and never routes to a cluster that it does not have (the
// other one may when it comes back: nobody knows then what it had).
#include <google/protobuf/any.pb.h>
#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "pilot/push/delta_session.h"
#include "pilot/push/session.h"
#include "pilot/push/source_fake.h"

namespace meltemi::pilot {
namespace {

using ::envoy::service::discovery::v3::DeltaDiscoveryRequest;
using ::envoy::service::discovery::v3::DeltaDiscoveryResponse;
using ::envoy::service::discovery::v3::DiscoveryRequest;
using ::envoy::service::discovery::v3::DiscoveryResponse;
using Random = std::mt19937;

constexpr XdsType kC = XdsType::kCluster;
constexpr XdsType kE = XdsType::kEndpoint;
constexpr XdsType kL = XdsType::kListener;
constexpr XdsType kR = XdsType::kRoute;
constexpr XdsType kTypes[] = {kC, kE, kL, kR};

std::string TextOf(const google::protobuf::Any& any) {
  google::protobuf::StringValue value;
  EXPECT_TRUE(any.UnpackTo(&value));
  return value.value();
}

// A proxy: endpoints follow its clusters, routes its listeners. The name of a resource is what
// comes before ":" in its text.
class Proxy {
 public:
  virtual ~Proxy() = default;

  using Resources = std::map<std::string, std::string>;
  const Resources& Has(XdsType type) const { return has_[static_cast<size_t>(type)]; }
  void SetExtra(std::set<std::string> extra) { extra_ = std::move(extra); }

  virtual void Connect(uint64_t version) = 0;
  virtual void OnSnapshot(uint64_t version) = 0;
  // Takes one response. False: there is none. `nack`: refuses it.
  virtual bool Step(bool nack) = 0;
  // Tells what it asks for now.
  virtual void Follow() = 0;

  // Every route leads to a cluster with endpoints.
  void ExpectConsistent(const std::string& when) const {
    for (const auto& [name, text] : Has(kR)) {
      const std::string target = text.substr(text.find('>') + 1);
      EXPECT_TRUE(Has(kC).contains(target)) << name << " leads to " << target << " " << when;
      EXPECT_TRUE(Has(kE).contains(target)) << name << " leads to " << target << " " << when;
    }
  }

 protected:
  Resources& At(XdsType type) { return has_[static_cast<size_t>(type)]; }
  std::set<std::string> Wanted(XdsType type) const {
    std::set<std::string> names;
    for (const auto& [name, text] : Has(type == kE ? kC : kL)) {
      names.insert(type == kE ? name : "r-" + name);
    }
    if (type == kE) names.insert(extra_.begin(), extra_.end());
    return names;
  }
  // What is not asked for any more is forgotten.
  void Forget(XdsType type, const std::set<std::string>& wanted) {
    std::erase_if(At(type), [&](const auto& entry) { return !wanted.contains(entry.first); });
  }

  std::array<Resources, kXdsTypes> has_;
  std::set<std::string> extra_;
};

class WorldProxy final : public Proxy {
 public:
  explicit WorldProxy(ResourceSource* source) : source_(source) {}

  void Connect(uint64_t version) override {
    session_ = std::make_unique<Session>(source_, SessionOptions{});
    session_->OnSnapshot(version);
    nonce_ = {};
    asked_ = {};
    Ask(kC, {}, false);
    Ask(kL, {}, false);
    Follow();
  }
  void OnSnapshot(uint64_t version) override { session_->OnSnapshot(version); }
  void Follow() override {
    for (const XdsType type : {kE, kR}) {
      const std::set<std::string> wanted = Wanted(type);
      Forget(type, wanted);
      if (wanted != asked_[static_cast<size_t>(type)]) Ask(type, wanted, false);
    }
  }
  bool Step(bool nack) override {
    const std::optional<Response> response = session_->Next({});
    if (!response.has_value()) return false;
    const XdsType type = response->type;
    DiscoveryResponse message;
    EXPECT_TRUE(message.ParseFromString(response->message.ToString()));
    nonce_[static_cast<size_t>(type)] = message.nonce();
    if (!nack) {
      if (type == kC || type == kL) At(type).clear();
      for (const auto& any : message.resources()) {
        const std::string text = TextOf(any);
        At(type)[text.substr(0, text.find(':'))] = text;
      }
    }
    Ask(type, asked_[static_cast<size_t>(type)], nack);
    Follow();
    return true;
  }

 private:
  void Ask(XdsType type, const std::set<std::string>& names, bool nack) {
    asked_[static_cast<size_t>(type)] = names;
    DiscoveryRequest request;
    request.set_type_url(std::string(XdsTypeUrl(type)));
    request.set_response_nonce(nonce_[static_cast<size_t>(type)]);
    for (const std::string& name : names) request.add_resource_names(name);
    if (nack) request.mutable_error_detail()->set_message("no");
    session_->OnRequest(request);
  }

  ResourceSource* const source_;
  std::unique_ptr<Session> session_;
  std::array<std::string, kXdsTypes> nonce_;
  std::array<std::set<std::string>, kXdsTypes> asked_;
};

class DeltaProxy final : public Proxy {
 public:
  explicit DeltaProxy(ResourceSource* source) : source_(source) {}

  void Connect(uint64_t version) override {
    session_ = std::make_unique<DeltaSession>(source_, SessionOptions{});
    session_->OnSnapshot(version);
    asked_ = {};
    begun_ = {};
    Say(kC, {}, {});
    Say(kL, {}, {});
    Follow();
  }
  void OnSnapshot(uint64_t version) override { session_->OnSnapshot(version); }
  void Follow() override {
    for (const XdsType type : {kE, kR}) {
      const std::set<std::string> wanted = Wanted(type);
      Forget(type, wanted);
      std::erase_if(versions_[static_cast<size_t>(type)],
                    [&](const auto& entry) { return !wanted.contains(entry.first); });
      std::set<std::string>& asked = asked_[static_cast<size_t>(type)];
      std::set<std::string> more, less;
      for (const auto& name : wanted) {
        if (!asked.contains(name)) more.insert(name);
      }
      for (const auto& name : asked) {
        if (!wanted.contains(name)) less.insert(name);
      }
      asked = wanted;
      if (!more.empty() || !less.empty()) Say(type, more, less);
    }
  }
  bool Step(bool nack) override {
    const std::optional<Response> response = session_->Next({});
    if (!response.has_value()) return false;
    const XdsType type = response->type;
    auto& versions = versions_[static_cast<size_t>(type)];
    DeltaDiscoveryResponse message;
    EXPECT_TRUE(message.ParseFromString(response->message.ToString()));
    for (const auto& resource : message.resources()) {
      if (nack) break;
      At(type)[resource.name()] = TextOf(resource.resource());
      versions[resource.name()] = resource.version();
      ++received_;
    }
    for (const std::string& name : message.removed_resources()) {
      if (type != kC && type != kL) continue;  // whoever is refused something drops the rest
      At(type).erase(name);
      versions.erase(name);
    }
    Say(type, {}, {}, message.nonce(), nack);
    Follow();
    return true;
  }
  int received() const { return received_; }

 private:
  void Say(XdsType type, const std::set<std::string>& more, const std::set<std::string>& less,
           const std::string& nonce = "", bool nack = false) {
    DeltaDiscoveryRequest request;
    request.set_type_url(std::string(XdsTypeUrl(type)));
    request.set_response_nonce(nonce);
    for (const std::string& name : more) request.add_resource_names_subscribe(name);
    for (const std::string& name : less) request.add_resource_names_unsubscribe(name);
    if (nack) request.mutable_error_detail()->set_message("no");
    if (!std::exchange(begun_[static_cast<size_t>(type)], true)) {
      for (const auto& [name, version] : versions_[static_cast<size_t>(type)]) {
        (*request.mutable_initial_resource_versions())[name] = version;
      }
    }
    session_->OnRequest(request);
  }

  ResourceSource* const source_;
  std::unique_ptr<DeltaSession> session_;
  std::array<std::set<std::string>, kXdsTypes> asked_;
  std::array<bool, kXdsTypes> begun_ = {};
  std::array<std::map<std::string, std::string>, kXdsTypes> versions_;
  int received_ = 0;
};

// A mesh in which every route leads to a cluster that is there, in every snapshot.
class Mesh {
 public:
  explicit Mesh(Random* random) : random_(*random) {}

  FakeSource& source() { return source_; }
  void Change() {
    switch (random_() % 6) {
      case 0:
        return AddCluster(absl::StrCat("c", random_() % 8));
      case 1:
        return RemoveUnusedCluster();
      case 2:
        return Retarget();
      case 3:
        return AddListener(absl::StrCat("l", random_() % 4));
      case 4:
        return RemoveListener();
      default:
        if (!clusters_.empty()) SetEndpoints(Any(clusters_));
    }
  }
  // Everything anew, so that what was refused is sent again.
  void TouchAll() {
    AddCluster("c-last");
    AddListener("l-last");
    for (const std::string& cluster : clusters_) AddCluster(cluster);
    for (const auto& [listener, target] : std::map(targets_)) AddListener(listener);
  }
  const std::set<std::string>& clusters() const { return clusters_; }

 private:
  std::string Any(const std::set<std::string>& of) {
    return *std::next(of.begin(), static_cast<long>(random_() % of.size()));
  }
  std::string Text(const std::string& name) { return absl::StrCat(name, ":", ++counter_); }
  void SetEndpoints(const std::string& name) { source_.Set(kE, name, Text(name)); }
  void AddCluster(const std::string& name) {
    clusters_.insert(name);
    source_.Set(kC, name, Text(name), {name});
    SetEndpoints(name);
  }
  void RemoveUnusedCluster() {
    for (const std::string& name : clusters_) {
      bool used = false;
      for (const auto& [listener, target] : targets_) used = used || target == name;
      if (used) continue;
      source_.Remove(kC, name);
      source_.Remove(kE, name);
      clusters_.erase(name);
      return;
    }
  }
  void Route(const std::string& listener, const std::string& target) {
    targets_[listener] = target;
    source_.Set(kR, "r-" + listener, absl::StrCat(Text("r-" + listener), ">", target));
  }
  void Retarget() {
    if (!targets_.empty() && !clusters_.empty()) Route(targets_.begin()->first, Any(clusters_));
  }
  void AddListener(const std::string& name) {
    if (clusters_.empty()) return;
    source_.Set(kL, name, Text(name), {"r-" + name});
    Route(name, Any(clusters_));
  }
  void RemoveListener() {
    if (targets_.empty()) return;
    const std::string name = targets_.begin()->first;
    targets_.erase(name);
    source_.Remove(kL, name);
    source_.Remove(kR, "r-" + name);
  }

  Random& random_;
  FakeSource source_;
  std::set<std::string> clusters_;
  std::map<std::string, std::string> targets_;  // of the listeners' routes
  int counter_ = 0;
};

void ExpectEndsWithAll(Mesh* mesh, const Proxy& proxy, const std::string& who) {
  for (const XdsType type : kTypes) {
    Proxy::Resources all;
    const ResourceSetPtr set = mesh->source().All(type);
    for (const ResourcePtr& resource : set->resources) {
      google::protobuf::Any any;
      ASSERT_TRUE(any.ParseFromString(resource->any));
      all[resource->name] = TextOf(any);
    }
    EXPECT_EQ(proxy.Has(type), all) << who << " " << XdsTypeShortName(type);
  }
}

void RunStory(unsigned seed, bool with_rejections) {
  Random random(seed);
  Mesh mesh(&random);
  WorldProxy world(&mesh.source());
  DeltaProxy delta(&mesh.source());
  uint64_t version = 1;
  Proxy* const proxies[] = {&world, &delta};
  for (Proxy* proxy : proxies) proxy->Connect(version);
  const auto push = [&] {
    ++version;
    for (Proxy* proxy : proxies) proxy->OnSnapshot(version);
  };
  for (int i = 0; i < 150; ++i) {
    const std::string when = absl::StrCat("at step ", i, " of seed ", seed);
    const unsigned changes = random() % 4;
    for (unsigned n = 0; n < changes; ++n) mesh.Change();
    if (changes > 0) push();
    if (random() % 20 == 0) proxies[random() % 2]->Connect(version);
    if (random() % 15 == 0) {
      const std::set<std::string> extra = {absl::StrCat("c", random() % 10)};
      for (Proxy* proxy : proxies) {
        proxy->SetExtra(extra);
        proxy->Follow();
      }
    }
    for (Proxy* proxy : proxies) {
      for (unsigned steps = random() % 4; steps > 0; --steps) {
        proxy->Step(with_rejections && random() % 8 == 0);
        if (!with_rejections && proxy == &delta) proxy->ExpectConsistent(when);
      }
    }
  }
  if (with_rejections) mesh.TouchAll();
  push();
  for (Proxy* proxy : proxies) {
    proxy->SetExtra({});
    proxy->Follow();
    while (proxy->Step(false)) {
    }
  }
  ExpectEndsWithAll(&mesh, world, absl::StrCat("world, seed ", seed));
  ExpectEndsWithAll(&mesh, delta, absl::StrCat("delta, seed ", seed));
}

TEST(Equivalence, WhateverTheOrderOfSnapshotsNamesAndReconnects) {
  for (unsigned seed = 1; seed <= 150 && !::testing::Test::HasFailure(); ++seed) {
    RunStory(seed, /*with_rejections=*/false);
  }
}

TEST(Equivalence, WithRejectionsInBetween) {
  for (unsigned seed = 1001; seed <= 1150 && !::testing::Test::HasFailure(); ++seed) {
    RunStory(seed, /*with_rejections=*/true);
  }
}

}  // namespace
}  // namespace meltemi::pilot
