#include "orchestrator/apiserver/watch/watch_cache.h"

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/value.h"
#include "orchestrator/apiserver/watch/bulk.h"
#include "orchestrator/apiserver/watch/cached_object.h"
#include "orchestrator/apiserver/watch/event_source.h"
#include "orchestrator/apiserver/watch/keys.h"
#include "orchestrator/apiserver/watch/resource_cache.h"
#include "orchestrator/store/sqlite/sqlite_store.h"

namespace meltemi::apiserver {
namespace {

const SystemClock kClock;
const kube::GroupResource kPods{"", "pods"};
const kube::GroupResource kNodes{"", "nodes"};

kube::StringPairs NodeNameOf(const json::Value& pod) {
  const json::Value* node = pod.Find("spec", "nodeName");
  return {{"spec.nodeName", node == nullptr ? "" : node->text()}};
}

TEST(CachedObject, HasItsRevisionInItsText) {
  EXPECT_EQ(WithResourceVersion(R"({"metadata":{"name":"a"},"spec":{}})", 7),
            R"({"metadata":{"resourceVersion":"7","name":"a"},"spec":{}})");
  EXPECT_EQ(WithResourceVersion(R"({"metadata":{"resourceVersion":"7","name":"a"}})", 12),
            R"({"metadata":{"resourceVersion":"12","name":"a"}})");
  EXPECT_EQ(WithResourceVersion(R"({"metadata":{}})", 7),
            R"({"metadata":{"resourceVersion":"7"}})");
  EXPECT_EQ(WithResourceVersion(R"({"kind":"X","metadata":{"name":"a"}})", 7),
            R"({"kind":"X","metadata":{"name":"a","resourceVersion":"7"}})");
  EXPECT_EQ(WithResourceVersion("no JSON", 7), "no JSON");
}

TEST(CachedObject, KnowsLabelsAndFields) {
  const ObjectPtr pod =
      MakeCachedObject("default", "web",
                       R"({"metadata":{"name":"web","uid":"u1","labels":{"b":"2","a":"1"}},)"
                       R"("spec":{"nodeName":"n1"}})",
                       5, NodeNameOf);
  EXPECT_EQ(pod->uid, "u1");
  EXPECT_EQ(pod->labels, (kube::StringPairs{{"a", "1"}, {"b", "2"}}));
  EXPECT_EQ(FieldOf(*pod, "spec.nodeName"), "n1");
  EXPECT_EQ(FieldOf(*pod, "metadata.name"), "web");
  EXPECT_EQ(FieldOf(*pod, "metadata.namespace"), "default");
  EXPECT_EQ(FieldOf(*pod, "spec.other"), "");
  EXPECT_EQ(pod->Tree().Find("metadata", "resourceVersion")->text(), "5");
}

TEST(CachedObject, IsReadWithoutItsBulk) {
  EXPECT_EQ(
      WithoutBulk(R"({"metadata":{"managedFields":[{"a":"]}"}],"name":"x\"","annotations":{}},)"
                  R"("spec":{"list":[1,[2]],"nodeName":"n","deep":{"list":[1]}},"n":-1})"),
      R"({"metadata":{"name":"x\""},"spec":{"nodeName":"n","deep":{"list":[1]}},"n":-1})");
  EXPECT_EQ(WithoutBulk(R"({"metadata":{},"spec":null})"), R"({"metadata":{},"spec":null})");
  EXPECT_EQ(WithoutBulk(R"({"spec":{"a":[]},"status":{"b":[1]}})"),
            R"({"spec":{},"status":{"b":[1]}})");
  for (const char* as_it_is :
       {"", "{", "{}", "[]", "{\"a\"", "{\"a\":", "{\"a\":\"", "{ \"a\":1}", "{\"spec\":{\"a\":1}",
        "{\"spec\":{\"a\":1]}", "{\"a\":1}x", "{\"a\":1,}"}) {
    EXPECT_EQ(WithoutBulk(as_it_is), as_it_is);
  }
}

TEST(CachedObject, ThatIsNoJsonHarmsNothing) {
  const ObjectPtr broken = MakeCachedObject("", "x", "{\"metadata\":", 5, NodeNameOf);
  EXPECT_EQ(broken->name, "x");
  EXPECT_TRUE(broken->labels.empty());
  EXPECT_TRUE(broken->Tree().is_object());
}

