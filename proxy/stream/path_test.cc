#include "proxy/stream/path.h"

#include <gtest/gtest.h>

namespace meltemi::proxy {
namespace {

std::string Normal(const HttpConfig& config, absl::string_view path) {
  std::string changed;
  switch (NormalizePath(config, path, &changed)) {
    case PathVerdict::kUnchanged:
      return std::string(path);
    case PathVerdict::kChanged:
      return changed;
    case PathVerdict::kRejected:
      return "rejected";
    case PathVerdict::kRedirect:
      return "redirect " + changed;
  }
  return "";
}

TEST(PathTest, NothingIsTouchedUnlessAsked) {
  HttpConfig config;
  EXPECT_EQ(Normal(config, "/a//b/../%2f%41"), "/a//b/../%2f%41");
  EXPECT_EQ(Normal(config, "*"), "*");
  EXPECT_EQ(Normal(config, "/a#b"), "rejected");
}

TEST(PathTest, Rfc3986) {
  HttpConfig config;
  config.normalize_path = true;
  EXPECT_EQ(Normal(config, "/a/b/c/./../../g"), "/a/g");
  EXPECT_EQ(Normal(config, "/../../x"), "/x");
  EXPECT_EQ(Normal(config, "/a/.."), "/");
  EXPECT_EQ(Normal(config, "/a/."), "/a/");
  EXPECT_EQ(Normal(config, "/%7euser/%2E%2e/b"), "/b");
  EXPECT_EQ(Normal(config, "/a%2fb"), "/a%2Fb");
  EXPECT_EQ(Normal(config, "\\a"), "\\a");  // no origin form: left to the check of the request
  EXPECT_EQ(Normal(config, "/a\\b"), "/a/b");
  EXPECT_EQ(Normal(config, "/.hidden/..x"), "/.hidden/..x");
  EXPECT_EQ(Normal(config, "/a/../b?q=/../c"), "/b?q=/../c");
  EXPECT_EQ(Normal(config, "/%0"), "rejected");
  EXPECT_EQ(Normal(config, "/%zz"), "rejected");
  EXPECT_EQ(Normal(config, "/%00"), "rejected");
}

TEST(PathTest, SlashesMergeAndEscapedOnesFollowTheirRule) {
  HttpConfig config;
  config.merge_slashes = true;
  EXPECT_EQ(Normal(config, "//a///b//?x=//"), "/a/b/?x=//");
  config.escaped_slashes = PathEscapedSlashes::kReject;
  EXPECT_EQ(Normal(config, "/a%2Fb"), "rejected");
  config.escaped_slashes = PathEscapedSlashes::kUnescapeForward;
  EXPECT_EQ(Normal(config, "/a%2F%2fb?%2f"), "/a/b?%2f");
  config.escaped_slashes = PathEscapedSlashes::kUnescapeRedirect;
  EXPECT_EQ(Normal(config, "/a%2Fb"), "redirect /a/b");
  EXPECT_EQ(Normal(config, "/a/b"), "/a/b");
}

TEST(PathTest, Parts) {
  EXPECT_EQ(PathWithoutQuery("/a?b?c"), "/a");
  EXPECT_EQ(QueryOf("/a?b?c"), "b?c");
  EXPECT_EQ(QueryOf("/a"), "");
}

}  // namespace
}  // namespace meltemi::proxy
