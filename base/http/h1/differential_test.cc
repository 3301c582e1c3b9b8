// Our parser beside llhttp in strict mode (the one of Node.js): whatever we accept, llhttp accepts
// too, with the same method, target, fields and body. It may accept more.
//
// Inputs are typical messages and more than 100,000 seeded mutations of them.

#include <algorithm>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "base/http/codec_fake.h"
#include "gtest/gtest.h"
#include "llhttp.h"

namespace meltemi::http {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Message {
  std::string method;
  std::string target;
  int status = 0;
  Fields fields;  // names in lower case
  std::string body;
  bool headers_complete = false;
  bool complete = false;
  bool tunnel = false;
};

// ---- llhttp
// --------------------------------------------------------------------------------------

class Llhttp {
 public:
  Llhttp(llhttp_type_t type, bool skip_body) : skip_body_(skip_body) {
    llhttp_settings_init(&settings_);
    settings_.on_message_begin = [](llhttp_t* p) {
      Self(p).messages.emplace_back();
      Self(p).in_trailers_ = false;
      return 0;
    };
    settings_.on_url = [](llhttp_t* p, const char* at, size_t size) {
      Last(p).target.append(at, size);
      return 0;
    };
    settings_.on_header_field = [](llhttp_t* p, const char* at, size_t size) {
      Self(p).name_.append(at, size);
      return 0;
    };
    settings_.on_header_value = [](llhttp_t* p, const char* at, size_t size) {
      Self(p).value_.append(at, size);
      return 0;
    };
    settings_.on_header_value_complete = [](llhttp_t* p) {
      Llhttp& self = Self(p);
      if (!self.in_trailers_) {
        Last(p).fields.emplace_back(absl::AsciiStrToLower(self.name_),
                                    absl::StripAsciiWhitespace(self.value_));
      }
      self.name_.clear();
      self.value_.clear();
      return 0;
    };
    settings_.on_headers_complete = [](llhttp_t* p) {
      Message& m = Last(p);
      m.headers_complete = true;
      Self(p).in_trailers_ = true;
      if (p->type == HTTP_REQUEST) {
        m.method = llhttp_method_name(static_cast<llhttp_method_t>(p->method));
      }
      m.status = p->status_code;
      // llhttp leaves it to its user to know which responses have no body.
      const bool none = p->type == HTTP_RESPONSE && (m.status == 304 || m.status == 204);
      return none || Self(p).skip_body_ ? 1 : 0;
    };
    settings_.on_body = [](llhttp_t* p, const char* at, size_t size) {
      Last(p).body.append(at, size);
      return 0;
    };
    settings_.on_message_complete = [](llhttp_t* p) {
      Last(p).complete = true;
      return 0;
    };
    llhttp_init(&parser_, type, &settings_);
    parser_.data = this;
  }

  void Run(const std::string& bytes, bool end) {
    const char* at = bytes.data();
    const char* const last = at + bytes.size();
    while (true) {
      const llhttp_errno_t error = llhttp_execute(&parser_, at, static_cast<size_t>(last - at));
      if (error != HPE_PAUSED_UPGRADE) break;
      // Ours decides by itself what becomes a tunnel; the comparison stops there.
      messages.back().tunnel = true;
      at = llhttp_get_error_pos(&parser_);
      llhttp_resume_after_upgrade(&parser_);
      if (at == last) break;
    }
    if (end) llhttp_finish(&parser_);
    const char* why = llhttp_get_error_reason(&parser_);
    reason = why == nullptr ? "" : why;
  }

  // Where llhttp is stricter and nobody could read a second meaning: a tab beside a number or a
  // Connection option, which RFC 9110 5.5 allows; more after a message that it takes for the last
  // one.
  bool is_stricter() const {
    return reason == "Invalid character in Content-Length" ||
           reason == "Data after `Connection: close`";
  }

  std::vector<Message> messages;
  std::string reason;

 private:
  static Llhttp& Self(llhttp_t* p) { return *static_cast<Llhttp*>(p->data); }
  static Message& Last(llhttp_t* p) { return Self(p).messages.back(); }

