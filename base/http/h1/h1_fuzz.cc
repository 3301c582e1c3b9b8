// Fuzzes the HTTP/1 codecs: one target for both sides, picked by the first byte.
//
// Beyond not crashing: a codec keeps its contract with its receivers, and what a server codec
// accepts is read as exactly the same one request after our client codec has written it again, so
// that no request can be smuggled through us.

#include "base/http/codec_fuzz.h"

namespace meltemi::http {
namespace {

size_t PieceBytes(uint8_t choice) { return choice < 200 ? choice % 32 : 0; }

bool IsSame(const HeaderMap& a, const HeaderMap& b) {
  if (a.method() != b.method() || a.path() != b.path() || a.authority() != b.authority()) {
    return false;
  }
  // Content-Length is the codec's to write: it may be added or be in another place.
  std::vector<std::pair<std::string, std::string>> fields[2];
  for (int i = 0; i < 2; ++i) {
    for (const HeaderMap::Entry& entry : (i == 0 ? a : b).entries()) {
      if (entry.id == HeaderId::kContentLength || entry.id == HeaderId::kUpgrade) continue;
      fields[i].emplace_back(entry.name, entry.value);
    }
  }
  return fields[0] == fields[1];
}

// Writes the request that `seen` holds and reads it again.
void CheckRoundTrip(const CheckedReceiver& seen) {
  if (seen.headers == nullptr || !seen.ended || seen.headers->Has(HeaderId::kUpgrade) ||
      seen.headers->method() == "CONNECT" || seen.headers->authority().empty()) {
    return;
  }
  FakeTransport transport;
  CheckedClientEvents client_events;
  auto client = NewHttp1ClientCodec(transport, client_events, Http1Limits());
  client_events.receivers.push_back(std::make_unique<CheckedReceiver>());
  Stream& stream = client->NewStream(client_events.receivers.back().get());
  client_events.receivers.back()->stream = &stream;
  stream.SendHeaders(*seen.headers, seen.body.empty() && seen.trailers == nullptr);
  Buffer body(seen.body);
  if (seen.trailers != nullptr) {
    stream.SendData(body, false);
    stream.SendTrailers(*seen.trailers);
  } else if (!seen.body.empty()) {
    stream.SendData(body, true);
  }
  RecordingServerEvents events;
  FakeTransport server_transport;
  auto server = NewHttp1ServerCodec(server_transport, events, Http1Limits());
  FUZZ_CHECK(server->Receive(transport.output(), false).ok());
  FUZZ_CHECK(events.exchanges.size() == 1);
  FUZZ_CHECK(transport.output().empty());
  const RecordingReceiver& again = events.last().receiver;
  FUZZ_CHECK(again.ended);
  FUZZ_CHECK(IsSame(*seen.headers, *again.headers));
  FUZZ_CHECK(seen.body == again.body);
}

void FuzzServer(FuzzChoices choices, absl::string_view wire) {
  const size_t piece = PieceBytes(choices.Next());
  const uint8_t behaviour = choices.Next();
  Http1Limits limits;
  if (choices.Next() & 1) {
    limits.headers_bytes_max = 200;
    limits.headers_count_max = 5;
    limits.chunk_extension_bytes_max = 8;
  }
  CheckedServerEvents events(behaviour);
  FakeTransport transport;
  auto codec = NewHttp1ServerCodec(transport, events, limits);
  FeedPieces(*codec, transport, wire, piece, behaviour & 16, [&events] { return events.Resume(); });
  for (const auto& receiver : events.receivers) CheckRoundTrip(*receiver);
}

HeaderMapPtr RequestOf(uint8_t choice) {
  HeaderMapPtr headers = HeaderMap::New();
  const char* const methods[] = {"GET", "HEAD", "POST", "CONNECT"};
  headers->set_method(methods[choice & 3]);
  headers->set_authority("a:1");
  headers->set_path((choice & 3) == 3 ? "" : "/");
  if (choice & 4) headers->Add(HeaderId::kUpgrade, "websocket");
  return headers;
}

void FuzzClient(FuzzChoices choices, absl::string_view wire) {
  const size_t piece = PieceBytes(choices.Next());
  const uint8_t behaviour = choices.Next();
  const uint8_t request = choices.Next();
  CheckedClientEvents events;
  FakeTransport transport;
  auto codec = NewHttp1ClientCodec(transport, events, Http1Limits());
  const auto open = [&] {
    events.receivers.push_back(std::make_unique<CheckedReceiver>());
    CheckedReceiver& receiver = *events.receivers.back();
    receiver.is_server = false;
    receiver.behaviour = behaviour;
    Stream& stream = codec->NewStream(&receiver);
    receiver.stream = &stream;
    HeaderMapPtr headers = RequestOf(request);
    stream.SendHeaders(*headers,
                       !(headers->method() == "CONNECT" || headers->Has(HeaderId::kUpgrade)));
  };
  open();
  FeedPieces(*codec, transport, wire, piece, behaviour & 16, [&] {
    CheckedReceiver& last = *events.receivers.back();
    if (codec->capacity() > 0 && events.receivers.size() < 20) {
      open();
      return true;
    }
    if (!last.paused || last.finished || last.gone || last.reset) return false;
    last.paused = false;
    last.stream->PauseReading(false);
    return true;
  });
  for (const auto& receiver : events.receivers) FUZZ_CHECK(receiver->finished);
}

}  // namespace
}  // namespace meltemi::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kChoices = 4;
  if (size < kChoices) return 0;
  const absl::string_view wire(reinterpret_cast<const char*>(data) + kChoices, size - kChoices);
  meltemi::http::FuzzChoices choices(data + 1, kChoices - 1);
  if ((data[0] & 1) == 0) {
    meltemi::http::FuzzServer(choices, wire);
  } else {
    meltemi::http::FuzzClient(choices, wire);
  }
  return 0;
}
