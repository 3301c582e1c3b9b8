#include "kube/informer/reflector.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/bytes/xxhash.h"
#include "base/log/log.h"
#include "kube/codec/codec.h"
#include "kube/meta/v1/meta.pb.h"

namespace meltemi::kube {
namespace {

using google::protobuf::Message;

constexpr int kPageItems = 500;
// A watch lasts this long and up to twice as long; then the server ends it, and the load of many
// watches spreads over several servers anew.
constexpr uint64_t kWatchSeconds = 300;

// To knock at a server that does not answer costs it nothing: it is soon seen to be back.
constexpr int64_t kUnreachableMs = 3000;

int64_t Number(const std::string& resource_version) {
  int64_t out;
  return absl::SimpleAtoi(resource_version, &out) ? out : 0;
}

}  // namespace

Reflector::Reflector(Client& client, Executor& executor, const InformerOptions& options,
                     ReflectedKind kind, ReflectorSink& sink)
    : client_(client),
      executor_(executor),
      options_(options),
      kind_(std::move(kind)),
      sink_(sink),
      path_(kind_.resource.Path("")),
      // By the clock, so that processes do not try again in step; a simulated one repeats itself.
      random_(XxHash64(path_) ^
              static_cast<uint64_t>(executor.clock().Now().time_since_epoch().count())) {}

void Reflector::Start() { Run(&Reflector::List); }

void Reflector::Stop() {
  std::unique_ptr<ApiWatch> watch;
  std::unique_ptr<Delayed> delayed;
  std::unique_lock<std::mutex> lock(mutex_);
  stopped_ = true;
  delayed = std::move(delayed_);
  at_rest_.wait(lock, [this] { return under_way_ == 0; });
  watch = std::move(watch_);
  // Both end without the lock; the watch waits for what it tells right now.
  lock.unlock();
}

void Reflector::Run(void (Reflector::*step)()) {
  executor_.Run([self = shared_from_this(), step] { self->Guarded(step); });
}

void Reflector::RunAfterBackoff(void (Reflector::*step)(), int64_t most_ms) {
  const double doublings = std::min(failures_++, 30);
  const double most = static_cast<double>(std::min(most_ms, options_.backoff_max_ms));
  const double ms =
      std::min(most, static_cast<double>(options_.backoff_min_ms) * std::exp2(doublings));
  const auto delay = milliseconds(static_cast<int64_t>(ms * (0.5 + random_.Unit() / 2)));
  const std::lock_guard<std::mutex> lock(mutex_);
  if (stopped_) return;
  delayed_ = executor_.After(delay, [weak = weak_from_this(), step] {
    if (const auto self = weak.lock()) self->Guarded(step);
  });
}

void Reflector::Guarded(void (Reflector::*step)()) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) return;
    ++under_way_;
  }
  (this->*step)();
  const std::lock_guard<std::mutex> lock(mutex_);
  if (--under_way_ == 0) at_rest_.notify_all();
}

ApiCall Reflector::NewCall(absl::string_view answer) const {
  ApiCall call{.path = path_};
  if (!kind_.field_selector.empty()) {
    call.query.emplace_back("fieldSelector", kind_.field_selector);
  }
  if (kind_.metadata_only) {
    call.accept = absl::StrCat("application/json;as=", answer, ";g=meta.k8s.io;v=v1");
  }
  return call;
}

void Reflector::Failed(absl::string_view doing, const Status& why) {
  LOG(kWarn, "informer", doing, " ", path_, ": ", why.message);
  sink_.OnFailure(why);
}

