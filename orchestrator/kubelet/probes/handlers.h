// From what a pod says (a probe's or a hook's handler) to the call that is made.
//
// Threads: functions without state. Source: pkg/probe (ResolveContainerPort,
// NewRequestForHTTPGetAction), the expansion of $(VAR).
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kube/core/v1/container.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/kubelet/cri/runtime.h"
#include "orchestrator/kubelet/probes/network_prober.h"

namespace meltemi::kubelet {

// A number, or the name of one of the container's ports. Error: Kubernetes' words.
absl::StatusOr<uint16_t> ResolvePort(const kube::intstr::IntOrString& port,
                                     const kube::core::v1::Container& container);

// `agent`: "kube-probe/1.32".
absl::StatusOr<HttpProbe> MakeHttpProbe(const kube::core::v1::HTTPGetAction& action,
                                        const kube::core::v1::Container& container,
                                        const std::string& pod_ip, const std::string& agent,
                                        Duration timeout);
absl::StatusOr<TcpProbe> MakeTcpProbe(const kube::core::v1::TCPSocketAction& action,
                                      const kube::core::v1::Container& container,
                                      const std::string& pod_ip, Duration timeout);
GrpcProbe MakeGrpcProbe(const kube::core::v1::GRPCAction& action, const std::string& pod_ip,
                        Duration timeout);

// $(VAR) by the container's own env of plain values; what is not there stays, $$ is $.
std::vector<std::string> ExpandCommand(const kube::core::v1::Container& container,
                                       const kube::core::v1::ExecAction& action);
// What came of a command of a probe.
ProbeVerdict ExecVerdict(const std::vector<std::string>& command, Duration timeout,
                         const absl::StatusOr<ExecResult>& result);
// What came of a command of a hook; the error in Go's words.
absl::Status ExecStatus(const std::vector<std::string>& command, Duration timeout,
                        const absl::StatusOr<ExecResult>& result);

// Null: the pod has no such container. `*field_path` gets "spec.containers{x}".
const kube::core::v1::Container* ContainerNamed(const kube::core::v1::Pod& pod,
                                                absl::string_view name, std::string* field_path);
bool RunsAsSidecar(const kube::core::v1::Container& init_container);

// "web_default(0123-…)".
std::string PodForLog(const kube::core::v1::Pod& pod);

}  // namespace meltemi::kubelet
