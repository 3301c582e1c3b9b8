#include "proxy/config/compile/unsupported.h"

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/unknown_field_set.h"
#include "gtest/gtest.h"

namespace meltemi::proxy {
namespace {

using envoy::config::cluster::v3::Cluster;

TEST(UnsupportedTest, NamesTheFieldThatNobodyReads) {
  Cluster cluster;
  cluster.set_name("shop");
  cluster.set_use_tcp_for_dns_lookups(true);
  EXPECT_TRUE(CheckSupported(cluster, "cluster 'shop'", {"name", "use_tcp_for_dns_lookups"}).ok());
  EXPECT_EQ(CheckSupported(cluster, "cluster 'shop'", {"name"}).message(),
            "cluster 'shop': field 'use_tcp_for_dns_lookups' is not supported");
}

TEST(UnsupportedTest, DefaultsAreNotSet) {
  Cluster cluster;
  cluster.set_use_tcp_for_dns_lookups(false);
  EXPECT_TRUE(CheckSupported(cluster, "c", {}).ok());
}

TEST(UnsupportedTest, PathsReachIntoMessages) {
  Cluster cluster;
  cluster.mutable_common_lb_config()->mutable_healthy_panic_threshold()->set_value(1);
  EXPECT_TRUE(
      CheckSupported(cluster, "c", {"common_lb_config.healthy_panic_threshold.value"}).ok());
  EXPECT_TRUE(CheckSupported(cluster, "c", {"common_lb_config.**"}).ok());
  EXPECT_TRUE(CheckSupported(cluster, "c", {"common_lb_config"}).ok());
  cluster.mutable_common_lb_config()->set_close_connections_on_host_set_change(true);
  EXPECT_EQ(CheckSupported(cluster, "c", {"common_lb_config.healthy_panic_threshold"}).message(),
            "c: field 'common_lb_config.close_connections_on_host_set_change' is not supported");
}

TEST(UnsupportedTest, RepeatedElementsAreNamedByTheirIndex) {
  Cluster cluster;
  cluster.add_health_checks();
  cluster.add_health_checks()->set_event_log_path("/x");
  EXPECT_EQ(CheckSupported(cluster, "c", {"health_checks.timeout"}).message(),
            "c: field 'health_checks[1].event_log_path' is not supported");
}

TEST(UnsupportedTest, FieldsOfNewerProtosAreErrors) {
  Cluster cluster;
  cluster.GetReflection()->MutableUnknownFields(&cluster)->AddVarint(777, 1);
  EXPECT_EQ(CheckSupported(cluster, "c", {"name"}).message(),
            "c: unknown field number 777 in 'envoy.config.cluster.v3.Cluster'");
  Cluster nested;
  auto* common = nested.mutable_common_lb_config();
  common->GetReflection()->MutableUnknownFields(common)->AddVarint(9, 1);
  EXPECT_EQ(CheckSupported(nested, "c", {"common_lb_config.**"}).message(),
            "c: unknown field number 9 in 'common_lb_config'");
}

TEST(UnsupportedTest, AnyOfAnotherTypeIsNamed) {
  google::protobuf::Any any;
  any.PackFrom(Cluster());
  Cluster cluster;
  EXPECT_TRUE(UnpackAny(any, "c", &cluster).ok());
  Cluster::CommonLbConfig other;
  EXPECT_EQ(UnpackAny(any, "c", &other).message(),
            "c: expected type envoy.config.cluster.v3.Cluster.CommonLbConfig, got "
            "envoy.config.cluster.v3.Cluster");
  any.set_value("\xff\xff");
  EXPECT_FALSE(UnpackAny(any, "c", &cluster).ok());
}

TEST(UnsupportedTest, FingerprintsFollowTheContent) {
  Cluster a, b;
  a.set_name("x");
  b.set_name("x");
  EXPECT_EQ(Fingerprint(a), Fingerprint(b));
  b.set_alt_stat_name("y");
  EXPECT_NE(Fingerprint(a), Fingerprint(b));
  EXPECT_NE(Fingerprint(Cluster()), 0u);
}

}  // namespace
}  // namespace meltemi::proxy
