#include "proxy/filters/fault/fault.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "base/metrics/metrics.h"
#include "proxy/observe/stream_info.h"
#include "proxy/stream/reply/reply.h"

namespace meltemi::proxy {
namespace {

using http::HeaderMap;

// Headers by which a caller steers faults where the policy says "from header" (Envoy's names).
constexpr absl::string_view kDelayHeader = "x-envoy-fault-delay-request";  // milliseconds
constexpr absl::string_view kDelayShareHeader = "x-envoy-fault-delay-request-percentage";
constexpr absl::string_view kAbortHeader = "x-envoy-fault-abort-request";  // HTTP status
constexpr absl::string_view kAbortGrpcHeader = "x-envoy-fault-abort-grpc-request";
constexpr absl::string_view kAbortShareHeader = "x-envoy-fault-abort-request-percentage";
constexpr absl::string_view kDownstreamNodeHeader = "x-envoy-downstream-service-node";

using ActiveFaults = std::atomic<uint32_t>;

struct Counters {
  explicit Counters(metrics::Scope& scope)
      : aborts(scope.GetCounter("envoy_http_fault_aborts_injected")),
        delays(scope.GetCounter("envoy_http_fault_delays_injected")),
        overflows(scope.GetCounter("envoy_http_fault_faults_overflow")),
        active(scope.GetGauge("envoy_http_fault_active_faults")) {}
  metrics::Counter& aborts;
  metrics::Counter& delays;
  metrics::Counter& overflows;
  metrics::Gauge& active;
};

std::optional<uint64_t> NumberIn(const HeaderMap& headers, absl::string_view name) {
  const HeaderMap::Entry* entry = headers.Find(name);
  uint64_t value = 0;
  if (entry == nullptr || !absl::SimpleAtoi(entry->value, &value)) return std::nullopt;
  return value;
}

// A header may lower the configured share, never raise it.
Fraction ShareOf(const Fraction& configured, const HeaderMap& headers, absl::string_view name) {
  Fraction share = configured;
  if (const auto asked = NumberIn(headers, name)) {
    share.numerator = static_cast<uint32_t>(std::min<uint64_t>(*asked, configured.numerator));
  }
  return share;
}

class FaultFilter final : public Filter {
 public:
  FaultFilter(FilterStream& stream, std::shared_ptr<const FaultPolicy> policy, Counters& counters,
              ActiveFaults& active)
      : stream_(stream), policy_(std::move(policy)), counters_(counters), active_(active) {}
  ~FaultFilter() override { OnEnd(); }

  FilterResult OnRequestHeaders(HeaderMap& headers, bool end_stream) override {
    if (!Applies(headers)) return FilterResult::kContinue;
    ChooseAbort(headers);
    if (const Duration delay = ChooseDelay(headers); delay > Duration(0)) {
      counters_.delays.Inc();
      stream_.info().response_flags |= kFlagDelayInjected;
      timer_ = stream_.loop().NewTimer([this] { OnDelayed(); });
      timer_->Arm(delay);
      return FilterResult::kPause;
    }
    return Abort() ? FilterResult::kAnswered : FilterResult::kContinue;
  }

  void OnEnd() override {
    if (timer_ != nullptr) timer_->Disarm();
    if (!counted_) return;
    counted_ = false;
    active_.fetch_sub(1, std::memory_order_relaxed);
    counters_.active.Dec();
  }

 private:
  bool Applies(const HeaderMap& headers) const {
    if (!policy_->upstream_cluster.empty() && policy_->upstream_cluster != stream_.cluster_name()) {
      return false;
    }
    if (!policy_->downstream_nodes.empty()) {
      const HeaderMap::Entry* node = headers.Find(kDownstreamNodeHeader);
      const auto& nodes = policy_->downstream_nodes;
      if (node == nullptr || std::find(nodes.begin(), nodes.end(), node->value) == nodes.end()) {
        return false;
      }
    }
    return std::all_of(policy_->headers.begin(), policy_->headers.end(),
                       [&](const HeaderMatcher& matcher) { return matcher.Matches(headers); });
  }

  Duration ChooseDelay(const HeaderMap& headers) {
    Duration delay = policy_->delay.value_or(Duration(0));
    Fraction share = policy_->delay_share;
    if (policy_->delay_from_header) {
      delay =
          milliseconds(std::min<uint64_t>(NumberIn(headers, kDelayHeader).value_or(0), INT32_MAX));
      share = ShareOf(share, headers, kDelayShareHeader);
    }
    if (delay <= Duration(0) || !share.Hit(stream_.random().Next()) || !Count()) return Duration(0);
    return delay;
  }

