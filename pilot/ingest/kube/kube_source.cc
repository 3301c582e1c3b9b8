#include "pilot/ingest/kube/kube_source.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "pilot/ingest/decode/kinds.h"
#include "pilot/ingest/kube/discoverer.h"
#include "pilot/ingest/kube/feed.h"
#include "pilot/ingest/kube/inbox.h"
#include "pilot/ingest/kube/kube_store.h"

namespace meltemi::pilot {
namespace {

constexpr char kMissing[] = "MELT0004";
// While the first reading lasts: how often the log says what is waited for.
constexpr Duration kWaitingTold = seconds(10);

const KindInfo& InfoOf(Kind kind) {
  for (const KindInfo& info : AllKinds()) {
    if (info.kind == kind) return info;
  }
  BUG_ONCE("a kind without information");
  return AllKinds().front();
}

std::string NameOf(const KindInfo& info) {
  return absl::StrCat(KindName(info.kind), info.group.empty() ? "" : ".", info.group);
}

// Of the Kubernetes kinds, Endpoints say nothing that slices do not.
bool IsCore(const KindInfo& info) { return !info.message_is_spec && info.kind != Kind::kEndpoints; }

class KubeSourceImpl final : public KubeSource {
 public:
  KubeSourceImpl(Loop& loop, kube::Client& client, kube::Executor& executor,
                 KubeSourceOptions options, KubeValidator validator,
                 ConfigSource::OnChange on_change)
      : loop_(loop),
        client_(client),
        executor_(executor),
        options_(std::move(options)),
        validator_(std::move(validator)),
        on_change_(std::move(on_change)),
        inbox_(std::make_shared<Inbox>(loop, [this] { OnNews(); })),
        waiting_timer_(loop.NewTimer([this] { OnWaiting(); })) {}

  absl::Status Start() override;
  void Refresh() override {
    if (discoverer_ != nullptr) discoverer_->Look();
  }
  std::vector<ObjectPtr> Objects() const override { return store_.Objects(); }
  std::vector<Diagnostic> Diagnostics() const override;
  LiveObjectPtr Live(const ObjectKey& key) const override { return store_.Live(key); }
  std::vector<ObjectKey> LiveKeys() const override { return store_.LiveKeys(); }
  void SetOnLive(LiveObjects::OnChange on_change) override { on_live_ = std::move(on_change); }

 private:
  void AddFeed(const KindInfo& info, const kube::ApiResource& resource);
  void DropFeed(Kind kind);
  void OnFound(const ServedKinds& found);
  void OnNews();
  void OnWaiting();
  // The kinds that are not read yet.
  std::vector<Kind> Unread() const;
  void TellWhenReady();
  // `diagnostics`: others than before, apart from those of objects.
  void Tell(bool diagnostics = false);

  Loop& loop_;
  kube::Client& client_;
  kube::Executor& executor_;
  const KubeSourceOptions options_;
  const KubeValidator validator_;
  ConfigSource::OnChange on_change_;
  LiveObjects::OnChange on_live_;
  const std::shared_ptr<Inbox> inbox_;
  const std::unique_ptr<Timer> waiting_timer_;

