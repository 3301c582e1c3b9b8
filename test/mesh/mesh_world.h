// What the stories of the mesh in a cluster share: a cluster for each test program, with flaskapp
// v1 and v2, httpbin and sleep in it, questions asked from pods, and load during which nothing may
// fail.
//
// One thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "absl/strings/string_view.h"
#include "test/nodes/cluster.h"
#include "test/scenarios/world.h"

namespace meltemi::mesh {

inline constexpr char kUrl[] = "http://flaskapp/env/version";
inline constexpr char kStrict[] =
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default}\n"
    "spec: {mtls: {mode: STRICT}}\n";

class MeshTest : public testing::Test {
 protected:
  // `options.mesh` is set; the first test of the program brings the cluster up.
  explicit MeshTest(nodes::ClusterOptions options = {.mesh = true,
                                                     .images = {"flaskapp", "httpbin", "sleep"}})
      : options_(std::move(options)) {}
  static void TearDownTestSuite();
  void SetUp() override;

  static std::unique_ptr<nodes::Cluster>& cluster();
  static std::unique_ptr<scenarios::World>& world();

  static std::string Does(const std::string& line, absl::string_view input = "") {
    return cluster()->Does(line, input);
  }
  // "pilot" or "apiserver", at once.
  static void Kill(const std::string& part);
  // Whatever was killed runs again.
  static void UpAgain();
  // The status that a request from a pod gets; "000": no answer.
  static std::string Status(const std::string& pod, const std::string& url);
  static bool Becomes(const std::string& pod, const std::string& url, const std::string& status);
  // Load from sleep on flaskapp while `change` happens: nothing of it fails.
  static void UnderLoad(const char* what, const std::function<void()>& change, int connections = 4);
  // Of the first pod with the label.
  static std::string PodIp(const std::string& selector, const std::string& ns = "default");
  // Of the statistics of the proxy there: the sum of those whose names end in `name`.
  static int64_t Stat(const std::string& ip, const std::string& name);

 private:
  const nodes::ClusterOptions options_;
};

}  // namespace meltemi::mesh
