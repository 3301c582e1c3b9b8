#include "pilot/ingest/file/file_store.h"

#include <google/protobuf/message.h>
#include <google/protobuf/util/message_differencer.h>

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"

namespace meltemi::pilot {
namespace {

constexpr char kReplaced[] = "MELT0002";
constexpr char kFile[] = "MELT0003";

bool SameContent(const Object& a, const Object& b) {
  return a.meta.labels == b.meta.labels && a.meta.annotations == b.meta.annotations &&
         a.meta.created_s == b.meta.created_s &&
         google::protobuf::util::MessageDifferencer::Equals(*a.spec, *b.spec);
}

}  // namespace

FileStore::FileStore(DecodeManifestsOptions options, Validator validator)
    : options_(std::move(options)), validator_(std::move(validator)) {}

std::map<ObjectKey, ObjectPtr> FileStore::Validated(const Manifests& manifests, File* state) const {
  std::map<ObjectKey, ObjectPtr> objects;
  for (const ObjectPtr& object : manifests.objects) {
    const std::vector<Diagnostic> found =
        validator_ ? validator_(*object) : std::vector<Diagnostic>();
    state->diagnostics.insert(state->diagnostics.end(), found.begin(), found.end());
    if (!HasErrors(found)) objects[object->Key()] = object;
  }
  return objects;
}

Changes FileStore::Update(const std::string& file, absl::string_view text) {
  File& state = files_[file];
  const Manifests manifests = DecodeManifests(text, file, options_);
  state.diagnostics = manifests.diagnostics;
  if (manifests.objects.empty() && manifests.failed.empty() && manifests.diagnostics.empty()) {
    if (!state.objects.empty()) {
      state.diagnostics.push_back(
          {.severity = Severity::kWarning,
           .code = kFile,
           .file = file,
           .message = "the file is empty: what it held stays in effect until the file is deleted"});
    }
    return {};
  }
  std::map<ObjectKey, ObjectPtr> objects = Validated(manifests, &state);
  // What is missing from a text with errors may be missing because of them.
  if (!manifests.complete || HasErrors(state.diagnostics)) {
    objects.insert(state.objects.begin(), state.objects.end());
  }
  for (Diagnostic& diagnostic : state.diagnostics) {
    if (diagnostic.severity != Severity::kError || state.objects.empty()) continue;
    absl::StrAppend(&diagnostic.message, " (the last good version stays in effect)");
  }
  return Replace(file, std::move(objects));
}

Changes FileStore::Remove(const std::string& file) {
  if (files_.count(file) == 0) return {};
  Changes changes = Replace(file, {});
  files_.erase(file);
  return changes;
}

void FileStore::SetUnreadable(const std::string& file, absl::string_view why) {
  files_[file].diagnostics = {{.severity = Severity::kError,
                               .code = kFile,
                               .file = file,
                               .message = absl::StrCat("cannot be read: ", why)}};
}

Changes FileStore::Replace(const std::string& file, std::map<ObjectKey, ObjectPtr> objects) {
  File& state = files_[file];
  std::set<ObjectKey> keys;
  for (const auto& [key, object] : state.objects) keys.insert(key);
  for (const auto& [key, object] : objects) keys.insert(key);
  std::map<ObjectKey, ObjectPtr> before;
  for (const ObjectKey& key : keys) before[key] = InEffect(key);
  for (const ObjectKey& key : keys) {
    const auto held = objects.find(key);
    if (held != objects.end()) {
      holders_[key][file] = held->second;
    } else if (auto& holders = holders_[key]; holders.erase(file) > 0 && holders.empty()) {
      holders_.erase(key);
    }
  }
  state.objects = std::move(objects);

  Changes changes;
  for (const auto& [key, old] : before) {
    ObjectPtr now = InEffect(key);
    if (now == nullptr) {
      changes.deleted.push_back(key);
    } else if (old == nullptr || !SameContent(*old, *now)) {
      changes.updated.push_back(std::move(now));
    }
  }
  return changes;
}

ObjectPtr FileStore::InEffect(const ObjectKey& key) const {
  const auto it = holders_.find(key);
  return it == holders_.end() ? nullptr : it->second.rbegin()->second;
}

std::vector<Diagnostic> FileStore::Diagnostics() const {
  std::vector<Diagnostic> all;
  for (const auto& [name, file] : files_) {
    all.insert(all.end(), file.diagnostics.begin(), file.diagnostics.end());
    for (const auto& [key, object] : file.objects) {
      const ObjectPtr winner = InEffect(key);
      if (winner == object) continue;
      all.push_back({.severity = Severity::kWarning,
                     .code = kReplaced,
                     .object = key.ToString(),
                     .file = object->file,
                     .line = object->line,
                     .message = absl::StrCat("not in effect: ", winner->file, ":", winner->line,
                                             " holds the same object and comes later")});
    }
  }
  SortDiagnostics(&all);
  return all;
}

std::vector<ObjectPtr> FileStore::Objects() const {
  std::vector<ObjectPtr> objects;
  for (const auto& [key, holders] : holders_) objects.push_back(holders.rbegin()->second);
  return objects;
}

std::vector<std::string> FileStore::Files() const {
  std::vector<std::string> names;
  for (const auto& [name, file] : files_) names.push_back(name);
  return names;
}

}  // namespace meltemi::pilot
