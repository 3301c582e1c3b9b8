// A container runtime in memory, under the simulated clock of an ExecutorFake: sandboxes with IPs,
// containers that do what the test says, images, faults, and a log of what was asked for.
//
//   kube::ExecutorFake executor;
//   RuntimeFake machine(executor);
//   machine.SetContainer("crash", {.exits_after = seconds(3), .exit_code = 1});
//   std::unique_ptr<Runtime> runtime = machine.Connect();   // the kubelet's; made anew when it is
//   …
//   EXPECT_THAT(machine.TakeCalls(), ElementsAre("RunPodSandbox default/web#0", …));
//
// It answers as containerd 1.6 does: names of sandboxes and containers are reserved until they are
// removed (a sandbox that is made twice is refused), a sandbox that is stopped kills its containers
// and loses its IP, what is not there is removed without error, a start that fails leaves an exited
// container with code 128 and reason "StartError". Labels, annotations and mounts are given back as
// they were told. Nothing touches a disk: there are no logs and no termination messages in files.
//
// What runs belongs to the machine and outlives the clients. A client that is destroyed tells
// kCancelled to whoever still waits; the pull, stop or command goes on, as in the real world.
//
// Threads: one, the executor's. Ends are told through the executor, never from within the call.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cri/runtime/v1/container.pb.h"
#include "cri/runtime/v1/image.pb.h"
#include "cri/runtime/v1/sandbox.pb.h"
#include "cri/runtime/v1/stats.pb.h"
#include "cri/runtime/v1/status.pb.h"
#include "kube/executor/executor.h"
#include "orchestrator/kubelet/cri/runtime.h"

namespace meltemi::kubelet {

// What a container does. The default runs for ever and dies of its stop signal at once.
struct ContainerScript {
  absl::Status create_error, start_error;
  std::optional<Duration> exits_after;  // by itself, so long after its start
  int32_t exit_code = 0;
  std::string exit_reason, exit_message;  // "": as containerd says: "Completed" or "Error"
  // When it is stopped with a grace period: dies so long after the signal, with this code…
  Duration stops_after{0};
  int32_t stop_exit_code = 143;
  bool ignores_signal = false;  // …or only when it is killed, with 137…
  bool unkillable = false;      // …or never: the stop's end is told as kDeadlineExceeded.
  // What its statistics say.
  int64_t cpu_nanocores = 0, memory_bytes = 0;

  static ContainerScript OomKilled(Duration after) {
    return {.exits_after = after, .exit_code = 137, .exit_reason = "OOMKilled"};
  }
};

// An image that nobody described is not present, and can be pulled.
struct ImageScript {
  bool present = false;
  Duration pull_takes = milliseconds(100);
  absl::Status pull_error, inspect_error;
  uint64_t size_bytes = 1'000'000;
  std::optional<int64_t> uid;  // who it runs as: a number, or a name
  std::string username;
  // Pulls without this user's credentials fail; "" for all.
  std::string needs_username;
};

// A command in a container.
struct ExecCall {
  std::string ns, pod, container;
  std::vector<std::string> command;
};
struct ExecAnswer {
  ExecResult result;
  Duration takes{0};  // longer than the call's time-out: kDeadlineExceeded
  absl::Status error;
};

// What happens to a call instead of what should.
struct RuntimeFault {
  enum class Kind : uint8_t {
    kNone,
    kNotDone,  // `status` is told, nothing happens
    kDone,     // it happens, yet `status` is told
  };
  Kind kind = Kind::kNone;
  absl::Status status;

