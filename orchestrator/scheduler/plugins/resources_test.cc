// NodeResourcesFit, NodeResourcesBalancedAllocation and ImageLocality, to the integer.
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "orchestrator/scheduler/plugins/rules.h"
#include "orchestrator/scheduler/plugins/story.h"

namespace meltemi::scheduler {
namespace {

std::unique_ptr<Plugin> Fit(FitStrategy strategy = FitStrategy::kLeastAllocated) {
  return NewNodeResourcesFit(strategy, {{"cpu", 1}, {"memory", 1}}, {{0, 0}, {100, 10}});
}

constexpr char kSmall[] = "{a: {cpu: 1, memory: 1Gi, pods: 2, ephemeral-storage: 10Gi}}";

TEST(NodeResourcesFit, NamesAllThatIsMissing) {
  TellFilters(
      *Fit(),
      {{"it fits to the last bit", kSmall, "{}", "requests: {cpu: 1, memory: 1Gi}", "a: ok"},
       {"cpu", kSmall, "{}", "requests: {cpu: 1001m}", "a: no: Insufficient cpu"},
       {"memory", kSmall, "{}", "requests: {memory: 1073741825}", "a: no: Insufficient memory"},
       {"storage", kSmall, "{}", "requests: {ephemeral-storage: 11Gi}",
        "a: no: Insufficient ephemeral-storage"},
       {"what runs there counts", kSmall, "{p: {on: a, requests: {cpu: 600m, memory: 100Mi}}}",
        "requests: {cpu: 500m, memory: 900Mi}", "a: no: Insufficient cpu"},
       {"several", kSmall, "{p: {on: a, requests: {cpu: 1, memory: 1Gi}}}",
        "requests: {cpu: 1m, memory: 1}", "a: no: Insufficient cpu, Insufficient memory"},
       {"too many pods", kSmall, "{p: {on: a}, q: {on: a}}", "{}", "a: no: Too many pods"},
       {"too many pods and more", kSmall, "{p: {on: a, requests: {cpu: 1}}, q: {on: a}}",
        "requests: {cpu: 1m}", "a: no: Too many pods, Insufficient cpu"},
       {"who asks for nothing needs nothing", kSmall, "{p: {on: a, requests: {cpu: 2}}}", "{}",
        "a: ok"},
       {"what it does not ask for may be overdrawn", kSmall, "{p: {on: a, requests: {cpu: 2}}}",
        "requests: {memory: 1Mi}", "a: ok"}});
}

TEST(NodeResourcesFit, ExtendedResources) {
  TellFilters(
      *Fit(),
      {{"enough", "{a: {example.com/gpu: 2}}", "{p: {on: a, requests: {example.com/gpu: 1}}}",
        "requests: {example.com/gpu: 1}", "a: ok"},
       {"too few", "{a: {example.com/gpu: 2}}", "{p: {on: a, requests: {example.com/gpu: 1}}}",
        "requests: {example.com/gpu: 2}", "a: no: Insufficient example.com/gpu"},
       {"not there", "{a: {}}", "{}", "requests: {example.com/gpu: 1}",
        "a: no: Insufficient example.com/gpu"},
       {"none of them is asked for", "{a: {}}", "{}", "requests: {example.com/gpu: 0}", "a: ok"},
       {"huge pages", "{a: {hugepages-2Mi: 4Mi}}", "{}", "requests: {hugepages-2Mi: 6Mi}",
        "a: no: Insufficient hugepages-2Mi"}});
}

// One container of 100m; the init containers and the overhead as each case says.
std::string Containers(const std::string& more) {
  return "containers: [{name: c, resources: {requests: {cpu: 100m}}}]\n" + more;
}

TEST(NodeResourcesFit, InitContainersSidecarsAndOverhead) {
  const auto asks = [](const std::string& more) {
    return MakePodInfo(MakePod("pod", Containers(more)))->request.milli_cpu;
  };
  EXPECT_EQ(asks(""), 100);
  // The largest init container counts where it is more than all containers together.
  EXPECT_EQ(asks("initContainers: [{name: i, resources: {requests: {cpu: 300m}}}, "
                 "{name: j, resources: {requests: {cpu: 50m}}}]"),
            300);
  EXPECT_EQ(asks("initContainers: [{name: i, resources: {requests: {cpu: 50m}}}]"), 100);
  // A sidecar runs beside the containers and beside the init containers after it.
  EXPECT_EQ(asks("initContainers: [{name: s, restartPolicy: Always, "
                 "resources: {requests: {cpu: 200m}}}]"),
            300);
  EXPECT_EQ(asks("initContainers: [{name: s, restartPolicy: Always, "
                 "resources: {requests: {cpu: 200m}}}, "
                 "{name: i, resources: {requests: {cpu: 300m}}}]"),
            500);
  EXPECT_EQ(asks("initContainers: [{name: i, resources: {requests: {cpu: 300m}}}, "
                 "{name: s, restartPolicy: Always, resources: {requests: {cpu: 50m}}}]"),
            300);
  EXPECT_EQ(asks("overhead: {cpu: 10m}"), 110);
}

// 4000m and 10000 bytes; pods without requests would count 100m and 200 MiB.
constexpr char kTwo[] = "{a: {cpu: 4, memory: 10000}, b: {cpu: 6, memory: 10000}}";

TEST(NodeResourcesFit, LeastAllocated) {
  TellScores(
      *Fit(),
      {{"empty nodes: ((4000-3000)*100/4000 + (10000-5000)*100/10000)/2 = (25+50)/2 = 37; "
        "((6000-3000)*100/6000 + 50)/2 = 50",
        kTwo, "{}", "requests: {cpu: 3, memory: 5000}", "a=37 b=50"},
       {"used ones: (4000-3500)/4000 = 12, (10000-9000)/10000 = 10, mean 11", kTwo,
        "{p: {on: a, requests: {cpu: 500m, memory: 4000}}}", "requests: {cpu: 3, memory: 5000}",
        "a=11 b=50"},
       {"more than there is counts 0", kTwo, "{}", "requests: {cpu: 5, memory: 0}", "a=50 b=58"},
       {"100m and 200Mi stand for what is not said: (4000-100)/4000 = 97, (1000-200)/1000 = 80",
        "{a: {cpu: 4, memory: 1000Mi}}", "{}", "{}", "a=88"},
       {"what is not there does not count", "{a: {cpu: 4, memory: 0}}", "{}", "requests: {cpu: 1}",
        "a=75"}});
}

TEST(NodeResourcesFit, MostAllocated) {
  TellScores(
      *Fit(FitStrategy::kMostAllocated),
      {{"(75+50)/2 = 62, (50+50)/2 = 50", kTwo, "{}", "requests: {cpu: 3, memory: 5000}",
        "a=62 b=50"},
       {"not more than all of it", kTwo, "{}", "requests: {cpu: 8, memory: 5000}", "a=75 b=75"}});
}

TEST(NodeResourcesFit, RequestedToCapacityRatio) {
  TellScores(*Fit(FitStrategy::kRequestedToCapacityRatio),
             {{"75 and 50: mean 62.5 is rounded up", kTwo, "{}", "requests: {cpu: 3, memory: 5000}",
               "a=63 b=50"},
              {"zero scores are left out of the mean", kTwo, "{}", "requests: {cpu: 3, memory: 0}",
               "a=75 b=50"}});
  const std::unique_ptr<Plugin> valley =
      NewNodeResourcesFit(FitStrategy::kRequestedToCapacityRatio, {{"cpu", 3}, {"memory", 1}},
                          {{10, 10}, {50, 2}, {90, 8}});
  TellScores(*valley,
             {{"cpu 5% → 100, memory 60% → 20+60*10/40 = 35: (300+35)/4 = 83.75",
               "{a: {cpu: 4, memory: 10000}}", "{}", "requests: {cpu: 200m, memory: 6000}", "a=84"},
              {"cpu 30% → 100-80*20/40 = 60, memory 100% → 80: (180+80)/4", kTwo, "{}",
               "requests: {cpu: 1200m, memory: 10000}", "a=65 b=80"}});
}

TEST(NodeResourcesFit, WeightsAndExtendedResources) {
  const std::unique_ptr<Plugin> rule =
      NewNodeResourcesFit(FitStrategy::kLeastAllocated, {{"example.com/gpu", 3}, {"cpu", 1}}, {});
  TellScores(*rule,
             {{"(75*3 + 50)/4 = 68", "{a: {example.com/gpu: 8, cpu: 2}}",
               "{p: {on: a, requests: {example.com/gpu: 1, cpu: 500m}}}",
               "requests: {example.com/gpu: 1, cpu: 500m}", "a=68"},
              {"who asks for none is not scored by it", "{a: {example.com/gpu: 8, cpu: 2}}",
               "{p: {on: a, requests: {example.com/gpu: 8}}}", "requests: {cpu: 1}", "a=45"}});
}

TEST(NodeResourcesFit, NodesThatLieAboutCapacity) {
  TellScores(*Fit(), {{"2^63-1 bytes", "{a: {cpu: 9000000000000, memory: 9223372036854775807}}",
                       "{}", "requests: {cpu: 1, memory: 1}", "a=99"}});
}

TEST(BalancedAllocation, PrefersEvenUse) {
  const std::unique_ptr<Plugin> rule = NewBalancedAllocation({{"cpu", 1}, {"memory", 1}});
  TellScores(*rule, {{"75% and 50%: 1 - 0.125; 50% and 50%: 1", kTwo, "{}",
                      "requests: {cpu: 3, memory: 5000}", "a=87 b=100"},
                     {"no defaults here: nothing is used", kTwo, "{}", "{}", "a=100 b=100"},
                     {"more than all is all: 1 and 0.5", kTwo, "{}",
                      "requests: {cpu: 9, memory: 5000}", "a=75 b=75"},
                     {"one resource alone is balanced", "{a: {cpu: 4, memory: 0}}", "{}",
                      "requests: {cpu: 3}", "a=100"}});
  const std::unique_ptr<Plugin> three =
      NewBalancedAllocation({{"cpu", 1}, {"memory", 1}, {"example.com/gpu", 1}});
  TellScores(*three, {{"1/2, 1/4 and 3/4: deviation 0.2041",
                       "{a: {cpu: 4, memory: 1000, example.com/gpu: 4}}", "{}",
                       "requests: {cpu: 2, memory: 250, example.com/gpu: 3}", "a=79"}});
}

TEST(ImageLocality, CountsWhatNeedNotBePulled) {
  constexpr char kNodes[] =
      "{a: {images: {'nginx:1': 525336576}}, b: {images: {'redis:latest': 262144000, 'big:1': "
      "2097152000}}}";
  TellScores(
      *NewImageLocality(),
      {{"nobody has it", kNodes, "{}", "image: httpd", "skip"},
       {"on one of two nodes: half of 501 MiB, above 23 of 977: 100*227.5/977", kNodes, "{}",
        "image: 'nginx:1'", "a=23 b=0"},
       {"no tag is latest: 125 MiB of 977, 100*102/977", kNodes, "{}", "image: redis", "a=0 b=10"},
       {"a port is no tag", kNodes, "{}", "image: 'localhost:5000/nginx'", "skip"},
       {"not more than 1000 MiB count", kNodes, "{}", "image: 'big:1'", "a=0 b=100"},
       {"the same for two containers: 250.5 MiB of 23 … 2000", kNodes, "{}",
        "containers: [{name: c, image: 'nginx:1'}, {name: d, image: httpd}]", "a=11 b=0"},
       {"init containers count", kNodes, "{}", "initContainers: [{name: i, image: 'nginx:1'}]",
        "a=11 b=0"}});
}

}  // namespace
}  // namespace meltemi::scheduler
