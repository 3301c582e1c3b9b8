#include "pilot/push/push_server.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/log/log.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "pilot/push/caller.h"
#include "pilot/push/delta_session.h"
#include "pilot/push/session.h"
#include "pilot/translate/node.h"

namespace meltemi::pilot {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryRequest;

constexpr double kSecondsBounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                     0.5,   1,      3,     5,    10,    20,   30};
constexpr Duration kSlowCheckInterval = seconds(1);
constexpr size_t kLoggedBytesMax = 4096;

int64_t EpochMillis(WallTime time) { return ToMillis(time.time_since_epoch()); }

double AsSeconds(Duration d) { return std::chrono::duration<double>(d).count(); }

size_t NamesIn(const DiscoveryRequest& request) {
  return static_cast<size_t>(request.resource_names_size());
}

size_t NamesIn(const DeltaDiscoveryRequest& request) {
  return static_cast<size_t>(request.resource_names_subscribe_size()) +
         static_cast<size_t>(request.resource_names_unsubscribe_size()) +
         request.initial_resource_versions().size();
}

size_t BytesOf(const ProxyNode& node) {
  size_t bytes = node.id.size() + node.name.size() + node.ns.size() + node.workload_name.size() +
                 node.service_account.size() + node.cluster_id.size() + node.access_log_path.size();
  for (const auto& [key, value] : node.labels) bytes += key.size() + value.size();
  for (const std::string& address : node.addresses) bytes += address.size();
  return bytes;
}

}  // namespace

struct PushServer::Client {
  ClientId id = 0;
  Peer* peer = nullptr;
  std::string address;
  int64_t connected_at_ms = 0;
  MonotonicTime connected_at;
  bool refused = false;
  bool writing = false;
  bool scheduled = false;
  MonotonicTime writing_since;
  // Since when something has been sent and nothing been answered; none: all is answered.
  std::optional<MonotonicTime> unanswered_since;
  bool unanswered_noted = false;
  uint64_t acked_version = 0;
  uint64_t settled_version = 0;
  // Requests that may be read at once, and since when that holds.
  double tokens = 0;
  MonotonicTime tokens_at;
  // Null until the first request says who the client is.
  std::unique_ptr<ProxyView> view;
  std::unique_ptr<Session> sotw;  // one of the two
  std::unique_ptr<DeltaSession> delta;
  SessionCore* core = nullptr;
  std::unique_ptr<Timer> wake;
};

// Runs Drain once all that this turn of the loop brings has been looked at, and again in the next
// turn when it was not finished.
class PushServer::Drainer final : public TurnEndTask {
 public:
  explicit Drainer(PushServer* server) : server_(server) {}
  void Request() {
    if (!posted_) server_->loop_->AtTurnEnd(this);
  }
  void RunAtTurnEnd() override { server_->Drain(); }
  // In the next turn: others come first.
  void RequestLater() {
    posted_ = true;
    server_->loop_->Post([this, alive = std::weak_ptr<bool>(alive_)] {
      if (alive.expired()) return;
      posted_ = false;
      server_->loop_->AtTurnEnd(this);
    });
  }

 private:
  PushServer* const server_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  bool posted_ = false;
};

PushServer::PushServer(Loop* loop, metrics::Scope* metrics, Options options)
    : loop_(loop),
      metrics_(metrics),
      options_(options),
      drainer_(std::make_unique<Drainer>(this)),
      slow_timer_(loop->NewTimer([this] { CheckSlow(); })) {
  for (int i = 0; i < kXdsTypes; ++i) {
    const auto counter = [&](absl::string_view name) {
      const std::string type = absl::AsciiStrToLower(XdsTypeShortName(static_cast<XdsType>(i)));
      return &metrics->GetCounter(name, {{"type", type}});
    };
    type_metrics_[static_cast<size_t>(i)] = {
        counter("pilot_xds_pushes"), counter("pilot_xds_pushed_bytes"),
        counter("pilot_total_xds_rejects"), counter("pilot_xds_stale_requests")};
  }
  slow_timer_->Arm(kSlowCheckInterval);
}

PushServer::~PushServer() = default;

// ---- Clients come and go

