#include "orchestrator/kubelet/volumes/payload.h"

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/kubelet/volumes/downward.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::KeyToPath;
using kube::core::v1::Pod;
using kube::core::v1::Volume;
using Items = google::protobuf::RepeatedPtrField<KeyToPath>;
using Bytes = std::map<std::string, absl::string_view>;

constexpr uint32_t kDefaultMode = 0644;
constexpr uint32_t kTokenMode = 0600;

// The user of all containers, where they share one.
std::optional<int64_t> OnlyUser(const Pod& pod) {
  std::optional<int64_t> user;
  bool same = true;
  const auto see = [&](const kube::core::v1::Container& container) {
    std::optional<int64_t> own;
    const auto& of_pod = pod.spec().security_context();
    if (of_pod.has_run_as_user()) own = of_pod.run_as_user();
    if (container.security_context().has_run_as_user()) {
      own = container.security_context().run_as_user();
    }
    if (!own.has_value() || (user.has_value() && *user != *own)) same = false;
    user = own;
  };
  for (const auto& container : pod.spec().init_containers()) see(container);
  for (const auto& container : pod.spec().containers()) see(container);
  return same ? user : std::nullopt;
}

class Maker {
 public:
  Maker(const Pod& pod, const std::string& node_name, ApiObjects& api, Duration age_max,
        uint32_t default_mode)
      : pod_(pod), node_name_(node_name), api_(api), age_max_(age_max), mode_(default_mode) {}

  template <typename Source>
  void AddConfigMap(const std::string& name, const Source& source) {
    const auto object = api_.GetConfigMap(pod_.metadata().namespace_(), name, age_max_);
    if (!object.ok()) return Missing(object.status(), source.optional());
    fixed_ &= (*object)->immutable();
    Bytes bytes;
    for (const auto& [key, text] : (*object)->data()) bytes[key] = text;
    for (const auto& [key, text] : (*object)->binary_data()) bytes[key] = text;
    Add(bytes, source.items(), source.optional(), "configmap references non-existent config key: ");
  }

  template <typename Source>
  void AddSecret(const std::string& name, const Source& source) {
    const auto object = api_.GetSecret(pod_.metadata().namespace_(), name, age_max_);
    if (!object.ok()) return Missing(object.status(), source.optional());
    fixed_ &= (*object)->immutable();
    Bytes bytes;
    for (const auto& [key, text] : (*object)->data()) bytes[key] = text;
    Add(bytes, source.items(), source.optional(), "references non-existent secret key: ");
  }

  template <typename Source>
  void AddDownward(const Source& source) {
    for (const kube::core::v1::DownwardAPIVolumeFile& item : source.items()) {
      absl::StatusOr<std::string> text("");
      if (item.has_field_ref()) {
        text = MetadataField(pod_, item.field_ref().field_path());
        fixed_ &= !absl::StartsWith(item.field_ref().field_path(), "metadata.labels") &&
                  !absl::StartsWith(item.field_ref().field_path(), "metadata.annotations");
      } else if (item.has_resource_field_ref()) {
        text = Resource(item.resource_field_ref());
        fixed_ = false;
      }
      if (!text.ok()) {
        Fail(text.status());
        continue;
      }
      files_[item.path()] = {*std::move(text), ModeOf(item), std::nullopt};
    }
  }

  void AddToken(const kube::core::v1::ServiceAccountTokenProjection& source) {
    fixed_ = false;
    absl::StatusOr<std::string> token = api_.Token(pod_, source);
    if (!token.ok()) return Fail(token.status());
    const std::optional<int64_t> user = OnlyUser(pod_);
    const bool narrow = user.has_value() || pod_.spec().security_context().has_fs_group();
    files_[source.path()] = {*std::move(token), narrow ? kTokenMode : mode_, user};
  }

  void Fail(const absl::Status& status) { errors_.push_back(status); }

  absl::StatusOr<Payload> Take() {
    if (errors_.size() == 1) return errors_[0];
    if (errors_.size() > 1) {
      const std::string all =
          absl::StrJoin(errors_, ", ", [](std::string* out, const absl::Status& status) {
            absl::StrAppend(out, status.message());
          });
      return absl::Status(errors_[0].code(), absl::StrCat("[", all, "]"));
    }
    return Payload{std::move(files_), fixed_};
  }

