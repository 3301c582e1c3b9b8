// A node between a client, pods and another node's pods, each a network namespace; servers that say
// who they are and whom they see; and what asks them.
//
//   client 192.168.50.2, .3 ── 192.168.50.1 node 10.244.0.1 ── pods 10.244.0.11 … .14
//                                            └── 192.168.60.2 far: pods 10.244.1.11, .12
//
// Threads: one, beside those of servers and loads, which end with their objects.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "test/machine/pods.h"

namespace meltemi::kubeproxy {

// Runs on a thread of its own inside the namespace, and waits for it.
void In(const machine::Namespace& network, const std::function<void()>& work);

class Network {
 public:
  // "" and the network, or why there is none: not root, a program is missing.
  static std::unique_ptr<Network> Make(std::string* why_not);

  const machine::Namespace& client() const { return *client_; }
  const machine::Namespace& node() const { return *node_; }
  const machine::Namespace& far() const { return *far_; }
  const machine::Namespace& pod(int i) const { return *pods_[static_cast<size_t>(i)]; }  // 0 … 3
  static std::string PodIp(int i);  // 10.244.0.11 …
  static std::string FarIp(int i);  // 10.244.1.11 …
  // What a command prints that runs on the node.
  std::string OnNode(const std::vector<std::string>& argv) const;

 private:
  Network() = default;
  absl::Status Build();
  absl::Status BuildFar();
  absl::Status BuildPods();

  std::unique_ptr<machine::Namespace> client_, node_, far_;
  std::vector<std::unique_ptr<machine::Namespace>> pods_;
};

// Answers on TCP and UDP with "NAME CLIENT-IP".
class Echo {
 public:
  Echo(const machine::Namespace& network, const std::string& name, const std::string& ip,
       uint16_t port);
  ~Echo();
  int answered() const { return answered_; }

 private:
  void Serve();

  const std::string name_;
  int tcp_ = -1, udp_ = -1, stop_ = -1;
  std::atomic<int> answered_{0};
  std::thread thread_;
};

struct Answer {
  int error = 0;  // errno: ECONNREFUSED, ETIMEDOUT …
  std::string server, client_ip;
  std::chrono::milliseconds took{0};
};

struct Asking {
  std::string from;        // an address of the namespace; "": any
  uint16_t from_port = 0;  // 0: any
  std::chrono::milliseconds timeout{2000};
};
Answer AskTcp(const machine::Namespace& network, const std::string& ip, uint16_t port,
              const Asking& asking = {});
Answer AskUdp(const machine::Namespace& network, const std::string& ip, uint16_t port,
              const Asking& asking = {});

// Connections one after the other on several threads, until it is stopped.
class ConstantLoad {
 public:
  ConstantLoad(const machine::Namespace& network, const std::string& ip, uint16_t port);
  ~ConstantLoad() { Stop(); }
  void Stop();
  int asked() const { return asked_; }
  int failed() const { return failed_; }
  int slow() const { return slow_; }  // 500 ms and more: a lost packet was sent again

 private:
  std::atomic<bool> stop_{false};
  std::atomic<int> asked_{0}, failed_{0}, slow_{0};
  std::vector<std::thread> threads_;
};

}  // namespace meltemi::kubeproxy
