#include "orchestrator/kubelet/volumes/downward.h"

#include <cmath>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/quantity/quantity.h"
#include "kube/status/field_error.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Container;
using kube::core::v1::Pod;
using kube::core::v1::ResourceFieldSelector;
using TextMap = google::protobuf::Map<std::string, std::string>;

// As Go writes it with %q, sorted: key="value".
std::string Lines(const TextMap& map) {
  const std::map<std::string, std::string> sorted(map.begin(), map.end());
  std::string out;
  for (const auto& [key, value] : sorted) {
    absl::StrAppend(&out, out.empty() ? "" : "\n", key, "=", kube::GoQuote(value));
  }
  return out;
}

std::string Of(const TextMap& map, absl::string_view key) {
  const auto found = map.find(std::string(key));
  return found == map.end() ? "" : found->second;
}

const Container* FindContainer(const Pod& pod, absl::string_view name) {
  for (const Container& one : pod.spec().containers()) {
    if (one.name() == name) return &one;
  }
  for (const Container& one : pod.spec().init_containers()) {
    if (one.name() == name) return &one;
  }
  return nullptr;
}

kube::Quantity Parsed(absl::string_view text) {
  return kube::Quantity::Parse(text).value_or(kube::Quantity());
}

}  // namespace

absl::StatusOr<std::string> MetadataField(const Pod& pod, absl::string_view path) {
  const kube::meta::v1::ObjectMeta& meta = pod.metadata();
  absl::string_view rest = path;
  const size_t bracket = path.find("['");
  if (absl::ConsumeSuffix(&rest, "']") && bracket != absl::string_view::npos && bracket > 0) {
    const absl::string_view map = path.substr(0, bracket);
    const absl::string_view key = rest.substr(bracket + 2);
    if (map == "metadata.labels") return Of(meta.labels(), key);
    if (map == "metadata.annotations") return Of(meta.annotations(), key);
    return absl::InvalidArgumentError(
        absl::StrCat("fieldPath ", kube::GoQuote(path), " does not support subscript"));
  }
  if (path == "metadata.labels") return Lines(meta.labels());
  if (path == "metadata.annotations") return Lines(meta.annotations());
  if (path == "metadata.name") return meta.name();
  if (path == "metadata.namespace") return meta.namespace_();
  if (path == "metadata.uid") return meta.uid();
  return absl::InvalidArgumentError(absl::StrCat("unsupported fieldPath: ", path));
}

absl::StatusOr<std::string> ContainerResource(
    const Pod& pod, const ResourceFieldSelector& selector, absl::string_view container,
    const std::map<std::string, std::string>& allocatable) {
  const std::string name(container.empty() ? selector.container_name() : container);
  const Container* const found = FindContainer(pod, name);
  if (found == nullptr) {
    return absl::NotFoundError(absl::StrCat("container ", name, " not found"));
  }
  absl::string_view resource = selector.resource();
  const bool is_limit = absl::ConsumePrefix(&resource, "limits.");
  const bool known = (is_limit || absl::ConsumePrefix(&resource, "requests.")) &&
                     (resource == "cpu" || resource == "memory" ||
                      resource == "ephemeral-storage" || absl::StartsWith(resource, "hugepages-"));
  if (!known) {
    return absl::InvalidArgumentError(
        absl::StrCat("unsupported container resource : ", selector.resource()));
  }
  const auto& amounts = is_limit ? found->resources().limits() : found->resources().requests();
  kube::Quantity amount;
  if (const auto set = amounts.find(std::string(resource)); set != amounts.end()) {
    amount = Parsed(set->second.string());
  }
  // A limit that is not set is the node's.
  const auto node = allocatable.find(std::string(resource));
  if (is_limit && amount.IsZero() && node != allocatable.end()) amount = Parsed(node->second);
  kube::Quantity divisor = Parsed(selector.divisor().string());
  if (divisor.IsZero()) divisor = kube::Quantity::Of(1);
  const auto in_milli = [](const kube::Quantity& q) { return static_cast<double>(q.MilliValue()); };
  const auto whole = [](const kube::Quantity& q) { return static_cast<double>(q.Value()); };
  const double quotient =
      resource == "cpu" ? in_milli(amount) / in_milli(divisor) : whole(amount) / whole(divisor);
  return absl::StrCat(static_cast<int64_t>(std::ceil(quotient)));
}

}  // namespace meltemi::kubelet
