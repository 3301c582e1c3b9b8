#include "orchestrator/kubelet/images/images.h"

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cri/runtime/v1/image.pb.h"
#include "cri/runtime/v1/sandbox.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/core/v1/reference.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/kubelet/images/go_duration_text.h"
#include "orchestrator/kubelet/images/image_gc.h"
#include "orchestrator/kubelet/images/image_name.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Container;
using kube::core::v1::Pod;

constexpr char kAlways[] = "Always";
constexpr char kNever[] = "Never";
// Kinds of keys of the queue.
constexpr char kEntry[] = "entry";
constexpr char kPull[] = "pull";
constexpr char kGc[] = "gc";
// What was there is looked for again after this long.
constexpr Duration kPresentFor = seconds(5);
// ImagePullBackOff's event, at most so often.
constexpr Duration kBackOffEventEvery = seconds(15);

// What one container of one pod wants.
//
//   kNew -> kPresent
//        -> kPulling -> kPresent
//                    -> kFailed -> (later, when somebody wants it still) kNew
struct Entry {
  enum class Phase : uint8_t { kNew, kPulling, kPresent, kFailed };
  Phase phase = Phase::kNew;
  std::string uid, image;
  kube::core::v1::ObjectReference object;
  uint32_t attempt = 0;
  std::string ref;              // kPresent
  std::string reason, message;  // of the last failure, until the image has come
  std::string pull;             // kPulling: the key of the pull
  int failures = 0;             // of pulls, in a row
  MonotonicTime wanted_at{}, present_at{}, backoff_at{}, retry_at{};
  std::optional<MonotonicTime> backoff_told_at;
};

// One pull, for all who want the same with the same credentials.
struct Pull {
  std::string image;
  std::vector<PullAuth> auths;  // each is tried in turn; none: without
  size_t next_auth = 0;
  std::vector<std::string> errors;
  cri::PodSandboxConfig sandbox;
  bool running = false;
  MonotonicTime began_at{};
  std::optional<absl::StatusOr<std::string>> result;
};

class ImagesImpl;

// What an end of the runtime's finds when it is told late.
struct Inbox {
  std::mutex mutex;
  ImagesImpl* owner = nullptr;  // guarded by mutex
};

class ImagesImpl final : public Images {
 public:
  ImagesImpl(const ImagesOptions& options, Runtime& runtime, kube::Executor& executor,
             kube::EventRecorder& recorder, metrics::Registry* metrics)
      : options_(options),
        runtime_(runtime),
        clock_(executor.clock()),
        recorder_(recorder),
        gc_(options_, runtime, clock_),
        queue_(kube::NewController(
            {.name = "images", .workers = options.parallel_pulls_max + 1}, executor, metrics,
            [this](const kube::NamespacedName& key) { return Reconcile(key); })) {
    inbox_->owner = this;
    queue_->Start();
    queue_->AddAfter({kGc, ""}, options_.gc_period);
  }
  ~ImagesImpl() override {
    {
      const std::lock_guard<std::mutex> lock(inbox_->mutex);
      inbox_->owner = nullptr;
    }
    queue_.reset();  // waits for what is under way
  }

  ImageState Want(const std::shared_ptr<const Pod>& pod, const Container& container,
                  uint32_t attempt, const std::vector<PullAuth>& auths,
                  const cri::PodSandboxConfig& sandbox) override;
  void Forget(const std::string& pod_uid) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto end = entries_.upper_bound({pod_uid, std::string(1, '\x7f')});
    entries_.erase(entries_.lower_bound({pod_uid, ""}), end);
  }
  void OnChange(std::function<void(const std::string& pod_uid)> on_change) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    on_change_ = std::move(on_change);
  }

 private:
  using EntryKey = std::pair<std::string, std::string>;  // UID, container

  // All of these with mutex_ held.
  ImageState StateOf(Entry& entry);
  void Begin(Entry& entry, const Container& container, const std::vector<PullAuth>& auths,
             const cri::PodSandboxConfig& sandbox, std::unique_lock<std::mutex>& lock);
  void BeginPull(Entry& entry, const std::vector<PullAuth>& auths,
                 const cri::PodSandboxConfig& sandbox);
  void NextPull() {
    const bool room = running_pulls_ < options_.parallel_pulls_max;
    if (room && !waiting_pulls_.empty()) queue_->Add({kPull, waiting_pulls_.front()});
  }
  void Fail(Entry& entry, absl::string_view reason, std::string message);
  void FailPull(Entry& entry, std::string message);
  void Tell(const Entry& entry, absl::string_view type, absl::string_view reason,
            const std::string& message) {
    recorder_.RecordFor(entry.object, type, reason, message);
  }
  static kube::NamespacedName KeyOf(const Entry& entry) {
    return {kEntry, absl::StrCat(entry.uid, "/", entry.object.field_path())};
  }

  kube::ReconcileResult Reconcile(const kube::NamespacedName& key);
  kube::ReconcileResult LookAtEntry(const std::string& name);
  void LookAtPull(const std::string& key);
  void Run(const std::string& key, const Pull& pull);
  void End(const std::string& key, Pull pull);
  void Changed(const std::vector<std::string>& uids);

  const ImagesOptions options_;
  Runtime& runtime_;
  const Clock& clock_;
  kube::EventRecorder& recorder_;
  const std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  ImageGc gc_;  // touched by the queue's one key alone

  std::mutex mutex_;
  // Guarded by mutex_.
  std::map<EntryKey, Entry> entries_;
  std::map<std::string, Pull> pulls_;
  std::deque<std::string> waiting_pulls_;
  int running_pulls_ = 0;
  std::function<void(const std::string&)> on_change_;

  std::unique_ptr<kube::Controller> queue_;
};

