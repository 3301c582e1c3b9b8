// Informers with bounds other than the usual ones.
//
// Threads: informer.h.
#pragma once

#include <cstddef>
#include <memory>

#include "kube/informer/informer.h"

namespace meltemi::kube {

struct InformerLimits {
  // Objects of one kind that are kept as messages. Those beyond are packed (a pod: 1.4 instead of
  // 10 kB) and unpacked when they are asked for (8 µs); the least recent first.
  size_t messages_max = 20'000;
};

std::unique_ptr<Informers> NewInformers(Client& client, Executor& executor,
                                        const InformerOptions& options,
                                        const InformerLimits& limits);

}  // namespace meltemi::kube
