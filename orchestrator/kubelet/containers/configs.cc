#include "orchestrator/kubelet/containers/configs.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/log/log.h"
#include "cri/runtime/v1/container.pb.h"
#include "cri/runtime/v1/image.pb.h"
#include "cri/runtime/v1/sandbox.pb.h"
#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/status/field_error.h"
#include "orchestrator/kubelet/containers/dns_config.h"
#include "orchestrator/kubelet/containers/environment.h"
#include "orchestrator/kubelet/containers/expansion.h"
#include "orchestrator/kubelet/containers/labels.h"
#include "orchestrator/kubelet/containers/last_words.h"
#include "orchestrator/kubelet/containers/mounts.h"
#include "orchestrator/kubelet/containers/pull_auths.h"
#include "orchestrator/kubelet/containers/security.h"
#include "orchestrator/kubelet/volumes/api_objects.h"
#include "orchestrator/kubelet/volumes/files.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Container;
using kube::core::v1::Pod;

constexpr size_t kResolvConfBytesMax = size_t{1} << 20;
constexpr size_t kHostNameMax = 63;
constexpr size_t kFqdnMax = 64;
constexpr Duration kSecretAgeMax = seconds(5);

int64_t MachineMemory() {
  return static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
}

// "2MB", of "hugepages-2048kB".
std::vector<std::string> HugepageSizes() {
  std::vector<std::string> out;
  for (const std::string& name : NamesIn("/sys/kernel/mm/hugepages")) {
    absl::string_view text = name;
    int64_t kilobytes = 0;
    if (!absl::ConsumePrefix(&text, "hugepages-") || !absl::ConsumeSuffix(&text, "kB") ||
        !absl::SimpleAtoi(text, &kilobytes)) {
      continue;
    }
    const char* unit = "KB";
    for (const char* next : {"MB", "GB"}) {
      if (kilobytes % 1024 != 0) break;
      kilobytes /= 1024;
      unit = next;
    }
    out.push_back(absl::StrCat(kilobytes, unit));
  }
  return out;
}

struct HostName {
  std::string name, domain;
};

HostName HostNameOf(const Pod& pod, const std::string& cluster_domain) {
  HostName out;
  out.name = pod.spec().hostname().empty() ? pod.metadata().name() : pod.spec().hostname();
  if (out.name.size() > kHostNameMax) {
    out.name.resize(kHostNameMax);
    while (!out.name.empty() && (out.name.back() == '-' || out.name.back() == '.')) {
      out.name.pop_back();
    }
  }
  if (!pod.spec().subdomain().empty()) {
    out.domain = absl::StrCat(pod.spec().subdomain(), ".", pod.metadata().namespace_(), ".svc.",
                              cluster_domain);
  }
  return out;
}

cri::Protocol ProtocolOf(const std::string& name) {
  return name == "UDP" ? cri::UDP : name == "SCTP" ? cri::SCTP : cri::TCP;
}

void AddPorts(const Pod& pod, cri::PodSandboxConfig* out) {
  for (const Container& container : pod.spec().containers()) {
    std::set<std::string> seen;
    for (const auto& port : container.ports()) {
      const std::string key = port.name().empty()
                                  ? absl::StrCat(port.protocol(), "-", port.host_ip(), ":",
                                                 port.container_port(), ":", port.host_port())
                                  : port.name();
      if (!seen.insert(key).second) continue;
      cri::PortMapping& mapping = *out->add_port_mappings();
      mapping.set_protocol(ProtocolOf(port.protocol()));
      mapping.set_container_port(port.container_port());
      mapping.set_host_port(port.host_port());
      mapping.set_host_ip(port.host_ip());
    }
  }
}

template <typename Labels>
void SetPodLabels(const Pod& pod, Labels* labels) {
  (*labels)[kPodNameLabel] = pod.metadata().name();
  (*labels)[kPodNamespaceLabel] = pod.metadata().namespace_();
  (*labels)[kPodUidLabel] = pod.metadata().uid();
}

