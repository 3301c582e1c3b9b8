// The objects of a set of files, and what each new text of a file changes. Knows no file system.
//
// Threads: one at a time.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "pilot/ingest/decode/manifests.h"
#include "pilot/ingest/diagnostic.h"
#include "pilot/ingest/object.h"
#include "pilot/ingest/source.h"

namespace meltemi::pilot {

class FileStore {
 public:
  // What is wrong with an object on its own. One with errors is not taken.
  using Validator = std::function<std::vector<Diagnostic>(const Object&)>;

  FileStore(DecodeManifestsOptions options, Validator validator);

  // `text` is what `file` now holds. Its good objects take effect; one in error keeps its last good
  // version. While anything is wrong with the text (or it holds nothing: a writer has truncated
  // it), nothing that it held before is deleted.
  Changes Update(const std::string& file, absl::string_view text);
  // The file is gone, and its objects with it.
  Changes Remove(const std::string& file);
  // The file is there but could not be read: it keeps what it had.
  void SetUnreadable(const std::string& file, absl::string_view why);

  // Everything that is now wrong or noteworthy in all files, sorted.
  std::vector<Diagnostic> Diagnostics() const;
  // All objects in effect, in the order of keys. Where several files hold an object, the last file
  // by name counts, as if they had been applied in that order.
  std::vector<ObjectPtr> Objects() const;
  std::vector<std::string> Files() const;

 private:
  struct File {
    std::map<ObjectKey, ObjectPtr> objects;
    std::vector<Diagnostic> diagnostics;
  };

  std::map<ObjectKey, ObjectPtr> Validated(const Manifests& manifests, File* state) const;
  // Puts `objects` in the place of those of `file`, and tells the difference that it makes.
  Changes Replace(const std::string& file, std::map<ObjectKey, ObjectPtr> objects);
  ObjectPtr InEffect(const ObjectKey& key) const;

  const DecodeManifestsOptions options_;
  const Validator validator_;
  std::map<std::string, File> files_;
  // Which files hold an object, by name; the last one's version is in effect.
  std::map<ObjectKey, std::map<std::string, ObjectPtr>> holders_;
};

}  // namespace meltemi::pilot