ClientId PushServer::OnConnected(Peer* peer) {
  auto owned = std::make_unique<Client>();
  Client* client = owned.get();
  client->id = next_id_++;
  client->peer = peer;
  client->address = peer->address();
  client->connected_at_ms = EpochMillis(loop_->WallNow());
  client->connected_at = loop_->Now();
  client->tokens = options_.requests_burst;
  client->tokens_at = loop_->Now();
  clients_.emplace(client->id, std::move(owned));
  metrics_->GetGauge("pilot_xds").Set(static_cast<int64_t>(clients_.size()));
  if (clients_.size() > options_.clients_max) {
    Refuse(client, absl::ResourceExhaustedError(absl::StrCat("more than ", options_.clients_max,
                                                             " proxies: try another pilot")));
  }
  return client->id;
}

void PushServer::OnClosed(ClientId id) {
  const auto it = clients_.find(id);
  if (it == clients_.end()) return;
  const bool known = it->second->view != nullptr;
  if (known) LOG(kInfo, "push", it->second->view->node().id, " disconnected");
  clients_.erase(it);
  metrics_->GetGauge("pilot_xds").Set(static_cast<int64_t>(clients_.size()));
  if (known && on_progress_) on_progress_();
}

void PushServer::Refuse(Client* client, const absl::Status& why) {
  client->refused = true;
  metrics_->GetCounter("pilot_xds_refused").Inc();
  LOG(kWarn, "push", client->view != nullptr ? client->view->node().id : client->address, ": ",
      why.message());
  client->peer->Refuse(why);
}

bool PushServer::Introduce(Client* client, const envoy::config::core::v3::Node& said, bool delta) {
  absl::StatusOr<ProxyNode> node = ParseNode(said);
  if (const Caller* caller = client->peer->caller(); node.ok() && caller != nullptr) {
    if (absl::Status status = CheckNode(*caller, *node); !status.ok()) {
      node = status;
    } else {
      node->authenticated = true;
    }
  }
  if (node.ok() && BytesOf(*node) > options_.node_bytes_max) {
    node = absl::InvalidArgumentError(absl::StrCat("what the node says of itself takes more than ",
                                                   options_.node_bytes_max, " bytes"));
  }
  if (!node.ok()) {
    Refuse(client, node.status());
    return false;
  }
  LOG(kInfo, "push", node->id, " connected from ", client->address);
  client->view = translator_.NewView(*std::move(node));
  if (delta) {
    client->delta = std::make_unique<DeltaSession>(client->view.get(), options_.session, &work_);
    client->core = &client->delta->core();
  } else {
    client->sotw = std::make_unique<Session>(client->view.get(), options_.session, &work_);
    client->core = &client->sotw->core();
  }
  client->wake = loop_->NewTimer([this, client] { Schedule(client); });
  if (on_progress_) on_progress_();
  return true;
}

// ---- Requests

Duration PushServer::TakeTokens(Client* client, size_t names) {
  const Duration passed = loop_->Now() - client->tokens_at;
  client->tokens_at = loop_->Now();
  client->tokens = std::min<double>(
      options_.requests_burst, client->tokens + AsSeconds(passed) * options_.requests_per_second);
  client->tokens -= 1 + static_cast<double>(names / options_.names_per_request);
  if (client->tokens >= 0) return Duration::zero();
  metrics_->GetCounter("pilot_xds_requests_delayed").Inc();
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(-client->tokens / options_.requests_per_second));
}

void PushServer::NoteAnswer(Client* client, SessionEvent event) {
  if (event != SessionEvent::kAck && event != SessionEvent::kNack) return;
  client->unanswered_since.reset();
  client->unanswered_noted = false;
  if (client->core->waiting()) client->unanswered_since = loop_->Now();
}

template <typename Request>
Duration PushServer::HandleRequest(ClientId id, const Request& request) {
  constexpr bool kDelta = std::is_same_v<Request, DeltaDiscoveryRequest>;
  const auto it = clients_.find(id);
  if (it == clients_.end() || it->second->refused) return Duration::zero();
  Client* client = it->second.get();
  if (client->core == nullptr && !Introduce(client, request.node(), kDelta)) {
    return Duration::zero();
  }
  SessionEvent event = SessionEvent::kIgnored;
  if constexpr (kDelta) {
    if (client->delta != nullptr) event = client->delta->OnRequest(request);
  } else {
    if (client->sotw != nullptr) event = client->sotw->OnRequest(request);
  }
  CountEvent(event, request.type_url());
  NoteAnswer(client, event);
  if (event == SessionEvent::kTooMany) {
    Refuse(client, absl::ResourceExhaustedError(
                       absl::StrCat("more than ", options_.session.names_max, " names of ",
                                    absl::string_view(request.type_url()))));
    return Duration::zero();
  }
  if (event == SessionEvent::kNack) {
    LOG(kWarn, "push", client->view->node().id, " rejected ", request.type_url(), ": ",
        absl::string_view(request.error_detail().message()).substr(0, kLoggedBytesMax));
    if (on_progress_) on_progress_();
  }
  Schedule(client);
  return TakeTokens(client, NamesIn(request));
}

