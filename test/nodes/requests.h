// Requests at a constant rate from outside of the cluster, each on a connection of its own, as
// users' browsers come: how many failed, and how.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace meltemi::nodes {

struct RequestReport {
  int64_t requests = 0;
  std::vector<std::string> failures;            // "12.3 s: connect: Connection refused"
  std::map<std::string, int64_t> server_names;  // of the header Server
  std::vector<std::chrono::microseconds> latencies;
  std::chrono::microseconds Percentile(double part) const;
  std::string Text() const;
};

// One request: an answer with status 200 within the time-out, or why not.
struct Answered {
  std::string failure;  // "": none
  std::string server, body;
};
Answered Ask(const std::string& ip, int port, const std::string& path,
             std::chrono::milliseconds timeout = std::chrono::seconds(5));

class Requests {
 public:
  // `workers` threads share the rate.
  Requests(std::string ip, int port, double per_second, int workers = 1);
  ~Requests();
  Requests(const Requests&) = delete;
  Requests& operator=(const Requests&) = delete;
  RequestReport Stop();
  int64_t sent() const { return sent_; }

 private:
  void Work(double per_second, RequestReport* report) const;

  const std::string ip_;
  const int port_;
  const std::chrono::steady_clock::time_point began_;
  int stop_fd_ = -1;
  mutable std::atomic<int64_t> sent_{0};
  std::vector<RequestReport> reports_;
  std::vector<std::thread> threads_;
};

}  // namespace meltemi::nodes
