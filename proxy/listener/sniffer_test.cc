#include "proxy/listener/sniffer.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace meltemi::proxy {
namespace {

using Protocols = std::vector<std::string>;

std::string Number(size_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<char>(value >> (8 * i) & 255));
  return out;
}
std::string Vector(int length_bytes, const std::string& content) {
  return Number(content.size(), length_bytes) + content;
}

// A ClientHello as a TLS handshake message.
std::string ClientHello(const std::string& sni, const Protocols& alpn) {
  std::string extensions;
  if (!sni.empty()) {
    extensions += Number(0, 2) + Vector(2, Vector(2, std::string(1, '\0') + Vector(2, sni)));
  }
  if (!alpn.empty()) {
    std::string list;
    for (const std::string& protocol : alpn) list += Vector(1, protocol);
    extensions += Number(16, 2) + Vector(2, Vector(2, list));
  }
  const std::string body = Number(0x0303, 2) + std::string(32, 'r') + Vector(1, "") +
                           Vector(2, "\x13\x01") + Vector(1, std::string(1, '\0')) +
                           Vector(2, extensions);
  return std::string(1, '\1') + Vector(3, body);
}
std::string Record(const std::string& payload) { return "\x16\x03\x01" + Vector(2, payload); }

// Feeds byte by byte; returns after how many bytes it was decided (0: never).
size_t DecidedAfter(Sniffer& sniffer, const std::string& bytes) {
  Buffer in;
  for (size_t i = 0; i < bytes.size(); ++i) {
    in.Append(bytes.substr(i, 1));
    if (sniffer.Inspect(in, false)) return i + 1;
  }
  return 0;
}

TEST(SnifferTest, Http1IsKnownOnceItsRequestLineIsThere) {
  Sniffer sniffer(true, true);
  const std::string line = "GET /some/path?q=1 HTTP/1.1\r\n";
  EXPECT_EQ(DecidedAfter(sniffer, line + "host: x\r\n\r\n"), line.size());
  EXPECT_EQ(sniffer.result().application_protocols, Protocols{"http/1.1"});
  EXPECT_EQ(sniffer.result().transport_protocol, "raw_buffer");
}

TEST(SnifferTest, Http10AndUnusualMethods) {
  Sniffer old(true, false);
  EXPECT_GT(DecidedAfter(old, "GET / HTTP/1.0\r\n"), 0u);
  EXPECT_EQ(old.result().application_protocols, Protocols{"http/1.0"});
  EXPECT_EQ(old.result().transport_protocol, "");
  Sniffer purge(true, false);
  EXPECT_GT(DecidedAfter(purge, "PROPFIND-X /a HTTP/1.1\n"), 0u);
  EXPECT_EQ(purge.result().application_protocols, Protocols{"http/1.1"});
}

TEST(SnifferTest, Http2PrefaceNeedsAllItsBytes) {
  Sniffer sniffer(true, false);
  EXPECT_EQ(DecidedAfter(sniffer, absl::StrCat(kHttp2Preface, "more")), kHttp2Preface.size());
  EXPECT_EQ(sniffer.result().application_protocols, Protocols{"h2c"});
}

TEST(SnifferTest, OtherProtocolsAreGivenUpAtTheFirstImpossibleByte) {
  Sniffer redis(true, true);
  EXPECT_EQ(DecidedAfter(redis, "*1\r\n$4\r\nPING\r\n"), 3u);  // "*1" could still be a method
  EXPECT_TRUE(redis.result().application_protocols.empty());
  Sniffer binary(true, true);
  EXPECT_EQ(DecidedAfter(binary, std::string("\0\0\0\x08", 4)), 1u);
  Sniffer not_http(true, false);
  EXPECT_GT(DecidedAfter(not_http, "HELO mail.example\r\n"), 0u);
  EXPECT_TRUE(not_http.result().application_protocols.empty());
}

TEST(SnifferTest, ClientHelloGivesNameAndProtocols) {
  Sniffer sniffer(true, true);
  const std::string bytes = Record(ClientHello("Api.Example.COM", {"h2", "http/1.1"}));
  EXPECT_EQ(DecidedAfter(sniffer, bytes + "rest"), bytes.size());
  EXPECT_EQ(sniffer.result().transport_protocol, "tls");
  EXPECT_EQ(sniffer.result().server_name, "api.example.com");
  EXPECT_EQ(sniffer.result().application_protocols, (Protocols{"h2", "http/1.1"}));
}

TEST(SnifferTest, ClientHelloMayBeCutIntoRecords) {
  const std::string hello = ClientHello("a.b", {});
  const std::string bytes =
      Record(hello.substr(0, 3)) + Record(hello.substr(3, 40)) + Record(hello.substr(43));
  Sniffer sniffer(false, true);
  EXPECT_EQ(DecidedAfter(sniffer, bytes), bytes.size());
  EXPECT_EQ(sniffer.result().server_name, "a.b");
}

TEST(SnifferTest, DamagedClientHelloIsNoCrash) {
  const std::string good = Record(ClientHello("host.example", {"h2"}));
  for (size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      Sniffer sniffer(true, true);
      Buffer in(bad);
      if (!sniffer.Inspect(in, false)) {
        EXPECT_TRUE(sniffer.Inspect(in, true));
      }
      EXPECT_EQ(in.size(), bad.size());
    }
  }
}

TEST(SnifferTest, TheEndOfTheStreamDecides) {
  Sniffer sniffer(true, true);
  Buffer in("GET /unfin");
  EXPECT_FALSE(sniffer.Inspect(in, false));
  EXPECT_TRUE(sniffer.Inspect(in, true));
  EXPECT_TRUE(sniffer.result().application_protocols.empty());
}

TEST(SnifferTest, AnEndlessFirstLineIsNotWaitedForWithoutLimit) {
  Sniffer sniffer(true, false);
  Buffer in("GET /");
  in.Append(std::string(Sniffer::kLookBytesMax, 'a'));
  EXPECT_TRUE(sniffer.Inspect(in, false));
}

TEST(SnifferTest, LooksLikeHttp2AcrossBlocks) {
  Buffer in;
  EXPECT_EQ(LooksLikeHttp2(in), PrefaceVerdict::kNeedMore);
  in.Append("PRI * HTT");
  EXPECT_EQ(LooksLikeHttp2(in), PrefaceVerdict::kNeedMore);
  in.Append("P/2.0\r\n\r\nSM\r\n\r\n");
  EXPECT_EQ(LooksLikeHttp2(in), PrefaceVerdict::kHttp2);
  EXPECT_EQ(LooksLikeHttp2(Buffer("PUT /")), PrefaceVerdict::kOther);
}

}  // namespace
}  // namespace meltemi::proxy
