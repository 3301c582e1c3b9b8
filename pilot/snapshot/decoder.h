// From ingested objects to the model, each object once: an object that is the same pointer as last
// time gives the same model pointer, so that snapshots can share what did not change. Loop-owned.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "pilot/ingest/object.h"
#include "pilot/snapshot/snapshot.h"

namespace meltemi::pilot {

class ObjectDecoder {
 public:
  explicit ObjectDecoder(std::string domain) : domain_(std::move(domain)) {}

  ObjectSet Decode(const std::vector<ObjectPtr>& objects);

 private:
  // What one object became; all but one are empty.
  struct Decoded {
    ObjectPtr object;  // keeps the key alive
    ObjectSet parts;
    uint64_t round = 0;  // in which it was last seen
  };
  static ObjectSet DecodeOne(const Object& object, const std::string& domain);

  const std::string domain_;
  absl::flat_hash_map<const Object*, std::unique_ptr<Decoded>> cache_;
  uint64_t round_ = 0;
};

}  // namespace meltemi::pilot
