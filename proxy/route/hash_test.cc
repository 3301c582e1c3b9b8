#include "proxy/route/hash.h"

#include "base/bytes/xxhash.h"
#include "gtest/gtest.h"
#include "proxy/route/route_test_builder.h"

namespace meltemi::proxy {
namespace {

using Kind = HashPolicy::Kind;

HashPolicy Policy(Kind kind, std::string name = "", bool terminal = false) {
  HashPolicy policy;
  policy.kind = kind;
  policy.name = std::move(name);
  policy.terminal = terminal;
  return policy;
}

const net::Address kRemote = *net::Address::Parse("10.1.2.3:5555");
const net::Address kLocal = *net::Address::Parse("10.9.9.9:80");

HashResult Hash(const std::vector<HashPolicy>& policies, const http::HeaderMap* request) {
  return ComputeHash(policies, request, kRemote, kLocal);
}

TEST(HashTest, HeaderValueIsHashedAsItIs) {
  const auto request = Get("a", "/", {{"user", "foo"}});
  EXPECT_EQ(Hash({Policy(Kind::kHeader, "user")}, request.get()).hash, XxHash64("foo"));
  EXPECT_EQ(Hash({Policy(Kind::kHeader, ":path")}, request.get()).hash, XxHash64("/"));
  EXPECT_EQ(Hash({Policy(Kind::kHeader, "none")}, request.get()).hash, std::nullopt);
}

TEST(HashTest, OrderOfSeveralValuesDoesNotMatter) {
  const auto one = Get("a", "/", {{"user", "a"}, {"user", "b"}});
  const auto two = Get("a", "/", {{"user", "b"}, {"user", "a"}});
  const std::vector<HashPolicy> policies = {Policy(Kind::kHeader, "user")};
  EXPECT_EQ(Hash(policies, one.get()).hash, Hash(policies, two.get()).hash);
}

TEST(HashTest, SourceAddressWithoutPort) {
  EXPECT_EQ(Hash({Policy(Kind::kSourceIp)}, nullptr).hash, XxHash64("10.1.2.3"));
}

TEST(HashTest, QueryParameter) {
  const auto request = Get("a", "/x?a=1&key=v&key=w#f");
  EXPECT_EQ(Hash({Policy(Kind::kQueryParameter, "key")}, request.get()).hash, XxHash64("v"));
  EXPECT_EQ(Hash({Policy(Kind::kQueryParameter, "ke")}, request.get()).hash, std::nullopt);
}

TEST(HashTest, CookieOfTheRequest) {
  const auto request = Get("a", "/", {{"cookie", "b=1; session=\"abc\"; c=2"}});
  const HashResult result = Hash({Policy(Kind::kCookie, "session")}, request.get());
  EXPECT_EQ(result.hash, XxHash64("abc"));
  EXPECT_TRUE(result.set_cookies.empty());
}

TEST(HashTest, CookieIsGeneratedOnceForAConnectionWhenItHasATtl) {
  const auto request = Get("a", "/");
  HashPolicy policy = Policy(Kind::kCookie, "session");
  EXPECT_EQ(Hash({policy}, request.get()).hash, std::nullopt);
  policy.cookie_ttl = seconds(60);
  policy.cookie_path = "/p";
  const HashResult result = Hash({policy}, request.get());
  ASSERT_EQ(result.set_cookies.size(), 1u);
  const std::string& cookie = result.set_cookies[0];
  EXPECT_EQ(cookie.substr(0, 9), "session=\"");
  const std::string value = cookie.substr(9, 16);
  EXPECT_EQ(cookie.substr(25), "\"; Max-Age=60; Path=/p; HttpOnly");
  EXPECT_EQ(result.hash, XxHash64(value));
  // What the client sends back leads to the same place.
  const auto again = Get("a", "/", {{"cookie", "session=\"" + value + "\""}});
  EXPECT_EQ(Hash({policy}, again.get()).hash, result.hash);
  policy.cookie_ttl = seconds(0);
  EXPECT_EQ(Hash({policy}, request.get()).set_cookies[0].find("Max-Age"), std::string::npos);
}

TEST(HashTest, PoliciesCombineAndTerminalEnds) {
  const auto request = Get("a", "/", {{"a", "1"}, {"b", "2"}});
  const uint64_t a = XxHash64("1"), b = XxHash64("2");
  EXPECT_EQ(Hash({Policy(Kind::kHeader, "a"), Policy(Kind::kHeader, "b")}, request.get()).hash,
            ((a << 1) | (a >> 63)) ^ b);
  EXPECT_EQ(
      Hash({Policy(Kind::kHeader, "a", true), Policy(Kind::kHeader, "b")}, request.get()).hash, a);
  EXPECT_EQ(
      Hash({Policy(Kind::kHeader, "none", true), Policy(Kind::kHeader, "b")}, request.get()).hash,
      b);
  // Twice the same must not cancel out.
  EXPECT_NE(Hash({Policy(Kind::kHeader, "a"), Policy(Kind::kHeader, "a")}, request.get()).hash, 0u);
}

}  // namespace
}  // namespace meltemi::proxy
