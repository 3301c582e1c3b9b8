// Incremental requests of a client that keeps to the protocol but not to any order, and of one that
// keeps to nothing. The first ends with what the source has, whatever happened; with the second
// nothing breaks, and there is never more than one unanswered response of a type.
//
// The first byte says which; the others are read as a script.
#include <google/protobuf/any.pb.h>
#include <google/protobuf/wrappers.pb.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "pilot/push/delta_session.h"
#include "pilot/push/source_fake.h"

namespace meltemi::pilot {
namespace {

using ::envoy::service::discovery::v3::DeltaDiscoveryRequest;
using ::envoy::service::discovery::v3::DeltaDiscoveryResponse;

constexpr XdsType kTypes[] = {XdsType::kCluster, XdsType::kEndpoint, XdsType::kListener,
                              XdsType::kRoute};
constexpr int kNames = 6;

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
  std::string Name() { return absl::StrCat("n", Next() % kNames); }
  XdsType Type() { return kTypes[Next() % 4]; }

 private:
  const uint8_t* data_;
  size_t left_;
};

// What changes at the source, for both.
class World {
 public:
  World() {
    source.on_change = [this] { ++version; };
  }
  void Change(Script* script) {
    const XdsType type = script->Type();
    const std::string name = script->Name();
    if (script->Next() % 3 == 0) return source.Remove(type, name);
    std::vector<std::string> needs;
    if (SessionCore::IsFullState(type)) needs.push_back(name);
    source.Set(type, name, absl::StrCat(name, ":", ++counter_), std::move(needs));
  }
  FakeSource source;
  uint64_t version = 1;

 private:
  int counter_ = 0;
};

// A client that keeps to the protocol.
class Client {
 public:
  explicit Client(World* world) : world_(*world) { Connect(); }

  void Act(Script* script) {
    const XdsType type = script->Type();
    const std::string name = script->Name();
    Interest& interest = At(type);
    switch (script->Next() % 6) {
      case 0:
        return Subscribe(type, {name});
      case 1:
        if (interest.names.contains(name)) Unsubscribe(type, name);
        return;
      case 2:
        if (SessionCore::IsFullState(type) && !interest.wildcard) Subscribe(type, {"*"});
        return;
      case 3:
        if (interest.wildcard) Unsubscribe(type, "*");
        return;
      case 4:
        return Step(script->Next() % 2 == 0);
      default:
        if (script->Next() % 8 == 0) Connect();
    }
  }
  void OnChange() { session_->OnSnapshot(world_.version); }

  // Takes all that is due; false: it does not end.
  void Drain() {
    for (int i = 0; i < 1000; ++i) {
      for (const XdsType type : kTypes) Answer(type);
      if (Take()) continue;
      const std::optional<MonotonicTime> at = session_->WakeAt(now_);
      if (!at.has_value()) return;
      now_ = *at;
    }
    Require(false, "there is no end of responses");
  }

  void ExpectAll() {
    for (const XdsType type : kTypes) {
      const Interest& interest = At(type);
      std::map<std::string, std::string> all;
      const ResourceSetPtr set = world_.source.All(type);
      for (const ResourcePtr& resource : set->resources) {
        if (interest.wildcard || interest.names.contains(resource->name)) {
          all[resource->name] = VersionText(resource->hash);
        }
      }
      for (const auto& [name, version] : all) {
        const auto has = interest.versions.find(name);
        Require(has != interest.versions.end() && has->second == version,
                absl::StrCat("the client lacks ", std::string(XdsTypeShortName(type)), " ", name));
      }
      // Endpoints and routes end with what uses them.
      if (!SessionCore::IsFullState(type)) continue;
      for (const auto& [name, version] : interest.versions) {
        Require(all.contains(name), absl::StrCat("the client still has ",
                                                 std::string(XdsTypeShortName(type)), " ", name));
      }
    }
  }

 private:
  struct Interest {
    bool begun = false;  // on any stream
    bool wildcard = false;
    std::set<std::string> names;
    std::map<std::string, std::string> versions;  // of what it has
    std::string nonce;                            // unanswered; "": nothing
  };
  Interest& At(XdsType type) { return interests_[static_cast<size_t>(type)]; }

