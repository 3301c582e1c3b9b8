// Watched files and folders as a stream of changes of objects.
//
// Threads: loop-owned; reads files on the loop's thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/clock/clock.h"
#include "pilot/ingest/diagnostic.h"
#include "pilot/ingest/file/file_store.h"

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

class FileSource {
 public:
  // Called whenever objects or diagnostics have changed; `changes` may be empty then.
  using OnChange = absl::AnyInvocable<void(const Changes& changes)>;

  virtual ~FileSource() = default;

  // Reads everything, calls `on_change` once (even when there is nothing), then watches. NotFound
  // when a path is missing. A file counts as written when its writer closes it or moves it into
  // place.
  virtual absl::Status Start() = 0;
  // Looks at every file now, instead of when the watch tells; `on_change` is called from within
  // when something has changed. For who must know that what lies on the disk has been seen.
  virtual void Refresh() = 0;

  virtual const FileStore& store() const = 0;
};

std::unique_ptr<FileSource> NewFileSource(Loop& loop, FileSourceOptions options,
                                          FileStore::Validator validator,
                                          FileSource::OnChange on_change);

}  // namespace meltemi::pilot
