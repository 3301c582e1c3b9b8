#include <string>

#include "absl/strings/str_cat.h"
#include "base/random/random_fake.h"
#include "gtest/gtest.h"
#include "proxy/upstream/outlier/detector.h"
#include "proxy/upstream/outlier/record.h"

namespace meltemi::proxy {
namespace {

class OutlierTest : public ::testing::Test {
 protected:
  OutlierTest() {
    config_.interval = seconds(10);
    config_.base_ejection_time = seconds(30);
    config_.ejection_percent_max = 100;
  }
  void Make(int hosts) {
    for (int i = 0; i < hosts; ++i) {
      EndpointConfig endpoint;
      endpoint.address = *net::Address::FromIp(absl::StrCat("10.0.0.", i + 1), 80);
      hosts_.push_back(std::make_shared<Host>(endpoint, "shop"));
    }
    detector_ = std::make_unique<OutlierDetector>(config_, random_, scope_);
    detector_->SetHosts(hosts_);
  }
  // An outcome at host `i`, as a worker and the main loop see it; true when it was ejected for it.
  bool Outcome(int i, int status, StreamError error = StreamError::kNone) {
    const OutlierAlarms alarms = RecordOutcome(hosts_[i]->outlier, config_, status, error);
    bool ejected = false;
    if (alarms.consecutive_gateway) {
      ejected |= detector_->OnAlarm(*hosts_[i], OutlierKind::kConsecutiveGateway, now_);
    }
    if (alarms.consecutive_5xx) {
      ejected |= detector_->OnAlarm(*hosts_[i], OutlierKind::kConsecutive5xx, now_);
    }
    if (alarms.consecutive_local_origin) {
      ejected |= detector_->OnAlarm(*hosts_[i], OutlierKind::kConsecutiveLocalOrigin, now_);
    }
    return ejected;
  }
  bool Ejected(int i) const { return hosts_[i]->HasHealthBit(Host::kEjected); }
  void Intervals(int count) {
    for (int i = 0; i < count; ++i) {
      now_ += config_.interval;
      detector_->OnInterval(now_);
    }
  }
  int64_t Stat(const std::string& name) {
    return registry_.Sum(absl::StrCat("envoy_cluster_outlier_detection_", name));
  }

  OutlierDetection config_;
  FakeRandom random_;
  metrics::Registry registry_;
  metrics::Scope scope_{registry_.NewShard(), {{"cluster_name", "shop"}}};
  std::vector<std::shared_ptr<Host>> hosts_;
  std::unique_ptr<OutlierDetector> detector_;
  MonotonicTime now_{seconds(1000)};
};

TEST_F(OutlierTest, FiveErrorsInARowEject) {
  Make(2);
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(Outcome(0, 500));
  EXPECT_FALSE(Outcome(0, 200));
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(Outcome(0, 500));
  EXPECT_TRUE(Outcome(0, 500));
  EXPECT_TRUE(Ejected(0));
  EXPECT_FALSE(Ejected(1));
  EXPECT_EQ(Stat("ejections_active"), 1);
  EXPECT_EQ(Stat("ejections_enforced_total"), 1);
}

TEST_F(OutlierTest, EjectionsGrowLongerAndAreForgiven) {
  Make(2);
  const auto eject = [&] {
    for (int i = 0; i < 5; ++i) Outcome(0, 500);
    EXPECT_TRUE(Ejected(0));
  };
  eject();
  Intervals(2);
  EXPECT_TRUE(Ejected(0));
  Intervals(1);  // 30 s
  EXPECT_FALSE(Ejected(0));
  eject();
  Intervals(5);
  EXPECT_TRUE(Ejected(0));
  Intervals(1);  // 60 s
  EXPECT_FALSE(Ejected(0));
  Intervals(10);  // good behaviour
  eject();
  Intervals(3);
  EXPECT_FALSE(Ejected(0));
}

TEST_F(OutlierTest, NoEjectionIsLongerThanTheLongest) {
  config_.ejection_time_max = seconds(40);
  Make(2);
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 5; ++i) Outcome(0, 500);
    ASSERT_TRUE(Ejected(0));
    Intervals(4);
    ASSERT_FALSE(Ejected(0)) << round;
  }
}

