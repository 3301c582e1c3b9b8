// What the store, the cache and the hub cost by themselves: `watch_bench FOLDER [PODS] [WATCHERS]`.
// The whole server is measured by `./meltemi bench apiserver`.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/json/value.h"
#include "base/loop/loop.h"
#include "orchestrator/apiserver/watch/cached_object.h"
#include "orchestrator/apiserver/watch/keys.h"
#include "orchestrator/apiserver/watch/watch_cache.h"
#include "orchestrator/store/sqlite/sqlite_store.h"

namespace meltemi::apiserver {
namespace {

const kube::GroupResource kPods{"", "pods"};

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double ResidentMib() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, resident = 0;
  file >> total >> resident;
  return static_cast<double>(resident) * 4096 / (1 << 20);
}

// Two kilobytes, as a pod of a Deployment has them.
std::string Pod(int number, int change) {
  std::string text = absl::StrCat(
      R"({"metadata":{"name":"web-)", number, R"(","namespace":"ns-)", number / 100,
      R"(","uid":"8c5d1f4e-0000-4000-8000-)", 100'000'000'000 + number,
      R"(","labels":{"app":"web","pod-template-hash":"7d4b8c9f6","version":"v1"},)",
      R"("ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-7d4b8c9f6",)",
      R"("uid":"1","controller":true,"blockOwnerDeletion":true}],"managedFields":[)");
  for (int i = 0; i < 6; ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ",", R"({"manager":"m)", i,
                    R"(","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1",)",
                    R"("fieldsV1":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},)",
                    R"("f:image":{},"f:name":{},"f:resources":{}}}}}})");
  }
  absl::StrAppend(
      &text, R"(]},"apiVersion":"v1","kind":"Pod","spec":{"nodeName":"node-)", number % 5000,
      R"(","containers":[{"name":"c","image":"registry/web:)", change,
      R"(","resources":{"limits":{"cpu":"1","memory":"1Gi"}}}],"restartPolicy":"Always",)",
      R"("schedulerName":"default-scheduler","serviceAccountName":"default"},)",
      R"("status":{"phase":"Running","podIP":"10.244.1.1","conditions":[)",
      R"({"type":"Ready","status":"True"},{"type":"Initialized","status":"True"}]}})");
  return text;
}

kube::StringPairs FieldsOfPod(const json::Value& pod) {
  kube::StringPairs fields;
  for (const char* name : {"nodeName", "restartPolicy", "schedulerName", "serviceAccountName"}) {
    const json::Value* value = pod.Find("spec", name);
    fields.emplace_back(absl::StrCat("spec.", name), value == nullptr ? "" : value->text());
  }
  for (const char* name : {"phase", "podIP", "nominatedNodeName"}) {
    const json::Value* value = pod.Find("status", name);
    fields.emplace_back(absl::StrCat("status.", name), value == nullptr ? "" : value->text());
  }
  return fields;
}

void WritePods(store::Store& store, int from, int to, int change) {
  for (int i = from; i < to; ++i) {
    const std::string key = ObjectKey(kPods, absl::StrCat("ns-", i / 100), absl::StrCat("web-", i));
    const auto result = store.Transact({}, {{.key = key, .value = Pod(i, change)}});
    if (!result.ok()) std::printf("%s\n", result.status().ToString().c_str());
  }
}

void Create(store::Store& store, int pods) {
  constexpr int kWriters = 32;
  const double begin = Seconds();
  std::vector<std::thread> writers;
  for (int i = 0; i < kWriters; ++i) {
    writers.emplace_back(
        [&, i] { WritePods(store, pods / kWriters * i, pods / kWriters * (i + 1), 0); });
  }
  for (std::thread& writer : writers) writer.join();
  std::printf("created %d pods of %zu bytes with %d writers: %.0f/s\n", pods, Pod(1, 0).size(),
              kWriters, pods / (Seconds() - begin));
}

class CountingSink final : public WatchSink {
 public:
  explicit CountingSink(std::atomic<int>& count) : count_(count) {}
  bool Send(absl::string_view lines) override {
    bytes_.append(lines.data(), lines.size());  // as a connection's buffer would take them
    bytes_.clear();
    ++count_;
    return true;
  }
  void End() override {}

 private:
  std::atomic<int>& count_;
  std::string bytes_;
};

