#include <future>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "base/loop/loop.h"
#include "orchestrator/apiserver/watch/keys.h"
#include "orchestrator/apiserver/watch/watch_cache.h"
#include "orchestrator/apiserver/watch/watch_sink_fake.h"
#include "orchestrator/store/sqlite/sqlite_store.h"

namespace meltemi::apiserver {
namespace {

const SystemClock kClock;
const kube::GroupResource kPods{"", "pods"};

kube::StringPairs NodeNameOf(const json::Value& pod) {
  const json::Value* node = pod.Find("spec", "nodeName");
  return {{"spec.nodeName", node == nullptr ? "" : node->text()}};
}

// A loop on a thread of its own.
class LoopThread {
 public:
  LoopThread() : loop_(NewEventLoop(kClock)), thread_([this] { loop_->Run(); }) {}
  ~LoopThread() {
    loop_->Exit();
    thread_.join();
  }
  void Run(std::function<void(Loop&)> work) {
    std::promise<void> done;
    loop_->Post([&] {
      work(*loop_);
      done.set_value();
    });
    done.get_future().wait();
  }

 private:
  const std::unique_ptr<Loop> loop_;
  std::thread thread_;
};

// "ADDED a", "DELETED b 7": type, name and, where `versions`, resourceVersion.
std::string Short(const std::string& line, bool versions = false) {
  const auto event = json::Parse(line);
  if (!event.ok()) return line;
  const json::Value* metadata = event->Find("object", "metadata");
  std::string text(event->FindString("type"));
  if (metadata != nullptr && !metadata->FindString("name").empty()) {
    absl::StrAppend(&text, " ", metadata->FindString("name"));
  }
  if (versions && metadata != nullptr) {
    absl::StrAppend(&text, " ", metadata->FindString("resourceVersion"));
  }
  return text;
}

std::vector<std::string> Short(const std::vector<std::string>& lines, bool versions = false) {
  std::vector<std::string> texts;
  for (const std::string& line : lines) texts.push_back(Short(line, versions));
  return texts;
}

using Texts = std::vector<std::string>;

class WatchHubTest : public testing::Test {
 protected:
  void Start(const WatchHubOptions& options = {}, const WatchCacheOptions& cache_options = {}) {
    store_ = *store::OpenSqliteStore({}, kClock);
    cache_ = NewWatchCache(*store_, kClock, cache_options);
    cache_->AddResource(kPods, NodeNameOf);
    cache_->Start();
    ASSERT_TRUE(cache_->WaitFresh().ok());
    hub_ = NewWatchHub(*cache_, options);
  }
  void TearDown() override {
    for (auto& [loop, registrations] : registrations_) {
      loop->Run([&](Loop&) { registrations.clear(); });
    }
  }
  store::Revision PutPod(absl::string_view ns, absl::string_view name, absl::string_view node = "",
                         absl::string_view app = "x") {
    const std::string value = absl::StrCat("{\"metadata\":{\"name\":\"", name,
                                           "\",\"namespace\":\"", ns, "\",\"labels\":{\"app\":\"",
                                           app, "\"}},\"spec\":{\"nodeName\":\"", node, "\"}}");
    const auto result = store_->Transact({}, {{.key = ObjectKey(kPods, ns, name), .value = value}});
    EXPECT_TRUE(result.ok());
    return result->revision;
  }
  store::Revision DeletePod(absl::string_view ns, absl::string_view name) {
    const auto result = store_->Transact(
        {}, {{.type = store::Write::Type::kDelete, .key = ObjectKey(kPods, ns, name)}});
    return result->revision;
  }
  static WatchQuery QueryOf(store::Revision from) {
    WatchQuery query{.storage = kPods};
    query.from_revision = from;
    query.encoding_key = "v1";
    query.encode = [](const CachedObject& object, std::string* out) { *out += object.json; };
    query.api_version = "v1";
    query.kind = "Pod";
    return query;
  }
  // "" or the message of the error.
  std::string Watch(const WatchQuery& query, CollectingSink& sink, LoopThread& loop) {
    std::string error;
    loop.Run([&](Loop& on) {
      auto registration = hub_->Watch(on, query, sink);
      if (!registration.ok()) {
        error = absl::StrCat(registration.status().code, " ", registration.status().message);
        return;
      }
      registrations_[&loop].push_back(*std::move(registration));
    });
    return error;
  }
  std::string Watch(const WatchQuery& query, CollectingSink& sink) {
    return Watch(query, sink, loop_);
  }

