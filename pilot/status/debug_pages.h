// The debug and metrics pages of pilot, for people and for the `meltemi` tool. Loop-owned.
//
// Comes from: push/ (clients, history), snapshot/, ingest/ (diagnostics). Goes to: HTTP.
#pragma once

#include <functional>
#include <string>

#include "base/http/server/debug_server.h"
#include "base/metrics/metrics.h"
#include "pilot/ingest/source.h"
#include "pilot/push/push_server.h"
#include "pilot/status/program_tracker.h"

namespace meltemi::pilot {

// All must outlive the server that the pages are registered with.
struct DebugSources {
  PushServer* push = nullptr;
  const metrics::Registry* registry = nullptr;
  const ConfigSource* source = nullptr;
  const ProgramTracker* programmed = nullptr;
  std::function<void()> refresh;  // puts what lies on the disk in force now
  std::string options_json;
};

void RegisterDebugPages(const DebugSources& sources, http::DebugServer* server);

// --- the pages' contents, JSON ---
std::string SyncJson(const PushServer& push);
// {"settled": bool, "snapshot_version": N, "proxies": N, "waiting": ["PROXY: TYPE", …], "rejected":
// [{…}]}: settled when every connected proxy has acknowledged snapshot `version` (0: the newest) or
// a later one.
std::string SettledJson(const PushServer& push, uint64_t version = 0);
// Objects with how many proxies they concern and how many have acknowledged them.
std::string ProgrammedJson(const ProgramTracker& tracker);
std::string PushHistoryJson(const PushServer& push);
// Objects in force as read, with what is held back or retained.
std::string ConfigJson(const ConfigSource& source, const Snapshot* snapshot);
// Everything that is wrong with the files, and rules that are not in force as written.
std::string DiagnosticsJson(const ConfigSource& source, const Snapshot* snapshot);
std::string EndpointsJson(const Snapshot& snapshot);

}  // namespace meltemi::pilot
