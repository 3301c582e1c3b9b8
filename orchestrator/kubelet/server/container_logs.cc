#include "orchestrator/kubelet/server/container_logs.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/object/object.h"
#include "kube/status/field_error.h"
#include "orchestrator/apiserver/http/body_source.h"
#include "orchestrator/kubelet/logs/logs.h"
#include "orchestrator/kubelet/server/find.h"
#include "orchestrator/kubelet/server/streams/handshake.h"
#include "orchestrator/kubelet/server/streams/log_stream.h"
#include "orchestrator/kubelet/server/text_reply.h"

namespace meltemi::kubelet {
namespace {

using apiserver::BodySource;
using apiserver::Reply;
using apiserver::Request;
using kube::GoQuote;
using kube::core::v1::ContainerStatus;

// How soon a log that is followed is looked at again: soon after it has said something.
constexpr Duration kSoon = milliseconds(50);
constexpr Duration kLatest = milliseconds(400);

const ContainerStatus* FindStatus(const kube::core::v1::PodStatus& status,
                                  const std::string& container) {
  for (const auto* list : {&status.container_statuses(), &status.init_container_statuses(),
                           &status.ephemeral_container_statuses()}) {
    for (const ContainerStatus& one : *list) {
      if (one.name() == container) return &one;
    }
  }
  return nullptr;
}

// The id of the container whose log is asked for. Error: Kubernetes' words for why there is none.
absl::StatusOr<std::string> LogContainer(const kube::core::v1::Pod& pod,
                                         const std::string& container, bool previous) {
  const std::string what =
      absl::StrCat("container ", GoQuote(container), " in pod ", GoQuote(pod.metadata().name()));
  const ContainerStatus* const status = FindStatus(pod.status(), container);
  if (status == nullptr) return absl::NotFoundError(absl::StrCat(what, " is not available"));
  const std::string& last = status->last_state().terminated().container_id();
  const std::string& ended = status->state().terminated().container_id();
  if (previous) {
    if (!last.empty()) return last;
    return absl::NotFoundError(absl::StrCat("previous terminated ", what, " not found"));
  }
  if (status->state().has_running()) return status->container_id();
  if (!ended.empty()) return ended;
  if (!last.empty()) return last;
  if (status->state().has_terminated() || status->last_state().has_terminated()) {
    return absl::NotFoundError(absl::StrCat(what, " is terminated"));
  }
  if (!status->state().has_waiting()) {
    return absl::NotFoundError(absl::StrCat(what, " is waiting to start - no logs yet"));
  }
  std::string why = status->state().waiting().reason();
  if (why == "ErrImagePull") why = "image can't be pulled";
  if (why == "ImagePullBackOff") why = "trying and failing to pull image";
  return absl::NotFoundError(absl::StrCat(what, " is waiting to start: ", why));
}

// False: 400 or 422, as the kubelet says it.
bool ReadOptions(const Request& request, const Clock& clock, LogOptions* options, bool* previous,
                 Reply* refusal) {
  const kube::Result<bool> follow = request.query.Bool("follow");
  const kube::Result<bool> timestamps = request.query.Bool("timestamps");
  const kube::Result<bool> old = request.query.Bool("previous");
  const auto tail = request.query.Int("tailLines");
  const auto limit = request.query.Int("limitBytes");
  const auto since_seconds = request.query.Int("sinceSeconds");
  const std::string since_time = request.query.Get("sinceTime").value_or("");
  const std::optional<int64_t> since_micros =
      since_time.empty() ? std::nullopt : kube::ParseTimeMicros(since_time);
  if (!follow.ok() || !timestamps.ok() || !old.ok() || !tail.ok() || !limit.ok() ||
      !since_seconds.ok() || (!since_time.empty() && !since_micros.has_value())) {
    *refusal = TextReply(400, R"({"message": "Unable to decode query."})");
    return false;
  }
  if (tail->value_or(0) < 0 || limit->value_or(1) < 1 || since_seconds->value_or(1) < 1 ||
      (since_seconds->has_value() && since_micros.has_value())) {
    *refusal = TextReply(422, R"({"message": "Invalid request."})");
    return false;
  }
  const std::string stream = request.query.Get("stream").value_or("All");
  if (stream != "All" && !stream.empty()) {
    *refusal = TextReply(
        400, absl::StrCat("unable to return the given log stream: ", GoQuote(stream),
                          ". Please enable PodLogsQuerySplitStreams feature gate in kubelet"));
    return false;
  }
  options->follow = *follow;
  options->timestamps = *timestamps;
  options->tail_lines = *tail;
  options->limit_bytes = *limit;
  if (since_micros.has_value()) options->since = WallTime(microseconds(*since_micros));
  // More than a lifetime is all there is.
  constexpr int64_t kSecondsMax = int64_t{100} * 365 * 24 * 3600;
  if (since_seconds->has_value() && **since_seconds < kSecondsMax) {
    options->since = clock.WallNow() - seconds(**since_seconds);
  }
  *previous = *old;
  return true;
}

class LogSource final : public BodySource {
 public:
  // `watched`: the container that is followed; without one the log ends where it ends.
  LogSource(std::unique_ptr<LogReader> reader, std::shared_ptr<apiserver::Translator> translator,
            const Pods& pods, std::string ns, std::string pod, std::string watched)
      : reader_(std::move(reader)),
        translator_(std::move(translator)),
        pods_(pods),
        ns_(std::move(ns)),
        pod_(std::move(pod)),
        watched_(std::move(watched)) {}

