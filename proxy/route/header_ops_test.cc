#include "proxy/route/header_ops.h"

#include "gtest/gtest.h"
#include "proxy/observe/format.h"
#include "proxy/observe/stream_info.h"
#include "proxy/route/route_test_builder.h"

namespace meltemi::proxy {
namespace {

using Append = HeaderOps::Append;

std::string Joined(const http::HeaderMap& map, absl::string_view name) {
  std::string scratch;
  bool present = false;
  const std::string value(map.GetJoined(name, &scratch, &present));
  return present ? value : "absent";
}

std::string After(Append append, bool there) {
  HeaderOps ops;
  ops.add.push_back({.name = "x", .literal = "new", .append = append});
  const auto request = Get("a", "/");
  if (there) request->Add("x", "old");
  ops.Apply(*request, request.get(), nullptr, StreamInfo());
  return Joined(*request, "x");
}

TEST(HeaderOpsTest, TheFourWaysToAdd) {
  EXPECT_EQ(After(Append::kAppendOrAdd, true), "old,new");
  EXPECT_EQ(After(Append::kAppendOrAdd, false), "new");
  EXPECT_EQ(After(Append::kAddIfAbsent, true), "old");
  EXPECT_EQ(After(Append::kAddIfAbsent, false), "new");
  EXPECT_EQ(After(Append::kOverwriteOrAdd, true), "new");
  EXPECT_EQ(After(Append::kOverwriteOrAdd, false), "new");
  EXPECT_EQ(After(Append::kOverwriteIfExists, true), "new");
  EXPECT_EQ(After(Append::kOverwriteIfExists, false), "absent");
}

TEST(HeaderOpsTest, RemovalsComeFirst) {
  HeaderOps ops;
  ops.remove = {"x", "y"};
  ops.add.push_back({.name = "x", .literal = "fresh"});
  const auto request = Get("a", "/", {{"x", "1"}, {"x", "2"}, {"y", "3"}});
  ops.Apply(*request, request.get(), nullptr, StreamInfo());
  EXPECT_EQ(Joined(*request, "x"), "fresh");
  EXPECT_EQ(Joined(*request, "y"), "absent");
}

TEST(HeaderOpsTest, EmptyValuesAreLeftOutUnlessKept) {
  HeaderOps ops;
  ops.add.push_back({.name = "x", .literal = ""});
  ops.add.push_back({.name = "y", .literal = "", .keep_empty = true});
  const auto request = Get("a", "/");
  ops.Apply(*request, request.get(), nullptr, StreamInfo());
  EXPECT_EQ(Joined(*request, "x"), "absent");
  EXPECT_EQ(Joined(*request, "y"), "");
}

TEST(HeaderOpsTest, ValuesAreFormats) {
  HeaderOps ops;
  ops.add.push_back(
      {.name = "x-path", .format = *Format::Compile("%REQ(:PATH)%/%REQ(none)%", true, {})});
  ops.add.push_back({.name = "x-none", .format = *Format::Compile("%REQ(none)%", true, {})});
  const auto request = Get("a", "/p");
  const auto response = http::HeaderMap::New();
  ops.Apply(*response, request.get(), response.get(), StreamInfo());
  EXPECT_EQ(Joined(*response, "x-path"), "/p/");
  EXPECT_EQ(Joined(*response, "x-none"), "absent");
}

TEST(HeaderOpsTest, PseudoHeadersAreSet) {
  HeaderOps ops;
  ops.add.push_back({.name = ":authority", .literal = "b", .append = Append::kOverwriteOrAdd});
  ops.add.push_back({.name = ":path", .literal = "/q", .append = Append::kAddIfAbsent});
  const auto request = Get("a", "/p");
  ops.Apply(*request, request.get(), nullptr, StreamInfo());
  EXPECT_EQ(request->authority(), "b");
  EXPECT_EQ(request->path(), "/p");
}

}  // namespace
}  // namespace meltemi::proxy
