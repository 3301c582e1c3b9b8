// Asks a DNS server as fast as it answers, or at a constant rate, and says what came back: one line
// of JSON. Names come from a file, one "NAME TYPE" per line, asked in random order.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/flags/flags.h"
#include "base/net/address.h"
#include "base/random/random.h"
#include "orchestrator/dns/wire/message.h"

namespace meltemi {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kBatch = 64;
constexpr size_t kIds = 65536;
constexpr std::chrono::milliseconds kLost(200);  // an answer later than that is none

struct Options {
  std::string to, names;
  uint32_t seconds = 5, window = 512, rate = 0;
};

struct Result {
  uint64_t asked = 0, answered = 0, positive = 0, denied = 0, failed = 0;
  std::vector<float> latencies_us;
};

class Load {
 public:
  Load(const Options& options, std::vector<std::string> messages)
      : options_(options), messages_(std::move(messages)) {
    const net::Address to = *net::Address::Parse(options.to);
    fd_ = socket(to.family(), SOCK_DGRAM, 0);
    const int bytes = 4 << 20;
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    if (connect(fd_, to.raw(), to.raw_length()) != 0) std::perror("connect");
    sent_at_.resize(kIds);
  }
  ~Load() { close(fd_); }

  Result Run() {
    const Clock::time_point began = Clock::now();
    const Clock::time_point until = began + std::chrono::seconds(options_.seconds);
    Clock::time_point heard = began;
    for (Clock::time_point now = began; now < until; now = Clock::now()) {
      const uint64_t due =
          options_.rate == 0
              ? result_.answered + lost_ + options_.window
              : static_cast<uint64_t>(std::chrono::duration<double>(now - began).count() *
                                      options_.rate);
      while (result_.asked < due) Send(std::min<uint64_t>(due - result_.asked, kBatch));
      if (Receive(options_.rate == 0)) {
        heard = Clock::now();
      } else if (now - heard > kLost) {
        lost_ = result_.asked - result_.answered;
        heard = now;
      }
    }
    while (Receive(false)) {
    }
    return std::move(result_);
  }

 private:
  void Send(size_t count) {
    std::array<std::string, kBatch> bytes;
    std::array<iovec, kBatch> pieces;
    std::array<mmsghdr, kBatch> heads{};
    const Clock::time_point now = Clock::now();
    for (size_t i = 0; i < count; ++i) {
      bytes[i] = messages_[random_.Below(messages_.size())];
      const auto id = static_cast<uint16_t>(next_id_++);
      bytes[i][0] = static_cast<char>(id >> 8);
      bytes[i][1] = static_cast<char>(id);
      sent_at_[id] = now;
      pieces[i] = {bytes[i].data(), bytes[i].size()};
      heads[i].msg_hdr.msg_iov = &pieces[i];
      heads[i].msg_hdr.msg_iovlen = 1;
    }
    const int sent = sendmmsg(fd_, heads.data(), static_cast<unsigned>(count), 0);
    result_.asked += static_cast<uint64_t>(std::max(sent, 1));
  }

  bool Receive(bool wait) {
    std::array<mmsghdr, kBatch> heads{};
    std::array<iovec, kBatch> pieces;
    for (size_t i = 0; i < kBatch; ++i) {
      pieces[i] = {answers_[i].data(), answers_[i].size()};
      heads[i].msg_hdr.msg_iov = &pieces[i];
      heads[i].msg_hdr.msg_iovlen = 1;
    }
    timespec bound = {0, 1'000'000};
    const int count = recvmmsg(fd_, heads.data(), kBatch, wait ? MSG_WAITFORONE : MSG_DONTWAIT,
                               wait ? &bound : nullptr);
    const Clock::time_point now = Clock::now();
    for (int i = 0; i < count; ++i) {
      const auto& answer = answers_[static_cast<size_t>(i)];
      const size_t id = static_cast<size_t>(static_cast<uint8_t>(answer[0])) << 8 |
                        static_cast<uint8_t>(answer[1]);
      const int rcode = answer[3] & 0x0F;
      const bool has_answers = answer[6] != 0 || answer[7] != 0;
      ++result_.answered;
      ++(rcode == dns::kNxDomain                 ? result_.denied
         : rcode == dns::kNoError && has_answers ? result_.positive
                                                 : result_.failed);
      if (options_.rate != 0) {
        result_.latencies_us.push_back(
            std::chrono::duration<float, std::micro>(now - sent_at_[id]).count());
      }
    }
    return count > 0;
  }

  const Options options_;
  const std::vector<std::string> messages_;
  FastRandom random_{1};
  int fd_ = -1;
  uint64_t next_id_ = 0, lost_ = 0;
  std::vector<Clock::time_point> sent_at_;
  std::array<std::array<char, 4096>, kBatch> answers_;
  Result result_;
};

std::vector<std::string> ReadNames(const std::string& path) {
  std::vector<std::string> messages;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    uint32_t type = dns::kTypeA;
    if (words.size() > 1) (void)absl::SimpleAtoi(words[1], &type);
    messages.push_back(dns::WriteQuery(0, dns::NameFromText(words[0]), static_cast<uint16_t>(type),
                                       dns::kClassIn, dns::kFlagRecursionDesired, true, false));
  }
  return messages;
}

float Percentile(std::vector<float>& values, double share) {
  if (values.empty()) return 0;
  const size_t at = std::min(values.size() - 1, static_cast<size_t>(share * values.size()));
  std::nth_element(values.begin(), values.begin() + static_cast<long>(at), values.end());
  return values[at];
}

int Main(int argc, char** argv) {
  Options options;
  Flags flags("load --to IP:PORT --names FILE [OPTIONS]");
  flags.Text("to", {}, &options.to, "IP:PORT", "the server");
  flags.Text("names", {}, &options.names, "FILE", "NAME TYPENUMBER per line");
  flags.Number("seconds", {}, &options.seconds, 1, 600, "how long");
  flags.Number("window", {}, &options.window, 1, 10'000, "questions under way");
  flags.Number("rate", {}, &options.rate, 0, 10'000'000, "questions per second; 0: by the window");
  if (!flags.Parse({argv + 1, argv + argc}).ok()) return 2;
  const std::vector<std::string> messages = ReadNames(options.names);
  if (messages.empty()) return 2;
  Result result = Load(options, messages).Run();
  std::printf(
      "{\"asked\":%lu,\"answered\":%lu,\"positive\":%lu,\"denied\":%lu,\"failed\":%lu,"
      "\"per_second\":%.0f,\"p50_us\":%.0f,\"p99_us\":%.0f}\n",
      result.asked, result.answered, result.positive, result.denied, result.failed,
      static_cast<double>(result.answered) / options.seconds,
      static_cast<double>(Percentile(result.latencies_us, 0.5)),
      static_cast<double>(Percentile(result.latencies_us, 0.99)));
  return 0;
}

}  // namespace
}  // namespace meltemi

int main(int argc, char** argv) { return meltemi::Main(argc, argv); }