kube::core::v1::ObjectReference ContainerReference(const Pod& pod, const Container& container) {
  kube::core::v1::ObjectReference out = kube::ReferenceTo(pod);
  const auto& inits = pod.spec().init_containers();
  const bool init = std::any_of(inits.begin(), inits.end(), [&](const Container& one) {
    return one.name() == container.name();
  });
  out.set_field_path(
      absl::StrCat(init ? "spec.initContainers{" : "spec.containers{", container.name(), "}"));
  return out;
}

ImageState ImagesImpl::Want(const std::shared_ptr<const Pod>& pod, const Container& container,
                            uint32_t attempt, const std::vector<PullAuth>& auths,
                            const cri::PodSandboxConfig& sandbox) {
  std::unique_lock<std::mutex> lock(mutex_);
  const EntryKey key{pod->metadata().uid(), container.name()};
  Entry& entry = entries_[key];
  const MonotonicTime now = clock_.Now();
  const bool other = entry.uid.empty() || entry.image != container.image();
  if (other || (entry.attempt != attempt && entry.phase == Entry::Phase::kPresent)) {
    entry = Entry{};
    entry.uid = key.first;
    entry.image = container.image();
    entry.object = ContainerReference(*pod, container);
  }
  entry.attempt = attempt;
  const bool stale = entry.phase == Entry::Phase::kPresent && now - entry.present_at > kPresentFor;
  const bool again = entry.phase == Entry::Phase::kFailed && now >= entry.retry_at;
  if (entry.phase == Entry::Phase::kNew || stale || again) {
    Begin(entry, container, auths, sandbox, lock);
    // The lock was free for a while: the entry may have been forgotten.
    const auto found = entries_.find(key);
    if (found == entries_.end()) return {.kind = ImageState::Kind::kPulling};
    return StateOf(found->second);
  }
  return StateOf(entry);
}

// Looks whether the image is there, with the lock released meanwhile, and goes on from there.
void ImagesImpl::Begin(Entry& entry, const Container& container, const std::vector<PullAuth>& auths,
                       const cri::PodSandboxConfig& sandbox, std::unique_lock<std::mutex>& lock) {
  std::string error;
  const std::string image = container.image();
  if (!ParseImageName(image, &error)) {
    const std::string message =
        absl::StrCat("Failed to apply default image tag \"", image,
                     "\": couldn't parse image name \"", image, "\": ", error);
    Tell(entry, kube::kWarning, "InspectFailed", message);
    return Fail(entry, "InvalidImageName", message);
  }
  const bool was_present = entry.phase == Entry::Phase::kPresent;
  if (container.image_pull_policy() == kAlways && !was_present) {
    return BeginPull(entry, auths, sandbox);
  }
  const EntryKey key{entry.uid, container.name()};
  lock.unlock();
  const absl::StatusOr<cri::Image> found = runtime_.ImageStatus(image);
  lock.lock();
  const auto it = entries_.find(key);
  if (it == entries_.end() || it->second.image != image) return;
  Entry& same = it->second;
  if (same.phase == Entry::Phase::kPulling) return;  // somebody else was quicker
  if (!found.ok()) {
    const std::string message =
        absl::StrCat("Failed to inspect image \"", image, "\": ", RuntimeErrorText(found.status()));
    Tell(same, kube::kWarning, "InspectFailed", message);
    return Fail(same, "ImageInspectError", message);
  }
  if (!found->id().empty()) {
    if (!was_present) {
      Tell(same, kube::kNormal, "Pulled",
           absl::StrCat("Container image \"", image, "\" already present on machine"));
      same.ref = found->id();
    }
    same.phase = Entry::Phase::kPresent;
    same.present_at = clock_.Now();
    same.reason.clear();
    same.failures = 0;
    return;
  }
  if (container.image_pull_policy() == kNever) {
    const std::string message =
        absl::StrCat("Container image \"", image, "\" is not present with pull policy of Never");
    Tell(same, kube::kWarning, "ErrImageNeverPull", message);
    return Fail(same, "ErrImageNeverPull", message);
  }
  BeginPull(same, auths, sandbox);
}