  std::unique_ptr<store::Store> store_;
  std::unique_ptr<WatchCache> cache_;
  std::unique_ptr<WatchHub> hub_;
  LoopThread loop_, other_loop_;
  std::map<LoopThread*, std::vector<std::unique_ptr<WatchRegistration>>> registrations_;
};

TEST_F(WatchHubTest, EventsComeInOrderInTheirKindsWithTheirVersions) {
  Start();
  CollectingSink sink;
  const store::Revision from = cache_->revision();
  ASSERT_EQ(Watch(QueryOf(from), sink), "");
  PutPod("ns", "a");
  PutPod("ns", "a", "n1");
  DeletePod("ns", "a");
  EXPECT_EQ(Short(sink.WaitForLines(3), true),
            (Texts{absl::StrCat("ADDED a ", from + 1), absl::StrCat("MODIFIED a ", from + 2),
                   absl::StrCat("DELETED a ", from + 3)}));
}

TEST_F(WatchHubTest, FromNothingBeginsWithWhatIsThere) {
  Start();
  PutPod("ns", "b");
  PutPod("ns", "a");
  ASSERT_TRUE(cache_->WaitFresh().ok());
  CollectingSink sink, from_now;
  ASSERT_EQ(Watch(QueryOf(0), sink), "");
  WatchQuery query = QueryOf(0);
  query.from_now = true;
  ASSERT_EQ(Watch(query, from_now), "");
  PutPod("ns", "c");
  EXPECT_EQ(Short(sink.WaitForLines(3)), (Texts{"ADDED a", "ADDED b", "ADDED c"}));
  EXPECT_EQ(Short(from_now.WaitForLines(1)), (Texts{"ADDED c"}));
}

TEST_F(WatchHubTest, AnOldVersionBeginsWithWhatHasHappenedSince) {
  Start();
  const store::Revision from = PutPod("ns", "a");
  PutPod("ns", "b");
  DeletePod("ns", "a");
  ASSERT_TRUE(cache_->WaitFresh().ok());
  CollectingSink sink;
  ASSERT_EQ(Watch(QueryOf(from), sink), "");
  PutPod("ns", "c");
  EXPECT_EQ(Short(sink.WaitForLines(3)), (Texts{"ADDED b", "DELETED a", "ADDED c"}));
}

TEST_F(WatchHubTest, AVersionThatIsTooOldIsGone) {
  Start({}, {.events_max = 5});
  const store::Revision from = PutPod("ns", "a");
  for (int i = 0; i < 10; ++i) PutPod("ns", "a", absl::StrCat(i));
  ASSERT_TRUE(cache_->WaitFresh().ok());
  CollectingSink sink;
  EXPECT_EQ(Watch(QueryOf(from), sink),
            absl::StrCat("410 too old resource version: ", from, " (", from + 5, ")"));
}

TEST_F(WatchHubTest, AFutureVersionIsWaitedFor) {
  Start();
  CollectingSink sink;
  const store::Revision now = PutPod("ns", "a");
  ASSERT_EQ(Watch(QueryOf(now + 1), sink), "");
  PutPod("ns", "a", "unseen");
  PutPod("ns", "b");
  EXPECT_EQ(Short(sink.WaitForLines(1)), (Texts{"ADDED b"}));
}

TEST_F(WatchHubTest, InitialEventsEndWithABookmark) {
  Start();
  const store::Revision revision = PutPod("ns", "a");
  ASSERT_TRUE(cache_->WaitFresh().ok());
  WatchQuery query = QueryOf(0);
  query.send_initial_events = query.bookmarks = true;
  CollectingSink sink;
  ASSERT_EQ(Watch(query, sink), "");
  const auto lines = sink.WaitForLines(2);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(Short(lines[0]), "ADDED a");
  EXPECT_EQ(lines[1],
            absl::StrCat("{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Pod\",\"apiVersion\":"
                         "\"v1\",\"metadata\":{\"resourceVersion\":\"",
                         revision,
                         "\",\"creationTimestamp\":null,\"annotations\":{"
                         "\"k8s.io/initial-events-end\":\"true\"}}}}"));
}

TEST_F(WatchHubTest, BookmarksTellHowFarOneIs) {
  Start({.bookmark_interval = milliseconds(20)});
  WatchQuery query = QueryOf(cache_->revision());
  query.bookmarks = true;
  query.ns = "quiet";
  CollectingSink sink;
  ASSERT_EQ(Watch(query, sink), "");
  const store::Revision revision = PutPod("busy", "a");
  EXPECT_EQ(Short(sink.WaitForLines(1), true), (Texts{absl::StrCat("BOOKMARK ", revision)}));
}

TEST_F(WatchHubTest, AnObjectComesAndGoesWithItsSelector) {
  Start();
  WatchQuery query = QueryOf(cache_->revision());
  query.labels = *kube::LabelSelector::Parse("app=web");
  CollectingSink sink;
  ASSERT_EQ(Watch(query, sink), "");
  PutPod("ns", "a", "", "db");
  const store::Revision added = PutPod("ns", "a", "", "web");
  const store::Revision modified = PutPod("ns", "a", "n1", "web");
  const store::Revision gone = PutPod("ns", "a", "n2", "db");
  DeletePod("ns", "a");
  PutPod("ns", "b", "", "web");
  const auto lines = sink.WaitForLines(4);
  EXPECT_EQ(Short(lines, true),
            (Texts{absl::StrCat("ADDED a ", added), absl::StrCat("MODIFIED a ", modified),
                   absl::StrCat("DELETED a ", gone), absl::StrCat("ADDED b ", gone + 2)}));
  // As it was while it matched.
  EXPECT_TRUE(absl::StrContains(lines[2], "\"nodeName\":\"n1\"")) << lines[2];
}

TEST_F(WatchHubTest, AFieldsValueFindsItsWatches) {
  Start();
  std::map<std::string, CollectingSink> sinks;
  for (const char* node : {"n1", "n2", ""}) {
    WatchQuery query = QueryOf(cache_->revision());
    query.fields = *kube::FieldSelector::Parse(absl::StrCat("spec.nodeName=", node));
    ASSERT_EQ(Watch(query, sinks[node]), "");
  }
  WatchQuery by_name = QueryOf(cache_->revision());
  by_name.ns = "ns";
  by_name.fields = *kube::FieldSelector::Parse("metadata.name=b");
  ASSERT_EQ(Watch(by_name, sinks["by name"]), "");
  PutPod("ns", "a");
  PutPod("ns", "a", "n1");
  PutPod("ns", "b", "n2");
  PutPod("other", "b", "n2");
  DeletePod("ns", "a");
  EXPECT_EQ(Short(sinks[""].WaitForLines(2)), (Texts{"ADDED a", "DELETED a"}));
  EXPECT_EQ(Short(sinks["n1"].WaitForLines(2)), (Texts{"ADDED a", "DELETED a"}));
  EXPECT_EQ(Short(sinks["n2"].WaitForLines(2)), (Texts{"ADDED b", "ADDED b"}));
  EXPECT_EQ(Short(sinks["by name"].WaitForLines(1)), (Texts{"ADDED b"}));
}

TEST_F(WatchHubTest, AnEventIsWrittenOncePerEncodingOfALoop) {
  Start();
  std::atomic<int> encoded{0};
  std::vector<CollectingSink> sinks(50);
  for (size_t i = 0; i < sinks.size(); ++i) {
    WatchQuery query = QueryOf(cache_->revision());
    query.encoding_key = i % 2 == 0 ? "v1" : "table";
    query.encode = [&encoded](const CachedObject& object, std::string* out) {
      ++encoded;
      *out += object.json;
    };
    ASSERT_EQ(Watch(query, sinks[i], i < 25 ? loop_ : other_loop_), "");
  }
  PutPod("ns", "a");
  for (CollectingSink& sink : sinks) EXPECT_EQ(sink.WaitForLines(1).size(), 1u);
  EXPECT_EQ(encoded, 4);
}

TEST_F(WatchHubTest, ASlowClientIsEnded) {
  Start();
  CollectingSink slow, fast;
  slow.set_lines_max(2);
  const store::Revision from = cache_->revision();
  ASSERT_EQ(Watch(QueryOf(from), slow), "");
  ASSERT_EQ(Watch(QueryOf(from), fast), "");
  for (int i = 0; i < 5; ++i) PutPod("ns", "a", absl::StrCat(i));
  EXPECT_TRUE(slow.WaitForEnd());
  EXPECT_EQ(fast.WaitForLines(5).size(), 5u);
  EXPECT_EQ(slow.WaitForLines(3).size(), 3u);
}

TEST_F(WatchHubTest, WatchesEndWithTheirResource) {
  Start();
  CollectingSink sink;
  ASSERT_EQ(Watch(QueryOf(cache_->revision()), sink), "");
  cache_->RemoveResource(kPods);
  EXPECT_TRUE(sink.WaitForEnd());
  EXPECT_TRUE(absl::StrContains(sink.WaitForLines(1)[0], "\"code\":410"));
}

TEST_F(WatchHubTest, ManyInitialEventsComeWhole) {
  Start();
  for (int i = 0; i < 1300; ++i) PutPod("ns", absl::StrCat("p", 10'000 + i));
  ASSERT_TRUE(cache_->WaitFresh().ok());
  CollectingSink sink;
  ASSERT_EQ(Watch(QueryOf(0), sink), "");
  PutPod("ns", "z");
  const auto lines = sink.WaitForLines(1301);
  ASSERT_EQ(lines.size(), 1301u);
  EXPECT_EQ(Short(lines.front()), "ADDED p10000");
  EXPECT_EQ(Short(lines.back()), "ADDED z");
}

// Whatever happens around it, a watch from a version sees every later change once and in order.
TEST_F(WatchHubTest, WatchesThatJoinWhileOthersWriteMissNothing) {
  Start();
  constexpr int kWrites = 400;
  const store::Revision begin = cache_->revision();
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 3; ++writer) {
    writers.emplace_back([this, writer] {
      for (int i = 0; i < kWrites; ++i) PutPod("ns", absl::StrCat("w", writer, "-", i % 5));
    });
  }
  std::vector<CollectingSink> sinks(60);
  std::vector<store::Revision> from;
  for (size_t i = 0; i < sinks.size(); ++i) {
    from.push_back(i % 3 == 0 ? begin : cache_->revision());
    ASSERT_EQ(Watch(QueryOf(from[i]), sinks[i], i % 2 == 0 ? loop_ : other_loop_), "");
  }
  for (std::thread& writer : writers) writer.join();
  const store::Revision end = *store_->CurrentRevision();
  EXPECT_EQ(end, begin + 3 * kWrites);
  for (size_t i = 0; i < sinks.size(); ++i) {
    const auto lines = sinks[i].WaitForLines(static_cast<size_t>(end - from[i]));
    ASSERT_EQ(lines.size(), static_cast<size_t>(end - from[i]));
    for (size_t j = 0; j < lines.size(); ++j) {
      ASSERT_TRUE(absl::EndsWith(Short(lines[j], true), absl::StrCat(" ", from[i] + 1 + j)))
          << lines[j];
    }
  }
}

// The same for those who begin with the state: the state's versions and the events after it fit.
TEST_F(WatchHubTest, WatchesThatBeginWithTheStateMissNothing) {
  Start();
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 2; ++writer) {
    writers.emplace_back([this, writer] {
      for (int i = 0; i < 300; ++i) {
        const std::string name = absl::StrCat("w", writer, "-", i % 5);
        if (i % 7 == 6) {
          DeletePod("ns", name);
        } else {
          PutPod("ns", name);
        }
      }
    });
  }
  std::vector<CollectingSink> sinks(40);
  for (size_t i = 0; i < sinks.size(); ++i) {
    ASSERT_EQ(Watch(QueryOf(0), sinks[i], i % 2 == 0 ? loop_ : other_loop_), "");
  }
  for (std::thread& writer : writers) writer.join();
  const std::string last = absl::StrCat(PutPod("ns", "last"));
  for (CollectingSink& sink : sinks) {
    std::map<std::string, std::string> state;
    std::vector<std::string> lines;
    for (size_t count = 1; lines.empty() || Short(lines.back(), true) != "ADDED last " + last;) {
      lines = sink.WaitForLines(count);
      ASSERT_GE(lines.size(), count);
      count = lines.size() + 1;
    }
    for (const std::string& line : lines) {
      const Texts parts = absl::StrSplit(Short(line, true), ' ');
      if (parts[0] == "ADDED") {
        EXPECT_TRUE(state.emplace(parts[1], parts[2]).second) << line;
      } else if (parts[0] == "MODIFIED") {
        ASSERT_TRUE(state.contains(parts[1])) << line;
        EXPECT_LT(std::stoll(state[parts[1]]), std::stoll(parts[2]));
        state[parts[1]] = parts[2];
      } else {
        EXPECT_EQ(state.erase(parts[1]), 1u) << line;
      }
    }
    std::map<std::string, std::string> stored;
    const auto list = cache_->List(kPods, {});
    for (const ObjectPtr& object : list->objects) {
      stored[object->name] = absl::StrCat(object->mod_revision);
    }
    EXPECT_EQ(state, stored);
  }
}

}  // namespace
}  // namespace meltemi::apiserver
