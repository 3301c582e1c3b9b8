// Watched files and folders as a stream of changes of objects.
//
// Threads: loop-owned; reads files on the loop's thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "pilot/ingest/file/file_store.h"
#include "pilot/ingest/source.h"

namespace meltemi {
class Loop;
}  // namespace meltemi

namespace meltemi::pilot {

struct FileSourceOptions {
  // Files, and folders of which every *.yaml, *.yml and *.json is read (not those below, nor hidden
  // ones).
  std::vector<std::string> paths;
  DecodeManifestsOptions decode;
  // What is written in such a time arrives as one change.
  Duration settle = milliseconds(20);
  // Beside inotify, for file systems that lack it: how often the files' times and sizes are looked
  // at.
  Duration poll_interval = seconds(2);
  size_t file_bytes_max = 64 * 1024 * 1024;
};

// Start: NotFound when a path is missing. A file counts as written when its writer closes it or
// moves it into place. Refresh calls `on_change` from within when something has changed.
std::unique_ptr<ConfigSource> NewFileSource(Loop& loop, FileSourceOptions options,
                                            FileStore::Validator validator,
                                            ConfigSource::OnChange on_change);

}  // namespace meltemi::pilot
