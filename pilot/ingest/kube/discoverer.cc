#include "pilot/ingest/kube/discoverer.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "kube/client/meta.h"
#include "kube/discovery/discovery.h"
#include "kube/executor/guard.h"
#include "kube/informer/reflector.h"
#include "kube/meta/v1/meta.pb.h"
#include "pilot/ingest/decode/kinds.h"

namespace meltemi::pilot {
namespace {

using google::protobuf::Message;

// A definition is served a moment after it is written.
constexpr Duration kSettle = milliseconds(100);
constexpr Duration kAgain = seconds(1);
constexpr Duration kAgainMax = seconds(30);

// The names of Istio's definitions, by list and watch.
class DefinitionWatch final : public kube::ReflectorSink {
 public:
  DefinitionWatch(kube::Client& client, kube::Executor& executor,
                  const kube::InformerOptions& options, std::function<void()> on_change)
      : on_change_(std::move(on_change)),
        reflector_(std::make_shared<kube::Reflector>(
            client, executor, options,
            kube::ReflectedKind{
                .prototype = kube::meta::v1::PartialObjectMetadata::default_instance(),
                .resource = {"apiextensions.k8s.io", "v1", "customresourcedefinitions",
                             "CustomResourceDefinition", false},
                .metadata_only = true},
            *this)) {}
  ~DefinitionWatch() override { reflector_->Stop(); }
  void Start() { reflector_->Start(); }

  // Names of definitions, "virtualservices.networking.istio.io".
  std::set<std::string> Names() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return names_;
  }

 private:
  static bool Counts(absl::string_view name) { return absl::EndsWith(name, ".istio.io"); }

  void OnListBegin() override { listed_.clear(); }
  void OnListed(std::unique_ptr<Message> object) override {
    const std::string& name = kube::MetaOf(*object).name();
    if (Counts(name)) listed_.insert(name);
  }
  void OnList(int64_t) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      names_ = std::exchange(listed_, {});
    }
    on_change_();
  }
  void OnObject(std::unique_ptr<Message> object, bool gone, int64_t) override {
    const std::string& name = kube::MetaOf(*object).name();
    if (!Counts(name)) return;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (gone) {
        names_.erase(name);
      } else {
        names_.insert(name);
      }
    }
    on_change_();
  }
  void OnBookmark(int64_t) override {}
  // Without the right to see them it is looked from time to time.
  void OnFailure(const kube::Status&) override {}

  const std::function<void()> on_change_;
  std::set<std::string> listed_;
  mutable std::mutex mutex_;
  std::set<std::string> names_;  // guarded by mutex_
  const std::shared_ptr<kube::Reflector> reflector_;
};

class DiscovererImpl final : public Discoverer,
                             public std::enable_shared_from_this<DiscovererImpl> {
 public:
  DiscovererImpl(Loop& loop, kube::Client& client, kube::Executor& executor,
                 const DiscovererOptions& options, std::function<void(const ServedKinds&)> on_found)
      : loop_(loop),
        client_(client),
        executor_(executor),
        options_(options),
        on_found_(std::move(on_found)),
        guard_(std::make_shared<kube::WorkGuard>()),
        timer_(loop.NewTimer([this] { Look(); })) {}

  ~DiscovererImpl() override {
    definitions_ = nullptr;
    guard_->Stop();
  }

  void Start() {
    definitions_ = std::make_unique<DefinitionWatch>(client_, executor_, options_.informer,
                                                     [this, weak = weak_from_this()] {
                                                       loop_.Post([weak] {
                                                         if (const auto self = weak.lock())
                                                           self->Soon();
                                                       });
                                                     });
    definitions_->Start();
    Look();
  }

  void Look() override {
    if (looking_) {
      again_ = true;
      return;
    }
    looking_ = true;
    timer_->Disarm();
    executor_.Run([this, guard = guard_, weak = weak_from_this()] {
      if (!guard->Enter()) return;
      auto served = std::make_shared<kube::Result<kube::ServedResources>>(kube::Discover(client_));
      loop_.Post([weak, served] {
        if (const auto self = weak.lock()) self->OnLooked(*served);
      });
      guard->Leave();
    });
  }

 private:
  void Soon() {
    tries_ = 0;
    timer_->Arm(kSettle);
  }
  void OnLooked(const kube::Result<kube::ServedResources>& served);
  void Take(const kube::ServedResources& served);
  // Whether a definition has come or gone that the last look did not show.
  bool Behind() const;
  void Next(bool failed);

  Loop& loop_;
  kube::Client& client_;
  kube::Executor& executor_;
  const DiscovererOptions options_;
  const std::function<void(const ServedKinds&)> on_found_;
  const std::shared_ptr<kube::WorkGuard> guard_;
  const std::unique_ptr<Timer> timer_;
  std::unique_ptr<DefinitionWatch> definitions_;
  ServedKinds found_;
  bool looking_ = false;
  bool again_ = false;
  int tries_ = 0;  // in a row, without what was hoped for
};

