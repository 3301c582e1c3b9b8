#include "orchestrator/store/etcd/etcd_watch.h"

#include <utility>

#include "base/log/log.h"
#include "orchestrator/store/errors.h"

namespace meltemi::store {
namespace {

constexpr Duration kConnectWait = milliseconds(500);
constexpr Duration kRetry = milliseconds(100);

}  // namespace

KeyValue FromProto(const mvccpb::KeyValue& kv) {
  return {.key = kv.key(),
          .value = kv.value(),
          .create_revision = kv.create_revision(),
          .mod_revision = kv.mod_revision(),
          .version = kv.version(),
          .lease = kv.lease()};
}

EtcdWatch::EtcdWatch(Members& members, absl::string_view first, absl::string_view end,
                     absl::StatusOr<Revision> from, Watcher& watcher)
    : members_(members), first_(first), end_(end), watcher_(watcher), next_(std::move(from)) {
  thread_ = std::thread([this] { Loop(); });
}

EtcdWatch::~EtcdWatch() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }
  stopped_.notify_all();
  thread_.join();
}

void EtcdWatch::Loop() {
  absl::Status status = next_.status();
  while (status.ok()) {
    status = Follow();
    if (status.ok() && !Pause()) return;
  }
  watcher_.OnEnd(status);
}

bool EtcdWatch::Pause() {
  std::unique_lock<std::mutex> lock(mutex_);
  stopped_.wait_for(lock, kRetry, [this] { return stop_; });
  return !stop_;
}

absl::Status EtcdWatch::Follow() {
  const auto member = members_.Connected(kConnectWait);
  if (!member.ok()) return absl::OkStatus();  // tried again
  grpc::ClientContext* context = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stop_) return absl::OkStatus();
    context_ = std::make_unique<grpc::ClientContext>();
    context = context_.get();
  }
  const auto stream = (*member)->watch->Watch(context);
  etcdserverpb::WatchRequest request;
  etcdserverpb::WatchCreateRequest& create = *request.mutable_create_request();
  create.set_key(first_);
  create.set_range_end(end_);
  create.set_start_revision(*next_);
  create.set_prev_kv(true);
  create.set_progress_notify(true);
  absl::Status status;
  stream->Write(request);
  etcdserverpb::WatchResponse response;
  while (status.ok() && stream->Read(&response)) status = Handle(response);
  context->TryCancel();
  const grpc::Status finished = stream->Finish();
  const std::lock_guard<std::mutex> lock(mutex_);
  context_.reset();
  if (status.ok() && !stop_) {
    members_.Leave(*member);
    LOG(kInfo, "store", "a watch on etcd goes on at revision ", *next_, " (",
        finished.error_message(), ")");
  }
  return status;
}

absl::Status EtcdWatch::Handle(const etcdserverpb::WatchResponse& response) {
  if (response.compact_revision() != 0) return Compacted();
  if (response.canceled()) {
    return absl::UnavailableError(
        absl::StrCat("etcd has ended the watch: ", response.cancel_reason()));
  }
  if (response.created()) return absl::OkStatus();
  std::vector<Event> events;
  events.reserve(static_cast<size_t>(response.events_size()));
  for (const mvccpb::Event& from : response.events()) {
    Event event{.deleted = from.type() == mvccpb::Event::DELETE, .kv = FromProto(from.kv())};
    if (from.has_prev_kv()) event.previous = FromProto(from.prev_kv());
    events.push_back(std::move(event));
  }
  // The header of what catches up names the newest revision, not the last one that it carries.
  const Revision seen =
      events.empty() ? response.header().revision() : events.back().kv.mod_revision;
  if (seen < *next_) return absl::OkStatus();
  next_ = seen + 1;
  watcher_.OnEvents(std::move(events), seen);
  return absl::OkStatus();
}

}  // namespace meltemi::store