  Next Read(size_t bytes_max, std::string& out) override {
    // Looked at before the file is: what it said last is there by then.
    if (!ended_ && !Runs()) {
      ended_ = true;
      reader_->SetEnded();
    }
    absl::StatusOr<std::string> text = reader_->Read(bytes_max);
    if (!text.ok()) return Next::kBroken;
    out += *text;
    if (reader_->done()) return Next::kEnd;
    retry_after_ = text->empty() ? std::min(retry_after_ * 2, kLatest) : kSoon;
    return text->empty() ? Next::kLater : Next::kMore;
  }
  Duration retry_after() const override { return retry_after_; }
  std::shared_ptr<apiserver::Translator> translator() const override { return translator_; }

 private:
  bool Runs() const {
    if (watched_.empty()) return false;
    const std::shared_ptr<const PodOnNode> pod = pods_.Find(ns_, pod_);
    if (pod == nullptr) return false;
    const ContainerState* const container = pod->state.ById(watched_);
    return container != nullptr && container->phase == ContainerState::Phase::kRunning;
  }

  const std::unique_ptr<LogReader> reader_;
  const std::shared_ptr<apiserver::Translator> translator_;
  const Pods& pods_;
  const std::string ns_, pod_, watched_;
  Duration retry_after_ = kSoon;
  bool ended_ = false;
};

}  // namespace

Reply ContainerLogs(const Pods& pods, const Clock& clock, const Request& request,
                    const std::string& ns, const std::string& pod, const std::string& container) {
  LogOptions options;
  bool previous = false;
  Reply refusal;
  if (!ReadOptions(request, clock, &options, &previous, &refusal)) return refusal;
  const std::shared_ptr<const PodOnNode> found = pods.Find(ns, pod);
  if (found == nullptr) {
    return TextReply(404, absl::StrCat("pod ", GoQuote(pod), " does not exist"));
  }
  if (!FindSpec(*found->pod, container).found) {
    return TextReply(
        404, absl::StrCat("container ", GoQuote(container), " not found in pod ", GoQuote(pod)));
  }
  const absl::StatusOr<std::string> full_id = LogContainer(*found->pod, container, previous);
  if (!full_id.ok()) return TextReply(400, std::string(full_id.status().message()));
  const std::string id(full_id->substr(std::min(full_id->find("://") + 3, full_id->size())));
  const ContainerState* const state = found->state.ById(id);
  // From here on Kubernetes' answer has begun: what goes wrong is told in its text.
  if (state == nullptr) {
    return TextReply(200, absl::StrCat("unable to retrieve container logs for ", *full_id));
  }
  absl::StatusOr<std::unique_ptr<LogReader>> reader = OpenLog(state->log_path, options);
  if (!reader.ok()) return TextReply(200, std::string(reader.status().message()));
  std::shared_ptr<apiserver::Translator> translator;
  if (IsWebSocket(request)) {
    kube::Result<std::shared_ptr<apiserver::Translator>> agreed = NewLogTranslator(request);
    if (!agreed.ok()) return TextReply(agreed.status().code, agreed.status().message);
    translator = *std::move(agreed);
  }
  return apiserver::StreamAnswer{
      .content_type = "text/plain",
      .source = std::make_shared<LogSource>(*std::move(reader), std::move(translator), pods, ns,
                                            pod, options.follow ? id : std::string())};
}

}  // namespace meltemi::kubelet
