#include "orchestrator/controllers/history/history.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "kube/client/typed.h"
#include "kube/codec/codec.h"
#include "orchestrator/controllers/runtime/owners.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {
namespace {

namespace apps = kube::apps::v1;
namespace core = kube::core::v1;

// Names that collide are an accident: more of them in a row are none.
constexpr int kCollisionsMax = 20;

// `data`: RevisionData of the template. What differs in empty members alone is equal.
bool HasTemplate(const apps::ControllerRevision& revision, absl::string_view data) {
  if (revision.data().raw() == data) return true;
  const std::optional<core::PodTemplateSpec> other = TemplateOf(revision);
  return other.has_value() && RevisionData(*other) == data;
}

apps::ControllerRevision Make(const RevisionOwner& owner, int64_t number, int collision_count) {
  const kube::meta::v1::ObjectMeta& from = kube::MetaOf(owner.object);
  const std::string hash = TemplateHash(owner.pod_template, collision_count);
  apps::ControllerRevision revision;
  kube::meta::v1::ObjectMeta& metadata = *revision.mutable_metadata();
  constexpr size_t kPrefixMax = 223;
  metadata.set_name(absl::StrCat(from.name().substr(0, kPrefixMax), "-", hash));
  metadata.set_namespace_(from.namespace_());
  *metadata.mutable_labels() = owner.pod_template.metadata().labels();
  (*metadata.mutable_labels())[owner.hash_label] = hash;
  // With the cause of the change, which `kubectl rollout history` shows.
  *metadata.mutable_annotations() = from.annotations();
  *metadata.add_owner_references() = ControllerReference(owner.object);
  revision.mutable_data()->set_raw(RevisionData(owner.pod_template));
  revision.set_revision(number);
  return revision;
}

}  // namespace

std::string RevisionData(const core::PodTemplateSpec& pod_template) {
  const std::string members = kube::ToJson(pod_template).substr(1);  // with the last brace
  return absl::StrCat(R"({"spec":{"template":{"$patch":"replace")", members == "}" ? "" : ",",
                      members, "}}");
}

std::optional<core::PodTemplateSpec> TemplateOf(const apps::ControllerRevision& revision) {
  const absl::StatusOr<json::Value> data = json::Parse(revision.data().raw());
  if (!data.ok()) return std::nullopt;
  const json::Value* spec = data->Find("spec");
  const json::Value* found = spec == nullptr ? nullptr : spec->Find("template");
  core::PodTemplateSpec pod_template;
  if (found == nullptr || !kube::FromJson(json::ToString(*found), &pod_template).ok()) {
    return std::nullopt;
  }
  return pod_template;
}

RevisionHistory::RevisionHistory(kube::Client& client, kube::Informer& revisions,
                                 const Clock& clock)
    : client_(client), revisions_(revisions), writes_(clock) {
  revisions.AddIndex(kByController, ByController);
  revisions.AddIndex(kOrphans, OrphansByNamespace);
}

bool RevisionHistory::Ready(const kube::NamespacedName& owner) {
  return writes_.Met(owner, revisions_);
}

void RevisionHistory::Drop(const kube::NamespacedName& owner) { writes_.Drop(owner); }

kube::Result<std::vector<RevisionPtr>> RevisionHistory::List(const RevisionOwner& owner) {
  const kube::meta::v1::ObjectMeta& metadata = kube::MetaOf(owner.object);
  const kube::Result<std::vector<kube::MessagePtr>> claimed =
      Claim({client_, owner.object, owner.selector, {}, owner.may_adopt},
            revisions_.IndexedMessages(kByController, metadata.uid()),
            revisions_.IndexedMessages(kOrphans, metadata.namespace_()));
  if (!claimed.ok()) return claimed.status();
  std::vector<RevisionPtr> all;
  for (const kube::MessagePtr& revision : *claimed) {
    all.push_back(kube::Lister<apps::ControllerRevision>::Cast(revision));
  }
  std::stable_sort(all.begin(), all.end(), [](const RevisionPtr& a, const RevisionPtr& b) {
    return a->revision() < b->revision();
  });
  return all;
}