void SetAnnotations(const Pod& pod, const Container& container, uint32_t attempt,
                    cri::ContainerConfig* config) {
  auto& out = *config->mutable_annotations();
  out[kHashAnnotation] = absl::StrCat(absl::Hex(SpecHash(container)));
  out[kRestartCountAnnotation] = absl::StrCat(attempt);
  out[kMessagePathAnnotation] = container.termination_message_path();
  out[kMessagePolicyAnnotation] = container.termination_message_policy();
  if (pod.spec().has_termination_grace_period_seconds()) {
    out[kGracePeriodAnnotation] = absl::StrCat(pod.spec().termination_grace_period_seconds());
  }
}

class ContainerConfigsImpl final : public ContainerConfigs {
 public:
  ContainerConfigsImpl(const ContainerConfigsOptions& options, kube::Client& client,
                       kube::Informers& informers, Runtime& runtime, Volumes& volumes,
                       const Clock& clock)
      : options_(options),
        memory_bytes_(options.memory_bytes > 0 ? options.memory_bytes : MachineMemory()),
        hugepage_sizes_(HugepageSizes()),
        runtime_(runtime),
        volumes_(volumes),
        objects_(client, clock),
        environments_(options.node_name, options.node_ips, objects_,
                      informers.Of<kube::core::v1::Service>()) {}

  absl::StatusOr<cri::PodSandboxConfig> Sandbox(const Pod& pod, uint32_t attempt,
                                                const std::string& cgroup_parent) override;
  bool Container(const Pod& pod, const kube::core::v1::Container& container, uint32_t attempt,
                 const std::string& image_ref, const PodMounts& mounts,
                 const std::vector<std::string>& pod_ips, cri::ContainerConfig* config,
                 ConfigError* error) override;
  std::string TerminationMessage(const Pod& pod, const kube::core::v1::Container& container,
                                 const ContainerState& state) override;
  std::vector<PullAuth> PullAuths(const Pod& pod, const std::string& image) override;
  void Remove(const std::string& pod_uid) override;

 private:
  std::string LogFolder(const Pod& pod) const {
    return absl::StrCat(options_.log_root, "/", pod.metadata().namespace_(), "_",
                        pod.metadata().name(), "_", pod.metadata().uid());
  }
  absl::Status Fill(const Pod& pod, const kube::core::v1::Container& container, uint32_t attempt,
                    const std::string& image_ref, const PodMounts& mounts,
                    const std::vector<std::string>& pod_ips, cri::ContainerConfig* config);
  absl::Status AddMounts(const Pod& pod, const kube::core::v1::Container& container,
                         uint32_t attempt, const PodMounts& mounts, const Environment& environment,
                         const std::vector<std::string>& pod_ips, cri::ContainerConfig* config);
  absl::Status AddSecurity(const Pod& pod, const kube::core::v1::Container& container,
                           const std::string& image_ref, cri::ContainerConfig* config);

  const ContainerConfigsOptions options_;
  const int64_t memory_bytes_;
  const std::vector<std::string> hugepage_sizes_;
  Runtime& runtime_;
  Volumes& volumes_;
  ApiObjects objects_;
  Environments environments_;
};

absl::StatusOr<cri::PodSandboxConfig> ContainerConfigsImpl::Sandbox(
    const Pod& pod, uint32_t attempt, const std::string& cgroup_parent) {
  cri::PodSandboxConfig out;
  out.mutable_metadata()->set_name(pod.metadata().name());
  out.mutable_metadata()->set_namespace_(pod.metadata().namespace_());
  out.mutable_metadata()->set_uid(pod.metadata().uid());
  out.mutable_metadata()->set_attempt(attempt);
  *out.mutable_labels() = pod.metadata().labels();
  SetPodLabels(pod, out.mutable_labels());
  *out.mutable_annotations() = pod.metadata().annotations();

  const auto resolv_conf = ReadSmallFile(options_.resolv_conf, kResolvConfBytesMax);
  *out.mutable_dns_config() = DnsConfigOf(pod, options_.cluster_dns, options_.cluster_domain,
                                          ParseResolvConf(resolv_conf.ok() ? *resolv_conf : ""));
  if (!pod.spec().host_network()) {
    const HostName host = HostNameOf(pod, options_.cluster_domain);
    out.set_hostname(host.name);
    if (!host.domain.empty() && pod.spec().set_hostname_as_fqdn()) {
      out.set_hostname(absl::StrCat(host.name, ".", host.domain));
      if (out.hostname().size() > kFqdnMax) {
        return absl::InvalidArgumentError(
            absl::StrCat("failed to construct FQDN from pod hostname and cluster domain, FQDN ",
                         out.hostname(), " is too long (", kFqdnMax, " characters is the max, ",
                         out.hostname().size(), " characters requested)"));
      }
    }
    AddPorts(pod, &out);
  }
  out.set_log_directory(LogFolder(pod));
  const absl::Status made = MakeFolders(out.log_directory(), 0755);
  if (!made.ok()) return made;
  cri::LinuxPodSandboxConfig& linux_config = *out.mutable_linux();
  linux_config.set_cgroup_parent(cgroup_parent);
  SandboxSecurity(pod, linux_config.mutable_security_context());
  for (const auto& sysctl : pod.spec().security_context().sysctls()) {
    (*linux_config.mutable_sysctls())[sysctl.name()] = sysctl.value();
  }
  return out;
}

