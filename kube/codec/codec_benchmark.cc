// What a pod costs: to read, to write, and to keep.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kube/codec/codec.h"
#include "kube/codec/pack.h"
#include "kube/codec/pod_sample.h"
#include "kube/core/v1/pod.pb.h"

namespace meltemi::kube {
namespace {

using core::v1::Pod;

void BM_Read(benchmark::State& state) {
  for (auto _ : state) {
    auto pod = std::make_shared<Pod>();
    if (!FromJson(kPodSample, pod.get()).ok()) state.SkipWithError("not read");
    benchmark::DoNotOptimize(pod);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(sizeof(kPodSample)));
}
BENCHMARK(BM_Read);

void BM_Write(benchmark::State& state) {
  Pod pod;
  if (!FromJson(kPodSample, &pod).ok()) state.SkipWithError("not read");
  for (auto _ : state) benchmark::DoNotOptimize(ToJson(pod));
}
BENCHMARK(BM_Write);

void BM_Pack(benchmark::State& state) {
  Pod pod;
  if (!FromJson(kPodSample, &pod).ok()) state.SkipWithError("not read");
  for (auto _ : state) benchmark::DoNotOptimize(Pack(pod));
  state.counters["bytes"] = static_cast<double>(Pack(pod).size());
}
BENCHMARK(BM_Pack);

void BM_Unpack(benchmark::State& state) {
  Pod pod;
  if (!FromJson(kPodSample, &pod).ok()) state.SkipWithError("not read");
  const std::string packed = Pack(pod);
  for (auto _ : state) {
    auto unpacked = std::make_shared<Pod>();
    Unpack(packed, unpacked.get());
    benchmark::DoNotOptimize(unpacked);
  }
}
BENCHMARK(BM_Unpack);

void BM_Keep(benchmark::State& state) {
  constexpr size_t kPods = 10'000;
  for (auto _ : state) {
    const size_t before = mallinfo2().uordblks;
    std::vector<std::shared_ptr<Pod>> pods;
    for (size_t i = 0; i < kPods; ++i) {
      pods.push_back(std::make_shared<Pod>());
      if (!FromJson(kPodSample, pods.back().get()).ok()) state.SkipWithError("not read");
    }
    state.counters["bytes_per_pod"] =
        static_cast<double>(mallinfo2().uordblks - before) / static_cast<double>(kPods);
  }
}
BENCHMARK(BM_Keep)->Iterations(1);

}  // namespace
}  // namespace meltemi::kube
