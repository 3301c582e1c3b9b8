#include "proxy/app/commands.h"

#include <cstdint>
#include <cstdio>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/clock/clock.h"
#include "base/flags/flags.h"
#include "base/http/client/http_call.h"
#include "base/net/address.h"

namespace meltemi::proxy {
namespace {

constexpr Duration kBetweenQuestions = milliseconds(50);

struct Wishes {
  uint32_t port = 0;
  Duration timeout = seconds(60);
};

int Fail(const std::string& name, absl::string_view why) {
  std::fprintf(stderr, "meltemi-proxy %s: %s\n", name.c_str(), std::string(why).c_str());
  return 1;
}

absl::StatusOr<http::CallResponse> Ask(const Wishes& wishes, const char* method, const char* path) {
  http::CallRequest request;
  request.method = method;
  request.path = path;
  request.timeout = seconds(1);
  return http::CallAndWait(net::Address::Loopback4(static_cast<uint16_t>(wishes.port)), request);
}

// Readiness is asked for, as the kubelet does it: nobody tells us.
int Wait(const Wishes& wishes) {
  const SystemClock clock;
  const MonotonicTime end = clock.Now() + wishes.timeout;
  std::string last;
  for (;;) {
    const absl::StatusOr<http::CallResponse> response = Ask(wishes, "GET", "/healthz/ready");
    if (response.ok() && response->status == 200) return 0;
    last = response.ok() ? absl::StrCat("status ", response->status)
                         : std::string(response.status().message());
    if (clock.Now() >= end) break;
    std::this_thread::sleep_for(kBetweenQuestions);
  }
  return Fail("wait", absl::StrCat("the proxy is not ready: ", last));
}

int Drain(const Wishes& wishes) {
  const absl::StatusOr<http::CallResponse> response = Ask(wishes, "POST", "/drain");
  if (!response.ok()) return Fail("drain", response.status().message());
  if (response->status == 200) return 0;
  return Fail("drain", absl::StrCat("status ", response->status, ": ", response->body));
}

}  // namespace

bool IsPodCommand(const std::string& name) { return name == "wait" || name == "drain"; }

int RunPodCommand(const std::vector<std::string>& args) {
  const std::string name = args[0];
  Wishes wishes;
  wishes.port = name == "wait" ? 15021 : 15020;
  Flags flags(absl::StrCat("meltemi-proxy ", name, " [options]"));
  flags.Number("port", {}, &wishes.port, 1, 65535, "of the proxy in this pod");
  if (name == "wait") flags.Time("timeout", {}, &wishes.timeout, "how long at most");
  const absl::Status status = flags.Parse({args.begin() + 1, args.end()});
  if (!status.ok()) return Fail(name, status.message()), 2;
  if (flags.help_wanted()) {
    std::fputs(flags.Help().c_str(), stdout);
    return 0;
  }
  return name == "wait" ? Wait(wishes) : Drain(wishes);
}

}  // namespace meltemi::proxy
