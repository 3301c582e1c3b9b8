// Names of labels and annotations that tell whose a sandbox or container is: those of Kubernetes,
// so that crictl and other tools show them.
//
// Threads: constants. Source: pkg/kubelet/kuberuntime/labels.go.
#pragma once

namespace meltemi::kubelet {

inline constexpr char kPodNameLabel[] = "io.kubernetes.pod.name";
inline constexpr char kPodNamespaceLabel[] = "io.kubernetes.pod.namespace";
inline constexpr char kPodUidLabel[] = "io.kubernetes.pod.uid";
inline constexpr char kContainerNameLabel[] = "io.kubernetes.container.name";

inline constexpr char kHashAnnotation[] = "io.kubernetes.container.hash";  // hexadecimal
inline constexpr char kRestartCountAnnotation[] = "io.kubernetes.container.restartCount";
inline constexpr char kMessagePathAnnotation[] = "io.kubernetes.container.terminationMessagePath";
inline constexpr char kMessagePolicyAnnotation[] =
    "io.kubernetes.container.terminationMessagePolicy";
inline constexpr char kGracePeriodAnnotation[] = "io.kubernetes.pod.terminationGracePeriod";

}  // namespace meltemi::kubelet
