#include "orchestrator/kubelet/containers/security.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cri/runtime/v1/security.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/quantity/quantity.h"
#include "kube/status/field_error.h"
#include "orchestrator/kubelet/cgroups/qos.h"

namespace meltemi::kubelet {
namespace {

namespace cri = ::runtime::v1;
using kube::core::v1::Container;
using kube::core::v1::Pod;

constexpr int64_t kGuaranteedOom = -997;
constexpr int64_t kBestEffortOom = 1000;
// Pods of the system's highest priority.
constexpr int32_t kNodeCriticalPriority = 2'000'001'000;

const char* const kMasked[] = {"/proc/asound",
                               "/proc/acpi",
                               "/proc/kcore",
                               "/proc/keys",
                               "/proc/latency_stats",
                               "/proc/timer_list",
                               "/proc/timer_stats",
                               "/proc/sched_debug",
                               "/proc/scsi",
                               "/sys/firmware",
                               "/sys/devices/virtual/powercap"};
const char* const kReadOnly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                 "/proc/sysrq-trigger"};

// The container's own word, or else the pod's.
struct Effective {
  std::optional<int64_t> user, group;
  std::optional<bool> non_root;
};

Effective EffectiveOf(const Pod& pod, const Container& container) {
  Effective out;
  const auto& shared = pod.spec().security_context();
  const auto& own = container.security_context();
  if (own.has_run_as_user()) {
    out.user = own.run_as_user();
  } else if (shared.has_run_as_user()) {
    out.user = shared.run_as_user();
  }
  if (own.has_run_as_group()) {
    out.group = own.run_as_group();
  } else if (shared.has_run_as_group()) {
    out.group = shared.run_as_group();
  }
  if (own.has_run_as_non_root()) {
    out.non_root = own.run_as_non_root();
  } else if (shared.has_run_as_non_root()) {
    out.non_root = shared.run_as_non_root();
  }
  return out;
}

void SetNamespaces(const Pod& pod, cri::NamespaceOption* out) {
  out->set_network(pod.spec().host_network() ? cri::NODE : cri::POD);
  out->set_ipc(pod.spec().host_ipc() ? cri::NODE : cri::POD);
  out->set_pid(pod.spec().host_pid()                  ? cri::NODE
               : pod.spec().share_process_namespace() ? cri::POD
                                                      : cri::CONTAINER);
}

template <typename Context>
void SetGroups(const Pod& pod, Context* out) {
  const auto& shared = pod.spec().security_context();
  if (shared.has_fs_group()) out->add_supplemental_groups(shared.fs_group());
  for (const int64_t group : shared.supplemental_groups()) out->add_supplemental_groups(group);
  if (shared.supplemental_groups_policy() == "Strict") {
    out->set_supplemental_groups_policy(cri::Strict);
  }
}

template <typename Profile>
bool SetProfile(const Profile& profile, const std::string& root, const char* what,
                cri::SecurityProfile* out, std::string* error) {
  out->set_profile_type(cri::SecurityProfile::Unconfined);
  if (profile.type() == "RuntimeDefault") {
    out->set_profile_type(cri::SecurityProfile::RuntimeDefault);
  }
  if (profile.type() != "Localhost") return true;
  if (profile.localhost_profile().empty()) {
    *error = absl::StrCat("localhostProfile must be set if ", what, " type is Localhost.");
    return false;
  }
  out->set_profile_type(cri::SecurityProfile::Localhost);
  out->set_localhost_ref(absl::StrCat(root, profile.localhost_profile()));
  return true;
}

bool IsPrivileged(const Container& container) { return container.security_context().privileged(); }

int64_t OomScoreOf(const Pod& pod, const Container& container, int64_t memory_bytes) {
  const QosClass qos = QosClassOf(pod);
  if (pod.spec().priority() >= kNodeCriticalPriority || qos == QosClass::kGuaranteed) {
    return kGuaranteedOom;
  }
  if (qos == QosClass::kBestEffort || memory_bytes <= 0) return kBestEffortOom;
  const auto score = [&](int64_t request) {
    return 1000 - static_cast<int64_t>(1000.0 * static_cast<double>(request) /
                                       static_cast<double>(memory_bytes));
  };
  int64_t out = score(AmountsOf(container).memory_request);
  // A sidecar is not killed before those whom it serves.
  if (container.restart_policy() == "Always") {
    int64_t least = -1;
    for (const Container& one : pod.spec().containers()) {
      const int64_t request = AmountsOf(one).memory_request;
      if (least < 0 || request < least) least = request;
    }
    if (least > 0) out = std::min(out, score(least));
  }
  return std::clamp(out, 1000 + kGuaranteedOom, kBestEffortOom - 1);
}

}  // namespace

