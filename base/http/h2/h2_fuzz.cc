// Fuzzes the HTTP/2 codecs: one target for both sides, picked by the first byte. The preface is
// given; the rest of the input is frames.

#include "base/http/codec_fuzz.h"

namespace meltemi::http {
namespace {

constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr absl::string_view kEmptySettings("\0\0\0\4\0\0\0\0\0", 9);

size_t PieceBytes(uint8_t choice) { return choice < 200 ? choice % 32 : 0; }

void FuzzServer(FuzzChoices choices, absl::string_view frames) {
  const size_t piece = PieceBytes(choices.Next());
  const uint8_t behaviour = choices.Next();
  Http2Limits limits;
  if (choices.Next() & 1) {
    limits.headers_bytes_max = 300;
    limits.headers_count_max = 6;
    limits.concurrent_streams_max = 3;
    limits.rapid_resets_max = 2;
    limits.write_high_bytes = 1;
  }
  CheckedServerEvents events(behaviour);
  FakeTransport transport;
  auto codec = NewHttp2ServerCodec(transport, events, limits);
  std::string wire = kPreface;
  wire.append(kEmptySettings.data(), kEmptySettings.size());
  wire.append(frames.data(), frames.size());
  FeedPieces(*codec, transport, wire, piece, behaviour & 16, [&events] { return events.Resume(); });
}

void FuzzClient(FuzzChoices choices, absl::string_view frames) {
  const size_t piece = PieceBytes(choices.Next());
  const uint8_t behaviour = choices.Next();
  const uint8_t request = choices.Next();
  CheckedClientEvents events;
  FakeTransport transport;
  auto codec = NewHttp2ClientCodec(transport, events, Http2Limits());
  const auto open = [&] {
    events.receivers.push_back(std::make_unique<CheckedReceiver>());
    CheckedReceiver& receiver = *events.receivers.back();
    receiver.is_server = false;
    receiver.behaviour = behaviour;
    Stream& stream = codec->NewStream(&receiver);
    receiver.stream = &stream;
    HeaderMapPtr headers = HeaderMap::New();
    headers->set_method(request & 1 ? "HEAD" : "POST");
    headers->set_path("/");
    headers->set_authority("a");
    stream.SendHeaders(*headers, request & 2);
  };
  open();
  open();
  std::string wire(kEmptySettings);
  wire.append(frames.data(), frames.size());
  FeedPieces(*codec, transport, wire, piece, behaviour & 16, [&] {
    bool any = false;
    for (auto& receiver : events.receivers) {
      if (!receiver->paused || receiver->finished || receiver->gone || receiver->reset) continue;
      receiver->paused = false;
      receiver->stream->PauseReading(false);
      any = true;
    }
    return any;
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
