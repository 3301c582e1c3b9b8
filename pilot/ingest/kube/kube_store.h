// The objects of an API server as far as pilot keeps them, and what each arrival changes. Knows no
// network.
//
// Threads: one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "pilot/ingest/diagnostic.h"
#include "pilot/ingest/kube/convert.h"
#include "pilot/ingest/object.h"
#include "pilot/ingest/source.h"

namespace meltemi::pilot {

class KubeStore {
 public:
  // What a batch of arrivals has done.
  struct Effect {
    Changes changes;
    std::vector<ObjectKey> live;  // whose newest version is another one now; sorted
    bool diagnostics = false;     // are others
  };

  // A good object takes effect; one in error keeps its last good version in effect.
  void Apply(Arrival arrival);
  // All objects of the kind; those that are not among `arrivals` are gone.
  void Replace(Kind kind, std::vector<Arrival> arrivals);
  // What all calls since the last Take have done, each object once.
  Effect Take();

  // All in effect as of the last Take, in the order of keys.
  const std::vector<ObjectPtr>& Objects() const { return in_effect_; }
  // Of all objects; not sorted.
  std::vector<Diagnostic> Diagnostics() const;
  LiveObjectPtr Live(const ObjectKey& key) const;
  std::vector<ObjectKey> LiveKeys() const;
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    ObjectPtr object;  // in effect; null: none has been good yet
    uint64_t fingerprint = 0;
    LiveObjectPtr live;
  };

  void SetDiagnostics(const ObjectKey& key, std::vector<Diagnostic> diagnostics, bool has_object);
  void SetLive(const ObjectKey& key, LiveObjectPtr live, Entry* entry);
  // Remembers what was in effect before the first change since Take.
  void Touch(const ObjectKey& key, const ObjectPtr& before) { before_.emplace(key, before); }

  void UpdateInEffect();

  std::map<ObjectKey, Entry> entries_;
  std::vector<ObjectPtr> in_effect_;  // as of the last Take, in the order of keys
  std::map<ObjectKey, std::vector<Diagnostic>> diagnostics_;  // none is empty
  // Since Take.
  std::map<ObjectKey, ObjectPtr> before_;
  std::set<ObjectKey> live_;
  bool diagnostics_changed_ = false;
};

}  // namespace meltemi::pilot
