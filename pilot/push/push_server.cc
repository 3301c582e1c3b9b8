#include "pilot/push/push_server.h"

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/log/log.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "pilot/translate/node.h"

namespace meltemi::pilot {
namespace {

using envoy::service::discovery::v3::DiscoveryRequest;

constexpr double kSecondsBounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                     0.5,   1,      3,     5,    10,    20,   30};

int64_t EpochMillis(WallTime time) { return ToMillis(time.time_since_epoch()); }

double AsSeconds(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

struct PushServer::Client {
  ClientId id = 0;
  Peer* peer = nullptr;
  std::string address;
  int64_t connected_at_ms = 0;
  bool refused = false;
  bool writing = false;
  uint64_t settled_version = 0;
  // Null until the first request says who the client is.
  std::unique_ptr<ProxyView> view;
  std::unique_ptr<Session> session;
  std::unique_ptr<Timer> wake;
};

PushServer::PushServer(Loop* loop, metrics::Scope* metrics, Options options)
    : loop_(loop), metrics_(metrics), options_(options) {}

PushServer::~PushServer() = default;

metrics::Counter& PushServer::TypeCounter(absl::string_view name, XdsType type) {
  return metrics_->GetCounter(name, {{"type", absl::AsciiStrToLower(XdsTypeShortName(type))}});
}

ClientId PushServer::OnConnected(Peer* peer) {
  auto client = std::make_unique<Client>();
  client->id = next_id_++;
  client->peer = peer;
  client->address = peer->address();
  client->connected_at_ms = EpochMillis(loop_->WallNow());
  const ClientId id = client->id;
  clients_.emplace(id, std::move(client));
  metrics_->GetGauge("pilot_xds").Set(static_cast<int64_t>(clients_.size()));
  return id;
}

void PushServer::OnClosed(ClientId id) {
  const auto it = clients_.find(id);
  if (it == clients_.end()) return;
  if (it->second->view != nullptr) {
    LOG(kInfo, "push", it->second->view->node().id, " disconnected");
  }
  clients_.erase(it);
  metrics_->GetGauge("pilot_xds").Set(static_cast<int64_t>(clients_.size()));
}

bool PushServer::Introduce(Client* client, const DiscoveryRequest& request) {
  absl::StatusOr<ProxyNode> node = ParseNode(request.node());
  if (!node.ok()) {
    client->refused = true;
    metrics_->GetCounter("pilot_xds_refused").Inc();
    LOG(kWarn, "push", client->address, ": ", node.status().message());
    client->peer->Refuse({node.status().message().data(), node.status().message().size()});
    return false;
  }
  LOG(kInfo, "push", node->id, " connected from ", client->address);
  client->view = translator_.NewView(*std::move(node));
  if (snapshot_ != nullptr) client->view->Use(snapshot_);
  client->session = std::make_unique<Session>(client->view.get(), options_.session);
  if (snapshot_ != nullptr) client->session->OnSnapshot(snapshot_->version, nullptr);
  client->wake = loop_->NewTimer([this, client] { Advance(client); });
  return true;
}

void PushServer::OnRequest(ClientId id, const DiscoveryRequest& request) {
  const auto it = clients_.find(id);
  if (it == clients_.end() || it->second->refused) return;
  Client* client = it->second.get();
  if (client->session == nullptr && !Introduce(client, request)) return;
  const Session::Event event = client->session->OnRequest(request);
  CountEvent(event, request.type_url());
  if (event == Session::Event::kNack) {
    LOG(kWarn, "push", client->view->node().id, " rejected ", request.type_url(), ": ",
        request.error_detail().message());
  }
  Advance(client);
}

void PushServer::CountEvent(Session::Event event, absl::string_view type_url) {
  XdsType type;
  if (!ParseXdsTypeUrl(type_url, &type)) return;
  if (event == Session::Event::kNack) TypeCounter("pilot_total_xds_rejects", type).Inc();
  if (event == Session::Event::kStale) TypeCounter("pilot_xds_stale_requests", type).Inc();
}

void PushServer::OnWritten(ClientId id) {
  const auto it = clients_.find(id);
  if (it == clients_.end()) return;
  it->second->writing = false;
  Advance(it->second.get());
}

void PushServer::Advance(Client* client) {
  // Before the first snapshot there is nothing to say: an empty answer would take away what the
  // client still has from before.
  if (client->session == nullptr || client->writing || client->refused || snapshot_ == nullptr) {
    return;
  }
  std::optional<Response> response = client->session->Next(loop_->Now());
  if (response.has_value()) {
    client->writing = true;
    TypeCounter("pilot_xds_pushes", response->type).Inc();
    TypeCounter("pilot_xds_pushed_bytes", response->type).Add(response->bytes.size());
    LOG(kDebug, "push", client->view->node().id, " ", XdsTypeShortName(response->type), " ",
        response->resources, " resources, version ", response->version);
    client->peer->Write(std::move(response->bytes));
    return;
  }
  if (const auto at = client->session->WakeAt(loop_->Now())) {
    client->wake->Arm(*at - loop_->Now());
  }
  NoteSettled(client);
}

void PushServer::NoteSettled(Client* client) {
  if (client->settled_version == snapshot_->version || !client->session->Settled()) return;
  client->settled_version = snapshot_->version;
  if (history_.empty() || history_.back().version != snapshot_->version) return;
  PushRecord& record = history_.back();
  const Duration taken = loop_->Now() - changed_at_;
  // A client that came later has its own beginning.
  if (client->connected_at_ms > record.at_ms) return;
  ++record.settled;
  record.converged_ms = AsSeconds(taken) * 1000;
  metrics_->GetHistogram("pilot_proxy_convergence_time", kSecondsBounds).Record(AsSeconds(taken));
}

void PushServer::SetSnapshot(SnapshotPtr snapshot, std::string reason, MonotonicTime changed_at) {
  if (snapshot == snapshot_) return;
  const bool endpoints_only = snapshot_ != nullptr && snapshot->version == snapshot_->version + 1 &&
                              snapshot->config_version == snapshot_->config_version;
  static const auto& no_hosts = *new std::vector<std::string>();
  const std::vector<std::string>& hosts =
      snapshot_ != nullptr && snapshot->endpoints == snapshot_->endpoints
          ? no_hosts
          : snapshot->endpoints->changed_hosts();
  snapshot_ = std::move(snapshot);
  changed_at_ = changed_at;
  PushRecord record;
  record.version = snapshot_->version;
  record.at_ms = EpochMillis(loop_->WallNow());
  record.reason = std::move(reason);
  record.clients = clients_.size();
  history_.push_back(std::move(record));
  if (history_.size() > options_.history_max) history_.pop_front();
  const auto begin = std::chrono::steady_clock::now();
  for (auto& [id, client] : clients_) {
    if (client->session == nullptr) continue;
    client->view->Use(snapshot_);
    client->session->OnSnapshot(snapshot_->version, endpoints_only ? &hosts : nullptr);
    Advance(client.get());
  }
  history_.back().translate_ms = AsSeconds(std::chrono::steady_clock::now() - begin) * 1000;
}

std::vector<ClientStatus> PushServer::Clients() const {
  std::vector<ClientStatus> result;
  for (const auto& [id, client] : clients_) {
    if (client->session == nullptr) continue;
    ClientStatus status;
    status.id = id;
    status.node = client->view->node();
    status.address = client->address;
    status.connected_at_ms = client->connected_at_ms;
    status.snapshot_version = client->session->snapshot_version();
    status.settled_version = client->settled_version;
    for (int i = 0; i < kXdsTypes; ++i) {
      status.types[static_cast<size_t>(i)] = client->session->Status(static_cast<XdsType>(i));
    }
    result.push_back(std::move(status));
  }
  return result;
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