TEST(ObjectPlace, SortsAsTheStoresKeys) {
  const std::vector<std::pair<std::string, std::string>> places = {
      {"a", "x"}, {"a-b", "a"}, {"a.b", "z"}, {"a", "a"}, {"ab", "m"}, {"", "n"}, {"", "a-b"}};
  for (const auto& [ns_a, name_a] : places) {
    for (const auto& [ns_b, name_b] : places) {
      if (ns_a.empty() != ns_b.empty()) continue;  // never in one resource
      const ObjectPlace a{ns_a, name_a}, b{ns_b, name_b};
      EXPECT_EQ(Precedes(a, b), SuffixOf(a) < SuffixOf(b)) << SuffixOf(a) << " " << SuffixOf(b);
    }
  }
}

class WatchCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    auto store = store::OpenSqliteStore({}, kClock);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  void StartCache(const WatchCacheOptions& options = {}) {
    cache_ = NewWatchCache(*store_, kClock, options);
    cache_->AddResource(kPods, NodeNameOf);
    cache_->AddResource(kNodes, nullptr);
    cache_->Start();
    ASSERT_TRUE(cache_->WaitFor(*store_->CurrentRevision(), seconds(10)));
  }
  store::Revision PutValue(const std::string& key, const std::string& value) {
    const auto result = store_->Transact({}, {{.key = key, .value = value}});
    EXPECT_TRUE(result.ok()) << result.status();
    return result->revision;
  }
  store::Revision PutPod(absl::string_view ns, absl::string_view name, absl::string_view node = "",
                         absl::string_view app = "x") {
    return PutValue(ObjectKey(kPods, ns, name),
                    absl::StrCat("{\"metadata\":{\"name\":\"", name, "\",\"namespace\":\"", ns,
                                 "\",\"labels\":{\"app\":\"", app, "\"}},\"spec\":{\"nodeName\":\"",
                                 node, "\"}}"));
  }
  store::Revision DeletePod(absl::string_view ns, absl::string_view name) {
    const auto result = store_->Transact(
        {}, {{.type = store::Write::Type::kDelete, .key = ObjectKey(kPods, ns, name)}});
    return result->revision;
  }
  ListResult List(const ListQuery& query) {
    auto result = cache_->List(kPods, query);
    EXPECT_TRUE(result.ok()) << result.status().message;
    return result.ok() ? *std::move(result) : ListResult{};
  }
  static std::string Names(const ListResult& list) {
    std::string names;
    for (const ObjectPtr& object : list.objects) {
      absl::StrAppend(&names, names.empty() ? "" : " ", object->ns, "/", object->name);
    }
    return names;
  }

  std::unique_ptr<store::Store> store_;
  std::unique_ptr<WatchCache> cache_;
};

TEST_F(WatchCacheTest, HoldsWhatIsInTheStoreAndFollowsIt) {
  PutPod("default", "a");
  StartCache();
  const store::Revision revision = PutPod("default", "b", "n1");
  ASSERT_TRUE(cache_->WaitFresh().ok());
  EXPECT_TRUE(cache_->ready());
  const auto pod = cache_->Get(kPods, "default", "b", true);
  ASSERT_TRUE(pod.ok() && *pod != nullptr);
  EXPECT_EQ((*pod)->mod_revision, revision);
  EXPECT_EQ((*pod)->Tree().Find("metadata", "resourceVersion")->text(), absl::StrCat(revision));
  EXPECT_EQ(cache_->Count(kPods), 2u);
  DeletePod("default", "a");
  EXPECT_EQ(*cache_->Get(kPods, "default", "a", true), nullptr);
  EXPECT_EQ(*cache_->Get(kPods, "default", "missing", false), nullptr);
}

TEST_F(WatchCacheTest, AReadSeesEveryWriteBeforeIt) {
  StartCache();
  for (int i = 0; i < 300; ++i) {
    const store::Revision revision = PutPod("default", absl::StrCat("pod", i % 7));
    EXPECT_GE(List({}).revision, revision);
    EXPECT_EQ((*cache_->Get(kPods, "default", absl::StrCat("pod", i % 7), true))->mod_revision,
              revision);
  }
}

TEST_F(WatchCacheTest, ListsInTheOrderOfKeysAndBySelectors) {
  PutPod("a", "x", "n1", "web");
  PutPod("a-b", "y", "n2", "db");
  PutPod("a", "w", "n2", "web");
  StartCache();
  EXPECT_EQ(Names(List({})), "a-b/y a/w a/x");
  EXPECT_EQ(Names(List({.ns = "a"})), "a/w a/x");
  EXPECT_EQ(Names(List({.ns = "b"})), "");
  EXPECT_EQ(Names(List({.labels = *kube::LabelSelector::Parse("app=web")})), "a/w a/x");
  EXPECT_EQ(Names(List({.fields = *kube::FieldSelector::Parse("spec.nodeName=n2")})), "a-b/y a/w");
}

