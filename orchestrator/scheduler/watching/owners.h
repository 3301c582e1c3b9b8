// Which pods belong together: what spreading by default goes by.
//
// Threads: thread-safe, as informers are.
#pragma once

#include "kube/informer/informer.h"
#include "orchestrator/scheduler/plugins/plugins.h"

namespace meltemi::scheduler {

// The selectors of all Services of a pod and of the ReplicaSet, StatefulSet or
// ReplicationController that controls it, taken together. Asks for informers, which outlive what it
// gives. Source: kube-scheduler's DefaultSelector.
SelectorsOf SelectorsOfOwners(kube::Informers& informers);

}  // namespace meltemi::scheduler
