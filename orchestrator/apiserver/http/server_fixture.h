// What tests of the server have in common: certificates, a gate for handlers, a started server.
#pragma once

#include <condition_variable>
#include <ctime>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "base/tls/certificate.h"
#include "gtest/gtest.h"
#include "orchestrator/apiserver/http/handler_fake.h"
#include "orchestrator/apiserver/http/server.h"
#include "orchestrator/apiserver/http/test_client.h"

namespace meltemi::apiserver {

inline tls::KeyPair NewPair(const std::string& name, const tls::KeyPair& issuer, bool is_ca) {
  tls::CertificateRequest request;
  request.common_name = name;
  request.organizations = {"testers"};
  request.is_ca = is_ca;
  if (!is_ca) request.dns_names = {name};
  request.server_auth = request.client_auth = !is_ca;
  request.not_before_s = std::time(nullptr) - 60;
  request.not_after_s = std::time(nullptr) + 3600;
  return *tls::NewCertificate(request, issuer);
}

// Holds handlers until it is opened.
class Gate {
 public:
  void Open() {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    ++waiting_;
    changed_.wait_for(lock, seconds(10), [this] { return open_; });
    --waiting_;
  }
  int waiting() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return waiting_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int waiting_ = 0;
};

// The parameter of the test: whether its clients speak HTTP/2.
class ServerTest : public testing::TestWithParam<bool> {
 protected:
  ServerTest() : ca_(NewPair("test-ca", tls::KeyPair(), true)) {
    options_.address = net::Address::Loopback4(0);
    options_.tls.identity = NewPair("server.test", ca_, false);
    options_.tls.alpn = {"h2", "http/1.1"};
    options_.tls.peer = tls::PeerCertificate::kOptional;
    options_.tls.client_ca_pem = ca_.certificate_chain_pem;
  }
  ~ServerTest() override {
    gate_.Open();
    client_.reset();
    if (server_ != nullptr) server_->Stop(seconds(5));
  }

  bool http2() const { return GetParam(); }
  void Start() {
    auto server = StartServer(options_, clock_, handler_, hub_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = NewClient();
  }
  std::unique_ptr<TestClient> NewClient(std::optional<tls::KeyPair> identity = std::nullopt) {
    tls::ClientOptions options;
    options.alpn = {http2() ? "h2" : "http/1.1"};
    options.ca_pem = ca_.certificate_chain_pem;
    options.server_name = "server.test";
    options.identity = std::move(identity);
    auto context = tls::NewClientContext(options);
    EXPECT_TRUE(context.ok()) << context.status();
    return std::make_unique<TestClient>(clock_, server_->address(), http2(), *context);
  }
  // Every GET becomes a watch.
  void AnswerWithWatches(Duration timeout = minutes(5)) {
    handler_.on_request = [timeout](Request&) {
      WatchAnswer watch;
      watch.timeout = timeout;
      return watch;
    };
  }

  SystemClock clock_;
  const tls::KeyPair ca_;
  ServerOptions options_;
  FakeHandler handler_;
  FakeHub hub_;
  Gate gate_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<TestClient> client_;
};

}  // namespace meltemi::apiserver
