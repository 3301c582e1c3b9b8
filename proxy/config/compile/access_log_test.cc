#include "proxy/config/compile/access_log.h"

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "envoy/config/accesslog/v3/accesslog.pb.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb.h"
#include "envoy/extensions/access_loggers/stream/v3/stream.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proxy/config/compile/context.h"
#include "proxy/config/secrets/secret_store_fake.h"
#include "proxy/observe/log_sink.h"
#include "proxy/observe/stream_info.h"
#include "proxy/stream/reply/stream_error.h"

namespace meltemi::proxy {
namespace {

using envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
using Logs = std::vector<std::shared_ptr<const AccessLog>>;

class CompileAccessLogTest : public ::testing::Test {
 protected:
  CompileAccessLogTest() : path_(::testing::TempDir() + "/access_log_test.log") {
    std::remove(path_.c_str());
  }
  absl::StatusOr<Logs> Compile(const std::string& log) {
    HttpConnectionManager hcm;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        absl::StrCat("access_log { name: 'file' ", log, " }"), &hcm))
        << log;
    return CompileAccessLogs(hcm.access_log(), "listener 'l'", context_);
  }
  // A file log with `format` in it and, outside, `rest`.
  absl::StatusOr<Logs> CompileFile(const std::string& format, const std::string& rest = "") {
    return Compile(absl::StrCat(
        "typed_config { "
        "[type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog] { path: '",
        path_, "' ", format, " } } ", rest));
  }
  std::string Logged(const Logs& logs) {
    for (const auto& log : logs) log->Write(nullptr, nullptr, nullptr, info_);
    sinks_.Flush();
    std::ifstream file(path_);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  const std::string path_;
  LogSinks sinks_;
  SecretStoreFake secrets_;
  CompileContext context_{sinks_, {"pod-1", {{"REGION", "north"}}}, "node", secrets_};
  StreamInfo info_;
};

TEST_F(CompileAccessLogTest, TextToAFile) {
  const auto logs = CompileFile(
      "log_format { text_format_source { inline_string: '%RESPONSE_CODE% %HOSTNAME% "
      "%ENVIRONMENT(REGION)%\\n' } }");
  ASSERT_TRUE(logs.ok()) << logs.status();
  info_.response_code = 204;
  EXPECT_EQ(Logged(*logs), "204 pod-1 north\n");
}

TEST_F(CompileAccessLogTest, JsonIsTypedSortedAndNested) {
  const auto logs = CompileFile(R"(log_format { json_format {
    fields { key: "status" value { string_value: "%RESPONSE_CODE%" } }
    fields { key: "both" value { string_value: "%RESPONSE_CODE%/%BYTES_SENT%" } }
    fields { key: "none" value { string_value: "%ROUTE_NAME%" } }
    fields { key: "deep" value { struct_value { fields { key: "n" value { number_value: 3 } } } } }
    fields { key: "list" value { list_value { values { string_value: "a" } values { bool_value:
        true } } } }
  } })");
  ASSERT_TRUE(logs.ok()) << logs.status();
  info_.response_code = 200;
  EXPECT_EQ(Logged(*logs),
            "{\"both\":\"200/"
            "0\",\"deep\":{\"n\":3},\"list\":[\"a\",true],\"none\":null,\"status\":200}\n");
}

TEST_F(CompileAccessLogTest, EmptyValuesCanBeLeftOut) {
  const auto logs = CompileFile(R"(log_format { omit_empty_values: true json_format {
    fields { key: "a" value { string_value: "%ROUTE_NAME%" } }
    fields { key: "b" value { string_value: "%RESPONSE_CODE%" } } } })");
  ASSERT_TRUE(logs.ok()) << logs.status();
  EXPECT_EQ(Logged(*logs), "{\"b\":0}\n");
}

TEST_F(CompileAccessLogTest, FiltersDecide) {
  const std::string format = "format: 'line\\n'";
  struct Case {
    std::string filter;
    bool logged;
  };
  info_.response_code = 503;
  info_.response_flags = kFlagUpstreamConnFail;
  info_.start = MonotonicTime(seconds(1));
  info_.end = MonotonicTime(seconds(3));
  const std::string ge500 =
      "status_code_filter { comparison { op: GE value { default_value: 500 } } }";
  const std::string eq200 = "status_code_filter { comparison { value { default_value: 200 } } }";
  for (const Case& c : std::vector<Case>{
           {ge500, true},
           {eq200, false},
           {"duration_filter { comparison { op: GE value { default_value: 2000 } } }", true},
           {"duration_filter { comparison { op: GE value { default_value: 2001 } } }", false},
           {"response_flag_filter { flags: 'UF' flags: 'UH' }", true},
           {"response_flag_filter { flags: 'UO' }", false},
           {"response_flag_filter {}", true},
           {"grpc_status_filter { statuses: UNAVAILABLE }", true},
           {"grpc_status_filter { statuses: UNAVAILABLE exclude: true }", false},
           {"not_health_check_filter {}", true},
           {"header_filter { header { name: 'x' } }", false},
           {"and_filter { filters { " + ge500 + " } filters { " + eq200 + " } }", false},
           {"or_filter { filters { " + ge500 + " } filters { " + eq200 + " } }", true},
       }) {
    sinks_.Reopen();
    std::remove(path_.c_str());
    sinks_.Reopen();
    const auto logs = CompileFile(format, "filter { " + c.filter + " }");
    ASSERT_TRUE(logs.ok()) << logs.status();
    EXPECT_EQ(Logged(*logs), c.logged ? "line\n" : "") << c.filter;
  }
}

TEST_F(CompileAccessLogTest, StandardStreams) {
  EXPECT_TRUE(
      Compile(
          "typed_config { "
          "[type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog] {} }")
          .ok());
  EXPECT_TRUE(
      Compile("typed_config { "
              "[type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog] { "
              "log_format { text_format: 'x' } } }")
          .ok());
}

TEST_F(CompileAccessLogTest, WhatIsNotSupportedIsRefusedByName) {
  const auto grpc = Compile("typed_config { type_url: 'type.googleapis.com/envoy.Grpc' }");
  ASSERT_FALSE(grpc.ok());
  EXPECT_EQ(
      grpc.status().message(),
      "listener 'l': access_log[0] 'file': an access log of type 'envoy.Grpc' is not supported");
  EXPECT_FALSE(CompileFile("format: '%DYNAMIC_METADATA(a)%'").ok());
  EXPECT_FALSE(CompileFile("", "filter { runtime_filter { runtime_key: 'k' } }").ok());
  EXPECT_FALSE(CompileFile("", "filter { traceable_filter {} }").ok());
  EXPECT_FALSE(CompileFile("", "filter { response_flag_filter { flags: 'XX' } }").ok());
  EXPECT_FALSE(CompileFile("", "filter {}").ok());
  EXPECT_FALSE(CompileFile("log_format { formatters { name: 'x' typed_config { type_url: 't/x.Y' } "
                           "} text_format: 'a' }")
                   .ok());
  const auto nowhere = Compile(
      "typed_config { [type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog] "
      "{ path: '/nowhere/log' } }");
  ASSERT_FALSE(nowhere.ok());
  EXPECT_EQ(nowhere.status().message(),
            "access log \"/nowhere/log\" can't be opened: No such file or directory");
}

}  // namespace
}  // namespace meltemi::proxy