  KubeStore store_;
  std::map<Kind, std::shared_ptr<Feed>> feeds_;
  bool found_once_ = false;  // which kinds there are
  std::vector<Kind> missing_;
  bool told_ = false;             // the first OnChange is behind us
  bool waited_enough_ = false;    // for what is refused
  Duration waited_ = Duration();  // before the first OnChange
  // Last: what it finds goes to all of the above.
  std::unique_ptr<Discoverer> discoverer_;
};

absl::Status KubeSourceImpl::Start() {
  for (const KindInfo& info : AllKinds()) {
    if (IsCore(info)) AddFeed(info, kube::ResourceOf(*PrototypeOf(info).GetDescriptor()));
  }
  discoverer_ = StartDiscoverer(loop_, client_, executor_,
                                {.interval_missing = options_.discovery_interval_missing,
                                 .interval = options_.discovery_interval,
                                 .informer = options_.informer},
                                [this](const ServedKinds& found) { OnFound(found); });
  waiting_timer_->Arm(std::min(kWaitingTold, options_.wait_max));
  return absl::OkStatus();
}

void KubeSourceImpl::AddFeed(const KindInfo& info, const kube::ApiResource& resource) {
  auto feed = std::make_shared<Feed>(client_, executor_, inbox_,
                                     FeedOptions{.info = info,
                                                 .resource = resource,
                                                 .validator = validator_,
                                                 .informer = options_.informer});
  feed->Start();
  feeds_[info.kind] = std::move(feed);
}

// A feed ends on the executor: it waits for a call that is under way, for which the loop has no
// time.
void KubeSourceImpl::DropFeed(Kind kind) {
  const auto at = feeds_.find(kind);
  if (at == feeds_.end()) return;
  inbox_->Close(kind);
  executor_.Run([feed = std::exchange(at->second, nullptr)]() mutable { feed.reset(); });
  feeds_.erase(at);
}

void KubeSourceImpl::OnFound(const ServedKinds& found) {
  std::vector<Kind> missing;
  for (const KindInfo& info : AllKinds()) {
    if (!info.message_is_spec) continue;
    const auto served = found.find(info.kind);
    const auto feed = feeds_.find(info.kind);
    if (served == found.end()) {
      missing.push_back(info.kind);
      if (feed == feeds_.end()) continue;
      LOG(kWarn, "kube", "the API server has no ", NameOf(info),
          " any more: all objects of this kind are gone");
      DropFeed(info.kind);
      store_.Replace(info.kind, {});
    } else if (feed == feeds_.end()) {
      LOG(kInfo, "kube", "reading ", NameOf(info), "/", served->second.version);
      AddFeed(info, served->second);
    } else if (!(feed->second->resource() == served->second)) {
      LOG(kInfo, "kube", NameOf(info), " is no longer served as ", feed->second->resource().version,
          ": reading ", served->second.version);
      DropFeed(info.kind);
      AddFeed(info, served->second);
    }
  }
  const bool changed = missing != missing_ || !found_once_;
  if (changed && !missing.empty()) {
    std::string names;
    for (const Kind kind : missing) {
      absl::StrAppend(&names, names.empty() ? "" : ", ", NameOf(InfoOf(kind)));
    }
    LOG(kWarn, "kube", "the API server has no ", names,
        ": their definitions are not installed; they are read as soon as they are");
  }
  missing_ = std::move(missing);
  found_once_ = true;
  if (!told_) return TellWhenReady();
  Tell(/*diagnostics=*/changed);
}

void KubeSourceImpl::OnNews() {
  for (auto& [kind, news] : inbox_->Take()) {
    const auto feed = feeds_.find(kind);
    if (feed == feeds_.end()) continue;
    if (news.all.has_value()) {
      feed->second->listed = true;
      store_.Replace(kind, *std::move(news.all));
    }
    for (auto& [key, arrival] : news.then) store_.Apply(std::move(arrival));
    feed->second->failure = news.failure.value_or(kube::Status{.code = 0, .message = ""});
  }
  if (!told_) return TellWhenReady();
  Tell();
}

std::vector<Kind> KubeSourceImpl::Unread() const {
  std::vector<Kind> out;
  for (const auto& [kind, feed] : feeds_) {
    if (!feed->listed) out.push_back(kind);
  }
  return out;
}

void KubeSourceImpl::TellWhenReady() {
  if (!found_once_) return;
  for (const Kind kind : Unread()) {
    const kube::Status& failure = feeds_.at(kind)->failure;
    // What the server has refused, it will refuse again; what it has not answered may yet come.
    const bool refused = failure.code >= 400 && failure.code < 500 && failure.code != 429;
    if (!waited_enough_ || !refused) return;
    LOG(kError, "kube", NameOf(InfoOf(kind)),
        " can't be read, going on without: ", failure.message);
  }
  told_ = true;
  waiting_timer_->Disarm();
  LOG(kInfo, "kube", "read ", store_.size(), " objects of ", feeds_.size(), " kinds");
  KubeStore::Effect effect = store_.Take();
  on_change_(effect.changes);
  if (on_live_) on_live_(effect.live);
}

void KubeSourceImpl::OnWaiting() {
  const Duration step = std::min(kWaitingTold, options_.wait_max);
  waited_ += step;
  waited_enough_ = waited_ >= options_.wait_max;
  std::string names = found_once_ ? "" : "which kinds there are";
  for (const Kind kind : Unread()) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", NameOf(InfoOf(kind)));
    const std::string& why = feeds_.at(kind)->failure.message;
    if (!why.empty()) absl::StrAppend(&names, " (", why, ")");
  }
  LOG(kWarn, "kube", "still waiting for the API server to tell: ", names);
  waiting_timer_->Arm(step);
  TellWhenReady();
}

void KubeSourceImpl::Tell(bool diagnostics) {
  KubeStore::Effect effect = store_.Take();
  if (!effect.changes.empty() || effect.diagnostics || diagnostics) on_change_(effect.changes);
  if (!effect.live.empty() && on_live_) on_live_(effect.live);
}

std::vector<Diagnostic> KubeSourceImpl::Diagnostics() const {
  std::vector<Diagnostic> all = store_.Diagnostics();
  for (const Kind kind : missing_) {
    all.push_back({.severity = Severity::kWarning,
                   .code = kMissing,
                   .object = std::string(KindName(kind)),
                   .message = absl::StrCat("the API server has no ", NameOf(InfoOf(kind)),
                                           ": install its definition (meltemi install)")});
  }
  for (const auto& [kind, feed] : feeds_) {
    if (feed->listed || feed->failure.message.empty()) continue;
    all.push_back(
        {.severity = Severity::kError,
         .code = kMissing,
         .object = std::string(KindName(kind)),
         .message = absl::StrCat(NameOf(InfoOf(kind)), " can't be read: ", feed->failure.message)});
  }
  SortDiagnostics(&all);
  return all;
}

}  // namespace

std::unique_ptr<KubeSource> NewKubeSource(Loop& loop, kube::Client& client,
                                          kube::Executor& executor, KubeSourceOptions options,
                                          KubeValidator validator,
                                          ConfigSource::OnChange on_change) {
  return std::make_unique<KubeSourceImpl>(loop, client, executor, std::move(options),
                                          std::move(validator), std::move(on_change));
}

}  // namespace meltemi::pilot
