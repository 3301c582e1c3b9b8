// The codec under h2spec, and nothing else: answers every request with 200 and a few bytes. Prints
// its port and serves until its standard input ends.

#include <cstdio>
#include <memory>
#include <utility>

#include "base/http/server/test_server.h"

namespace meltemi::http {
namespace {

class Answerer final : public ServerCodecEvents {
 public:
  StreamReceiver* OnNewStream(Stream& stream) override {
    auto exchange = std::make_unique<Exchange>(stream);
    Exchange* const raw = exchange.get();
    exchanges_[&stream] = std::move(exchange);
    return raw;
  }
  void OnStreamFinished(Stream& stream) override { exchanges_.erase(&stream); }

 private:
  struct Exchange final : public StreamReceiver {
    explicit Exchange(Stream& stream) : stream(stream) {}
    void OnHeaders(HeaderMapPtr, bool end_stream) override {
      if (end_stream) Answer();
    }
    void OnData(Buffer&, bool end_stream) override {
      if (end_stream) Answer();
    }
    void OnTrailers(HeaderMapPtr) override { Answer(); }
    void OnReset(ResetCause, absl::string_view) override {}
    void OnWriteBlocked(bool) override {}
    void Answer() {
      HeaderMapPtr headers = HeaderMap::New();
      headers->set_status(200);
      headers->Add(HeaderId::kContentType, "text/plain");
      stream.SendHeaders(*headers, false);
      Buffer body("meltemi\n");
      stream.SendData(body, true);
    }
    Stream& stream;
  };
  std::map<Stream*, std::unique_ptr<Exchange>> exchanges_;
};

int Run() {
  SystemClock clock;
  std::unique_ptr<Loop> loop = NewEventLoop(clock);
  Answerer answerer;
  auto server =
      std::make_unique<TestServer>(*loop, net::Address::Loopback4(0), Protocol::kHttp2, answerer);
  if (!server->status().ok()) {
    fprintf(stderr, "cannot listen: %s\n", server->status().ToString().c_str());
    return 1;
  }
  printf("%d\n", server->address().port());
  fflush(stdout);
  auto input = loop->WatchFd(0, FdTrigger::kLevel, kFdReadable, [&](uint8_t) {
    if (getchar() == EOF) loop->Exit();
  });
  loop->Run();
  input.reset();
  server.reset();
  loop->RunOnce(Duration::zero());
  return 0;
}

}  // namespace
}  // namespace meltemi::http

int main() { return meltemi::http::Run(); }