void ImagesImpl::BeginPull(Entry& entry, const std::vector<PullAuth>& auths,
                           const cri::PodSandboxConfig& sandbox) {
  entry.pull = entry.image;
  for (const PullAuth& auth : auths) {
    absl::StrAppend(&entry.pull, "\n", auth.server_address, "\n", auth.username, "\n",
                    auth.password, "\n", auth.auth, "\n", auth.identity_token, "\n",
                    auth.registry_token);
  }
  entry.phase = Entry::Phase::kPulling;
  entry.wanted_at = clock_.Now();
  Tell(entry, kube::kNormal, "Pulling", absl::StrCat("Pulling image \"", entry.image, "\""));
  if (pulls_.count(entry.pull) != 0) return;
  Pull& pull = pulls_[entry.pull];
  pull.image = entry.image;
  pull.auths = auths;
  pull.sandbox = sandbox;
  waiting_pulls_.push_back(entry.pull);
  queue_->Add({kPull, entry.pull});
}

void ImagesImpl::Fail(Entry& entry, absl::string_view reason, std::string message) {
  Tell(entry, kube::kWarning, "Failed", absl::StrCat("Error: ", reason));
  entry.phase = Entry::Phase::kFailed;
  entry.reason = std::string(reason);
  entry.message = std::move(message);
  entry.retry_at = clock_.Now() + options_.recheck;
  entry.backoff_at = entry.retry_at;
  queue_->AddAfter(KeyOf(entry), options_.recheck);
}

void ImagesImpl::FailPull(Entry& entry, std::string message) {
  Tell(entry, kube::kWarning, "Failed",
       absl::StrCat("Failed to pull image \"", entry.image, "\": ", message));
  Fail(entry, "ErrImagePull", std::move(message));
  Duration delay = options_.backoff_min;
  for (int i = 0; i < entry.failures && delay < options_.backoff_max; ++i) delay *= 2;
  delay = std::min(delay, options_.backoff_max);
  ++entry.failures;
  const MonotonicTime now = clock_.Now();
  entry.retry_at = now + delay;
  // For a while the failure itself is to be seen.
  entry.backoff_at = now + std::min<Duration>(delay / 2, options_.backoff_min);
  entry.backoff_told_at.reset();
  queue_->AddAfter(KeyOf(entry), entry.backoff_at - now);
}

ImageState ImagesImpl::StateOf(Entry& entry) {
  if (entry.phase == Entry::Phase::kPresent) {
    return {.kind = ImageState::Kind::kPresent, .ref = entry.ref};
  }
  if (entry.reason.empty()) return {.kind = ImageState::Kind::kPulling};
  ImageState out{
      .kind = ImageState::Kind::kFailed, .reason = entry.reason, .message = entry.message};
  const MonotonicTime now = clock_.Now();
  if (entry.reason != "ErrImagePull" || now < entry.backoff_at) return out;
  const std::string back_off = absl::StrCat("Back-off pulling image \"", entry.image, "\"");
  out.reason = "ImagePullBackOff";
  out.message = absl::StrCat(back_off, ": ErrImagePull: ", entry.message);
  const bool told = entry.backoff_told_at && now - *entry.backoff_told_at < kBackOffEventEvery;
  if (entry.phase == Entry::Phase::kFailed && !told) {
    entry.backoff_told_at = now;
    Tell(entry, kube::kNormal, "BackOff", back_off);
    Tell(entry, kube::kWarning, "Failed", "Error: ImagePullBackOff");
  }
  return out;
}

kube::ReconcileResult ImagesImpl::Reconcile(const kube::NamespacedName& key) {
  if (key.ns == kGc) {
    gc_.Collect();
    return kube::Again(options_.gc_period);
  }
  if (key.ns == kEntry) return LookAtEntry(key.name);
  LookAtPull(key.name);
  return kube::Finished();
}