  void Connect() {
    session_ = std::make_unique<DeltaSession>(&world_.source, SessionOptions{});
    session_->OnSnapshot(world_.version);
    for (const XdsType type : kTypes) {
      Interest& interest = At(type);
      interest.nonce.clear();
      if (!interest.begun) continue;
      DeltaDiscoveryRequest request = Request(type);
      for (const std::string& name : interest.names) request.add_resource_names_subscribe(name);
      // Everything may be asked for without a word, as the first thing.
      if (interest.wildcard && !interest.names.empty()) request.add_resource_names_subscribe("*");
      const bool nothing = !interest.wildcard && interest.names.empty();
      if (nothing) {
        interest = Interest();
        continue;
      }
      for (const auto& [name, version] : interest.versions) {
        (*request.mutable_initial_resource_versions())[name] = version;
      }
      session_->OnRequest(request);
    }
  }
  static DeltaDiscoveryRequest Request(XdsType type) {
    DeltaDiscoveryRequest request;
    request.set_type_url(std::string(XdsTypeUrl(type)));
    return request;
  }
  void Subscribe(XdsType type, const std::set<std::string>& names) {
    Interest& interest = At(type);
    DeltaDiscoveryRequest request = Request(type);
    for (const std::string& name : names) {
      request.add_resource_names_subscribe(name);
      if (name == "*") {
        interest.wildcard = true;
      } else {
        interest.names.insert(name);
      }
    }
    interest.begun = true;
    session_->OnRequest(request);
  }
  void Unsubscribe(XdsType type, const std::string& name) {
    Interest& interest = At(type);
    if (name == "*") {
      interest.wildcard = false;
    } else {
      interest.names.erase(name);
    }
    // Forgotten, unless it is wanted otherwise: under a wildcard the server says whether it stays.
    std::erase_if(interest.versions, [&](const auto& entry) {
      return !interest.wildcard && !interest.names.contains(entry.first);
    });
    DeltaDiscoveryRequest request = Request(type);
    request.add_resource_names_unsubscribe(name);
    session_->OnRequest(request);
  }
  void Step(bool answer) {
    if (Take() && answer) Answer(last_);
  }
  void Answer(XdsType type) {
    Interest& interest = At(type);
    if (interest.nonce.empty()) return;
    DeltaDiscoveryRequest request = Request(type);
    request.set_response_nonce(std::exchange(interest.nonce, ""));
    session_->OnRequest(request);
  }
  bool Take() {
    const std::optional<Response> response = session_->Next(now_);
    if (!response.has_value()) return false;
    last_ = response->type;
    Interest& interest = At(last_);
    Require(interest.nonce.empty(), "two unanswered responses of a type");
    DeltaDiscoveryResponse message;
    Require(message.ParseFromString(response->message.ToString()), "not a response");
    interest.nonce = message.nonce();
    for (const auto& resource : message.resources()) {
      // What it has given up meanwhile is left aside.
      if (!interest.wildcard && !interest.names.contains(resource.name())) continue;
      interest.versions[resource.name()] = resource.version();
    }
    for (const std::string& name : message.removed_resources()) {
      if (SessionCore::IsFullState(last_)) interest.versions.erase(name);
    }
    return true;
  }

  World& world_;
  std::unique_ptr<DeltaSession> session_;
  std::array<Interest, kXdsTypes> interests_;
  MonotonicTime now_{};
  XdsType last_ = XdsType::kCluster;
};

void RunClient(Script* script) {
  World world;
  Client client(&world);
  while (!script->done()) {
    if (script->Next() % 3 == 0) {
      world.Change(script);
      client.OnChange();
    } else {
      client.Act(script);
    }
  }
  client.Drain();
  client.ExpectAll();
}

// Bytes that may or may not be a request, between changes and responses.
void RunAnything(Script* script) {
  World world;
  DeltaSession session(&world.source, SessionOptions{.names_max = 50});
  session.OnSnapshot(world.version);
  MonotonicTime now{};
  while (!script->done()) {
    const unsigned what = script->Next() % 4;
    if (what == 0) {
      world.Change(script);
      session.OnSnapshot(world.version);
    } else if (what == 1) {
      now += milliseconds(script->Next() * 10);
      const std::optional<Response> response = session.Next(now);
      if (!response.has_value()) continue;
      DeltaDiscoveryResponse message;
      Require(message.ParseFromString(response->message.ToString()), "not a response");
    } else {
      DeltaDiscoveryRequest request;
      if (!request.ParseFromString(script->Take(script->Next()))) continue;
      if (session.OnRequest(request) == SessionEvent::kTooMany) return;
    }
    for (const XdsType type : kTypes) {
      Require(session.Status(type).subscribed <= 50, "more names than allowed");
    }
  }
}

}  // namespace
}  // namespace meltemi::pilot

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  meltemi::pilot::Script script(data + 1, size - 1);
  if (data[0] % 2 == 0) {
    meltemi::pilot::RunClient(&script);
  } else {
    meltemi::pilot::RunAnything(&script);
  }
  return 0;
}
