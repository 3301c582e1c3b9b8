// The way down: checks, route, filters, the start of the exchange, the request's body.
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proxy/connection/worker_context.h"
#include "proxy/observe/mesh_stats.h"
#include "proxy/observe/tls_info.h"
#include "proxy/route/hash.h"
#include "proxy/route/rewrite.h"
#include "proxy/stream/forward.h"
#include "proxy/stream/request_headers.h"
#include "proxy/stream/stream.h"
#include "proxy/upstream/cluster/cluster_config.h"

namespace meltemi::proxy {

using http::HeaderId;

namespace {

// Reasons to pause downstream; it is resumed when none is left.
constexpr uint8_t kPausedByFilter = 1;
constexpr uint8_t kPausedByUpstream = 2;

// True once for each word in the comma-separated, lower-case configuration.
bool Allows(const std::vector<std::string>& upgrades, absl::string_view type) {
  for (const std::string& allowed : upgrades) {
    if (allowed == type) return true;
  }
  return false;
}

}  // namespace

void Stream::Begin(const std::shared_ptr<HttpRuntime>& runtime, const DownstreamPeer& peer,
                   http::Stream& downstream) {
  state_ = State::kFilters;
  runtime_ = runtime;
  peer_ = &peer;
  downstream_ = &downstream;
  ended_ = false;
  info_.start = Now();
  info_.start_wall = loop().WallNow();
  info_.protocol = downstream.protocol();
  info_.connection_id = peer.connection_id;
  info_.downstream_direct_remote = peer.direct_remote;
  info_.downstream_remote = peer.direct_remote;
  info_.downstream_local = peer.local;
  info_.requested_server_name = peer.server_name;
  info_.downstream_tls = peer.tls.get();
  runtime_->stats.OnRequest(downstream.protocol());
}

void Stream::OnHeaders(http::HeaderMapPtr headers, bool end_stream) {
  request_ = std::move(headers);
  info_.request_header_bytes = request_->byte_size();
  grpc_ = IsGrpcRequest(*request_);
  ArmTimers();
  if (end_stream) RequestEnded();
  random_ = worker_.random.Next();
  if (!CheckHeaders()) return;
  PrepareRequest(runtime_->config, peer_->tls != nullptr, peer_->forwarded_as, *request_, info_,
                 worker_.random,
                 {.presented = peer_->tls != nullptr && peer_->tls->peer_presented,
                  .text = peer_->client_cert});
  FindRoute();
  if (!CheckUpgrade() || !RedirectToTls()) return;
  worker_.mesh_stats.OnRequestHeaders(*request_, info_, runtime_->config.inbound);
  MakeFilters();
  RunFilters();
}

bool Stream::CheckHeaders() {
  RequestFault fault = CheckRequest(runtime_->config, *request_);
  if (fault.status == 0) return true;
  if (fault.details == "path_normalization_redirect") {
    runtime_->stats.downstream_rq_redirected_with_normalized_path.Inc();
    SendRedirect(fault.status, fault.location, fault.details);
    return false;
  }
  if (fault.details == "path_normalization_failed") {
    runtime_->stats.downstream_rq_failed_path_normalization.Inc();
  }
  if (fault.details == "absolute_path_rejected") {
    runtime_->stats.downstream_rq_non_relative_path.Inc();
  }
  if (fault.status == 400) info_.response_flags |= kFlagDownstreamProtocol;
  AnswerLocally(fault.status, -1, "", fault.details);
  return false;
}

void Stream::FindRoute() {
  routes_ = runtime_->CurrentRoutes();
  const RouteTable* table = routes_->get();
  if (table == nullptr) return;
  MatchContext context;
  context.random = random_;
  context.downstream_tls = peer_->tls != nullptr;
  context.local_port = info_.downstream_local.port();
  context.ignore_port_in_host = table->ignore_port_in_host;
  route_ = table->Match(*request_, context, &virtual_host_);
  info_.route = route_;
  if (route_ == nullptr) return;
  info_.route_name = route_->name;
  if (route_->action == Route::Action::kForward && !route_->clusters.empty()) {
    picked_ = &route_->PickCluster(worker_.random.Next());
  }
  if (route_->timeouts.idle.has_value() && *route_->timeouts.idle != idle_timeout_) {
    idle_timeout_ = *route_->timeouts.idle;
    Touch();
  }
  if (route_->timeouts.max_stream.has_value()) ArmMaxDuration(*route_->timeouts.max_stream);
}

// An upgrade that nobody allowed is refused before it can be taken for a plain request.
bool Stream::CheckUpgrade() {
  upgrade_ = UpgradeType(*request_);
  if (upgrade_.empty()) return true;
  const bool allowed = Allows(runtime_->config.upgrades, upgrade_) ||
                       (route_ != nullptr && Allows(route_->upgrades, upgrade_));
  if (allowed || route_ == nullptr) return true;
  Fail(StreamError::kUpgradeRefused);
  return false;
}

bool Stream::RedirectToTls() {
  if (virtual_host_ == nullptr || !virtual_host_->require_tls_all || peer_->tls != nullptr) {
    return true;
  }
  SendRedirect(301, absl::StrCat("https://", request_->authority(), request_->path()),
               "direct_response");
  return false;
}

// ---- Filters ------------------------------------------------------------------------------------

void Stream::MakeFilters() {
  for (const std::unique_ptr<FilterFactory>& factory : runtime_->filters) {
    if (factory->stateless()) {
      filters_.push_back({nullptr, factory.get()});
      continue;
    }
    std::unique_ptr<Filter> filter = factory->NewFilter(filter_side_);
    if (filter != nullptr) filters_.push_back({std::move(filter), nullptr});
  }
}

void Stream::RunFilters() {
  while (next_filter_ < filters_.size()) {
    const FilterSlot& slot = filters_[next_filter_++];
    in_filter_ = true;
    const FilterResult result = slot.filter != nullptr
                                    ? slot.filter->OnRequestHeaders(*request_, request_ended_)
                                    : slot.judge->Judge(filter_side_, *request_);
    in_filter_ = false;
    if (filter_reply_ != nullptr) {
      const std::unique_ptr<LocalReply> reply = std::move(filter_reply_);
      return AnswerFromFilter(std::move(*reply));
    }
    if (result == FilterResult::kAnswered) return;
    if (result == FilterResult::kPause) {
      state_ = State::kPaused;
      if (!request_ended_) PauseDownstream(true, kPausedByFilter);
      return;
    }
  }
  Dispatch();
}

void Stream::ContinueAfterPause() {
  if (state_ != State::kPaused) return;
  state_ = State::kFilters;
  Touch();
  PauseDownstream(false, kPausedByFilter);
  RunFilters();
}

Loop& Stream::FilterSide::loop() { return stream.worker_.loop; }
Random& Stream::FilterSide::random() { return stream.worker_.random; }
StreamInfo& Stream::FilterSide::info() { return stream.info_; }
const Route* Stream::FilterSide::route() const { return stream.route_; }

const FilterOverrides* Stream::FilterSide::overrides() const {
  if (stream.route_ == nullptr) return nullptr;
  // The chosen cluster's own settings stand over the route's, where it has any.
  if (stream.picked_ != nullptr) {
    const FilterOverrides& own = stream.picked_->filters;
    if (!own.empty()) return &own;
  }
  return &stream.route_->filters;
}

absl::string_view Stream::FilterSide::cluster_name() const {
  return stream.picked_ == nullptr ? absl::string_view()
                                   : ClusterFor(*stream.picked_, *stream.request_);
}

void Stream::FilterSide::Continue() { stream.ContinueAfterPause(); }

void Stream::FilterSide::Answer(LocalReply reply) {
  if (stream.in_filter_) {
    stream.filter_reply_ = std::make_unique<LocalReply>(std::move(reply));
  } else if (stream.state_ == State::kPaused) {
    stream.AnswerFromFilter(std::move(reply));
  }
}

void Stream::AnswerFromFilter(LocalReply reply) {
  info_.response_flags |= reply.flags;
  if (reply.error != StreamError::kNone) runtime_->stats.OnError(reply.error);
  AnswerLocally(reply.status, reply.grpc_status, reply.body, reply.details, reply.headers.get());
}

// ---- The route's action -------------------------------------------------------------------------

void Stream::Dispatch() {
  if (route_ == nullptr) return Fail(StreamError::kRouteNotFound);
  switch (route_->action) {
    case Route::Action::kForward:
      return Forward();
    case Route::Action::kRedirect:
      runtime_->stats.rq_redirect.Inc();
      return SendRedirect(route_->redirect.status, RedirectLocation(*route_, *request_),
                          "direct_response");
    case Route::Action::kDirectResponse:
      runtime_->stats.rq_direct_response.Inc();
      return SendDirect();
    case Route::Action::kNonForwarding:
      return Fail(StreamError::kRouteNotFound);
  }
}

void Stream::Forward() {
  const absl::string_view cluster =
      picked_ == nullptr ? absl::string_view() : ClusterFor(*picked_, *request_);
  // Copies are made only of what goes somewhere.
  const bool mirrored = !route_->mirrors.empty() && upgrade_.empty();
  if (picked_ == nullptr || (mirrored && worker_.clusters.Find(cluster) == nullptr)) {
    return Fail(StreamError::kClusterNotFound, "", route_->cluster_not_found_status);
  }
  ExchangeOptions options = MakeExchange(cluster);
  ApplyRequestChanges(*route_, *picked_, *request_, info_, runtime_->config.suppress_envoy_headers);
  ExpectContinue();
  if (mirrored) StartMirrors(options.balance, options.timeouts.request);
  state_ = State::kForwarding;
  if (!exchange_.Start(std::move(options))) {
    return Fail(StreamError::kClusterNotFound, "", route_->cluster_not_found_status);
  }
  runtime_->stats.rq_total.Inc();
  SendHeldBody();
}

ExchangeOptions Stream::MakeExchange(absl::string_view cluster) {
  ExchangeOptions options;
  options.cluster = cluster;
  options.request = request_.get();
  // A body that came while a filter paused follows.
  options.end_stream = request_ended_ && held_body_.empty() && held_trailers_ == nullptr;
  options.tunnel = !upgrade_.empty();
  options.convert_upgrade = !upgrade_.empty() && upgrade_ != "connect";
  options.auto_authority =
      route_->rewrite.auto_authority && (picked_ == nullptr || picked_->host_rewrite.empty());
  if (runtime_->config.upstream_alpn != nullptr) options.alpn = &runtime_->config.upstream_alpn;
  options.high_priority = route_->high_priority;
  options.count_attempts_in_request = virtual_host_->include_attempt_count_request;
  options.retry = route_->retry.get();
  options.timeouts = DecideTimeouts(*route_, runtime_->config.suppress_envoy_headers, *request_);
  options.replay_bytes_max = route_->retry_shadow_buffer_bytes > 0
                                 ? route_->retry_shadow_buffer_bytes
                                 : runtime_->buffer_bytes_max;
  options.balance.downstream_protocol = downstream_->protocol();
  options.balance.original_dst = peer_->local;
  if (!route_->hash.empty()) {
    HashResult hash =
        ComputeHash(route_->hash, request_.get(), info_.downstream_remote, info_.downstream_local);
    options.balance.hash = hash.hash;
    set_cookies_ = std::move(hash.set_cookies);
  }
  return options;
}

void Stream::StartMirrors(const BalanceContext& balance, Duration timeout) {
  for (const MirrorPolicy& policy : route_->mirrors) {
    if (!policy.fraction.Hit(worker_.random.Next())) continue;
    const absl::string_view cluster =
        policy.cluster.empty() ? request_->Get(policy.cluster_header) : policy.cluster;
    if (cluster.empty()) continue;
    MirrorOptions options;
    options.headers = request_.get();
    options.end_stream = request_ended_ && held_body_.empty() && held_trailers_ == nullptr;
    options.append_shadow = policy.append_shadow;
    if (runtime_->config.upstream_alpn != nullptr) options.alpn = &runtime_->config.upstream_alpn;
    options.timeout = timeout;
    options.balance = balance;
    std::unique_ptr<Mirror> mirror = worker_.clusters.StartMirror(cluster, options);
    if (mirror != nullptr) mirrors_.push_back(std::move(mirror));
  }
}

// RFC 9110 10.1.1: the client waits for a word before it sends the body. Said only now, when
// somebody is there to take it.
void Stream::ExpectContinue() {
  if (!request_->Has(HeaderId::kExpect) || runtime_->config.proxy_100_continue) return;
  const bool wanted = absl::EqualsIgnoreCase(request_->Get(HeaderId::kExpect), "100-continue");
  request_->Remove(HeaderId::kExpect);
  if (!wanted || request_ended_ || *info_.protocol == http::Protocol::kHttp10) return;
  const http::HeaderMapPtr go_on = http::HeaderMap::New();
  go_on->set_status(100);
  downstream_->SendInformational(*go_on);
}

// ---- The body -----------------------------------------------------------------------------------

void Stream::RequestEnded() {
  request_ended_ = true;
  info_.request_complete = Now();
  if (request_timer_ != nullptr) request_timer_->Disarm();
}

void Stream::SendHeldBody() {
  if (!held_body_.empty()) {
    Buffer held = std::move(held_body_);
    SendBody(held, request_ended_ && held_trailers_ == nullptr);
  }
  if (held_trailers_ != nullptr) {
    for (const auto& mirror : mirrors_) mirror->SendTrailers(*held_trailers_);
    exchange_.SendTrailers(*held_trailers_);
  }
}

void Stream::SendBody(Buffer& data, bool end_stream) {
  for (const auto& mirror : mirrors_) mirror->SendData(data, end_stream);
  exchange_.SendData(data, end_stream);
}

void Stream::OnData(Buffer& data, bool end_stream) {
  if (state_ == State::kOver) return;
  Touch();
  info_.bytes_received += data.size();
  if (end_stream) RequestEnded();
  if (!exchange_.started()) {
    held_body_.MoveFrom(data);
    return;
  }
  SendBody(data, end_stream);
  if (end_stream && response_ended_) Over();
}

void Stream::OnTrailers(http::HeaderMapPtr trailers) {
  if (state_ == State::kOver) return;
  Touch();
  RequestEnded();
  if (!exchange_.started()) {
    held_trailers_ = std::move(trailers);
    return;
  }
  for (const auto& mirror : mirrors_) mirror->SendTrailers(*trailers);
  exchange_.SendTrailers(*trailers);
  if (response_ended_) Over();
}

void Stream::OnUpstreamBlocked(bool blocked) {
  if (blocked) {
    runtime_->stats.downstream_flow_control_paused_reading_total.Inc();
  } else {
    runtime_->stats.downstream_flow_control_resumed_reading_total.Inc();
  }
  PauseDownstream(blocked, kPausedByUpstream);
}

void Stream::PauseDownstream(bool paused, uint8_t reason) {
  const uint8_t before = paused_for_;
  paused_for_ = paused ? before | reason : before & ~reason;
  if (downstream_ == nullptr || (before == 0) == (paused_for_ == 0)) return;
  downstream_->PauseReading(paused_for_ != 0);
}

}  // namespace meltemi::proxy