Duration PushServer::OnRequest(ClientId id, const DiscoveryRequest& request) {
  return HandleRequest(id, request);
}

Duration PushServer::OnRequest(ClientId id, const DeltaDiscoveryRequest& request) {
  return HandleRequest(id, request);
}

void PushServer::CountEvent(SessionEvent event, absl::string_view type_url) {
  XdsType type;
  if (!ParseXdsTypeUrl(type_url, &type)) return;
  const TypeMetrics& counters = type_metrics_[static_cast<size_t>(type)];
  if (event == SessionEvent::kNack) counters.rejects->Inc();
  if (event == SessionEvent::kStale) counters.stale->Inc();
}

void PushServer::OnWritten(ClientId id) {
  const auto it = clients_.find(id);
  if (it == clients_.end()) return;
  it->second->writing = false;
  Schedule(it->second.get());
}

// ---- Responses

void PushServer::Schedule(Client* client) {
  if (client->scheduled) return;
  client->scheduled = true;
  ready_.push_back(client->id);
  drainer_->Request();
}

void PushServer::Drain() {
  if (ready_.empty()) return;
  const auto begin = std::chrono::steady_clock::now();
  Duration taken = Duration::zero();
  while (!ready_.empty() && taken < options_.turn_max) {
    const auto it = clients_.find(ready_.front());
    ready_.pop_front();
    if (it != clients_.end()) {
      it->second->scheduled = false;
      Advance(it->second.get());
    }
    taken = std::chrono::steady_clock::now() - begin;
  }
  if (!history_.empty()) history_.back().translate_ms += AsSeconds(taken) * 1000;
  push_cost_ += taken;
  if (!ready_.empty()) drainer_->RequestLater();
}

void PushServer::Advance(Client* client) {
  // Before the first snapshot there is nothing to say: an empty answer would take away what the
  // client still has from before.
  if (client->core == nullptr || client->writing || client->refused || snapshot_ == nullptr) {
    return;
  }
  SessionCore* core = client->core;
  if (core->snapshot_version() != snapshot_->version) {
    client->view->Use(snapshot_);
    core->OnSnapshot(snapshot_->version);
  }
  std::optional<Response> response = core->Next(loop_->Now());
  if (response.has_value()) {
    client->writing = true;
    client->writing_since = loop_->Now();
    if (!client->unanswered_since.has_value()) client->unanswered_since = loop_->Now();
    const TypeMetrics& counters = type_metrics_[static_cast<size_t>(response->type)];
    counters.pushes->Inc();
    counters.bytes->Add(response->message.size());
    LOG(kDebug, "push", client->view->node().id, " ", XdsTypeShortName(response->type), " ",
        response->resources, " resources, ", response->removed, " removed, version ",
        response->version);
    client->peer->Write(std::move(response->message));
  } else if (const auto at = core->WakeAt(loop_->Now())) {
    client->wake->Arm(*at - loop_->Now());
  }
  NoteProgress(client);
}

void PushServer::NoteProgress(Client* client) {
  if (client->core->settled()) client->settled_version = snapshot_->version;
  const uint64_t before = client->acked_version;
  client->acked_version = client->core->acked_version();
  if (client->acked_version <= before) return;
  for (auto record = history_.rbegin(); record != history_.rend(); ++record) {
    if (record->version <= before) break;
    // A client that came later has its own beginning.
    if (record->version > client->acked_version || client->connected_at > record->changed_at) {
      continue;
    }
    const Duration taken = loop_->Now() - record->changed_at;
    ++record->settled;
    record->converged_ms = AsSeconds(taken) * 1000;
    metrics_->GetHistogram("pilot_proxy_convergence_time", kSecondsBounds).Record(AsSeconds(taken));
  }
  if (on_progress_) on_progress_();
}

