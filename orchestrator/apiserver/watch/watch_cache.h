// The one implementation of WatchCache (cache.h), and the hub that serves clients' watches from it
// (watch_stream.h).
//
// Threads: as those headers say.
#pragma once

#include <cstddef>
#include <memory>

#include "base/clock/clock.h"
#include "orchestrator/apiserver/watch/cache.h"
#include "orchestrator/apiserver/watch/watch_stream.h"
#include "orchestrator/store/store.h"

namespace meltemi::apiserver {

struct WatchCacheOptions {
  // Events kept per resource, for watches that begin at an older revision: the fewer of the two.
  size_t events_max = 10'000;
  size_t events_bytes_max = 16 * 1024 * 1024;
  // How long a linearizable read waits for the cache before it asks the store itself.
  Duration lag_max = milliseconds(100);
  // How long a read waits for a revision that it asks for (then 504, "Too large resource version").
  Duration future_revision_wait = seconds(3);
  size_t page_size = 2000;  // keys per range when it is filled
};

// Watches of clients that allow bookmarks get one this often.
struct WatchHubOptions {
  Duration bookmark_interval = seconds(60);
};

// Does nothing until Start(). `store` and `clock` outlive it.
std::unique_ptr<WatchCache> NewWatchCache(store::Store& store, const Clock& clock,
                                          const WatchCacheOptions& options = {});

// `cache` is one of NewWatchCache's and outlives the hub; loops that were given to Watch outlive it
// too or have ended their watches and stopped.
std::unique_ptr<WatchHub> NewWatchHub(WatchCache& cache, const WatchHubOptions& options = {});

}  // namespace meltemi::apiserver
