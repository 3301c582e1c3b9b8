// Where configuration comes from, as a stream of changes of objects: files (file/file_source.h) or
// a Kubernetes API server (kube/kube_source.h).
//
// Loop-owned; what a source does on other threads is posted to the loop.
#pragma once

#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "pilot/ingest/diagnostic.h"
#include "pilot/ingest/object.h"

namespace meltemi::pilot {

// What is different for whoever reads the configuration; in the order of keys.
struct Changes {
  std::vector<ObjectPtr> updated;  // new, or with another content
  std::vector<ObjectKey> deleted;

  bool empty() const { return updated.empty() && deleted.empty(); }
};

class ConfigSource {
 public:
  // Called on the loop whenever objects or diagnostics have changed; `changes` may be empty then.
  // The first call says that everything is there.
  using OnChange = absl::AnyInvocable<void(const Changes& changes)>;

  virtual ~ConfigSource() = default;

  // Begins to read and to watch. An error: what is missing or cannot be reached at all, and what to
  // do.
  virtual absl::Status Start() = 0;
  // Looks at everything now instead of when it is told, where the source can: for who must know
  // that what is written has been seen.
  virtual void Refresh() = 0;

  // All objects in effect, in the order of keys.
  virtual std::vector<ObjectPtr> Objects() const = 0;
  // Everything that is now wrong or noteworthy, sorted.
  virtual std::vector<Diagnostic> Diagnostics() const = 0;
};

}  // namespace meltemi::pilot