void DiscovererImpl::OnLooked(const kube::Result<kube::ServedResources>& served) {
  looking_ = false;
  if (served.ok()) {
    Take(*served);
    on_found_(found_);
  } else {
    LOG(kWarn, "kube", "the API server does not say which kinds it has: ", served.status().message);
  }
  if (std::exchange(again_, false)) return Look();
  Next(!served.ok());
}

void DiscovererImpl::Take(const kube::ServedResources& served) {
  for (const KindInfo& info : AllKinds()) {
    if (!info.message_is_spec) continue;
    const kube::ApiResource* best = nullptr;
    bool failed = false;
    // The version that is in use goes first, then newer ones.
    const auto known = found_.find(info.kind);
    std::vector<std::string> versions;
    if (known != found_.end()) versions.push_back(known->second.version);
    for (const absl::string_view version : info.versions) {
      if (!version.empty()) versions.emplace_back(version);
    }
    for (const std::string& version : versions) {
      const std::string api_version = absl::StrCat(info.group, "/", version);
      failed = failed || served.failures.count(api_version) > 0;
      const kube::ServedResource* resource = served.FindKind(api_version, KindName(info.kind));
      if (resource == nullptr || best != nullptr) continue;
      if (resource->Can("list") && resource->Can("watch")) best = &resource->resource;
    }
    if (best != nullptr) {
      found_[info.kind] = *best;
    } else if (!failed) {
      found_.erase(info.kind);
    }
  }
}

bool DiscovererImpl::Behind() const {
  const std::set<std::string> names = definitions_->Names();
  size_t ours = 0;
  for (const KindInfo& info : AllKinds()) {
    if (!info.message_is_spec) continue;
    // How a definition is named follows from the plural, which is known of what is served; of the
    // rest it is the kind in small letters with an "s" or "ies".
    const auto at = found_.find(info.kind);
    std::string plural = absl::AsciiStrToLower(KindName(info.kind));
    if (at != found_.end()) {
      plural = at->second.resource;
    } else if (absl::EndsWith(plural, "ry") || absl::EndsWith(plural, "cy")) {
      plural = absl::StrCat(plural.substr(0, plural.size() - 1), "ies");
    } else {
      absl::StrAppend(&plural, "s");
    }
    const bool defined = names.count(absl::StrCat(plural, ".", info.group)) > 0;
    if (defined && at == found_.end()) return true;
    if (defined) ++ours;
  }
  // Where no definition is seen there is no right to see them.
  return ours > 0 && found_.size() > ours;
}

void DiscovererImpl::Next(bool failed) {
  if (failed || Behind()) {
    const Duration delay = std::min(kAgainMax, kAgain * (int64_t{1} << std::min(tries_++, 5)));
    return timer_->Arm(delay);
  }
  tries_ = 0;
  size_t wanted = 0;
  for (const KindInfo& info : AllKinds()) wanted += info.message_is_spec ? 1 : 0;
  timer_->Arm(found_.size() < wanted ? options_.interval_missing : options_.interval);
}

// What others hold: the work under way keeps the rest alive no longer than this.
class Handle final : public Discoverer {
 public:
  explicit Handle(std::shared_ptr<DiscovererImpl> impl) : impl_(std::move(impl)) {}
  void Look() override { impl_->Look(); }

 private:
  const std::shared_ptr<DiscovererImpl> impl_;
};

}  // namespace

std::unique_ptr<Discoverer> StartDiscoverer(Loop& loop, kube::Client& client,
                                            kube::Executor& executor,
                                            const DiscovererOptions& options,
                                            std::function<void(const ServedKinds&)> on_found) {
  auto impl =
      std::make_shared<DiscovererImpl>(loop, client, executor, options, std::move(on_found));
  impl->Start();
  return std::make_unique<Handle>(std::move(impl));
}

}  // namespace meltemi::pilot