void MeasureWatchers(store::Store& store, WatchCache& cache, int watchers, bool by_node) {
  const SystemClock clock;
  constexpr int kLoops = 2;
  std::atomic<int> received{0};
  std::vector<std::unique_ptr<Loop>> loops;
  std::vector<std::thread> threads;
  const auto hub = NewWatchHub(cache);
  std::vector<CountingSink> sinks(static_cast<size_t>(watchers), CountingSink(received));
  std::vector<std::vector<std::unique_ptr<WatchRegistration>>> registrations(kLoops);
  for (int i = 0; i < kLoops; ++i) {
    loops.push_back(NewEventLoop(clock));
    threads.emplace_back([loop = loops.back().get()] { loop->Run(); });
  }
  for (int l = 0; l < kLoops; ++l) {
    std::promise<void> done;
    loops[static_cast<size_t>(l)]->Post([&] {
      for (int i = l; i < watchers; i += kLoops) {
        WatchQuery query{.storage = kPods};
        query.from_revision = cache.revision();
        query.encode = [](const CachedObject& object, std::string* out) { *out += object.json; };
        if (by_node) {
          query.fields = *kube::FieldSelector::Parse(absl::StrCat("spec.nodeName=node-", i));
        }
        auto made =
            hub->Watch(*loops[static_cast<size_t>(l)], query, sinks[static_cast<size_t>(i)]);
        registrations[static_cast<size_t>(l)].push_back(*std::move(made));
      }
      done.set_value();
    });
    done.get_future().wait();
  }
  std::vector<double> all_ms;
  for (int change = 0; change < 20; ++change) {
    const int expected = received + (by_node ? 1 : watchers);
    const double begin = Seconds();
    WritePods(store, 7, 8, 1000 + change);
    const double written = Seconds();
    while (received < expected) std::this_thread::sleep_for(microseconds(20));
    all_ms.push_back((Seconds() - begin) * 1000);
    if (change == 0) std::printf("  (the write itself: %.2f ms)\n", (written - begin) * 1000);
  }
  std::sort(all_ms.begin(), all_ms.end());
  std::printf("%d watchers%s: from the write's begin until all have it: p50 %.1f ms, max %.1f ms\n",
              watchers, by_node ? " of a node each" : "", all_ms[all_ms.size() / 2], all_ms.back());
  for (int l = 0; l < kLoops; ++l) {
    std::promise<void> done;
    loops[static_cast<size_t>(l)]->Post([&] {
      registrations[static_cast<size_t>(l)].clear();
      done.set_value();
    });
    done.get_future().wait();
    loops[static_cast<size_t>(l)]->Exit();
    threads[static_cast<size_t>(l)].join();
  }
}

void MeasureReads(WatchCache& cache) {
  const auto timed = [](const char* what, int times, const std::function<void(int)>& work) {
    const double begin = Seconds();
    for (int i = 0; i < times; ++i) work(i);
    std::printf("%s: %.3f ms\n", what, (Seconds() - begin) * 1000 / times);
  };
  timed("get, linearizable", 10'000, [&](int i) {
    (void)cache.Get(kPods, absl::StrCat("ns-", i / 100), absl::StrCat("web-", i), true);
  });
  timed("list of a namespace (100)", 1000,
        [&](int i) { (void)cache.List(kPods, {.ns = absl::StrCat("ns-", i)}); });
  timed("list of all", 5, [&](int) { (void)cache.List(kPods, {}); });
  const auto selector = kube::FieldSelector::Parse("spec.nodeName=node-7");
  timed("list of a node's", 5, [&](int) { (void)cache.List(kPods, {.fields = *selector}); });
  const auto first = cache.List(kPods, {.limit = 500});
  timed("a second page of 500", 5, [&](int) {
    ListQuery query{.limit = 500};
    query.continue_key = first->continue_key;
    query.continue_revision = first->revision;
    (void)cache.List(kPods, query);
  });
}

int Main(int argc, char** argv) {
  int pods = 150'000, watchers = 5000;
  if (argc < 2 || (argc > 2 && !absl::SimpleAtoi(argv[2], &pods)) ||
      (argc > 3 && !absl::SimpleAtoi(argv[3], &watchers))) {
    std::fprintf(stderr, "usage: watch_bench FOLDER [PODS] [WATCHERS]\n");
    return 2;
  }
  const SystemClock clock;
  {
    auto store = store::OpenSqliteStore({.path = absl::StrCat(argv[1], "/bench.db")}, clock);
    if (!store.ok()) {
      std::fprintf(stderr, "%s\n", store.status().ToString().c_str());
      return 1;
    }
    if (*(*store)->CurrentRevision() < pods / 2) Create(**store, pods);
  }
  const double begin = Seconds();
  auto store = store::OpenSqliteStore({.path = absl::StrCat(argv[1], "/bench.db")}, clock);
  const double opened = Seconds();
  const double before_mib = ResidentMib();
  const auto cache = NewWatchCache(**store, clock);
  cache->AddResource(kPods, &FieldsOfPod);
  cache->Start();
  while (!cache->ready()) std::this_thread::sleep_for(milliseconds(1));
  std::printf("opened in %.0f ms, cache ready after %.0f ms with %zu pods\n",
              (opened - begin) * 1000, (Seconds() - opened) * 1000, cache->Count(kPods));
  const double json_mib = static_cast<double>(cache->Count(kPods)) * Pod(1, 0).size() / (1 << 20);
  std::printf("resident: %.0f MiB before, %.0f MiB after, %.0f MiB of JSON\n", before_mib,
              ResidentMib(), json_mib);
  MeasureReads(*cache);
  MeasureWatchers(**store, *cache, watchers, false);
  MeasureWatchers(**store, *cache, watchers, true);
  return 0;
}

}  // namespace
}  // namespace meltemi::apiserver

int main(int argc, char** argv) { return meltemi::apiserver::Main(argc, argv); }
