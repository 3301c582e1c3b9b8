// Load on a URL from inside a pod, by wrk: how many requests, and how many of them failed.
#pragma once

#include <chrono>
#include <string>

#include "test/machine/pods.h"

namespace meltemi::machine {

struct LoadResult {
  int64_t requests = 0;
  int64_t non_2xx = 0;
  int64_t socket_errors = 0;  // connect, read, write, time-out
  double requests_per_s = 0;
  std::string output;
  int64_t failed() const { return non_2xx + socket_errors; }
  std::string Text() const;
};

// Parses what wrk printed.
LoadResult ParseWrk(const std::string& output);

// Load that goes on until it is stopped (bounded: five minutes).
class Load {
 public:
  static Load Start(Pod& pod, const std::string& url, int connections);
  LoadResult Stop();

 private:
  explicit Load(Process process) : process_(std::move(process)) {}
  Process process_;
};

}  // namespace meltemi::machine