TEST_F(WatchCacheTest, PagesStayAtTheRevisionOfTheFirst) {
  for (const char* name : {"a", "b", "c", "d", "e"}) PutPod("ns", name);
  StartCache();
  const ListResult first = List({.limit = 2});
  EXPECT_EQ(Names(first), "ns/a ns/b");
  EXPECT_EQ(first.remaining, 3);
  ASSERT_FALSE(first.continue_key.empty());
  PutPod("ns", "bb");
  DeletePod("ns", "c");
  PutPod("ns", "d", "changed");
  ListQuery next{.limit = 2};
  next.continue_key = first.continue_key;
  next.continue_revision = first.revision;
  const ListResult second = List(next);
  EXPECT_EQ(Names(second), "ns/c ns/d");
  EXPECT_EQ(second.revision, first.revision);
  EXPECT_EQ(second.remaining, 1);
  EXPECT_EQ(FieldOf(*second.objects[1], "spec.nodeName"), "");
  next.continue_key = second.continue_key;
  const ListResult third = List(next);
  EXPECT_EQ(Names(third), "ns/e");
  EXPECT_EQ(third.continue_key, "");
}

TEST_F(WatchCacheTest, PagesOfASelectorAreFull) {
  for (int i = 0; i < 20; ++i) PutPod("ns", absl::StrCat("p", 10 + i), "", i % 4 == 0 ? "y" : "n");
  StartCache();
  ListQuery query{.labels = *kube::LabelSelector::Parse("app=y"), .limit = 2};
  std::string names;
  for (int pages = 0; pages < 10; ++pages) {
    const ListResult page = List(query);
    EXPECT_LE(page.objects.size(), 2u);
    EXPECT_EQ(page.remaining, 0);
    absl::StrAppend(&names, Names(page), "|");
    if (page.continue_key.empty()) break;
    query.continue_key = page.continue_key;
    query.continue_revision = page.revision;
  }
  EXPECT_TRUE(absl::StartsWith(names, "ns/p10 ns/p14|ns/p18 ns/p22|ns/p26|")) << names;
}

TEST_F(WatchCacheTest, ACompactedPageIsExpired) {
  for (const char* name : {"a", "b", "c"}) PutPod("ns", name);
  StartCache();
  const ListResult first = List({.limit = 1});
  ASSERT_TRUE(store_->Compact(PutPod("ns", "d")).ok());
  ListQuery next{.limit = 1};
  next.continue_key = first.continue_key;
  next.continue_revision = first.revision;
  const auto expired = cache_->List(kPods, next);
  ASSERT_FALSE(expired.ok());
  EXPECT_EQ(expired.status().code, 410);
  EXPECT_EQ(expired.status().reason, "Expired");
  EXPECT_TRUE(absl::StartsWith(expired.status().message,
                               "The provided continue parameter is too old to display"));
  next.continue_revision = -1;  // what the token of that answer asks for
  EXPECT_EQ(Names(List(next)), "ns/b");
}

TEST_F(WatchCacheTest, ListsAtAnExactRevision) {
  const store::Revision one = PutPod("ns", "a");
  PutPod("ns", "b");
  DeletePod("ns", "a");
  StartCache();
  const ListResult past = List({.min_revision = one, .exact = true});
  EXPECT_EQ(Names(past), "ns/a");
  EXPECT_EQ(past.revision, one);
  ASSERT_TRUE(store_->Compact(one + 2).ok());
  const auto expired = cache_->List(kPods, {.min_revision = one, .exact = true});
  EXPECT_EQ(expired.status().message, "The resourceVersion for the provided list is too old.");
}

TEST_F(WatchCacheTest, ARevisionThatDoesNotComeIsTooLarge) {
  StartCache({.future_revision_wait = milliseconds(20)});
  const store::Revision now = *store_->CurrentRevision();
  for (const bool exact : {false, true}) {
    const auto late = cache_->List(kPods, {.min_revision = now + 5, .exact = exact});
    ASSERT_FALSE(late.ok());
    EXPECT_EQ(late.status().code, 504);
    EXPECT_EQ(late.status().message,
              absl::StrCat("Timeout: Too large resource version: ", now + 5, ", current: ", now));
    ASSERT_EQ(late.status().causes.size(), 1u);
    EXPECT_EQ(late.status().causes[0].reason, "ResourceVersionTooLarge");
  }
}