void PushServer::CheckSlow() {
  slow_timer_->Arm(kSlowCheckInterval);
  const MonotonicTime now = loop_->Now();
  int64_t unanswered = 0;
  for (auto& [id, client] : clients_) {
    if (client->refused) continue;
    if (client->writing && now - client->writing_since >= options_.write_max) {
      CutOff(client.get(),
             absl::StrCat("does not read what it is sent: nothing for ",
                          ToMillis(options_.write_max) / 1000, " s; come back later"));
    } else if (client->core == nullptr && now - client->connected_at >= options_.hello_max) {
      CutOff(client.get(), absl::StrCat("has not said who it is for ",
                                        ToMillis(options_.hello_max) / 1000, " s"));
    } else if (CheckAnswer(client.get())) {
      ++unanswered;
    }
  }
  metrics_->GetGauge("pilot_xds_unanswered").Set(unanswered);
}

void PushServer::CutOff(Client* client, std::string why) {
  metrics_->GetCounter("pilot_xds_cut_off").Inc();
  Refuse(client, absl::DeadlineExceededError(why));
}

bool PushServer::CheckAnswer(Client* client) {
  if (!client->unanswered_since.has_value()) return false;
  if (loop_->Now() - *client->unanswered_since < options_.answer_max) return false;
  if (!std::exchange(client->unanswered_noted, true)) {
    LOG(kWarn, "push", client->view->node().id, " has not answered what it was sent for ",
        ToMillis(options_.answer_max) / 1000, " s: it is told nothing more of those types");
  }
  return true;
}

void PushServer::SetSnapshot(SnapshotPtr snapshot, std::string reason, MonotonicTime changed_at) {
  if (snapshot == snapshot_) return;
  snapshot_ = std::move(snapshot);
  PushRecord record;
  record.version = snapshot_->version;
  record.at_ms = EpochMillis(loop_->WallNow());
  record.reason = std::move(reason);
  record.clients = clients_.size();
  record.changed_at = changed_at;
  history_.push_back(std::move(record));
  if (history_.size() > options_.history_max) history_.pop_front();
  push_cost_ = Duration::zero();
  for (auto& [id, client] : clients_) {
    if (client->core != nullptr) Schedule(client.get());
  }
}

// ---- For those who ask

std::vector<ClientStatus> PushServer::Clients() const {
  std::vector<ClientStatus> result;
  for (const auto& [id, client] : clients_) {
    if (client->core == nullptr) continue;
    ClientStatus status;
    status.id = id;
    status.node = client->view->node();
    status.address = client->address;
    status.delta = client->delta != nullptr;
    status.connected_at_ms = client->connected_at_ms;
    status.snapshot_version = client->core->snapshot_version();
    status.acked_version = client->acked_version;
    status.settled_version = client->settled_version;
    for (int i = 0; i < kXdsTypes; ++i) {
      status.types[static_cast<size_t>(i)] = client->core->Status(static_cast<XdsType>(i));
    }
    result.push_back(std::move(status));
  }
  return result;
}

void PushServer::ForEachClient(absl::FunctionRef<void(const ClientProgress&)> visit) const {
  for (const auto& [id, client] : clients_) {
    if (client->core == nullptr) continue;
    ClientProgress progress;
    progress.view = client->view.get();
    progress.acked_version = client->acked_version;
    progress.served = client->settled_version > 0;
    for (int i = 0; i < kXdsTypes; ++i) {
      const SessionCore::Subscription& subscription = client->core->At(static_cast<XdsType>(i));
      if (subscription.status.error.empty() || !progress.rejection.empty()) continue;
      progress.rejection = subscription.status.error;
      progress.rejected_version = subscription.rejected_version;
    }
    visit(progress);
  }
}

std::vector<PushRecord> PushServer::History() const { return {history_.begin(), history_.end()}; }

ProxyView* PushServer::FindView(absl::string_view proxy) {
  ProxyView* by_name = nullptr;
  for (auto& [id, client] : clients_) {
    if (client->view == nullptr) continue;
    const ProxyNode& node = client->view->node();
    if (node.id == proxy) return client->view.get();
    if (absl::StrCat(node.name, ".", node.ns) == proxy || node.name == proxy) {
      by_name = client->view.get();
    }
  }
  return by_name;
}

}  // namespace meltemi::pilot
