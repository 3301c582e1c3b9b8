#include "orchestrator/controllers/autoscaler/metrics.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/client/typed.h"
#include "kube/metrics/v1beta1/metrics.pb.h"
#include "kube/quantity/quantity.h"

namespace meltemi::controllers {
namespace {

using kube::autoscaling::v2::MetricIdentifier;
using kube::autoscaling::v2::MetricSpec;
using kube::autoscaling::v2::MetricTarget;
using kube::autoscaling::v2::MetricValueStatus;
using PodUse = kube::metrics::v1beta1::PodMetrics;

constexpr char kNoCustomMetrics[] =
    "unable to fetch metrics from custom metrics API: no custom metrics API "
    "(custom.metrics.k8s.io) registered";

std::optional<int64_t> Milli(const kube::metrics::v1beta1::ContainerMetrics& container,
                             const std::string& resource) {
  const auto at = container.usage().find(resource);
  if (at == container.usage().end()) return std::nullopt;
  const std::optional<kube::Quantity> amount = kube::Quantity::Parse(at->second.string());
  if (!amount.has_value()) return std::nullopt;
  return amount->MilliValue();
}

// nullopt: figures are missing. Error: the pod has no such container.
absl::StatusOr<std::optional<int64_t>> UseOf(const PodUse& pod, const std::string& resource,
                                             const std::string& container) {
  int64_t sum = 0;
  bool found = false;
  for (const auto& candidate : pod.containers()) {
    if (!container.empty() && candidate.name() != container) continue;
    found = true;
    const std::optional<int64_t> value = Milli(candidate, resource);
    if (!value.has_value()) return std::optional<int64_t>();
    sum += *value;
  }
  if (found) return std::optional<int64_t>(sum);
  if (container.empty()) return std::optional<int64_t>();
  return absl::NotFoundError(absl::StrCat("failed to get container metrics: container ", container,
                                          " not present in metrics for pod ",
                                          pod.metadata().namespace_(), "/", pod.metadata().name()));
}

absl::StatusOr<PodMetrics> FetchMetrics(kube::Client& client, const std::string& resource,
                                        const std::string& container,
                                        const MetricsQuestion& question) {
  const kube::Result<std::vector<PodUse>> listed =
      kube::List<PodUse>(client, {.ns = question.ns, .label_selector = question.selector});
  if (!listed.ok()) {
    return absl::UnavailableError(absl::StrCat(
        "unable to fetch metrics from resource metrics API: ", listed.status().message));
  }
  if (listed->empty()) {
    return absl::UnavailableError("no metrics returned from resource metrics API");
  }
  PodMetrics out;
  for (const PodUse& pod : *listed) {
    const absl::StatusOr<std::optional<int64_t>> use = UseOf(pod, resource, container);
    if (!use.ok()) return use.status();
    if (!use->has_value()) continue;
    out[pod.metadata().name()] = {.value = **use,
                                  .time = ToWall(pod.timestamp()),
                                  .window = Duration(pod.window().duration())};
  }
  return out;
}

std::string MilliText(int64_t value) { return kube::Quantity::OfMilli(value).ToString(); }

// Shared by resources of pods and of their containers.
MetricAnswer EvaluateResource(kube::Client& client, const std::string& resource,
                              const std::string& container, const MetricTarget& target,
                              const MetricsQuestion& question, MetricValueStatus* status) {
  MetricAnswer out;
  const bool by_average = target.has_average_value();
  const auto fail = [&](absl::string_view why) {
    out.error =
        absl::StrCat("failed to get ", resource, by_average ? " usage: " : " utilization: ", why);
    return out;
  };
  if (!by_average && !target.has_average_utilization()) {
    out.error =
        "invalid resource metric source: neither an average utilization target nor an average "
        "value (usage) target was set";
    return out;
  }
  absl::StatusOr<PodMetrics> metrics = FetchMetrics(client, resource, container, question);
  if (!metrics.ok()) {
    return fail(absl::StrCat("unable to get metrics for resource ", resource, ": ",
                             metrics.status().message()));
  }
  ReplicaQuestion replicas{.pods = question.pods,
                           .metrics = *std::move(metrics),
                           .current_replicas = question.current_replicas,
                           .resource = resource,
                           .container = container,
                           .now = question.now,
                           .options = question.options};
  const std::optional<kube::Quantity> average =
      kube::Quantity::Parse(target.average_value().string());
  const absl::StatusOr<Proposal> proposal =
      by_average ? ProposeByAverage(std::move(replicas), average ? average->MilliValue() : 1)
                 : ProposeByUtilization(std::move(replicas), target.average_utilization());
  if (!proposal.ok()) return fail(proposal.status().message());
  out.ok = true;
  out.replicas = proposal->replicas;
  out.name = absl::StrCat(resource, by_average          ? " resource"
                                    : container.empty() ? " resource utilization (percentage of "
                                                          "request)"
                                                        : " container resource utilization "
                                                          "(percentage of request)");
  if (!by_average) status->set_average_utilization(proposal->utilization);
  status->mutable_average_value()->set_string(MilliText(proposal->average));
  return out;
}

// "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:…}": as Go prints it.
std::string SelectorText(const MetricIdentifier& metric) {
  if (!metric.has_selector()) return "nil";
  std::vector<std::string> labels;
  for (const auto& [key, value] : metric.selector().match_labels()) {
    labels.push_back(absl::StrCat(key, ": ", value, ","));
  }
  std::sort(labels.begin(), labels.end());
  return absl::StrCat("&LabelSelector{MatchLabels:map[string]string{", absl::StrJoin(labels, ""),
                      "},MatchExpressions:[]LabelSelectorRequirement{},}");
}

// Nobody serves these metrics here, and so it is said.
MetricAnswer WithoutApi(absl::string_view reason, std::string error) {
  MetricAnswer out;
  out.reason = std::string(reason);
  out.error = std::move(error);
  return out;
}

MetricAnswer EvaluateObject(const MetricSpec& spec, const MetricsQuestion& question) {
  const auto& object = spec.object();
  MetricAnswer out =
      WithoutApi("FailedGetObjectMetric",
                 absl::StrCat("unable to get metric ", object.metric().name(), ": ",
                              object.described_object().kind(), " on ", question.ns, " ",
                              object.described_object().name(), "/", kNoCustomMetrics));
  const std::string per_pod =
      object.target().type() == "AverageValue"
          ? absl::StrCat("failed to get ", object.metric().name(), " object metric: ")
          : "";
  out.summary = absl::StrCat("failed to get object metric value: ", per_pod, out.error);
  return out;
}

MetricAnswer EvaluatePods(const MetricSpec& spec) {
  MetricAnswer out = WithoutApi(
      "FailedGetPodsMetric",
      absl::StrCat("unable to get metric ", spec.pods().metric().name(), ": ", kNoCustomMetrics));
  out.summary = absl::StrCat("failed to get pods metric value: ", out.error);
  return out;
}

MetricAnswer EvaluateExternal(const MetricSpec& spec, const MetricsQuestion& question) {
  const std::string& name = spec.external().metric().name();
  MetricAnswer out = WithoutApi(
      "FailedGetExternalMetric",
      absl::StrCat("unable to get external metric ", question.ns, "/", name, "/",
                   SelectorText(spec.external().metric()),
                   ": unable to fetch metrics from external metrics API: the server could not "
                   "find the requested resource (get ",
                   name, ".external.metrics.k8s.io)"));
  const std::string how = spec.external().target().has_average_value()
                              ? absl::StrCat("failed to get ", name, " external metric: ")
                              : absl::StrCat("failed to get external metric ", name, ": ");
  out.summary = absl::StrCat("failed to get ", name, " external metric value: ", how, out.error);
  return out;
}

}  // namespace

MetricAnswer EvaluateMetric(kube::Client& client, const MetricSpec& spec,
                            const MetricsQuestion& question) {
  MetricAnswer out;
  if (spec.type() == "Resource") {
    MetricValueStatus value;
    const std::string& name = spec.resource().name();
    out = EvaluateResource(client, name, "", spec.resource().target(), question, &value);
    out.reason = "FailedGetResourceMetric";
    out.summary = absl::StrCat("failed to get ", name, " resource metric value: ", out.error);
    if (out.ok) {
      out.status.set_type("Resource");
      out.status.mutable_resource()->set_name(name);
      *out.status.mutable_resource()->mutable_current() = value;
    }
    return out;
  }
  if (spec.type() == "ContainerResource") {
    MetricValueStatus value;
    const auto& source = spec.container_resource();
    out = EvaluateResource(client, source.name(), source.container(), source.target(), question,
                           &value);
    out.reason = "FailedGetContainerResourceMetric";
    out.summary =
        absl::StrCat("failed to get ", source.container(), " container metric value: ", out.error);
    if (out.ok) {
      out.status.set_type("ContainerResource");
      out.status.mutable_container_resource()->set_name(source.name());
      out.status.mutable_container_resource()->set_container(source.container());
      *out.status.mutable_container_resource()->mutable_current() = value;
    }
    return out;
  }
  if (spec.type() == "Object") return EvaluateObject(spec, question);
  if (spec.type() == "Pods") return EvaluatePods(spec);
  if (spec.type() == "External") return EvaluateExternal(spec, question);
  out.reason = "InvalidMetricSourceType";
  out.error = out.summary = absl::StrCat("unknown metric source type \"", spec.type(), "\"");
  return out;
}

}  // namespace meltemi::controllers