bool ContainerConfigsImpl::Container(const Pod& pod, const kube::core::v1::Container& container,
                                     uint32_t attempt, const std::string& image_ref,
                                     const PodMounts& mounts,
                                     const std::vector<std::string>& pod_ips,
                                     cri::ContainerConfig* config, ConfigError* error) {
  config->Clear();
  const absl::Status filled = Fill(pod, container, attempt, image_ref, mounts, pod_ips, config);
  if (filled.ok()) return true;
  error->reason = "CreateContainerConfigError";
  error->message = std::string(filled.message());
  return false;
}

absl::Status ContainerConfigsImpl::Fill(const Pod& pod, const kube::core::v1::Container& container,
                                        uint32_t attempt, const std::string& image_ref,
                                        const PodMounts& mounts,
                                        const std::vector<std::string>& pod_ips,
                                        cri::ContainerConfig* config) {
  config->mutable_metadata()->set_name(container.name());
  config->mutable_metadata()->set_attempt(attempt);
  config->mutable_image()->set_image(image_ref);
  config->mutable_image()->set_user_specified_image(container.image());
  config->set_working_dir(container.working_dir());
  config->set_stdin(container.stdin());
  config->set_stdin_once(container.stdin_once());
  config->set_tty(container.tty());
  SetPodLabels(pod, config->mutable_labels());
  (*config->mutable_labels())[kContainerNameLabel] = container.name();
  SetAnnotations(pod, container, attempt, config);

  const absl::StatusOr<Environment> environment = environments_.Of(pod, container, pod_ips);
  if (!environment.ok()) return environment.status();
  const auto known = [&](const std::string& name) -> std::optional<std::string> {
    const auto it = environment->find(name);
    return it == environment->end() ? std::nullopt : std::make_optional(it->second);
  };
  for (const std::string& word : container.command()) config->add_command(Expand(word, known));
  for (const std::string& word : container.args()) config->add_args(Expand(word, known));
  for (const auto& [name, value] : *environment) {
    cri::KeyValue& variable = *config->add_envs();
    variable.set_key(name);
    variable.set_value(value);
  }
  absl::Status status = AddMounts(pod, container, attempt, mounts, *environment, pod_ips, config);
  if (!status.ok()) return status;
  status = AddSecurity(pod, container, image_ref, config);
  if (!status.ok()) return status;
  status = MakeFolders(absl::StrCat(LogFolder(pod), "/", container.name()), 0755);
  if (!status.ok()) {
    return absl::InternalError(absl::StrCat("create container log directory for container ",
                                            container.name(), " failed: ", status.message()));
  }
  config->set_log_path(absl::StrCat(container.name(), "/", attempt, ".log"));
  return absl::OkStatus();
}

absl::Status ContainerConfigsImpl::AddMounts(const Pod& pod,
                                             const kube::core::v1::Container& container,
                                             uint32_t attempt, const PodMounts& mounts,
                                             const Environment& environment,
                                             const std::vector<std::string>& pod_ips,
                                             cri::ContainerConfig* config) {
  absl::Status status = AddVolumeMounts(pod, container, mounts, environment, volumes_, config);
  if (!status.ok()) return status;
  const HostName host = HostNameOf(pod, options_.cluster_domain);
  status = AddHostsFile(pod, container, PodFolder(options_.root, pod.metadata().uid()),
                        options_.hosts, host.name, host.domain, pod_ips, config);
  if (!status.ok()) return status;
  return AddTerminationFile(pod, container, attempt, options_.root, config);
}

