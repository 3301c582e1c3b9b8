// The control plane put together: files or a Kubernetes API server in, xDS out. Everything runs on
// one loop; gRPC's threads only move bytes, those of kube/ only read and write the API server.
//
//   ingest/{file,kube} -> (debounce) -> snapshot -> push -> serve
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/http/server/debug_server.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "pilot/app/cluster_side.h"
#include "pilot/app/options.h"
#include "pilot/ingest/source.h"
#include "pilot/push/debounce.h"
#include "pilot/push/push_server.h"
#include "pilot/serve/ads_server.h"
#include "pilot/snapshot/builder.h"
#include "pilot/snapshot/decoder.h"
#include "pilot/status/program_tracker.h"

namespace meltemi::pilot {

class Pilot {
 public:
  // `loop` and `registry` must outlive it.
  Pilot(Loop* loop, metrics::Registry* registry, Options options);
  ~Pilot();
  Pilot(const Pilot&) = delete;
  Pilot& operator=(const Pilot&) = delete;

  using NewSource = absl::AnyInvocable<std::unique_ptr<ConfigSource>(ConfigSource::OnChange)>;

  // Reads the configuration, then serves. An error says what could not be read or bound.
  // `new_source`: where the configuration comes from instead of the options' files.
  absl::Status Start(NewSource new_source = nullptr);

  const Options& options() const { return options_; }
  PushServer& push() { return push_; }
  ProgramTracker& tracker() { return tracker_; }
  int xds_port() const { return ads_->port(); }
  int http_port() const { return debug_->address().port(); }

 private:
  absl::Status StartSource(NewSource new_source);
  absl::Status StartServers();
  absl::Status StartDebug();
  void OnChange(const Changes& changes);
  void Publish();
  // Puts what lies on the disk in force now, without waiting for the watch or the debounce.
  void Refresh();
  void UpdateGauges();

  Loop* const loop_;
  const Options options_;
  metrics::Registry* const registry_;
  metrics::Scope& metrics_;
  ObjectDecoder decoder_;
  SnapshotBuilder builder_;
  PushServer push_;
  ProgramTracker tracker_;
  Debouncer debouncer_;
  std::unique_ptr<Timer> publish_timer_;
  std::unique_ptr<ClusterSide> cluster_;      // with an API server, or
  std::unique_ptr<ConfigSource> own_source_;  // without
  ConfigSource* source_ = nullptr;            // of either
  std::unique_ptr<AdsServer> ads_;
  std::unique_ptr<http::DebugServer> debug_;
  // Since the last publishing.
  MonotonicTime first_change_;
  std::map<ObjectKey, ObjectPtr> changed_;  // null: deleted
  std::string first_changed_;
  Duration build_cost_ = Duration::zero();  // of the last snapshot
};

}  // namespace meltemi::pilot
