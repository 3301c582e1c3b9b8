// What 10,000 slices of 1,000 services cost pilot: memory per slice, and time per change on the
// loop and beside it. The bounds are loose: they catch what has become another order of magnitude.
#include <gtest/gtest.h>
#include <malloc.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/loop/loop_fake.h"
#include "kube/client/client_fake.h"
#include "kube/executor/executor_fake.h"
#include "pilot/ingest/kube/kube_source.h"
#include "pilot/validate/validate.h"

namespace meltemi::pilot {
namespace {

constexpr char kSlices[] = "/apis/discovery.k8s.io/v1/endpointslices";

std::string Slice(int i, int version) {
  std::string endpoints;
  for (int e = 0; e < 10; ++e) {
    absl::StrAppend(&endpoints, e == 0 ? "" : ",", R"({"addresses":["10.)", version, ".", i / 250,
                    ".", e + 1, R"("],"conditions":{"ready":true,"serving":true},)",
                    R"("nodeName":"node-1","targetRef":{"kind":"Pod","name":"web-)", i, "-", e,
                    R"(","namespace":"default","uid":"00000000-0000-0000-0000-000000000000"}})");
  }
  return absl::StrCat(R"({"metadata":{"namespace":"default","name":"s-)", i,
                      R"(","resourceVersion":")", 100 + version, R"(","generation":)", version,
                      R"(,"labels":{"kubernetes.io/service-name":"web-)", i % 1000,
                      R"("}},"addressType":"IPv4","endpoints":[)", endpoints,
                      R"(],"ports":[{"name":"http","port":8080,"protocol":"TCP"}]})");
}

class Stopwatch {
 public:
  double Ms() const {
    const auto passed = std::chrono::steady_clock::now() - begin_;
    return std::chrono::duration<double, std::milli>(passed).count();
  }

 private:
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

class Scale : public testing::Test {
 protected:
  Scale() : loop_(executor_.fake_clock()) {
    list_ = R"({"metadata":{"resourceVersion":"100"},"items":[)";
    for (int i = 0; i < 10'000; ++i) absl::StrAppend(&list_, i == 0 ? "" : ",", Slice(i, 0));
    list_ += "]}";
    client_.on_call = [this](const kube::ApiCall& call) -> kube::Result<kube::ApiAnswer> {
      if (call.path == kSlices) return kube::ApiAnswer{.body = list_};
      if (absl::StartsWith(call.path, "/api/v1/") || absl::StrContains(call.path, "custom")) {
        return kube::ApiAnswer{.body = R"({"metadata":{"resourceVersion":"1"},"items":[]})"};
      }
      return kube::ApiAnswer{.body = R"({"kind":"APIGroupDiscoveryList"})"};
    };
  }
  kube::WatchSink& Watch() {
    for (const auto& watch : client_.watches()) {
      if (watch.call.path == kSlices) return *watch.sink;
    }
    ADD_FAILURE() << "nobody watches";
    std::abort();
  }

  kube::ExecutorFake executor_;
  FakeLoop loop_;
  kube::ClientFake client_;
  std::string list_;
  size_t changed_ = 0;
};

TEST_F(Scale, TenThousandSlicesAndTheirChanges) {
  auto source = NewKubeSource(loop_, client_, executor_, {}, Validate,
                              [this](const Changes& c) { changed_ += c.updated.size(); });
  malloc_trim(0);
  const size_t before = mallinfo2().uordblks;
  ASSERT_TRUE(source->Start().ok());
  const Stopwatch listing;
  executor_.RunReady();
  const double list_ms = listing.Ms();
  const Stopwatch taking;
  loop_.RunPending();
  executor_.RunReady();
  loop_.RunPending();
  const double take_ms = taking.Ms();
  EXPECT_EQ(changed_, 10'000u);
  const size_t bytes = (mallinfo2().uordblks - before) / 10'000;

  constexpr int kEvents = 1'000;
  std::string events[kEvents];
  for (int i = 0; i < kEvents; ++i) events[i] = Slice(i, 1);
  const Stopwatch hearing;
  for (const std::string& event : events) Watch().OnEvent("MODIFIED", event);
  const double heard_us = hearing.Ms();
  const Stopwatch looping;
  loop_.RunPending();
  const double loop_us = looping.Ms();
  EXPECT_EQ(changed_, 11'000u);
  const Stopwatch reading;
  EXPECT_EQ(source->Objects().size(), 10'000u);
  const double objects_ms = reading.Ms();
  std::printf(
      "10,000 slices of 10 endpoints: %zu bytes each; the list %.0f ms, %.1f ms of it on "
      "the loop; a change %.0f us and %.1f us on the loop; all objects in %.2f ms\n",
      bytes, list_ms + take_ms, take_ms, heard_us, loop_us, objects_ms);
  EXPECT_LT(bytes, 20'000u);
  EXPECT_LT(take_ms, 1'000);
  EXPECT_LT(loop_us, 500);
}

}  // namespace
}  // namespace meltemi::pilot