  llhttp_t parser_;
  llhttp_settings_t settings_;
  const bool skip_body_;
  bool in_trailers_ = false;
  std::string name_, value_;
};

bool LlhttpKnowsMethod(const std::string& method) {
  static const std::set<std::string> known = {
#define X(number, name, text) #text,
      HTTP_METHOD_MAP(X)
#undef X
  };
  return known.count(method) > 0;
}

// ---- Comparing
// -----------------------------------------------------------------------------------

// What our codec takes out of the fields: they are compared only if we kept them.
bool IsTakenOut(const std::string& name) {
  static const std::set<std::string> names = {
      "connection", "host",    "http2-settings",    "keep-alive",
      "te",         "upgrade", "transfer-encoding", "proxy-connection"};
  return names.count(name) > 0;
}

Fields Comparable(const Fields& fields) {
  std::set<std::string> nominated;
  for (const auto& [name, value] : fields) {
    if (name != "connection") continue;
    for (const absl::string_view option : absl::StrSplit(value, ',')) {
      nominated.insert(absl::AsciiStrToLower(absl::StripAsciiWhitespace(option)));
    }
  }
  Fields kept;
  for (const auto& field : fields) {
    const bool protected_name =
        FindHeaderId(field.first) != HeaderId::kUnknown || field.first == "authorization";
    if (IsTakenOut(field.first)) continue;
    if (nominated.count(field.first) > 0 && !protected_name) continue;
    kept.push_back(field);
  }
  return kept;
}

Fields OurFields(const HeaderMap& headers) {
  Fields fields;
  for (const HeaderMap::Entry& entry : headers.entries()) {
    if (!IsTakenOut(std::string(entry.name))) fields.emplace_back(entry.name, entry.value);
  }
  return fields;
}

// How our path and authority look as a target.
bool IsSameTarget(const HeaderMap& ours, const std::string& target) {
  if (ours.method() == "CONNECT") return ours.authority() == target;
  if (ours.path() == target) return true;
  const std::string rest = absl::AsciiStrToLower(target.substr(0, 8));
  const size_t scheme = rest.compare(0, 7, "http://") == 0    ? 7
                        : rest.compare(0, 8, "https://") == 0 ? 8
                                                              : 0;
  if (scheme == 0) return false;
  const std::string after = target.substr(scheme + ours.authority().size());
  return target.compare(scheme, ours.authority().size(), std::string(ours.authority())) == 0 &&
         (after == ours.path() || "/" + after == ours.path());
}

std::string Show(const std::string& bytes) { return absl::CEscape(bytes); }

int g_accepted = 0;  // how many messages were compared: the test must not pass for want of any

void CompareRequests(const std::string& bytes) {
  FakeTransport transport;
  RecordingServerEvents events;
  events.on_new = [](RecordingServerEvents::Exchange& exchange) {
    const auto answer = [&exchange] {
      if (!exchange.receiver.ended) return;
      HeaderMapPtr headers = HeaderMap::New();
      headers->set_status(204);
      exchange.stream->SendHeaders(*headers, true);
    };
    exchange.receiver.on_headers = answer;
    exchange.receiver.on_data = answer;
  };
  auto codec = NewHttp1ServerCodec(transport, events, Http1Limits());
  Buffer in(bytes);
  (void)codec->Receive(in, false);
  Llhttp peer(HTTP_REQUEST, /*skip_body=*/false);
  peer.Run(bytes, false);
  if (peer.is_stricter()) return;
  for (size_t i = 0; i < events.exchanges.size(); ++i) {
    const RecordingReceiver& ours = events.exchanges[i]->receiver;
    if (!LlhttpKnowsMethod(std::string(ours.headers->method()))) return;
    ASSERT_LT(i, peer.messages.size()) << Show(bytes) << "\n" << peer.reason;
    const Message& theirs = peer.messages[i];
    ASSERT_TRUE(theirs.headers_complete) << Show(bytes) << "\n" << peer.reason;
    ASSERT_EQ(theirs.method, std::string(ours.headers->method())) << Show(bytes);
    ASSERT_TRUE(IsSameTarget(*ours.headers, theirs.target)) << Show(bytes);
    ASSERT_EQ(Comparable(theirs.fields), OurFields(*ours.headers)) << Show(bytes);
    ++g_accepted;
    const bool tunnel =
        ours.headers->method() == "CONNECT" || ours.headers->Has(HeaderId::kUpgrade);
    if (tunnel) return;
    ASSERT_EQ(theirs.body.substr(0, ours.body.size()), ours.body) << Show(bytes);
    if (!ours.ended) return;
    ASSERT_TRUE(theirs.complete) << Show(bytes) << "\n" << peer.reason;
    ASSERT_EQ(theirs.body, ours.body) << Show(bytes);
  }
}

void CompareResponses(const std::string& bytes, const std::string& method) {
  FakeTransport transport;
  RecordingClientEvents events;
  RecordingReceiver ours;
  auto codec = NewHttp1ClientCodec(transport, events, Http1Limits());
  Stream& stream = codec->NewStream(&ours);
  HeaderMapPtr request = HeaderMap::New();
  request->set_method(method);
  request->set_path("/");
  request->set_authority("a");
  stream.SendHeaders(*request, true);
  Buffer in(bytes);
  (void)codec->Receive(in, true);
  if (ours.headers == nullptr) return;
  Llhttp peer(HTTP_RESPONSE, method == "HEAD");
  peer.Run(bytes, true);
  if (peer.is_stricter()) return;
  const size_t i = ours.informational.size();
  ASSERT_LT(i, peer.messages.size()) << Show(bytes) << "\n" << peer.reason;
  const Message& theirs = peer.messages[i];
  ASSERT_EQ(theirs.status, ours.headers->status()) << Show(bytes);
  Fields kept = Comparable(theirs.fields);
  // A response has no Host: there the field is like any other.
  ASSERT_EQ(kept, OurFields(*ours.headers)) << Show(bytes);
  ++g_accepted;
  if (!ours.ended) return;
  ASSERT_TRUE(theirs.complete) << Show(bytes) << "\n" << peer.reason;
  ASSERT_EQ(theirs.body, ours.body) << Show(bytes);
}

// ---- Inputs
// --------------------------------------------------------------------------------------

const char* const kRequests[] = {
    "GET /a/b?c=d HTTP/1.1\r\nHost: example.com:80\r\nX-Y: z\r\nTE: trailers\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n",
    "POST /p HTTP/1.1\r\nhost: a\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nhost: "
    "a\r\n\r\n",
    "PUT /x HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: "
    "chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"
    "GET /2 HTTP/1.1\r\nhost: a\r\n\r\n",
    "PUT /x HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: "
    "chunked\r\n\r\n5;q=\"r;s\"\r\nhello\r\n0\r\nx: y\r\n\r\n",
    "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade, x-n\r\nupgrade: websocket\r\nx-n: "
    "1\r\n\r\nbytes",
    "CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\nbytes",
    "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\nDELETE http://b/c?d HTTP/1.1\r\nhost: a\r\n\r\n",
    "\r\nHEAD /h HTTP/1.1\r\nhost: [::1]:80\r\naccept: */*\r\nconnection: close\r\n\r\n",
    "PATCH /e HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 0\r\nx-empty:\r\n\r\n",
};

const char* const kResponses[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Y: z\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3;x=y\r\nyes\r\n0\r\na: "
    "b\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\nserver: x\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
    "HTTP/1.0 200 OK\r\n\r\nuntil the end",
    "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbad",
    "HTTP/1.1 200\r\ncontent-length: 1\r\n\r\nx",
};

// What confuses parsers.
const absl::string_view kPieces[] = {
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "0",
    "5",
    "chunked",
    "content-length: 5\r\n",
    "Content-Length: 0\r\n",
    "transfer-encoding: chunked\r\n",
    "Transfer-Encoding: gzip\r\n",
    "\r\n\r\n",
    "0\r\n\r\n",
    "a: b\r\n",
    " a: b\r\n",
    "host: c\r\n",
    "connection: close\r\n",
    "HTTP/1.0",
    "HTTP/1.1",
    absl::string_view("\0", 1),
    "\x0b",
    "\x7f",
    "\xff",
    "#",
    "?",
    "@",
    "[",
    "]",
    "\"",
    "\\",
    "=",
    "+",
    "-",
    "GET ",
    "upgrade: h2c\r\nconnection: upgrade\r\n",
};

std::string Mutated(std::string bytes, std::mt19937& random) {
  const int changes = 1 + static_cast<int>(random() % 3);
  for (int i = 0; i < changes && !bytes.empty(); ++i) {
    const size_t at = random() % bytes.size();
    switch (random() % 6) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
      case 2: {
        const absl::string_view piece = kPieces[random() % std::size(kPieces)];
        bytes.insert(at, piece.data(), piece.size());
        break;
      }
      case 3:
        bytes.erase(at, 1 + random() % 4);
        break;
      case 4: {
        const absl::string_view piece = kPieces[random() % std::size(kPieces)];
        bytes.replace(at, std::min(piece.size(), bytes.size() - at), piece.data(), piece.size());
        break;
      }
      default:
        bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 24));
    }
  }
  return bytes;
}

TEST(Http1DifferentialTest, RequestsThatWeAcceptLlhttpReadsAlike) {
  g_accepted = 0;
  std::mt19937 random(20261121);
  for (const char* request : kRequests) {
    CompareRequests(request);
    for (int i = 0; i < 6000 && !HasFatalFailure(); ++i) CompareRequests(Mutated(request, random));
  }
  EXPECT_GT(g_accepted, 10000);
}

TEST(Http1DifferentialTest, ResponsesThatWeAcceptLlhttpReadsAlike) {
  g_accepted = 0;
  std::mt19937 random(20261122);
  for (const char* response : kResponses) {
    for (const char* method : {"GET", "HEAD"}) {
      CompareResponses(response, method);
      for (int i = 0; i < 3000 && !HasFatalFailure(); ++i) {
        CompareResponses(Mutated(response, random), method);
      }
    }
  }
  EXPECT_GT(g_accepted, 5000);
}

}  // namespace
}  // namespace meltemi::http
