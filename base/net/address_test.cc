#include "base/net/address.h"

#include <string>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace meltemi::net {
namespace {

TEST(Address, ParsesAndPrintsTheThreeForms) {
  for (const char* text : {"1.2.3.4:80", "[::1]:65535", "unix:/run/a.sock", "0.0.0.0:0"}) {
    const absl::StatusOr<Address> address = Address::Parse(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->ToString(), text);
    EXPECT_EQ(*address, *Address::Parse(text));
    EXPECT_EQ(absl::HashOf(*address), absl::HashOf(*Address::Parse(text)));
  }
  EXPECT_EQ(Address().ToString(), "unset");
  EXPECT_FALSE(Address().set());
}

TEST(Address, PrintsEveryByteAndPort) {
  for (const int byte : {0, 7, 9, 10, 42, 99, 100, 109, 190, 255}) {
    const std::string ip = absl::StrCat(byte, ".1.", 255 - byte, ".", byte);
    const Address address = *Address::FromIp(ip, static_cast<uint16_t>(byte * 257));
    EXPECT_EQ(address.ip(), ip);
    EXPECT_EQ(address.ToString(), absl::StrCat(ip, ":", byte * 257));
  }
}

TEST(Address, RefusesWithWhatWasExpected) {
  EXPECT_EQ(Address::Parse("localhost:80").status().message(),
            "\"localhost\" is not an IPv4 or IPv6 address");
  for (const char* text : {"1.2.3.4", "1.2.3.4:65536", "1.2.3.4:x", "[::1:80", "unix:"}) {
    EXPECT_FALSE(Address::Parse(text).ok()) << text;
  }
}

TEST(Address, PortsAreNotPartOfLoopbackness) {
  EXPECT_TRUE(Address::Parse("127.0.0.6:1")->is_loopback());
  EXPECT_TRUE(Address::Parse("[::1]:1")->is_loopback());
  EXPECT_FALSE(Address::Parse("10.0.0.1:1")->is_loopback());
}

TEST(Address, AMappedV4PeerIsV4) {
  const Address mapped = *Address::Parse("[::ffff:10.1.2.3]:99");
  EXPECT_EQ(Address::FromSockaddr(mapped.raw(), mapped.raw_length()).ToString(), "10.1.2.3:99");
}

TEST(Cidr, ContainsByPrefix) {
  const Cidr ten = *Cidr::Parse("10.96.0.0/12");
  EXPECT_TRUE(ten.Contains(*Address::FromIp("10.111.255.255", 5)));
  EXPECT_FALSE(ten.Contains(*Address::FromIp("10.112.0.0", 5)));
  EXPECT_FALSE(ten.Contains(*Address::FromIp("::1", 5)));
  EXPECT_TRUE(Cidr::Parse("0.0.0.0/0")->Contains(*Address::FromIp("9.9.9.9", 0)));
  EXPECT_TRUE(Cidr::Parse("1.1.1.1")->Contains(*Address::FromIp("1.1.1.1", 7)));
  EXPECT_FALSE(Cidr::Parse("1.1.1.1/33").ok());
}

}  // namespace
}  // namespace meltemi::net