  static RuntimeFault Error(absl::Status status) { return {Kind::kNotDone, std::move(status)}; }
  static RuntimeFault Unavailable() {
    return Error(absl::UnavailableError("connection error: connect: no such file or directory"));
  }
  // Simulated time does not pass with it.
  static RuntimeFault Hangs() {
    return Error(absl::DeadlineExceededError("context deadline exceeded"));
  }
  static RuntimeFault LosesAnswer() {
    return {Kind::kDone, absl::UnavailableError("error reading from server: EOF")};
  }
};

class RuntimeFake final {
 public:
  // `executor` outlives it.
  explicit RuntimeFake(kube::Executor& executor);
  ~RuntimeFake();
  RuntimeFake(const RuntimeFake&) = delete;
  RuntimeFake& operator=(const RuntimeFake&) = delete;

  // A client. The machine outlives it.
  std::unique_ptr<Runtime> Connect();

  // ---- What the test says beforehand ----

  // `key`: a container's name, "NS/POD/CONTAINER", an image as the pod names it, or the first word
  // of its command; looked up from the most special to the least: NS/POD/CONTAINER, name, command,
  // image. Read when the container is created.
  void SetContainer(const std::string& key, ContainerScript script);
  void SetImage(const std::string& name, ImageScript script);
  // Shorthand: it is there.
  void AddImage(const std::string& name) { SetImage(name, {.present = true}); }
  // Commands; without it each ends at once with 0 and says nothing.
  std::function<ExecAnswer(const ExecCall&)> on_exec;
  // Asked at each call, with its line of the log ("ListContainers" and its like: the name alone).
  // Asynchronous calls are faulty from their beginning.
  std::function<RuntimeFault(absl::string_view call)> on_call;
  // Of the next sandboxes: what the CNI plugin says.
  absl::Status sandbox_error;
  // Conditions of Status().
  bool runtime_ready = true, network_ready = true;
  // Of the sandboxes' IPs: "10.244.0." + 2, 3, …
  std::string ip_prefix = "10.244.0.";
  // What ImageFsInfo says besides the images' sizes.
  uint64_t fs_used_bytes = 0;
  std::string fs_mountpoint = "/var/lib/containerd";

  // ---- What happens by itself ----

  // The container ends now; false: it does not run. A container is named "NS/POD/CONTAINER".
  bool Exit(const std::string& container, int32_t exit_code, const std::string& reason = "");
  // The sandbox's own process dies: NotReady, with its containers left as they are.
  bool KillSandbox(const std::string& pod);  // "NS/POD"
  // The machine starts anew: nothing runs any more (code 255, reason "Unknown"), all is listed.
  void Reboot();

  // ---- What the test looks at ----

  // What was asked for and changes something, in order; forgotten afterwards:
  //   "RunPodSandbox NS/POD#ATTEMPT"           also StopPodSandbox, RemovePodSandbox
  //   "CreateContainer NS/POD/NAME#ATTEMPT"    also StartContainer, RemoveContainer,
  //                                            ReopenContainerLog, Exec, Attach
  //   "StopContainer NS/POD/NAME#ATTEMPT 30s"
  //   "ExecSync NS/POD/NAME#ATTEMPT cat /x"
  //   "PortForward NS/POD#ATTEMPT"
  //   "PullImage NAME", "RemoveImage NAME"
  // What an unknown id is given to is logged with the id instead.
  std::vector<std::string> TakeCalls();
  // All calls so far, the reading ones too.
  int64_t calls() const;

  // The newest one's; null: there is none. Valid until the next call.
  const cri::ContainerStatus* Container(const std::string& container) const;
  const cri::PodSandboxStatus* Sandbox(const std::string& pod) const;
  // What they were made with.
  const cri::ContainerConfig* ContainerConfig(const std::string& container) const;
  const cri::PodSandboxConfig* SandboxConfig(const std::string& pod) const;
  // "NS/POD/NAME#ATTEMPT" of what runs, sorted.
  std::vector<std::string> Running() const;
  size_t containers() const;
  size_t sandboxes() const;
  bool HasImage(const std::string& name) const;

  class State;  // runtime_fake_state.h

 private:
  friend class RuntimeFakeClient;
  std::unique_ptr<State> state_;
};

}  // namespace meltemi::kubelet
