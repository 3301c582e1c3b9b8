#include "test/nodes/requests.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

namespace meltemi::nodes {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Deadline = steady_clock::time_point;

constexpr size_t kFailuresKept = 20;

bool WaitUntil(int fd, short events, Deadline deadline) {
  const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
  pollfd one{fd, events, 0};
  return poll(&one, 1, static_cast<int>(std::max<int64_t>(left.count(), 0))) > 0;
}

std::string Error(absl::string_view what, int number) {
  return absl::StrCat(what, ": ", std::strerror(number));
}

std::string Connect(int fd, const std::string& ip, int port, Deadline deadline) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  if (inet_pton(AF_INET, ip.c_str(), &to.sin_addr) != 1) return "no address: " + ip;
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0) return "";
  if (errno != EINPROGRESS) return Error("connect", errno);
  if (!WaitUntil(fd, POLLOUT, deadline)) return "connect: timed out";
  int error = 0;
  socklen_t length = sizeof(error);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  return error == 0 ? "" : Error("connect", error);
}

std::string ReadAll(int fd, Deadline deadline, std::string* out) {
  std::array<char, 16384> buffer{};
  while (true) {
    if (!WaitUntil(fd, POLLIN, deadline)) return "read: timed out";
    const ssize_t n = read(fd, buffer.data(), buffer.size());
    if (n < 0) return Error("read", errno);
    if (n == 0) return "";
    out->append(buffer.data(), static_cast<size_t>(n));
  }
}

std::string HeaderOf(absl::string_view head, absl::string_view name) {
  const size_t at = head.find(absl::StrCat("\r\n", name, ": "));
  if (at == absl::string_view::npos) return "";
  const size_t begin = at + name.size() + 4;
  return std::string(head.substr(begin, head.find("\r\n", begin) - begin));
}

}  // namespace

Answered Ask(const std::string& ip, int port, const std::string& path, milliseconds timeout) {
  const Deadline deadline = steady_clock::now() + timeout;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  Answered out;
  out.failure = Connect(fd, ip, port, deadline);
  const std::string request =
      absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
  if (out.failure.empty() && send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) {
    out.failure = Error("send", errno);
  }
  std::string text;
  if (out.failure.empty()) out.failure = ReadAll(fd, deadline, &text);
  close(fd);
  if (!out.failure.empty()) return out;
  const size_t head = text.find("\r\n\r\n");
  if (head == std::string::npos || !absl::StrContains(text.substr(0, 16), " 200 ")) {
    out.failure = absl::StrCat("answered '", text.substr(0, text.find("\r\n")), "'");
    return out;
  }
  out.server = HeaderOf(text, "Server");
  out.body = text.substr(head + 4);
  return out;
}

std::chrono::microseconds RequestReport::Percentile(double part) const {
  if (latencies.empty()) return {};
  std::vector<std::chrono::microseconds> sorted = latencies;
  std::sort(sorted.begin(), sorted.end());
  return sorted[std::min(sorted.size() - 1, static_cast<size_t>(part * sorted.size()))];
}

std::string RequestReport::Text() const {
  return absl::StrCat(requests, " requests, ", failures.size(), " failed ",
                      absl::StrJoin(failures, "; "), " p50 ", Percentile(0.5).count(), " us, p99 ",
                      Percentile(0.99).count(), " us");
}

Requests::Requests(std::string ip, int port, double per_second, int workers)
    : ip_(std::move(ip)), port_(port), began_(steady_clock::now()) {
  stop_fd_ = eventfd(0, EFD_CLOEXEC);
  reports_.resize(static_cast<size_t>(workers));
  for (RequestReport& report : reports_) {
    threads_.emplace_back([this, rate = per_second / workers, &report] { Work(rate, &report); });
  }
}

Requests::~Requests() {
  Stop();
  close(stop_fd_);
}

void Requests::Work(double per_second, RequestReport* report) const {
  const std::chrono::duration<double> step(1 / per_second);
  for (int64_t i = 0;; ++i) {
    // The time of each is fixed beforehand: a slow answer delays no count.
    const auto due = began_ + std::chrono::duration_cast<steady_clock::duration>(step * i);
    if (WaitUntil(stop_fd_, POLLIN, due)) return;
    const auto begin = steady_clock::now();
    const Answered answered = Ask(ip_, port_, "/");
    const auto end = steady_clock::now();
    ++sent_;
    ++report->requests;
    report->latencies.push_back(std::chrono::duration_cast<std::chrono::microseconds>(end - begin));
    if (answered.failure.empty()) {
      ++report->server_names[answered.server];
    } else if (report->failures.size() < kFailuresKept) {
      const std::chrono::duration<double> at = begin - began_;
      report->failures.push_back(absl::StrFormat("%.2f s: %s", at.count(), answered.failure));
    }
  }
}

RequestReport Requests::Stop() {
  const uint64_t one = 1;
  if (write(stop_fd_, &one, sizeof(one)) < 0) return {};
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  RequestReport all;
  for (RequestReport& part : reports_) {
    all.requests += part.requests;
    all.failures.insert(all.failures.end(), part.failures.begin(), part.failures.end());
    all.latencies.insert(all.latencies.end(), part.latencies.begin(), part.latencies.end());
    for (const auto& [name, count] : part.server_names) all.server_names[name] += count;
  }
  return all;
}

}  // namespace meltemi::nodes
