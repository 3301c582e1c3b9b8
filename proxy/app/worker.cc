#include "proxy/app/worker.h"

#include <pthread.h>

#include <csignal>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/metrics/metrics.h"
#include "proxy/config/snapshot.h"
#include "proxy/connection/worker_context.h"
#include "proxy/listener/listener_config.h"
#include "proxy/listener/listener_manager.h"
#include "proxy/observe/mesh_stats.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

struct Worker::Parts {
  Parts(Worker& worker, std::unique_ptr<MeshStats> stats)
      : mesh_stats(std::move(stats)),
        context{.loop = *worker.loop_,
                .random = worker.random_,
                .shard = worker.shard_,
                .clusters = *worker.clusters_,
                .mesh_stats = *mesh_stats,
                .snapshot = std::make_shared<const Snapshot>(),
                .worker_index = worker.options_.index},
        listeners(context, {.connections_max = worker.options_.connections_max,
                            .drain_time = worker.options_.drain_time}) {}

  std::unique_ptr<MeshStats> mesh_stats;
  WorkerContext context;
  WorkerListeners listeners;
};

Worker::Worker(Loop& main_loop, const Clock& clock, ClusterDirectory& clusters,
               metrics::Registry& registry, std::shared_ptr<const Workload> self,
               const WorkerOptions& options)
    : main_loop_(main_loop),
      options_(options),
      self_(std::move(self)),
      shard_(registry.NewShard()),
      loop_(NewEventLoop(clock)),
      clusters_(clusters.NewWorker(*loop_, random_, shard_)) {}

Worker::~Worker() { Stop(); }

void Worker::Start() {
  // Signals are the main thread's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { Run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Worker::Run() {
  pthread_setname_np(pthread_self(), absl::StrCat("worker_", options_.index).c_str());
  parts_ = std::make_unique<Parts>(*this, NewMeshStats(shard_, self_));
  loop_->Run();
  // What lives on this loop dies on it, and what that defers, too.
  parts_.reset();
  clusters_.reset();
  loop_->RunOnce(Duration{0});
}

void Worker::Apply(std::shared_ptr<const Snapshot> snapshot,
                   absl::AnyInvocable<void(ApplyReport)> done) {
  loop_->Post([this, snapshot = std::move(snapshot), done = std::move(done)]() mutable {
    ApplyReport report;
    for (const WorkerListeners::BindFailure& failure : parts_->listeners.Apply(snapshot)) {
      report.failures.push_back({failure.listener, failure.status});
    }
    for (const auto& [name, listener] : snapshot->listeners) {
      report.bound[name] = parts_->listeners.BoundAddress(name);
    }
    main_loop_.Post([done = std::move(done), report = std::move(report)]() mutable {
      done(std::move(report));
    });
  });
}

void Worker::Drain() {
  loop_->Post([this] {
    parts_->context.draining = true;
    parts_->listeners.Drain();
  });
}

void Worker::StopAccepting() {
  loop_->Post([this] { parts_->listeners.StopAccepting(); });
}

void Worker::CountConnections(absl::AnyInvocable<void(size_t)> done) {
  loop_->Post([this, done = std::move(done)]() mutable {
    main_loop_.Post([done = std::move(done), count = parts_->listeners.connections()]() mutable {
      done(count);
    });
  });
}

void Worker::Stop() {
  if (!thread_.joinable()) return;
  loop_->Exit();
  thread_.join();
}

}  // namespace meltemi::proxy
