// Tells the API server which node a pod is on, several pods at a time, and finds out what came of
// it: also where an answer was lost on the way, so that a place is given up only when it is known
// to be free.
//
// Threads: thread-safe. Source: the pods/binding subresource.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "kube/client/client.h"
#include "orchestrator/scheduler/queue/gate.h"
#include "orchestrator/scheduler/queue/queue.h"

namespace meltemi::scheduler {

struct Binding {
  PodInfoPtr pod;
  std::string node;
  Attempt attempt;
  MonotonicTime began;  // the attempt
};

enum class BindingEnd : uint8_t {
  kBound,
  kGone,       // the pod is no more, or somebody else has given it a node
  kFailed,     // it has none
  kForgotten,  // nobody wants to know any more
};

class Binder {
 public:
  struct Callbacks {
    // `why`: of kFailed.
    std::function<void(const Binding& binding, BindingEnd end, const std::string& why)> on_end;
    // Whether the place is still held for the pod: if not, no more questions are asked.
    std::function<bool(const PodInfo& pod)> is_wanted;
  };

  // All of it outlives the binder; `gate` is closed before it goes.
  Binder(kube::Client& client, Gate& gate, int in_flight_max, Callbacks callbacks);

  void Add(Binding binding);
  // Waiting or under way.
  size_t size() const { return lanes_.size(); }

 private:
  void Bind(const std::shared_ptr<const Binding>& binding);
  void LookAfter(const std::shared_ptr<const Binding>& binding, const std::string& why,
                 Duration retry);

  kube::Client& client_;
  Gate& gate_;
  const Callbacks callbacks_;
  Lanes lanes_;
};

}  // namespace meltemi::scheduler