kube::Result<RevisionPtr> RevisionHistory::Current(const RevisionOwner& owner,
                                                   std::vector<RevisionPtr>& all,
                                                   int& collision_count) {
  const std::string data = RevisionData(owner.pod_template);
  const auto equal = std::find_if(all.rbegin(), all.rend(), [&](const RevisionPtr& revision) {
    return HasTemplate(*revision, data);
  });
  if (equal == all.rbegin() && equal != all.rend()) return *equal;
  kube::Outcome current_owner = owner.be_current();
  if (!current_owner.ok()) return current_owner.status();
  const int64_t next = all.empty() ? 1 : all.back()->revision() + 1;
  kube::Result<RevisionPtr> current =
      equal == all.rend() ? Create(owner, next, collision_count) : Renew(owner, *equal, next);
  if (!current.ok()) return current;
  if (equal != all.rend()) all.erase(std::next(equal).base());
  all.push_back(*current);
  return current;
}

kube::Result<RevisionPtr> RevisionHistory::Renew(const RevisionOwner& owner, const RevisionPtr& old,
                                                 int64_t number) {
  apps::ControllerRevision revision = *old;
  revision.set_revision(number);
  kube::Result<apps::ControllerRevision> written = kube::Update(client_, revision);
  if (!written.ok()) return written.status();
  writes_.ExpectRevision(kube::NameOf(owner.object), written->metadata().resource_version());
  return RevisionPtr(std::make_shared<apps::ControllerRevision>(*std::move(written)));
}

kube::Result<RevisionPtr> RevisionHistory::Create(const RevisionOwner& owner, int64_t number,
                                                  int& collision_count) {
  for (int attempt = 0;; ++attempt) {
    const apps::ControllerRevision revision = Make(owner, number, collision_count);
    kube::Result<apps::ControllerRevision> made = kube::Create(client_, revision);
    const bool taken = !made.ok() && kube::IsAlreadyExists(made.status());
    if (taken) {
      made = kube::Get<apps::ControllerRevision>(client_, revision.metadata().namespace_(),
                                                 revision.metadata().name());
    }
    if (!made.ok()) return made.status();
    // The same may have been made by this controller before it was started anew.
    if (!taken || HasTemplate(*made, revision.data().raw())) {
      writes_.ExpectRevision(kube::NameOf(owner.object), made->metadata().resource_version());
      return RevisionPtr(std::make_shared<apps::ControllerRevision>(*std::move(made)));
    }
    ++collision_count;
    if (attempt == kCollisionsMax) {
      return kube::InternalError(
          absl::StrCat("no name is free for a revision of ", kube::MetaOf(owner.object).name()));
    }
  }
}

kube::Outcome RevisionHistory::Trim(const RevisionOwner& owner, const std::vector<RevisionPtr>& all,
                                    const std::set<std::string>& live, int limit) {
  std::vector<RevisionPtr> old;
  for (const RevisionPtr& revision : all) {
    if (live.count(revision->metadata().name()) == 0) old.push_back(revision);
  }
  const kube::NamespacedName key = kube::NameOf(owner.object);
  for (size_t i = 0; i + std::max(limit, 0) < old.size(); ++i) {
    kube::DeleteOptions options;
    options.uid = old[i]->metadata().uid();
    writes_.ExpectGone(key, *old[i]);
    kube::Outcome deleted =
        kube::Delete<apps::ControllerRevision>(client_, key.ns, old[i]->metadata().name(), options);
    if (deleted.ok() || kube::IsNotFound(deleted.status())) continue;
    writes_.Forget(key, *old[i]);
    return deleted;
  }
  return kube::Done{};
}

}  // namespace meltemi::controllers
