#include "base/metrics/metrics.h"

#include <memory>
#include <thread>

#include "gtest/gtest.h"

namespace meltemi::metrics {
namespace {

TEST(Metrics, AreSummedOverShards) {
  Registry registry;
  Shard& a = registry.NewShard();
  Shard& b = registry.NewShard();
  a.root().GetCounter("requests_total", {{"code", "200"}}).Add(2);
  b.root().GetCounter("requests_total", {{"code", "200"}}).Inc();
  b.root().GetCounter("requests_total", {{"code", "503"}}).Inc();
  EXPECT_EQ(registry.Sum("requests_total"), 4);
  EXPECT_EQ(registry.Sum("requests_total", {{"code", "200"}}), 3);
  EXPECT_EQ(registry.RenderPrometheus(),
            "# HELP requests_total requests_total\n# TYPE requests_total counter\n"
            "requests_total{code=\"200\"} 3\nrequests_total{code=\"503\"} 1\n");
}

TEST(Metrics, AScopeTakesItsMetricsWithIt) {
  Registry registry;
  Shard& shard = registry.NewShard();
  auto scope = std::make_unique<Scope>(shard, Labels{{"cluster", "a\"b"}});
  scope->GetGauge("active").Set(5);
  EXPECT_NE(registry.RenderText().find("active{cluster=\"a\\\"b\"}: 5"), std::string::npos);
  scope.reset();
  EXPECT_EQ(registry.RenderText(), "");
}

TEST(Metrics, SameNameAndLabelsAreTheSameMetric) {
  Registry registry;
  Scope& root = registry.NewShard().root();
  EXPECT_EQ(&root.GetCounter("x", {{"a", "1"}, {"b", "2"}}),
            &root.GetCounter("x", {{"b", "2"}, {"a", "1"}}));
}

TEST(Metrics, HistogramsAreCumulativeInPrometheus) {
  static constexpr double kBounds[] = {1, 2.5};
  Registry registry;
  registry.Describe("took", "How long it took.");
  Histogram& took = registry.NewShard().root().GetHistogram("took", kBounds);
  took.Record(1);
  took.Record(2);
  took.Record(99.5);
  EXPECT_EQ(registry.RenderPrometheus(),
            "# HELP took How long it took.\n# TYPE took histogram\n"
            "took_bucket{le=\"1\"} 1\ntook_bucket{le=\"2.5\"} 2\ntook_bucket{le=\"+Inf\"} 3\n"
            "took_sum 102.5\ntook_count 3\n");
}

TEST(Metrics, MayBeReadWhileTheyAreWritten) {
  Registry registry;
  Shard& shard = registry.NewShard();
  std::thread writer([&shard] {
    for (int i = 0; i < 2000; ++i) {
      shard.root().GetCounter("n", {{"i", std::to_string(i % 10)}}).Inc();
      Scope scope(shard, {{"x", "y"}});
      scope.GetCounter("short").Inc();
    }
  });
  for (int i = 0; i < 200; ++i) (void)registry.RenderPrometheus();
  writer.join();
  EXPECT_EQ(registry.Sum("n"), 2000);
}

}  // namespace
}  // namespace meltemi::metrics