// Its back-off begins to be shown, or is over: whoever wants it asks again.
kube::ReconcileResult ImagesImpl::LookAtEntry(const std::string& name) {
  std::string uid;
  std::optional<Duration> again;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [key, entry] : entries_) {
      if (KeyOf(entry).name != name || entry.phase != Entry::Phase::kFailed) continue;
      uid = entry.uid;
      if (clock_.Now() < entry.retry_at) again = entry.retry_at - clock_.Now();
    }
  }
  if (uid.empty()) return kube::Finished();
  Changed({uid});
  return again ? kube::Again(*again) : kube::Finished();
}

// Begins the pull when it is its turn, tries the next credentials, or ends it.
void ImagesImpl::LookAtPull(const std::string& key) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto it = pulls_.find(key);
  if (it == pulls_.end()) return;
  Pull& pull = it->second;
  if (!pull.running) {
    if (running_pulls_ >= options_.parallel_pulls_max) return;
    waiting_pulls_.erase(std::remove(waiting_pulls_.begin(), waiting_pulls_.end(), key),
                         waiting_pulls_.end());
    ++running_pulls_;
    pull.running = true;
    pull.began_at = clock_.Now();
    NextPull();
  } else if (!pull.result) {
    return;
  } else if (!pull.result->ok() && pull.next_auth + 1 < pull.auths.size()) {
    pull.errors.push_back(RuntimeErrorText(pull.result->status()));
    pull.result.reset();
    ++pull.next_auth;
  } else {
    Pull ended = std::move(pull);
    pulls_.erase(it);
    --running_pulls_;
    NextPull();
    lock.unlock();
    return End(key, std::move(ended));
  }
  const Pull copy = pull;
  lock.unlock();
  Run(key, copy);
}

void ImagesImpl::Run(const std::string& key, const Pull& pull) {
  const PullAuth auth = pull.auths.empty() ? PullAuth{} : pull.auths[pull.next_auth];
  runtime_.PullImage(pull.image, auth, &pull.sandbox,
                     [inbox = inbox_, key](absl::StatusOr<std::string> result) {
                       const std::lock_guard<std::mutex> alive(inbox->mutex);
                       ImagesImpl* const owner = inbox->owner;
                       if (owner == nullptr) return;
                       {
                         const std::lock_guard<std::mutex> lock(owner->mutex_);
                         const auto it = owner->pulls_.find(key);
                         if (it == owner->pulls_.end()) return;
                         it->second.result = std::move(result);
                       }
                       owner->queue_->Add({kPull, key});
                     });
}

void ImagesImpl::End(const std::string& key, Pull pull) {
  const absl::StatusOr<std::string>& result = *pull.result;
  uint64_t bytes = 0;
  if (result.ok()) {
    const absl::StatusOr<cri::Image> image = runtime_.ImageStatus(*result);
    if (image.ok()) bytes = image->size();
  } else {
    pull.errors.push_back(RuntimeErrorText(result.status()));
  }
  std::vector<std::string> uids;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const MonotonicTime now = clock_.Now();
    for (auto& [entry_key, entry] : entries_) {
      if (entry.phase != Entry::Phase::kPulling || entry.pull != key) continue;
      uids.push_back(entry.uid);
      if (!result.ok()) {
        FailPull(entry, pull.errors.size() == 1
                            ? pull.errors[0]
                            : absl::StrCat("[", absl::StrJoin(pull.errors, ", "), "]"));
        continue;
      }
      entry.phase = Entry::Phase::kPresent;
      entry.ref = *result;
      entry.present_at = now;
      entry.reason.clear();
      entry.failures = 0;
      Tell(entry, kube::kNormal, "Pulled",
           absl::StrCat("Successfully pulled image \"", entry.image, "\" in ",
                        GoDurationText(now - std::max(pull.began_at, entry.wanted_at)), " (",
                        GoDurationText(now - entry.wanted_at),
                        " including waiting). Image size: ", bytes, " bytes."));
    }
  }
  Changed(uids);
}

void ImagesImpl::Changed(const std::vector<std::string>& uids) {
  std::function<void(const std::string&)> on_change;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    on_change = on_change_;
  }
  if (!on_change) return;
  for (const std::string& uid : uids) on_change(uid);
}

}  // namespace

std::unique_ptr<Images> NewImages(const ImagesOptions& options, Runtime& runtime,
                                  kube::Executor& executor, kube::EventRecorder& recorder,
                                  metrics::Registry* metrics) {
  return std::make_unique<ImagesImpl>(options, runtime, executor, recorder, metrics);
}

}  // namespace meltemi::kubelet