TEST_F(OutlierTest, TheShareOfEjectedHostsIsLimited) {
  config_.ejection_percent_max = 20;
  Make(10);
  for (int host = 0; host < 10; ++host) {
    for (int i = 0; i < 5; ++i) Outcome(host, 503);
  }
  EXPECT_EQ(detector_->ejected(), 2u);
  EXPECT_GT(Stat("ejections_overflow"), 0);
}

TEST_F(OutlierTest, OneOfFewHostsMayAlwaysGoUnlessTheLimitIsZero) {
  config_.ejection_percent_max = 10;
  Make(2);
  for (int i = 0; i < 5; ++i) Outcome(0, 500);
  EXPECT_TRUE(Ejected(0));
  for (int i = 0; i < 5; ++i) Outcome(1, 500);
  EXPECT_FALSE(Ejected(1));
  config_.ejection_percent_max = 0;
  hosts_.clear();
  Make(2);
  for (int i = 0; i < 5; ++i) Outcome(0, 500);
  EXPECT_FALSE(Ejected(0));
}

TEST_F(OutlierTest, GatewayErrorsAreDetectedButNotEnforcedByDefault) {
  config_.consecutive_5xx = 100;
  Make(2);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(Outcome(0, 503));
  EXPECT_EQ(Stat("ejections_detected_consecutive_gateway_failure"), 1);
  config_.enforcing_consecutive_gateway_failure = 100;
  hosts_.clear();
  Make(2);
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(Outcome(0, 503));
  EXPECT_FALSE(Outcome(0, 500));  // not a gateway's
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(Outcome(0, 504));
  EXPECT_TRUE(Outcome(0, 502));
}

TEST_F(OutlierTest, LocalErrorsCountAs5xxOrOnTheirOwn) {
  Make(2);
  for (int i = 0; i < 4; ++i) Outcome(0, 0, StreamError::kConnectFailure);
  EXPECT_TRUE(Outcome(0, 0, StreamError::kPerTryTimeout));
  config_.split_external_local_origin_errors = true;
  config_.consecutive_local_origin_failure = 3;
  hosts_.clear();
  Make(2);
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(Outcome(0, 0, StreamError::kConnectFailure));
  EXPECT_FALSE(Outcome(0, 500));  // an answer: the host can be reached
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(Outcome(0, 0, StreamError::kConnectFailure));
  EXPECT_TRUE(Outcome(0, 0, StreamError::kConnectFailure));
  EXPECT_EQ(Stat("ejections_enforced_consecutive_local_origin_failure"), 1);
}

TEST_F(OutlierTest, AHostThatSucceedsLessOftenThanTheOthersIsEjected) {
  config_.consecutive_5xx = 1000000;
  Make(6);
  for (int host = 0; host < 6; ++host) {
    for (int i = 0; i < 100; ++i) Outcome(host, host == 0 && i % 2 == 0 ? 500 : 200);
  }
  Intervals(1);
  EXPECT_TRUE(Ejected(0));
  EXPECT_EQ(detector_->ejected(), 1u);
  EXPECT_EQ(detector_->SuccessRate(*hosts_[0]), 50);
  EXPECT_EQ(Stat("ejections_enforced_success_rate"), 1);
}

TEST_F(OutlierTest, FailurePercentageIsLookedAtWhenEnforced) {
  config_.consecutive_5xx = 1000000;
  config_.enforcing_success_rate = 0;
  config_.enforcing_failure_percentage = 100;
  config_.failure_percentage_minimum_hosts = 2;
  Make(2);
  for (int i = 0; i < 50; ++i) {
    Outcome(0, 500);
    Outcome(1, i < 20 ? 500 : 200);
  }
  Intervals(1);
  EXPECT_TRUE(Ejected(0));
  EXPECT_FALSE(Ejected(1));
}

TEST_F(OutlierTest, HostsThatLeaveAreForgotten) {
  Make(2);
  for (int i = 0; i < 5; ++i) Outcome(0, 500);
  EXPECT_EQ(detector_->ejected(), 1u);
  detector_->SetHosts({hosts_[1]});
  EXPECT_EQ(detector_->ejected(), 0u);
  EXPECT_FALSE(detector_->OnAlarm(*hosts_[0], OutlierKind::kConsecutive5xx, now_));
}

}  // namespace
}  // namespace meltemi::proxy
