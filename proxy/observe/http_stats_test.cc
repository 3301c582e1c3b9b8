#include "proxy/observe/http_stats.h"

#include "gtest/gtest.h"

namespace meltemi::proxy {
namespace {

TEST(HttpStatsTest, AConnectionWithTwoRequests) {
  metrics::Registry registry;
  HttpStats stats(registry.NewShard().root(), "outbound_0.0.0.0_80");
  const metrics::Labels tag = {{"envoy_http_conn_manager_prefix", "outbound_0.0.0.0_80"}};
  stats.OnConnection(http::Protocol::kHttp11);
  stats.OnRequest(http::Protocol::kHttp11);
  EXPECT_EQ(registry.Sum("envoy_http_downstream_rq_active", tag), 1);
  stats.OnRequestEnd(200, milliseconds(3));
  stats.OnRequest(http::Protocol::kHttp11);
  stats.OnError(StreamError::kRouteNotFound);
  stats.OnRequestEnd(404, milliseconds(1));
  stats.OnConnectionEnd(http::Protocol::kHttp11, /*by_remote=*/true, 0, seconds(1));
  EXPECT_EQ(registry.Sum("envoy_http_downstream_cx_total", tag), 1);
  EXPECT_EQ(registry.Sum("envoy_http_downstream_cx_active", tag), 0);
  EXPECT_EQ(registry.Sum("envoy_http_downstream_cx_destroy_remote", tag), 1);
  EXPECT_EQ(registry.Sum("envoy_http_downstream_rq_total", tag), 2);
  EXPECT_EQ(registry.Sum("envoy_http_downstream_rq_active", tag), 0);
  EXPECT_EQ(registry.Sum("envoy_http_no_route", tag), 1);
  EXPECT_EQ(registry.Sum("envoy_http_downstream_rq_xx", {{"envoy_response_code_class", "2"}}), 1);
  EXPECT_EQ(registry.Sum("envoy_http_downstream_rq_xx", {{"envoy_response_code_class", "4"}}), 1);
}

TEST(ListenerStatsTest, TheAddressIsEnvoysTag) {
  metrics::Registry registry;
  ListenerStats stats(registry.NewShard().root(), "0.0.0.0:15006");
  stats.OnConnection();
  EXPECT_EQ(registry.Sum("envoy_listener_downstream_cx_active",
                         {{"envoy_listener_address", "0.0.0.0_15006"}}),
            1);
  stats.OnConnectionEnd(seconds(1));
  EXPECT_EQ(registry.Sum("envoy_listener_downstream_cx_active"), 0);
}

}  // namespace
}  // namespace meltemi::proxy