  // Decides now, while the headers are at hand; happens after the delay.
  void ChooseAbort(const HeaderMap& headers) {
    abort_status_ = policy_->abort_status;
    abort_grpc_status_ = policy_->abort_grpc_status;
    abort_share_ = policy_->abort_share;
    if (!policy_->abort_from_header) return;
    abort_share_ = ShareOf(abort_share_, headers, kAbortShareHeader);
    if (const auto status = NumberIn(headers, kAbortHeader)) {
      if (*status >= 200 && *status < 600) abort_status_ = static_cast<int>(*status);
    } else if (const auto grpc = NumberIn(headers, kAbortGrpcHeader)) {
      if (*grpc <= 16) abort_grpc_status_ = static_cast<int>(*grpc);
    }
  }

  bool Abort() {
    if (abort_status_ == 0 && abort_grpc_status_ < 0) return false;
    if (!abort_share_.Hit(stream_.random().Next()) || !Count()) return false;
    counters_.aborts.Inc();
    LocalReply reply;
    reply.status = abort_status_ != 0 ? abort_status_ : HttpStatusFromGrpc(abort_grpc_status_);
    reply.grpc_status = abort_grpc_status_;
    reply.body = "fault filter abort";
    reply.details = "fault_filter_abort";
    reply.error = StreamError::kFaultAbort;
    reply.flags = kFlagFaultInjected;
    stream_.Answer(std::move(reply));
    return true;
  }

  // The stream may be over when this returns.
  void OnDelayed() {
    if (!Abort()) stream_.Continue();
  }

  // One fault counts once for its stream, whether it delays, aborts or does both.
  bool Count() {
    if (counted_) return true;
    const uint32_t before = active_.fetch_add(1, std::memory_order_relaxed);
    if (policy_->active_faults_max.has_value() && before >= *policy_->active_faults_max) {
      active_.fetch_sub(1, std::memory_order_relaxed);
      counters_.overflows.Inc();
      return false;
    }
    counted_ = true;
    counters_.active.Inc();
    return true;
  }

  FilterStream& stream_;
  const std::shared_ptr<const FaultPolicy> policy_;
  Counters& counters_;
  ActiveFaults& active_;
  std::unique_ptr<Timer> timer_;
  bool counted_ = false;
  int abort_status_ = 0;
  int abort_grpc_status_ = -1;
  Fraction abort_share_{0, 100};
};

bool DoesAnything(const FaultPolicy& policy) {
  return policy.delay.has_value() || policy.delay_from_header || policy.abort_status != 0 ||
         policy.abort_grpc_status >= 0 || policy.abort_from_header;
}

class FaultFactory final : public FilterFactory {
 public:
  FaultFactory(std::shared_ptr<const FaultPolicy> policy, std::shared_ptr<ActiveFaults> active,
               metrics::Scope& scope)
      : policy_(std::move(policy)), active_(std::move(active)), counters_(scope) {}

  absl::string_view name() const override { return "envoy.filters.http.fault"; }

  std::unique_ptr<Filter> NewFilter(FilterStream& stream) override {
    const FilterOverrides* overrides = stream.overrides();
    if (overrides != nullptr && overrides->fault_disabled) return nullptr;
    const std::shared_ptr<const FaultPolicy>& policy =
        overrides != nullptr && overrides->fault != nullptr ? overrides->fault : policy_;
    if (!DoesAnything(*policy)) return nullptr;
    return std::make_unique<FaultFilter>(stream, policy, counters_, *active_);
  }

 private:
  const std::shared_ptr<const FaultPolicy> policy_;
  const std::shared_ptr<ActiveFaults> active_;
  Counters counters_;
};

class FaultConfig final : public FilterConfig {
 public:
  explicit FaultConfig(std::shared_ptr<const FaultPolicy> policy) : policy_(std::move(policy)) {}
  std::unique_ptr<FilterFactory> NewFactory(metrics::Scope& scope) const override {
    return std::make_unique<FaultFactory>(policy_, active_, scope);
  }

 private:
  const std::shared_ptr<const FaultPolicy> policy_;
  const std::shared_ptr<ActiveFaults> active_ = std::make_shared<ActiveFaults>(0);
};

}  // namespace

std::shared_ptr<const FilterConfig> NewFaultFilter(std::shared_ptr<const FaultPolicy> policy) {
  return std::make_shared<FaultConfig>(std::move(policy));
}

}  // namespace meltemi::proxy
