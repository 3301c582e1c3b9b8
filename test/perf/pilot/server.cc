#include "test/perf/pilot/server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/clock/clock.h"
#include "base/log/log.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "pilot/app/options.h"
#include "pilot/app/pilot.h"
#include "pilot/ingest/decode/manifests.h"
#include "pilot/ingest/source.h"
#include "pilot/validate/validate.h"

namespace meltemi::bench {
namespace {

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

// Manifests on standard input, each text behind its length (four bytes).
class PipeSource final : public pilot::ConfigSource {
 public:
  PipeSource(Loop* loop, OnChange on_change, Loop::Callback on_end)
      : loop_(loop), on_change_(std::move(on_change)), on_end_(std::move(on_end)) {}

  absl::Status Start() override {
    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
    watch_ =
        loop_->WatchFd(STDIN_FILENO, FdTrigger::kLevel, kFdReadable, [this](uint8_t) { Read(); });
    return absl::OkStatus();
  }
  void Refresh() override {}
  std::vector<pilot::ObjectPtr> Objects() const override {
    std::vector<pilot::ObjectPtr> all;
    all.reserve(objects_.size());
    for (const auto& [key, object] : objects_) all.push_back(object);
    return all;
  }
  std::vector<pilot::Diagnostic> Diagnostics() const override { return {}; }

 private:
  void Read() {
    char bytes[65536];
    const ssize_t got = read(STDIN_FILENO, bytes, sizeof bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return on_end_();
    pending_.append(bytes, static_cast<size_t>(got));
    uint32_t size = 0;
    while (pending_.size() >= sizeof size) {
      std::memcpy(&size, pending_.data(), sizeof size);
      if (pending_.size() < sizeof size + size) return;
      Take(absl::string_view(pending_).substr(sizeof size, size));
      pending_.erase(0, sizeof size + size);
    }
  }
  void Take(absl::string_view text) {
    pilot::Manifests manifests = pilot::DecodeManifests(text, "bench.yaml");
    for (const auto& diagnostic : manifests.diagnostics) {
      if (diagnostic.severity == pilot::Severity::kError) Die(diagnostic.ToString());
    }
    pilot::Changes changes;
    for (pilot::ObjectPtr& object : manifests.objects) {
      for (const auto& diagnostic : pilot::Validate(*object)) {
        if (diagnostic.severity == pilot::Severity::kError) Die(diagnostic.ToString());
      }
      objects_[object->Key()] = object;
      changes.updated.push_back(std::move(object));
    }
    on_change_(changes);
  }

  Loop* const loop_;
  OnChange on_change_;
  Loop::Callback on_end_;
  std::unique_ptr<FdWatch> watch_;
  std::string pending_;
  std::map<pilot::ObjectKey, pilot::ObjectPtr> objects_;
};

}  // namespace

int ServePilot() {
  SystemClock clock;
  const std::unique_ptr<Loop> loop = NewEventLoop(clock);
  metrics::Registry registry;
  log::SetLevel("*", "warn");
  pilot::Options options;
  options.xds_address = "127.0.0.1:0";
  options.http_address = "127.0.0.1:0";
  pilot::Pilot pilot(loop.get(), &registry, std::move(options));
  const absl::Status status = pilot.Start([&](pilot::ConfigSource::OnChange on_change) {
    return std::make_unique<PipeSource>(loop.get(), std::move(on_change), [&] { loop->Exit(); });
  });
  if (!status.ok()) Die(std::string(status.message()));
  std::printf("%d %d\n", pilot.xds_port(), pilot.http_port());
  std::fflush(stdout);
  loop->Run();
  // Everything goes with the process: taking down thousands of streams in order is not measured.
  std::_Exit(0);
}

PilotProcess::PilotProcess(const std::string& program) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) Die("pipe");
  pid_ = fork();
  if (pid_ == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    execl(program.c_str(), program.c_str(), "--serve", nullptr);
    std::_Exit(127);
  }
  close(in[0]);
  close(out[1]);
  to_child_ = in[1];
  FILE* const from_child = fdopen(out[0], "r");
  int port = 0, debug_port = 0;
  if (std::fscanf(from_child, "%d %d", &port, &debug_port) != 2) Die("pilot did not start");
  port_ = static_cast<uint16_t>(port);
  debug_port_ = static_cast<uint16_t>(debug_port);
  std::fclose(from_child);
}

PilotProcess::~PilotProcess() {
  close(to_child_);
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
}

void PilotProcess::Apply(absl::string_view manifests) {
  const auto size = static_cast<uint32_t>(manifests.size());
  std::string frame(reinterpret_cast<const char*>(&size), sizeof size);
  frame.append(manifests.data(), manifests.size());
  for (size_t done = 0; done < frame.size();) {
    const ssize_t wrote = write(to_child_, frame.data() + done, frame.size() - done);
    if (wrote <= 0) Die("pilot is gone");
    done += static_cast<size_t>(wrote);
  }
}

double PilotProcess::CpuSeconds() const {
  std::ifstream in(absl::StrCat("/proc/", pid_, "/stat"));
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  // Behind the program's name in brackets; user and system time are the 12th and 13th from there.
  const std::vector<std::string> words =
      absl::StrSplit(text.substr(text.rfind(')') + 1), ' ', absl::SkipEmpty());
  int64_t user = 0, system = 0;
  if (words.size() < 13 || !absl::SimpleAtoi(words[11], &user) ||
      !absl::SimpleAtoi(words[12], &system)) {
    return 0;
  }
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

int64_t PilotProcess::StatusKb(absl::string_view name) const {
  std::ifstream in(absl::StrCat("/proc/", pid_, "/status"));
  for (std::string line; std::getline(in, line);) {
    if (!absl::StartsWith(line, name)) continue;
    int64_t kb = 0;
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.size() > 1 && absl::SimpleAtoi(words[1], &kb)) return kb;
  }
  return 0;
}

void PilotProcess::ForgetPeak() const {
  std::ofstream(absl::StrCat("/proc/", pid_, "/clear_refs")) << "5";
}

}  // namespace meltemi::bench