std::string CheckNonRoot(const Pod& pod, const Container& container, const ImageUser& user) {
  const Effective effective = EffectiveOf(pod, container);
  if (!effective.non_root.value_or(false)) return "";
  const std::string where = absl::StrCat(
      "(pod: ",
      kube::GoQuote(absl::StrCat(pod.metadata().name(), "_", pod.metadata().namespace_(), "(",
                                 pod.metadata().uid(), ")")),
      ", container: ", container.name(), ")");
  if (effective.user) {
    if (*effective.user != 0) return "";
    return absl::StrCat("container's runAsUser breaks non-root policy ", where);
  }
  if (user.uid && *user.uid == 0) {
    return absl::StrCat("container has runAsNonRoot and image will run as root ", where);
  }
  if (!user.uid && !user.name.empty()) {
    return absl::StrCat("container has runAsNonRoot and image has non-numeric user (", user.name,
                        "), cannot verify user is non-root ", where);
  }
  return "";
}

bool ContainerSecurity(const Pod& pod, const Container& container, const ImageUser& user,
                       const std::string& profile_root, cri::LinuxContainerSecurityContext* out,
                       std::string* error) {
  const auto& own = container.security_context();
  const auto& shared = pod.spec().security_context();
  for (const std::string& name : own.capabilities().add()) {
    out->mutable_capabilities()->add_add_capabilities(name);
  }
  for (const std::string& name : own.capabilities().drop()) {
    out->mutable_capabilities()->add_drop_capabilities(name);
  }
  out->set_privileged(own.privileged());
  out->set_readonly_rootfs(own.read_only_root_filesystem());
  out->set_no_new_privs(own.has_allow_privilege_escalation() && !own.allow_privilege_escalation());
  const Effective effective = EffectiveOf(pod, container);
  if (effective.user || user.uid) {
    out->mutable_run_as_user()->set_value(effective.user ? *effective.user : *user.uid);
  } else {
    out->set_run_as_username(user.name);
  }
  if (effective.group) out->mutable_run_as_group()->set_value(*effective.group);
  SetNamespaces(pod, out->mutable_namespace_options());
  SetGroups(pod, out);
  if (own.proc_mount() != "Unmasked") {
    for (const char* path : kMasked) out->add_masked_paths(path);
    for (const char* path : kReadOnly) out->add_readonly_paths(path);
  }
  const auto& seccomp =
      own.has_seccomp_profile() ? own.seccomp_profile() : shared.seccomp_profile();
  if (!SetProfile(seccomp, absl::StrCat(profile_root, "/"), "seccompProfile",
                  out->mutable_seccomp(), error)) {
    return false;
  }
  // Without a word about AppArmor the runtime does as it likes.
  if (!own.has_app_armor_profile() && !shared.has_app_armor_profile()) return true;
  const auto& apparmor =
      own.has_app_armor_profile() ? own.app_armor_profile() : shared.app_armor_profile();
  return SetProfile(apparmor, "", "appArmorProfile", out->mutable_apparmor(), error);
}

void SandboxSecurity(const Pod& pod, cri::LinuxSandboxSecurityContext* out) {
  const auto& containers = pod.spec().containers();
  const auto& inits = pod.spec().init_containers();
  out->set_privileged(std::any_of(containers.begin(), containers.end(), IsPrivileged) ||
                      std::any_of(inits.begin(), inits.end(), IsPrivileged));
  out->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
  SetNamespaces(pod, out->mutable_namespace_options());
  const auto& shared = pod.spec().security_context();
  if (shared.has_run_as_user()) out->mutable_run_as_user()->set_value(shared.run_as_user());
  // A runtime refuses a group without a user.
  if (shared.has_run_as_group() && shared.has_run_as_user()) {
    out->mutable_run_as_group()->set_value(shared.run_as_group());
  }
  SetGroups(pod, out);
}

cri::LinuxContainerResources ContainerResources(const Pod& pod, const Container& container,
                                                int64_t memory_bytes,
                                                const std::vector<std::string>& hugepage_sizes) {
  const ContainerAmounts amounts = AmountsOf(container);
  cri::LinuxContainerResources out;
  out.set_cpu_shares(MilliCpuToShares(amounts.cpu_request.value_or(amounts.cpu_limit)));
  out.set_cpu_period(kCpuPeriodMicros);
  out.set_cpu_quota(MilliCpuToQuota(amounts.cpu_limit));
  out.set_memory_limit_in_bytes(amounts.memory_limit);
  out.set_oom_score_adj(OomScoreOf(pod, container, memory_bytes));
  for (const std::string& size : hugepage_sizes) {
    cri::HugepageLimit& limit = *out.add_hugepage_limits();
    limit.set_page_size(size);
    for (const auto& [name, quantity] : container.resources().limits()) {
      if (HugepageSizeOf(name) != size) continue;
      const auto parsed = kube::Quantity::Parse(quantity.string());
      if (parsed) limit.set_limit(static_cast<uint64_t>(parsed->Value()));
    }
  }
  return out;
}

}  // namespace meltemi::kubelet
