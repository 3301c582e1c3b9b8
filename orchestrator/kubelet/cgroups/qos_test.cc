#include "orchestrator/kubelet/cgroups/qos.h"

#include "gtest/gtest.h"
#include "kube/codec/codec.h"
#include "kube/core/v1/pod.pb.h"

namespace meltemi::kubelet {
namespace {

kube::core::v1::Pod PodOf(const std::string& spec) {
  kube::core::v1::Pod out;
  EXPECT_TRUE(kube::FromJson(R"({"metadata":{"uid":"u"},"spec":)" + spec + "}", &out).ok());
  return out;
}

std::string One(const std::string& requests, const std::string& limits) {
  return R"({"name":"c","resources":{"requests":)" + requests + R"(,"limits":)" + limits + "}}";
}

TEST(Qos, ClassesFollowRequestsAndLimits) {
  const auto of = [](const std::string& containers) {
    return QosClassName(QosClassOf(PodOf(R"({"containers":[)" + containers + "]}")));
  };
  const std::string both = R"({"cpu":"1","memory":"1Gi"})";
  EXPECT_STREQ(of(One("{}", "{}")), "BestEffort");
  EXPECT_STREQ(of(One(R"({"cpu":"0"})", "{}")), "BestEffort");
  EXPECT_STREQ(of(One(R"({"ephemeral-storage":"1Gi"})", "{}")), "BestEffort");
  EXPECT_STREQ(of(One(R"({"cpu":"100m"})", "{}")), "Burstable");
  EXPECT_STREQ(of(One(both, both)), "Guaranteed");
  EXPECT_STREQ(of(One(R"({"cpu":"1000m","memory":"1024Mi"})", both)), "Guaranteed");
  EXPECT_STREQ(of(One(R"({"cpu":"500m","memory":"1Gi"})", both)), "Burstable");
  EXPECT_STREQ(of(One(both, both) + "," + One("{}", "{}")), "Burstable");
}

TEST(Qos, InitContainersCountToo) {
  const std::string both = R"({"cpu":"1","memory":"1Gi"})";
  const auto pod = PodOf(R"({"initContainers":[)" + One("{}", "{}") + R"(],"containers":[)" +
                         One(both, both) + "]}");
  EXPECT_STREQ(QosClassName(QosClassOf(pod)), "Burstable");
}

TEST(Qos, SharesQuotaAndWeightAreTheKernels) {
  EXPECT_EQ(MilliCpuToShares(0), 2);
  EXPECT_EQ(MilliCpuToShares(1), 2);
  EXPECT_EQ(MilliCpuToShares(1000), 1024);
  EXPECT_EQ(MilliCpuToShares(1'000'000), 262'144);
  EXPECT_EQ(MilliCpuToQuota(0), 0);
  EXPECT_EQ(MilliCpuToQuota(1), 1000);
  EXPECT_EQ(MilliCpuToQuota(1500), 150'000);
  EXPECT_EQ(SharesToWeight(2), 1);
  EXPECT_EQ(SharesToWeight(1024), 39);
  EXPECT_EQ(SharesToWeight(262'144), 10'000);
}

TEST(Qos, APodHasTheSumOfItsContainers) {
  const auto pod =
      PodOf(R"({"containers":[)" + One(R"({"cpu":"500m"})", R"({"cpu":"1","memory":"100Mi"})") +
            "," + One(R"({"cpu":"250m","hugepages-2Mi":"4Mi"})", R"({"cpu":"1","memory":"50Mi"})") +
            R"(],"overhead":{"cpu":"250m","memory":"10Mi"}})");
  const PodLimits limits = PodLimitsOf(pod);
  EXPECT_EQ(limits.cpu_shares, 1024);
  EXPECT_EQ(limits.cpu_quota_micros, 225'000);
  EXPECT_EQ(limits.memory_bytes, 160 << 20);
  EXPECT_EQ(limits.hugepage_bytes.at("2MB"), 4 << 20);
}

TEST(Qos, OneContainerWithoutALimitMeansNoneForThePod) {
  const auto pod = PodOf(R"({"containers":[)" + One("{}", R"({"cpu":"1","memory":"1Gi"})") + "," +
                         One("{}", R"({"cpu":"1"})") + "]}");
  const PodLimits limits = PodLimitsOf(pod);
  EXPECT_EQ(limits.cpu_quota_micros, 200'000);
  EXPECT_FALSE(limits.memory_bytes.has_value());
}

TEST(Qos, InitContainersNeedTheirMaximumAndSidecarsAddUp) {
  const std::string sidecar =
      R"({"name":"s","restartPolicy":"Always","resources":{"requests":{"cpu":"1"}}})";
  const auto pod = PodOf(R"({"initContainers":[)" + sidecar + "," + One(R"({"cpu":"4"})", "{}") +
                         R"(],"containers":[)" + One(R"({"cpu":"2"})", "{}") + "]}");
  EXPECT_EQ(PodLimitsOf(pod).cpu_shares, 5 * 1024);
}

TEST(Qos, HugepagesAreNamedAsTheKernelNamesThem) {
  EXPECT_EQ(HugepageSizeOf("hugepages-2Mi"), "2MB");
  EXPECT_EQ(HugepageSizeOf("hugepages-1Gi"), "1GB");
  EXPECT_EQ(HugepageSizeOf("hugepages-64Ki"), "64KB");
  EXPECT_EQ(HugepageSizeOf("memory"), "");
  EXPECT_EQ(HugepageSizeOf("hugepages-x"), "");
}

}  // namespace
}  // namespace meltemi::kubelet
