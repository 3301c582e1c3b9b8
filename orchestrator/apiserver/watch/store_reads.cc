#include "orchestrator/apiserver/watch/store_reads.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/watch/cached_object.h"
#include "orchestrator/apiserver/watch/keys.h"
#include "orchestrator/apiserver/watch/store_status.h"

namespace meltemi::apiserver {
namespace {

constexpr size_t kKeysPerRange = 1000;
// How many follow a page is told while counting them costs little.
constexpr size_t kCountedMax = 20'000;

// The object of `kv`, which comes without its value. Null: it is gone (a list of "now").
absl::StatusOr<ObjectPtr> Load(store::Store& store, const ResourceCache& resource,
                               const store::KeyValue& kv, store::Revision revision) {
  const auto key = ParseObjectKey(kv.key);
  if (!key.has_value()) return ObjectPtr();
  ObjectPtr cached = resource.Find(key->ns, key->name);
  if (cached != nullptr && cached->mod_revision == kv.mod_revision) return cached;
  const auto stored = store.Get(kv.key, revision);
  if (!stored.ok()) return stored.status();
  if (!stored->has_value()) return ObjectPtr();
  return MakeCachedObject(key->ns, key->name, (*stored)->value, (*stored)->mod_revision,
                          resource.fields_of());
}

}  // namespace

std::string KeyAfter(absl::string_view key) {
  return absl::StrCat(key, absl::string_view("\0", 1));
}

absl::StatusOr<ResourceState> ReadAll(store::Store& store, const ResourceCache& resource,
                                      size_t page_size) {
  ResourceState state;
  const std::string prefix = ResourcePrefix(resource.storage());
  for (std::string first = prefix;;) {
    const auto page = store.Range(first, store::PrefixEnd(prefix),
                                  {.revision = state.revision, .limit = page_size, .count = false});
    if (!page.ok()) return page.status();
    if (state.revision == 0) state.revision = page->revision;
    for (const store::KeyValue& kv : page->kvs) {
      const auto key = ParseObjectKey(kv.key);
      if (!key.has_value()) continue;
      state.objects.push_back(
          MakeCachedObject(key->ns, key->name, kv.value, kv.mod_revision, resource.fields_of()));
    }
    if (!page->more) return state;
    first = KeyAfter(page->kvs.back().key);
  }
}

kube::Result<ListResult> ListFromStore(store::Store& store, const ResourceCache& resource,
                                       const ListQuery& query, store::Revision revision,
                                       const std::function<bool(const CachedObject&)>& matches) {
  const bool all = query.labels.empty() && query.fields.empty();
  const std::string prefix = ResourcePrefix(resource.storage());
  const std::string scope =
      query.ns.empty() ? prefix : NamespacePrefix(resource.storage(), query.ns);
  const auto error = [&query](const absl::Status& status) {
    if (absl::IsOutOfRange(status) && !query.continue_key.empty()) return ExpiredContinue();
    return FromStoreError(status);
  };
  const bool counted = all && resource.size() <= kCountedMax;
  ListResult result{.revision = std::max<store::Revision>(revision, 0)};
  // A token that points outside of its namespace gets nothing of others.
  std::string first =
      std::max(scope, query.continue_key.empty() ? scope : prefix + query.continue_key);
  while (true) {
    // With a selector it is not known how many keys make a page.
    const size_t missing = query.limit == 0 ? kKeysPerRange : query.limit - result.objects.size();
    const size_t limit = all ? std::min(missing, kKeysPerRange) : kKeysPerRange;
    const auto page = store.Range(
        first, store::PrefixEnd(scope),
        {.revision = result.revision, .limit = limit, .keys_only = true, .count = counted});
    if (!page.ok()) return error(page.status());
    if (result.revision == 0) result.revision = page->revision;
    for (size_t i = 0; i < page->kvs.size(); ++i) {
      auto object = Load(store, resource, page->kvs[i], result.revision);
      if (!object.ok()) return error(object.status());
      if (*object != nullptr && matches(**object)) result.objects.push_back(*std::move(object));
      const bool last = i + 1 == page->kvs.size() && !page->more;
      if (query.limit == 0 || result.objects.size() < query.limit || last) continue;
      result.continue_key = KeyAfter(page->kvs[i].key).substr(prefix.size());
      if (counted) result.remaining = page->count - static_cast<int64_t>(i) - 1;
      return result;
    }
    if (!page->more) return result;
    first = KeyAfter(page->kvs.back().key);
  }
}

}  // namespace meltemi::apiserver