 private:
  template <typename Item>
  uint32_t ModeOf(const Item& item) const {
    return item.has_mode() ? static_cast<uint32_t>(item.mode()) : mode_;
  }

  void Missing(const absl::Status& status, bool optional) {
    fixed_ = false;
    if (!optional || !absl::IsNotFound(status)) Fail(status);
  }

  void Add(const Bytes& bytes, const Items& items, bool optional, absl::string_view complaint) {
    if (items.empty()) {
      for (const auto& [key, text] : bytes) files_[key] = {std::string(text), mode_, std::nullopt};
    }
    for (const KeyToPath& item : items) {
      const auto found = bytes.find(item.key());
      if (found != bytes.end()) {
        files_[item.path()] = {std::string(found->second), ModeOf(item), std::nullopt};
      } else if (!optional) {
        Fail(absl::NotFoundError(absl::StrCat(complaint, item.key())));
        return;
      }
    }
  }

  absl::StatusOr<std::string> Resource(const kube::core::v1::ResourceFieldSelector& selector) {
    // Asked of the node only for limits: they may be the node's own.
    std::map<std::string, std::string> allocatable;
    if (absl::StartsWith(selector.resource(), "limits.")) {
      const auto node = api_.GetNode(node_name_, age_max_ + minutes(1));
      if (!node.ok()) return node.status();
      for (const auto& [name, amount] : (*node)->status().allocatable()) {
        allocatable[name] = amount.string();
      }
    }
    return ContainerResource(pod_, selector, "", allocatable);
  }

  const Pod& pod_;
  const std::string& node_name_;
  ApiObjects& api_;
  const Duration age_max_;
  const uint32_t mode_;
  VolumeFiles files_;
  bool fixed_ = true;
  std::vector<absl::Status> errors_;
};

template <typename Source>
uint32_t DefaultModeOf(const Source& source) {
  return source.has_default_mode() ? static_cast<uint32_t>(source.default_mode()) : kDefaultMode;
}

uint32_t DefaultMode(const kube::core::v1::VolumeSource& source) {
  if (source.has_config_map()) return DefaultModeOf(source.config_map());
  if (source.has_secret()) return DefaultModeOf(source.secret());
  if (source.has_downward_api()) return DefaultModeOf(source.downward_api());
  return DefaultModeOf(source.projected());
}

}  // namespace

bool HasPayload(const Volume& volume) {
  const auto& source = volume.volume_source();
  return source.has_config_map() || source.has_secret() || source.has_downward_api() ||
         source.has_projected();
}

const char* PayloadPlugin(const Volume& volume) {
  const auto& source = volume.volume_source();
  if (source.has_config_map()) return "kubernetes.io~configmap";
  if (source.has_secret()) return "kubernetes.io~secret";
  if (source.has_downward_api()) return "kubernetes.io~downward-api";
  return "kubernetes.io~projected";
}

bool PayloadInMemory(const Volume& volume) { return !volume.volume_source().has_config_map(); }

absl::StatusOr<Payload> MakePayload(const Pod& pod, const Volume& volume,
                                    const std::string& node_name, ApiObjects& api,
                                    Duration age_max) {
  const auto& source = volume.volume_source();
  Maker maker(pod, node_name, api, age_max, DefaultMode(source));
  if (source.has_config_map()) {
    maker.AddConfigMap(source.config_map().local_object_reference().name(), source.config_map());
  } else if (source.has_secret()) {
    maker.AddSecret(source.secret().secret_name(), source.secret());
  } else if (source.has_downward_api()) {
    maker.AddDownward(source.downward_api());
  }
  for (const kube::core::v1::VolumeProjection& part : source.projected().sources()) {
    if (part.has_secret()) {
      maker.AddSecret(part.secret().local_object_reference().name(), part.secret());
    } else if (part.has_config_map()) {
      maker.AddConfigMap(part.config_map().local_object_reference().name(), part.config_map());
    } else if (part.has_downward_api()) {
      maker.AddDownward(part.downward_api());
    } else if (part.has_service_account_token()) {
      maker.AddToken(part.service_account_token());
    } else if (part.has_cluster_trust_bundle() && !part.cluster_trust_bundle().optional()) {
      maker.Fail(absl::UnimplementedError("ClusterTrustBundle projection is not supported"));
    }
  }
  return maker.Take();
}

}  // namespace meltemi::kubelet
