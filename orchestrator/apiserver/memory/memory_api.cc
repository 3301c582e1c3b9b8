#include "orchestrator/apiserver/memory/memory_api.h"

#include <map>
#include <set>
#include <utility>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/json/parse.h"
#include "base/log/log.h"
#include "orchestrator/apiserver/admission/chain.h"
#include "orchestrator/apiserver/authz/chain.h"
#include "orchestrator/apiserver/bootstrap/system_objects.h"
#include "orchestrator/apiserver/crd/crd_catalog.h"
#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/apiserver/kinds/service_allocation.h"
#include "orchestrator/apiserver/kinds/strategy.h"
#include "orchestrator/apiserver/memory/memory_cache.h"
#include "orchestrator/apiserver/memory/memory_store.h"
#include "orchestrator/apiserver/memory/memory_watches.h"
#include "orchestrator/apiserver/openapi/discovery.h"
#include "orchestrator/apiserver/verbs/rest.h"
#include "orchestrator/apiserver/verbs/stored_objects.h"

namespace meltemi::apiserver {
namespace {

kube::Status Unreachable(absl::string_view what) {
  kube::Status status;
  status.code = 0;
  status.message = std::string(what);
  return status;
}

// Services get their addresses and ports after every plugin has had its say.
class WithAllocation final : public Admission {
 public:
  WithAllocation(std::unique_ptr<Admission> plugins, ServiceAllocation& allocation)
      : plugins_(std::move(plugins)), allocation_(allocation) {}
  kube::Outcome Mutate(AdmissionRequest& request) override {
    kube::Outcome outcome = plugins_->Mutate(request);
    return outcome.ok() ? allocation_.Mutate(request) : std::move(outcome);
  }
  kube::Outcome Validate(AdmissionRequest& request) override { return plugins_->Validate(request); }

