// What the fuzz targets of both codecs share: receivers that abort when a codec breaks its
// contract, and behave as the input says.
//
// The first bytes of an input are choices (how bytes are cut, when receivers answer, pause or
// reset); the rest is what the peer sends.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/http/codec.h"
#include "base/http/codec_fake.h"

namespace meltemi::http {

#define FUZZ_CHECK(condition)                                         \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      abort();                                                        \
    }                                                                 \
  } while (false)

// Bytes that steer; zeros once they are used up.
class FuzzChoices {
 public:
  FuzzChoices(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t Next() { return at_ < size_ ? data_[at_++] : 0; }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
};

// Keeps a message and checks the order of the calls.
class CheckedReceiver final : public StreamReceiver {
 public:
  void OnInformational(HeaderMapPtr) override { FUZZ_CHECK(!over() && headers == nullptr); }
  void OnHeaders(HeaderMapPtr h, bool end_stream) override {
    FUZZ_CHECK(!over() && headers == nullptr && h != nullptr);
    headers = std::move(h);
    ended = end_stream;
    Act();
  }
  void OnData(Buffer& data, bool end_stream) override {
    FUZZ_CHECK(!over() && headers != nullptr && !paused);
    body += data.ToString();
    ended = end_stream;
    Act();
  }
  void OnTrailers(HeaderMapPtr t) override {
    FUZZ_CHECK(!over() && headers != nullptr && !paused);
    trailers = std::move(t);
    ended = true;
    Act();
  }
  void OnReset(ResetCause, absl::string_view) override {
    FUZZ_CHECK(!reset && !finished && !gone);
    reset = true;
  }
  void OnWriteBlocked(bool) override { FUZZ_CHECK(!reset && !finished && !gone); }

  bool over() const { return ended || reset || finished || gone; }

  Stream* stream = nullptr;
  bool is_server = true;
  uint8_t behaviour = 0;
  HeaderMapPtr headers, trailers;
  std::string body;
  bool ended = false;
  bool reset = false;
  bool finished = false;
  bool gone = false;  // Reset was called: nothing may follow
  bool paused = false;
  bool answered = false;

 private:
  // What a user does when it hears something.
  void Act() {
    if (behaviour & 8 && !paused) {
      paused = true;
      stream->PauseReading(true);
    }
    if (!is_server) {
      if ((behaviour & 7) == 4) Drop();
      return;
    }
    switch (behaviour & 7) {
      case 0:
        if (ended) Answer(true);
        return;
      case 1:
        return Answer(false);
      case 2:
        if (ended) AnswerWithTrailers();
        return;
      case 3:
        return Drop();
      case 4: {
        HeaderMapPtr more = HeaderMap::New();
        more->set_status(100);
        stream->SendInformational(*more);
        if (ended) Answer(true);
        return;
      }
      case 5: {
        // Whatever asks for a tunnel gets one.
        if (answered) return;
        answered = true;
        HeaderMapPtr yes = HeaderMap::New();
        yes->set_status(headers->Has(HeaderId::kUpgrade) ? 101 : 200);
        stream->SendHeaders(*yes, false);
        return;
      }
      default:
        return;
    }
  }
  void Drop() {
    if (gone) return;
    gone = true;
    stream->Reset(ResetCause::kLocal);
  }
  void Answer(bool with_length) {
    if (std::exchange(answered, true)) return;
    HeaderMapPtr response = HeaderMap::New();
    response->set_status(200);
    if (with_length) response->Add(HeaderId::kContentLength, "2");
    stream->SendHeaders(*response, false);
    Buffer data("ok");
    stream->SendData(data, true);
  }
  void AnswerWithTrailers() {
    if (std::exchange(answered, true)) return;
    HeaderMapPtr response = HeaderMap::New();
    response->set_status(200);
    stream->SendHeaders(*response, false);
    HeaderMapPtr t = HeaderMap::New();
    t->Add("grpc-status", "0");
    stream->SendTrailers(*t);
  }
};

class CheckedServerEvents final : public ServerCodecEvents {
 public:
  explicit CheckedServerEvents(uint8_t behaviour) : behaviour_(behaviour) {}
  ~CheckedServerEvents() override {
    for (const auto& receiver : receivers) FUZZ_CHECK(receiver->finished);
  }
  StreamReceiver* OnNewStream(Stream& stream) override {
    receivers.push_back(std::make_unique<CheckedReceiver>());
    receivers.back()->stream = &stream;
    receivers.back()->behaviour = static_cast<uint8_t>(behaviour_ + receivers.size() - 1);
    return receivers.back().get();
  }
  void OnStreamFinished(Stream& stream) override {
    for (auto& receiver : receivers) {
      if (receiver->stream != &stream || receiver->finished) continue;
      receiver->finished = true;
      return;
    }
    FUZZ_CHECK(false && "a stream that nobody knows was finished");
  }
  // Lets go on whoever has paused. True when somebody had.
  bool Resume() {
    bool any = false;
    for (auto& receiver : receivers) {
      if (!receiver->paused || receiver->finished || receiver->gone || receiver->reset) continue;
      receiver->paused = false;
      receiver->stream->PauseReading(false);
      any = true;
    }
    return any;
  }

  std::vector<std::unique_ptr<CheckedReceiver>> receivers;

 private:
  const uint8_t behaviour_;
};

class CheckedClientEvents final : public ClientCodecEvents {
 public:
  void OnStreamFinished(Stream& stream) override {
    for (auto& receiver : receivers) {
      if (receiver->stream != &stream || receiver->finished) continue;
      receiver->finished = true;
      return;
    }
    FUZZ_CHECK(false && "a stream that nobody knows was finished");
  }
  void OnPeerDraining() override {}
  std::vector<std::unique_ptr<CheckedReceiver>> receivers;
};

// Feeds `wire` in pieces; 0 means all at once.
template <typename Codec, typename AfterEach>
void FeedPieces(Codec& codec, FakeTransport& transport, absl::string_view wire, size_t piece,
                bool end_of_input, AfterEach&& after_each) {
  if (piece == 0) piece = std::max<size_t>(wire.size(), 1);
  Buffer in;
  for (size_t at = 0; !codec.finished();) {
    const size_t count = std::min(piece, wire.size() - at);
    in.Append(wire.substr(at, count));
    at += count;
    const bool last = at == wire.size();
    for (int turn = 0; turn < 100; ++turn) {
      transport.again = false;
      if (!codec.Receive(in, last && end_of_input).ok()) FUZZ_CHECK(codec.finished());
      const bool resumed = after_each();
      if (codec.finished() || (!transport.again && !resumed)) break;
    }
    // No test of output here: it only must not grow without bound.
    transport.output().Clear();
    if (last) break;
  }
  codec.OnConnectionClosed(ResetCause::kConnectionLost, "end");
  FUZZ_CHECK(codec.open_streams() == 0);
}

}  // namespace meltemi::http