Outcome Reflector::ReadPage(const ApiCall& call, std::string* token,
                            std::string* resource_version) {
  Result<ApiAnswer> answer = client_.Call(call);
  if (!answer.ok()) return answer.status();
  std::unique_ptr<Message> last;
  const auto keep_last = [&] {
    if (last != nullptr) sink_.OnListed(std::move(last));
  };
  ListHead head;
  const absl::Status decoded = ListFromJson(
      answer->body,
      [&] {
        keep_last();
        last.reset(kind_.prototype.New());
        return last.get();
      },
      &head);
  if (!decoded.ok()) return kube::InternalError(decoded.message());
  keep_last();
  *token = std::move(head.continue_token);
  *resource_version = std::move(head.resource_version);
  return Done{};
}

// A list that has grown too old between two pages is read again as one.
Outcome Reflector::ReadList(std::string* resource_version) {
  sink_.OnListBegin();
  bool paged = true;
  std::string token;
  while (true) {
    ApiCall call = NewCall("PartialObjectMetadataList");
    call.timeout = minutes(2);
    if (paged) call.query.emplace_back("limit", absl::StrCat(kPageItems));
    if (!token.empty()) call.query.emplace_back("continue", token);
    Outcome page = ReadPage(call, &token, resource_version);
    if (page.ok()) {
      if (token.empty()) return page;
      continue;
    }
    if (!IsExpired(page.status()) || token.empty()) return page;
    sink_.OnListBegin();
    token.clear();
    paged = false;
  }
}

void Reflector::List() {
  {
    std::unique_ptr<ApiWatch> ended;
    const std::lock_guard<std::mutex> lock(mutex_);
    ended = std::move(watch_);
  }
  std::string resource_version;
  const Outcome read = ReadList(&resource_version);
  if (!read.ok()) {
    Failed("list", read.status());
    return RunAfterBackoff(&Reflector::List, read.status().code == 0 ? kUnreachableMs : kNoBound);
  }
  failures_ = 0;
  resource_version_ = std::move(resource_version);
  sink_.OnList(Number(resource_version_));
  Watch();
}

void Reflector::Watch() {
  heard_ = false;
  confused_ = false;
  ApiCall call = NewCall("PartialObjectMetadata");
  call.query.emplace_back("resourceVersion", resource_version_);
  call.query.emplace_back("allowWatchBookmarks", "true");
  call.query.emplace_back("timeoutSeconds",
                          absl::StrCat(kWatchSeconds + random_.Below(kWatchSeconds)));
  std::unique_ptr<ApiWatch> ended;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (stopped_) return;
  ended = std::move(watch_);
  // Its events wait for nothing of ours: OnEnd takes the lock, but never from within Watch.
  watch_ = client_.Watch(call, *this);
}

void Reflector::OnEvent(absl::string_view type, absl::string_view object) {
  if (confused_) return;
  std::unique_ptr<Message> message(kind_.prototype.New());
  const absl::Status decoded = FromJson(object, message.get());
  if (!decoded.ok()) {
    // All is read again: what this event has told can't be made up for otherwise.
    LOG(kWarn, "informer", "watch ", path_, ": ", type, ": ", decoded.message());
    confused_ = true;
    return RunAfterBackoff(&Reflector::List);
  }
  if (!std::exchange(heard_, true)) failures_ = 0;
  resource_version_ = MetaOf(*message).resource_version();
  const int64_t revision = Number(resource_version_);
  if (type == "BOOKMARK") return sink_.OnBookmark(revision);
  sink_.OnObject(std::move(message), type == "DELETED", revision);
}

void Reflector::OnEnd(const Status& why) {
  if (confused_) return;
  if (why.code == 200) {
    // The usual end. A watch that has told nothing may be of a server that ends them at once.
    return heard_ ? Run(&Reflector::Watch) : RunAfterBackoff(&Reflector::Watch);
  }
  if (IsTransient(why)) {
    Failed("watch", why);
    return RunAfterBackoff(&Reflector::Watch, why.code == 0 ? kUnreachableMs : kNoBound);
  }
  if (!IsExpired(why)) Failed("watch", why);
  RunAfterBackoff(&Reflector::List);
}

}  // namespace meltemi::kube
