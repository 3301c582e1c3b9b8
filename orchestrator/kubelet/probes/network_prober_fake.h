// Answers of a network that a test says: by "http HOST:PORT/PATH", "tcp HOST:PORT" or
// "grpc HOST:PORT/SERVICE". What nobody described refuses connections.
//
// Threads: one, the executor's.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/executor/executor.h"
#include "orchestrator/kubelet/probes/network_prober.h"

namespace meltemi::kubelet {

class NetworkProberFake final : public NetworkProber {
 public:
  struct Answer {
    ProbeVerdict verdict;
    Duration takes{0};  // longer than the probe's time-out: a failure
  };

  explicit NetworkProberFake(kube::Executor& executor) : executor_(executor) {}

  static ProbeVerdict Ok() { return {ProbeVerdict::Kind::kSuccess, "ok", 200}; }
  static ProbeVerdict Status(int code) {
    return {ProbeVerdict::Kind::kFailure, absl::StrCat("HTTP probe failed with statuscode: ", code),
            code};
  }

  std::map<std::string, Answer> answers;
  // What was asked for, in order; forgotten afterwards.
  std::vector<std::string> TakeCalls() { return std::exchange(calls_, {}); }
  HttpProbe last_http;

  void Http(const HttpProbe& probe, ProbeDone done) override {
    last_http = probe;
    Reply(absl::StrCat("http ", probe.host, ":", probe.port, probe.path), probe.timeout,
          std::move(done));
  }
  void Tcp(const TcpProbe& probe, ProbeDone done) override {
    Reply(absl::StrCat("tcp ", probe.host, ":", probe.port), probe.timeout, std::move(done));
  }
  void Grpc(const GrpcProbe& probe, ProbeDone done) override {
    Reply(absl::StrCat("grpc ", probe.host, ":", probe.port, "/", probe.service), probe.timeout,
          std::move(done));
  }

 private:
  void Reply(const std::string& call, Duration timeout, ProbeDone done) {
    calls_.push_back(call);
    const auto it = answers.find(call);
    Answer answer = it != answers.end()
                        ? it->second
                        : Answer{{ProbeVerdict::Kind::kFailure, "connect: connection refused"}, {}};
    if (answer.takes > timeout) answer = {{ProbeVerdict::Kind::kFailure, "i/o timeout"}, timeout};
    const size_t number = next_++;
    waiting_[number] = executor_.After(answer.takes, [this, number, done, answer] {
      const std::unique_ptr<kube::Delayed> self = std::move(waiting_[number]);
      waiting_.erase(number);
      done(answer.verdict);
    });
  }

  kube::Executor& executor_;
  std::vector<std::string> calls_;
  std::map<size_t, std::unique_ptr<kube::Delayed>> waiting_;
  size_t next_ = 0;
};

}  // namespace meltemi::kubelet