absl::Status ContainerConfigsImpl::AddSecurity(const Pod& pod,
                                               const kube::core::v1::Container& container,
                                               const std::string& image_ref,
                                               cri::ContainerConfig* config) {
  const absl::StatusOr<cri::Image> image = runtime_.ImageStatus(image_ref);
  if (!image.ok()) {
    return absl::UnavailableError(
        absl::StrCat("failed to get image status: ", RuntimeErrorText(image.status())));
  }
  if (image->id().empty()) {
    return absl::NotFoundError(absl::StrCat("failed to get image status for ",
                                            kube::GoQuote(container.image()), ": it is gone"));
  }
  ImageUser user;
  if (image->has_uid()) user.uid = image->uid().value();
  user.name = image->username();
  // An image that says nothing runs as root.
  ImageUser checked = user;
  if (!checked.uid && checked.name.empty()) checked.uid = 0;
  const std::string refused = CheckNonRoot(pod, container, checked);
  if (!refused.empty()) return absl::PermissionDeniedError(refused);
  std::string error;
  if (!ContainerSecurity(pod, container, checked, absl::StrCat(options_.root, "/seccomp"),
                         config->mutable_linux()->mutable_security_context(), &error)) {
    return absl::InvalidArgumentError(error);
  }
  *config->mutable_linux()->mutable_resources() =
      ContainerResources(pod, container, memory_bytes_, hugepage_sizes_);
  return absl::OkStatus();
}

std::string ContainerConfigsImpl::TerminationMessage(const Pod& pod,
                                                     const kube::core::v1::Container& container,
                                                     const ContainerState& state) {
  std::string out;
  if (!container.termination_message_path().empty()) {
    out = ReadTerminationFile(
        TerminationFile(options_.root, pod.metadata().uid(), container.name(), state.attempt));
  }
  const bool from_log = container.termination_message_policy() == "FallbackToLogsOnError" &&
                        state.exit_code != 0 && !state.log_path.empty();
  return out.empty() && from_log ? ReadLogEnd(state.log_path) : out;
}

std::vector<PullAuth> ContainerConfigsImpl::PullAuths(const Pod& pod, const std::string& image) {
  std::vector<PullAuth> out;
  for (const auto& reference : pod.spec().image_pull_secrets()) {
    const auto secret =
        objects_.GetSecret(pod.metadata().namespace_(), reference.name(), kSecretAgeMax);
    if (!secret.ok()) {
      LOG(kWarn, "containers", "pull secret ", pod.metadata().namespace_(), "/", reference.name(),
          " is left out: ", secret.status().message());
      continue;
    }
    const bool legacy = (*secret)->type() == "kubernetes.io/dockercfg";
    const auto data = (*secret)->data().find(legacy ? ".dockercfg" : ".dockerconfigjson");
    if (data == (*secret)->data().end()) continue;
    for (PullAuth& auth : PullAuthsOf(data->second, legacy, image)) out.push_back(std::move(auth));
  }
  return out;
}

void ContainerConfigsImpl::Remove(const std::string& pod_uid) {
  if (pod_uid.empty() || pod_uid.find('/') != std::string::npos || pod_uid[0] == '.') return;
  const std::string folder = PodFolder(options_.root, pod_uid);
  absl::Status status = RemoveTree(absl::StrCat(folder, "/containers"));
  unlink(absl::StrCat(folder, "/etc-hosts").c_str());
  // Volumes take their own away; the last one closes the door.
  rmdir(folder.c_str());
  for (const std::string& name : NamesIn(options_.log_root)) {
    if (absl::EndsWith(name, absl::StrCat("_", pod_uid))) {
      status.Update(RemoveTree(absl::StrCat(options_.log_root, "/", name)));
    }
  }
  if (!status.ok()) {
    LOG(kWarn, "containers", "folders of pod ", pod_uid, " are left: ", status.message());
  }
}

}  // namespace

std::unique_ptr<ContainerConfigs> NewContainerConfigs(const ContainerConfigsOptions& options,
                                                      kube::Client& client,
                                                      kube::Informers& informers, Runtime& runtime,
                                                      Volumes& volumes, const Clock& clock) {
  return std::make_unique<ContainerConfigsImpl>(options, client, informers, runtime, volumes,
                                                clock);
}

}  // namespace meltemi::kubelet
