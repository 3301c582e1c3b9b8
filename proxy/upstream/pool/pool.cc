#include "proxy/upstream/pool/pool.h"

#include <algorithm>
#include <utility>

#include "base/log/log.h"
#include "proxy/upstream/pool/pooled_connection.h"

namespace meltemi::proxy {

Pool::Pool(PoolContext& context, std::shared_ptr<const ClusterConfig> config,
           std::shared_ptr<Host> host, PoolKind kind)
    : context_(context),
      config_(std::move(config)),
      host_(std::move(host)),
      kind_(std::move(kind)),
      protocol_(kind_.protocol),
      assign_task_(*this) {}

Pool::~Pool() {
  while (queue_head_ != nullptr) Unlink(*queue_head_);
}

StreamError Pool::Submit(PoolRequest& request) {
  // Whoever came first is served first.
  if (queue_head_ == nullptr && !with_room_.empty() && !request.fresh_connection) {
    return Attach(request, *with_room_.back());
  }
  if (!context_.breakers->CanAdd(BreakerKind::kPending, request.high_priority, *config_)) {
    context_.stats.Inc(ClusterCounter::kRqPendingOverflow);
    return StreamError::kOverflow;
  }
  Enqueue(request);
  while (WantsConnection() && OpenConnection()) {
  }
  return StreamError::kNone;
}

StreamError Pool::Attach(PoolRequest& request, PooledConnection& connection) {
  if (!context_.breakers->CanAdd(BreakerKind::kRequests, request.high_priority, *config_)) {
    context_.stats.Inc(ClusterCounter::kRqPendingOverflow);
    return StreamError::kOverflow;
  }
  request.OnPoolReady(connection);
  if (!connection.HasRoom()) OnNoRoom(connection);
  return StreamError::kNone;
}

void Pool::Withdraw(PoolRequest& request) {
  if (request.pool_ != this) return;
  Unlink(request);
  context_.stats.Inc(ClusterCounter::kRqCancelled);
  if (draining_) context_.loop.AtTurnEnd(&assign_task_);
}

void Pool::Enqueue(PoolRequest& request) {
  request.pool_ = this;
  request.prev_ = queue_tail_;
  request.next_ = nullptr;
  (queue_tail_ == nullptr ? queue_head_ : queue_tail_->next_) = &request;
  queue_tail_ = &request;
  ++queue_size_;
  context_.breakers->Add(BreakerKind::kPending, request.high_priority);
  context_.stats.Inc(ClusterCounter::kRqPendingTotal);
  context_.stats.Add(ClusterGauge::kRqPendingActive, 1);
}

void Pool::Unlink(PoolRequest& request) {
  (request.prev_ == nullptr ? queue_head_ : request.prev_->next_) = request.next_;
  (request.next_ == nullptr ? queue_tail_ : request.next_->prev_) = request.prev_;
  request.pool_ = nullptr;
  request.next_ = request.prev_ = nullptr;
  --queue_size_;
  context_.breakers->Remove(BreakerKind::kPending, request.high_priority);
  context_.stats.Add(ClusterGauge::kRqPendingActive, -1);
}

bool Pool::WantsConnection() const {
  // An HTTP/2 connection takes what the peer's settings allow; until they are known, our own limit
  // is the guess.
  const size_t each = protocol_ == http::Protocol::kHttp2
                          ? std::max<size_t>(1, config_->http2.concurrent_streams_max)
                          : 1;
  return queue_size_ > connecting_ * each;
}

bool Pool::OpenConnection() {
  const bool high_priority = queue_head_ != nullptr && queue_head_->high_priority;
  if (!context_.breakers->CanAdd(BreakerKind::kConnections, high_priority, *config_)) {
    context_.stats.Inc(ClusterCounter::kCxOverflow);
    // A pool without any connection may always have one: nothing else would ever serve its queue.
    if (!connections_.empty()) return false;
  }
  ++connecting_;
  auto connection = std::make_unique<PooledConnection>(*this, high_priority);
  connection->index_ = connections_.size();
  connections_.push_back(std::move(connection));
  return true;
}

void Pool::OnRoom(PooledConnection& connection) {
  if (!connection.listed_) {
    connection.listed_ = true;
    with_room_.push_back(&connection);
  }
  if (queue_head_ != nullptr) context_.loop.AtTurnEnd(&assign_task_);
}

void Pool::OnNoRoom(PooledConnection& connection) {
  if (!connection.listed_) return;
  connection.listed_ = false;
  // Nearly always the last one.
  const auto at = std::find(with_room_.rbegin(), with_room_.rend(), &connection);
  with_room_.erase(std::next(at).base());
}

void Pool::Assign() {
  while (queue_head_ != nullptr && !with_room_.empty()) {
    PoolRequest& request = *queue_head_;
    Unlink(request);
    const StreamError error = Attach(request, *with_room_.back());
    if (error != StreamError::kNone) request.OnPoolFailed(error, "too many active requests");
  }
  while (WantsConnection() && OpenConnection()) {
  }
  if (draining_ && empty() && on_empty_) on_empty_();
}

void Pool::OnConnectFailed(PooledConnection& connection, StreamError error,
                           absl::string_view detail) {
  --connecting_;
  host_->connect_failures.fetch_add(1, std::memory_order_relaxed);
  context_.stats.Inc(ClusterCounter::kCxConnectFail);
  if (error == StreamError::kConnectTimeout) context_.stats.Inc(ClusterCounter::kCxConnectTimeout);
  LOG(kDebug, "upstream", "cluster ", config_->name, ": host ", host_->config.address.ToString(),
      ": ", detail);
  // All of them: the host is the problem, and those who may try elsewhere should do so now.
  FailQueued(error, detail);
}

void Pool::FailQueued(StreamError error, absl::string_view detail) {
  size_t count = queue_size_;
  for (; count > 0 && queue_head_ != nullptr; --count) {
    PoolRequest& request = *queue_head_;
    Unlink(request);
    context_.stats.Inc(ClusterCounter::kRqPendingFailureEject);
    request.OnPoolFailed(error, detail);
  }
}

void Pool::OnGone(PooledConnection& connection) {
  OnNoRoom(connection);
  const size_t index = connection.index_;
  std::unique_ptr<PooledConnection> gone = std::move(connections_[index]);
  if (index + 1 != connections_.size()) {
    connections_[index] = std::move(connections_.back());
    connections_[index]->index_ = index;
  }
  connections_.pop_back();
  context_.loop.DeferDelete(std::move(gone));
  if (queue_head_ != nullptr || draining_) context_.loop.AtTurnEnd(&assign_task_);
}

void Pool::StartDrain() {
  if (draining_) return;
  draining_ = true;
  // Retiring an idle connection takes it out of the list.
  for (size_t i = connections_.size(); i-- > 0;) {
    if (!connections_[i]->connecting()) connections_[i]->Retire();
  }
  context_.loop.AtTurnEnd(&assign_task_);
}

}  // namespace meltemi::proxy