 private:
  const std::unique_ptr<Admission> plugins_;
  ServiceAllocation& allocation_;
};

// As a path's and a query's parts are written in a request.
std::string PercentEncoded(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
        absl::StrContains("-_.~", absl::string_view(&c, 1))) {
      out.push_back(c);
    } else {
      absl::StrAppend(&out, "%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  return out;
}

UserInfo UserOf(absl::string_view name) {
  UserInfo user{.name = std::string(name), .groups = {"system:authenticated"}};
  if (absl::ConsumePrefix(&name, "system:serviceaccount:")) {
    const std::vector<std::string> parts = absl::StrSplit(name, ':');
    user.groups.push_back("system:serviceaccounts");
    user.groups.push_back(absl::StrCat("system:serviceaccounts:", parts.front()));
  } else if (absl::StartsWith(name, "system:node:")) {
    user.groups.push_back("system:nodes");
  }
  return user;
}

class Api final : public MemoryApi, public std::enable_shared_from_this<Api> {
 public:
  Api(const Clock& clock, Random& random)
      : clock_(clock), objects_random_(random.Next()), handler_random_(random.Next()) {
    MakeCatalog(random.Next());
    MakeHandlers();
    const absl::Status made = EnsureSystemObjects({.service_ip = allocation_->FirstIp(),
                                                   .advertise_address = "10.0.0.1",
                                                   .storage_class = false},
                                                  *catalogs_, *objects_, clock_);
    CHECK(made.ok());
    catalogs_->StartInSteps(*objects_);
  }

  std::unique_ptr<Process> NewProcess(absl::string_view user) override;

  size_t undelivered() const override { return watches_.undelivered(); }
  void DeliverOne(uint64_t pick) override { watches_.DeliverOne(pick); }
  void DeliverAll() override {
    while (watches_.undelivered() > 0) watches_.DeliverOne(0);
  }
  void EndWatch(uint64_t pick, bool forget_history) override {
    if (!forget_history) {
      return watches_.EndOne(pick, kube::Status{.code = 200});
    }
    cache_.ForgetHistory();
    watches_.EndOne(pick, kube::ResourceExpired("The resourceVersion for the provided watch is "
                                                "too old."));
  }
  const std::vector<HistoryEntry>& history() const override { return history_; }
  int64_t revision() const override { return store_.revision(); }

  // What Process needs.
  kube::Result<kube::ApiAnswer> Serve(const UserInfo& user, const kube::ApiCall& call);
  uint64_t BeginWatch(uint64_t process, const UserInfo& user, const kube::ApiCall& call,
                      kube::WatchSink& sink);
  kube::Status NextRefusal();
  MemoryWatches& watches() { return watches_; }

 private:
  void MakeCatalog(uint64_t seed);
  void MakeHandlers();
  void Remember(const CacheEvent& event);
  Request RequestOf(const UserInfo& user, const kube::ApiCall& call, bool watch) const;
  Reply Route(Request& request);

  const Clock& clock_;
  FastRandom objects_random_, handler_random_;
  SchemaArena arena_;
  uint64_t processes_ = 0, refusals_ = 0;
  std::vector<HistoryEntry> history_;
  const UserInfo* serving_ = nullptr;  // whose call it is
  // In the order in which they are made: what is later uses what is earlier.
  std::unique_ptr<ServiceAllocation> allocation_;
  MemoryStore store_;
  MemoryCache cache_{store_};
  MemoryWatches watches_{cache_};
  std::unique_ptr<CrdCatalog> catalogs_;
  std::unique_ptr<RbacAuthorizer> rbac_;
  std::unique_ptr<Authorizer> authorizer_;
  std::unique_ptr<Admission> admission_;
  std::unique_ptr<Objects> objects_;
  std::unique_ptr<Handler> resources_, discovery_;
};

void Api::MakeCatalog(uint64_t seed) {
  absl::StatusOr<std::unique_ptr<ServiceAllocation>> allocation =
      ServiceAllocation::Create({}, clock_, std::make_unique<FastRandom>(seed));
  CHECK(allocation.ok());
  allocation_ = *std::move(allocation);
  std::vector<std::shared_ptr<const Resource>> builtin = BuiltinResources(arena_);
  std::set<kube::GroupResource> added;
  for (const std::shared_ptr<const Resource>& resource : builtin) {
    if (!resource->stored || resource->api_version() != resource->storage_version) continue;
    if (!added.insert(resource->storage).second) continue;
    cache_.AddResource(resource->storage, [resource](const json::Value& object) {
      return resource->strategy == nullptr ? kube::StringPairs()
                                           : resource->strategy->SelectableFields(object);
    });
  }
  allocation_->Follow(cache_);
  catalogs_ = NewCrdCatalog(std::move(builtin), cache_, clock_);
  cache_.SetListener([this](const EventPtr& event) {
    Remember(*event);
    watches_.OnEvent(event);
  });
}

void Api::MakeHandlers() {
  rbac_ = NewRbacAuthorizer(cache_);
  authorizer_ = NewAlwaysAllowAuthorizer();
  // No webhooks, which need a network; and no pod waits for its service account.
  absl::StatusOr<std::unique_ptr<Admission>> admission = NewAdmission(
      {.disabled = {"ServiceAccount", "MutatingAdmissionWebhook", "ValidatingAdmissionWebhook"}},
      {.clock = clock_,
       .cache = cache_,
       .catalogs = *catalogs_,
       .authorizer = *authorizer_,
       .rbac = *rbac_});
  CHECK(admission.ok());
  admission_ = std::make_unique<WithAllocation>(*std::move(admission), *allocation_);
  objects_ = NewObjects({.store = store_,
                         .cache = cache_,
                         .catalogs = *catalogs_,
                         .admission = *admission_,
                         .clock = clock_,
                         .random = objects_random_});
  resources_ = NewResourceHandler({.objects = *objects_,
                                   .cache = cache_,
                                   .catalogs = *catalogs_,
                                   .admission = *admission_,
                                   .clock = clock_,
                                   .random = handler_random_});
  discovery_ = NewDiscoveryHandler(*catalogs_);
}

void Api::Remember(const CacheEvent& event) {
  static constexpr absl::string_view kTypes[] = {"ADDED", "MODIFIED", "DELETED"};
  HistoryEntry entry;
  entry.revision = event.revision;
  entry.type = std::string(kTypes[static_cast<size_t>(event.type)]);
  entry.resource = event.storage.ToString();
  entry.ns = event.object->ns;
  entry.name = event.object->name;
  entry.json = event.object->json;
  entry.user = serving_ == nullptr ? "system:apiserver" : serving_->name;
  history_.push_back(std::move(entry));
}

Request Api::RequestOf(const UserInfo& user, const kube::ApiCall& call, bool watch) const {
  std::string query;
  for (const auto& [key, value] : call.query) {
    absl::StrAppend(&query, query.empty() ? "" : "&", PercentEncoded(key), "=",
                    PercentEncoded(value));
  }
  if (watch) absl::StrAppend(&query, query.empty() ? "" : "&", "watch=true");
  Request request;
  request.method = call.method;
  request.target = query.empty() ? call.path : absl::StrCat(call.path, "?", query);
  request.query = Query::Parse(query);
  request.info = ParseRequestInfo(call.method, call.path, query);
  request.headers = {{"accept", call.accept}, {"user-agent", user.name}};
  if (!call.body.empty()) request.headers["content-type"] = call.content_type;
  request.body = call.body;
  request.remote_address = "127.0.0.1";
  request.deadline = clock_.Now() + call.timeout;
  request.user = user;
  return request;
}

Reply Api::Route(Request& request) {
  if (request.info.is_resource) return resources_->Handle(request);
  const std::string& path = request.info.path;
  if (absl::StartsWith(path, "/api")) return discovery_->Handle(request);
  return StatusReply(kube::GenericStatus(404, "the server could not find the requested resource"));
}

kube::Result<kube::ApiAnswer> Api::Serve(const UserInfo& user, const kube::ApiCall& call) {
  Request request = RequestOf(user, call, false);
  serving_ = &user;
  Reply reply = Route(request);
  serving_ = nullptr;
  catalogs_->Step();
  Body* const body = std::get_if<Body>(&reply);
  if (body == nullptr) {
    return kube::ServiceUnavailable("an API server in memory has neither tunnels nor kubelets");
  }
  if (body->code < 300) return kube::ApiAnswer{body->code, std::move(body->bytes)};
  const absl::StatusOr<json::Value> status = json::Parse(body->bytes);
  if (!status.ok()) return kube::GenericStatus(body->code, body->bytes);
  return kube::Status::FromJson(*status, body->code);
}

uint64_t Api::BeginWatch(uint64_t process, const UserInfo& user, const kube::ApiCall& call,
                         kube::WatchSink& sink) {
  Request request = RequestOf(user, call, true);
  const Reply reply = Route(request);
  if (const auto* const watch = std::get_if<WatchAnswer>(&reply); watch != nullptr) {
    return watches_.Add(process, watch->query, sink);
  }
  const Body* const body = std::get_if<Body>(&reply);
  if (body == nullptr) return watches_.AddEnded(process, Unreachable("no watch"), sink);
  const absl::StatusOr<json::Value> status = json::Parse(body->bytes);
  return watches_.AddEnded(process,
                           status.ok() ? kube::Status::FromJson(*status, body->code)
                                       : kube::GenericStatus(body->code, body->bytes),
                           sink);
}

kube::Status Api::NextRefusal() {
  if (++refusals_ % 2 == 0) return kube::InternalError("refused on purpose");
  return kube::TooManyRequests("Too many requests, please try again later.", 1);
}

class WatchOfProcess final : public kube::ApiWatch {
 public:
  WatchOfProcess(std::weak_ptr<Api> api, uint64_t id) : api_(std::move(api)), id_(id) {}
  ~WatchOfProcess() override {
    if (const std::shared_ptr<Api> api = api_.lock(); api != nullptr) api->watches().Remove(id_);
  }

 private:
  const std::weak_ptr<Api> api_;
  const uint64_t id_;
};

class OneProcess final : public MemoryApi::Process, private kube::Client {
 public:
  OneProcess(std::weak_ptr<Api> api, uint64_t id, absl::string_view user)
      : api_(std::move(api)), id_(id), user_(UserOf(user)) {}
  ~OneProcess() override { Disconnect(); }

  kube::Client& client() override { return *this; }
  void Disconnect() override {
    if (!std::exchange(connected_, false)) return;
    if (const std::shared_ptr<Api> api = api_.lock(); api != nullptr) {
      api->watches().DropAllOf(id_);
    }
  }
  void SetFate(std::function<Fate(const kube::ApiCall&)> fate) override { fate_ = std::move(fate); }

 private:
  kube::Result<kube::ApiAnswer> Call(const kube::ApiCall& call) override {
    const std::shared_ptr<Api> api = api_.lock();
    if (!connected_ || api == nullptr) return Unreachable("the process is not connected");
    const Fate fate = fate_ ? fate_(call) : Fate::kPass;
    if (fate == Fate::kRefuse) return api->NextRefusal();
    // Asking may have disconnected it.
    if (fate == Fate::kLoseCall || (fate == Fate::kPass && !connected_)) {
      return Unreachable("the connection was lost");
    }
    kube::Result<kube::ApiAnswer> answer = api->Serve(user_, call);
    if (fate == Fate::kLoseAnswer) return Unreachable("the connection was lost");
    return answer;
  }

  std::unique_ptr<kube::ApiWatch> Watch(const kube::ApiCall& call, kube::WatchSink& sink) override {
    const std::shared_ptr<Api> api = api_.lock();
    if (!connected_ || api == nullptr) return std::make_unique<WatchOfProcess>(api_, 0);
    const Fate fate = fate_ ? fate_(call) : Fate::kPass;
    if (!connected_) return std::make_unique<WatchOfProcess>(api_, 0);
    uint64_t id = 0;
    if (fate == Fate::kPass) {
      id = api->BeginWatch(id_, user_, call, sink);
    } else {
      id = api->watches().AddEnded(
          id_, fate == Fate::kRefuse ? api->NextRefusal() : Unreachable("the connection was lost"),
          sink);
    }
    return std::make_unique<WatchOfProcess>(api_, id);
  }

  const std::weak_ptr<Api> api_;
  const uint64_t id_;
  const UserInfo user_;
  bool connected_ = true;
  std::function<Fate(const kube::ApiCall&)> fate_;
};

std::unique_ptr<MemoryApi::Process> Api::NewProcess(absl::string_view user) {
  return std::make_unique<OneProcess>(weak_from_this(), ++processes_, user);
}

// Processes and watches may outlive the API server: they find it gone.
class Holder final : public MemoryApi {
 public:
  Holder(const Clock& clock, Random& random) : api_(std::make_shared<Api>(clock, random)) {}
  std::unique_ptr<Process> NewProcess(absl::string_view user) override {
    return api_->NewProcess(user);
  }
  size_t undelivered() const override { return api_->undelivered(); }
  void DeliverOne(uint64_t pick) override { api_->DeliverOne(pick); }
  void DeliverAll() override { api_->DeliverAll(); }
  void EndWatch(uint64_t pick, bool forget_history) override {
    api_->EndWatch(pick, forget_history);
  }
  const std::vector<HistoryEntry>& history() const override { return api_->history(); }
  int64_t revision() const override { return api_->revision(); }

 private:
  const std::shared_ptr<Api> api_;
};

}  // namespace

std::unique_ptr<MemoryApi> NewMemoryApi(const Clock& clock, Random& random) {
  return std::make_unique<Holder>(clock, random);
}

}  // namespace meltemi::apiserver