TEST_F(WatchCacheTest, AResourceCanComeAndGo) {
  const kube::GroupResource widgets{"example.com", "widgets"};
  PutValue(ObjectKey(widgets, "ns", "before"), R"({"metadata":{"name":"before"}})");
  StartCache();
  EXPECT_FALSE(cache_->List(widgets, {}).ok());
  std::vector<std::string> seen;
  cache_->Observe(widgets,
                  [&seen](const CacheEvent& event) { seen.push_back(event.object->name); });
  cache_->AddResource(widgets, nullptr);
  PutValue(ObjectKey(widgets, "ns", "after"), R"({"metadata":{"name":"after"}})");
  EXPECT_EQ(cache_->List(widgets, {})->objects.size(), 2u);
  EXPECT_EQ(seen, (std::vector<std::string>{"before", "after"}));
  cache_->RemoveResource(widgets);
  EXPECT_FALSE(cache_->List(widgets, {}).ok());
}

TEST_F(WatchCacheTest, AResourceThatComesWhileItIsWrittenMissesNothing) {
  StartCache();
  const kube::GroupResource widgets{"example.com", "widgets"};
  std::thread writer([&] {
    for (int i = 0; i < 500; ++i) {
      PutValue(ObjectKey(widgets, "ns", absl::StrCat(i % 50)),
               absl::StrCat("{\"metadata\":{\"name\":\"", i, "\"}}"));
    }
  });
  cache_->AddResource(widgets, nullptr);
  writer.join();
  const auto list = cache_->List(widgets, {});
  ASSERT_TRUE(list.ok());
  const auto stored =
      store_->Range(ResourcePrefix(widgets), store::PrefixEnd(ResourcePrefix(widgets)));
  ASSERT_EQ(list->objects.size(), stored->kvs.size());
  for (size_t i = 0; i < stored->kvs.size(); ++i) {
    EXPECT_EQ(list->objects[i]->mod_revision, stored->kvs[i].mod_revision);
  }
}

TEST_F(WatchCacheTest, ObserversSeeWhatIsThereThenWhatComes) {
  PutPod("ns", "a");
  StartCache();
  std::vector<std::string> seen;
  cache_->Observe(kPods, [&seen](const CacheEvent& event) {
    seen.push_back(absl::StrCat(static_cast<int>(event.type), event.object->name));
  });
  PutPod("ns", "b");
  PutPod("ns", "a", "n1");
  DeletePod("ns", "b");
  ASSERT_TRUE(cache_->WaitFresh().ok());
  EXPECT_EQ(seen, (std::vector<std::string>{"0a", "0b", "1a", "2b"}));
}

// A client that was watching when the server was restarted goes on where it was.
TEST_F(WatchCacheTest, KnowsTheEventsFromBeforeItWasStarted) {
  const store::Revision one = PutPod("ns", "a");
  PutPod("ns", "b");
  DeletePod("ns", "a");
  StartCache();
  auto* source = dynamic_cast<EventSource*>(cache_.get());
  const auto start = source->StartOf({.storage = kPods, .from = one});
  ASSERT_TRUE(start.ok()) << start.status().message;
  ASSERT_EQ(start->events.size(), 2u);
  EXPECT_EQ(start->events[0]->type, CacheEvent::Type::kAdded);
  EXPECT_EQ(start->events[1]->type, CacheEvent::Type::kDeleted);
  EXPECT_EQ(start->events[1]->previous->name, "a");
}

TEST_F(WatchCacheTest, StartsAlsoWhenTheRecentPastIsCompacted) {
  for (int i = 0; i < 50; ++i) PutPod("ns", absl::StrCat("p", i % 5));
  ASSERT_TRUE(store_->Compact(*store_->CurrentRevision() - 3).ok());
  StartCache();
  EXPECT_EQ(cache_->Count(kPods), 5u);
}

TEST_F(WatchCacheTest, EventsAreKeptUpToABound) {
  StartCache({.events_max = 10});
  const store::Revision first = PutPod("ns", "a");
  for (int i = 0; i < 20; ++i) PutPod("ns", "a", absl::StrCat("n", i));
  ASSERT_TRUE(cache_->WaitFresh().ok());
  auto* source = dynamic_cast<EventSource*>(cache_.get());
  const auto old = source->StartOf({.storage = kPods, .from = first});
  ASSERT_FALSE(old.ok());
  EXPECT_EQ(old.status().code, 410);
  EXPECT_EQ(old.status().message,
            absl::StrCat("too old resource version: ", first, " (", first + 10, ")"));
  EXPECT_EQ(source->StartOf({.storage = kPods, .from = first + 10})->events.size(), 10u);
}

}  // namespace
}  // namespace meltemi::apiserver
