#include "proxy/app/options.h"

#include <gtest/gtest.h>

namespace meltemi::proxy {
namespace {

std::string Error(const std::vector<std::string>& args) {
  std::string print;
  return std::string(ParseOptions(args, &print).status().message());
}

TEST(OptionsTest, RunFromABootstrap) {
  std::string print;
  for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{
           {"run", "-c", "b.yaml", "--concurrency", "3"}, {"-c", "b.yaml", "--concurrency=3"}}) {
    absl::StatusOr<Options> options = ParseOptions(args, &print);
    ASSERT_TRUE(options.ok()) << options.status();
    EXPECT_EQ(options->config_path, "b.yaml");
    EXPECT_EQ(WorkerCount(*options), 3u);
    EXPECT_FALSE(options->status_port.has_value());
    EXPECT_EQ(print, "");
  }
}

TEST(OptionsTest, ASidecarHasIstiosPorts) {
  std::string print;
  absl::StatusOr<Options> options =
      ParseOptions({"sidecar", "--xds-address", "pilot:15010", "--ip", "10.0.0.1", "--workload",
                    "w", "--labels", "app=a", "--drain-time", "5s"},
                   &print);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->status_port, 15021);
  EXPECT_EQ(options->stats_port, 15090);
  EXPECT_EQ(options->sidecar.admin_port, 15000);
  EXPECT_EQ(options->drain_time, seconds(5));
  std::vector<std::string> notes;
  absl::StatusOr<Bootstrap> bootstrap = BootstrapFor(*options, &notes);
  ASSERT_TRUE(bootstrap.ok()) << bootstrap.status();
  EXPECT_EQ(bootstrap->admin_address->port(), 15000);
  options =
      ParseOptions({"sidecar", "--xds-address=p:1", "--stats-port=off", "--status-port=0"}, &print);
  EXPECT_FALSE(options->stats_port.has_value());
  EXPECT_EQ(options->status_port, 0);
}

TEST(OptionsTest, HelpAndVersion) {
  std::string print;
  ASSERT_TRUE(ParseOptions({"--version"}, &print).ok());
  EXPECT_EQ(print.find("meltemi-proxy "), 0u);
  ASSERT_TRUE(ParseOptions({}, &print).ok());
  EXPECT_NE(print.find("intercept"), std::string::npos);
  ASSERT_TRUE(ParseOptions({"sidecar", "--help"}, &print).ok());
  EXPECT_NE(print.find("--xds-address"), std::string::npos);
}

TEST(OptionsTest, ErrorsAreOneSentence) {
  EXPECT_EQ(Error({"walk"}),
            "unknown command 'walk'; there are run, sidecar, intercept, wait and drain");
  EXPECT_NE(Error({"run"}).find("-c FILE"), std::string::npos);
  EXPECT_NE(Error({"run", "-c", "x", "--mode", "dance"}).find("--mode"), std::string::npos);
  EXPECT_NE(Error({"run", "-c", "x", "-l", "loud"}).find("--log-level"), std::string::npos);
  EXPECT_NE(Error({"run", "-c", "x", "--component-log-level", "xds"}).find("component:level"),
            std::string::npos);
  EXPECT_NE(Error({"sidecar", "--status-port", "70000"}).find("--status-port"), std::string::npos);
}

}  // namespace
}  // namespace meltemi::proxy
