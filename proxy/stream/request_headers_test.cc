#include "proxy/stream/request_headers.h"

#include <gtest/gtest.h>

#include "base/random/random_fake.h"
#include "proxy/observe/stream_info.h"

namespace meltemi::proxy {
namespace {

class RequestHeadersTest : public ::testing::Test {
 protected:
  RequestHeadersTest() {
    info_.downstream_direct_remote = info_.downstream_remote = Ip("10.0.0.5");
    info_.downstream_local = *net::Address::FromIp("10.0.0.9", 8080);
    request_->set_method("GET");
    request_->set_path("/");
    request_->set_authority("shop:8080");
  }
  static net::Address Ip(const char* ip) { return *net::Address::FromIp(ip, 1234); }
  void Prepare() {
    const net::Address& direct = info_.downstream_direct_remote;
    const std::string as = (direct.is_loopback() ? info_.downstream_local : direct).ip();
    PrepareRequest(config_, false, as, *request_, info_, random_);
  }
  int Check() { return CheckRequest(config_, *request_).status; }

  HttpConfig config_;
  StreamInfo info_;
  FakeRandom random_{0x0123456789abcdef};
  http::HeaderMapPtr request_ = http::HeaderMap::New();
};

TEST_F(RequestHeadersTest, WithoutRemoteAddressTheRequestIsForwardedAsItIs) {
  request_->Add("x-envoy-retry-on", "5xx");
  request_->Add("x-envoy-internal", "true");
  Prepare();
  EXPECT_EQ(request_->scheme(), "http");
  EXPECT_EQ(request_->Get("x-forwarded-proto"), "http");
  EXPECT_EQ(request_->Get("x-forwarded-for"), "");
  EXPECT_EQ(request_->Get("x-envoy-retry-on"), "");
  EXPECT_EQ(request_->Get("x-envoy-internal"), "");
  EXPECT_EQ(request_->Get("x-request-id").size(), 36u);
}

TEST_F(RequestHeadersTest, TheLastForwardedForIsTheClient) {
  request_->Add("x-forwarded-for", "1.2.3.4, 5.6.7.8");
  Prepare();
  EXPECT_EQ(info_.downstream_remote.ip(), "5.6.7.8");
  config_.xff_trusted_hops = 1;
  Prepare();
  EXPECT_EQ(info_.downstream_remote.ip(), "1.2.3.4");
}

TEST_F(RequestHeadersTest, SidecarOutboundTrustsItsOwnApplication) {
  config_.use_remote_address = true;
  request_->Add("x-envoy-retry-on", "5xx");
  request_->Add("x-envoy-upstream-rq-timeout-ms", "5");
  Prepare();
  EXPECT_EQ(request_->Get("x-envoy-internal"), "true");
  EXPECT_EQ(request_->Get("x-envoy-retry-on"), "5xx");
  EXPECT_EQ(request_->Get("x-forwarded-for"), "10.0.0.5");
  EXPECT_EQ(info_.downstream_remote.ip(), "10.0.0.5");
}

TEST_F(RequestHeadersTest, EdgeRequestIsCleaned) {
  config_.use_remote_address = true;
  info_.downstream_direct_remote = Ip("8.8.8.8");
  request_->Add("x-envoy-retry-on", "5xx");
  request_->Add("x-envoy-decorator-operation", "x");
  request_->Add("x-envoy-retriable-status-codes", "500");
  request_->Add("x-forwarded-proto", "https");
  request_->Add("x-request-id", "forged");
  request_->Add("x-forwarded-client-cert", "forged");
  Prepare();
  for (const char* name : {"x-envoy-retry-on", "x-envoy-decorator-operation",
                           "x-envoy-retriable-status-codes", "x-forwarded-client-cert"}) {
    EXPECT_EQ(request_->Find(name), nullptr) << name;
  }
  EXPECT_EQ(request_->Get("x-forwarded-proto"), "http");
  EXPECT_NE(request_->Get("x-request-id"), "forged");
  EXPECT_EQ(request_->Get("x-forwarded-for"), "8.8.8.8");
}

TEST_F(RequestHeadersTest, LoopbackClientIsWrittenAsTheListenersAddress) {
  config_.use_remote_address = true;
  info_.downstream_direct_remote = Ip("127.0.0.1");
  request_->Add("x-forwarded-for", "1.1.1.1");
  Prepare();
  EXPECT_EQ(request_->Get("x-forwarded-for"), "1.1.1.1,10.0.0.9");
  config_.skip_xff_append = true;
  Prepare();
  EXPECT_EQ(request_->Get("x-forwarded-for"), "1.1.1.1,10.0.0.9");
}

TEST_F(RequestHeadersTest, Uuid) {
  char text[36];
  WriteUuid(random_, text);
  EXPECT_EQ(std::string(text, 36), "01234567-89ab-4def-8123-456789abcdef");
}

TEST_F(RequestHeadersTest, PortsAreStrippedFromTheAuthority) {
  config_.strip_matching_port = true;
  Prepare();
  EXPECT_EQ(request_->authority(), "shop");
  request_->set_authority("shop:9");
  Prepare();
  EXPECT_EQ(request_->authority(), "shop:9");
  config_.strip_any_port = true;
  request_->set_authority("[::1]:99");
  Prepare();
  EXPECT_EQ(request_->authority(), "[::1]");
  Prepare();
  EXPECT_EQ(request_->authority(), "[::1]");
}

TEST_F(RequestHeadersTest, ChecksOfAuthorityAndPath) {
  EXPECT_EQ(Check(), 0);
  request_->set_authority("");
  EXPECT_EQ(Check(), 400);
  request_->set_authority("user@host");
  EXPECT_EQ(Check(), 400);
  request_->set_authority("host");
  request_->set_path("x");
  EXPECT_EQ(Check(), 404);
  request_->set_path("*");
  EXPECT_EQ(Check(), 404);
  request_->set_method("OPTIONS");
  EXPECT_EQ(Check(), 0);
  request_->set_method("CONNECT");
  request_->set_path("");
  EXPECT_EQ(Check(), 0);
}

TEST_F(RequestHeadersTest, UpgradeTypes) {
  EXPECT_EQ(UpgradeType(*request_), "");
  request_->Add("upgrade", "WebSocket");
  EXPECT_EQ(UpgradeType(*request_), "websocket");
  request_->Set("upgrade", "h2c");
  EXPECT_EQ(UpgradeType(*request_), "");
  request_->set_method("CONNECT");
  EXPECT_EQ(UpgradeType(*request_), "connect");
  request_->set_protocol("websocket");
  EXPECT_EQ(UpgradeType(*request_), "websocket");
}

TEST(InternalAddressTest, Ranges) {
  for (const char* ip :
       {"10.1.1.1", "172.16.0.1", "172.31.255.255", "192.168.9.9", "127.0.0.1", "::1", "fd00::1"}) {
    EXPECT_TRUE(IsInternalAddress(*net::Address::FromIp(ip, 1))) << ip;
  }
  for (const char* ip : {"11.1.1.1", "172.32.0.1", "172.15.0.1", "192.169.0.1", "2001:db8::1"}) {
    EXPECT_FALSE(IsInternalAddress(*net::Address::FromIp(ip, 1))) << ip;
  }
}

}  // namespace
}  // namespace meltemi::proxy
