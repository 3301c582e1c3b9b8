// One cluster for all stories of the conformance list: every pod is there before the first story
// begins, and each story looks at its own.
//
// One thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "test/nodes/cluster.h"

namespace meltemi::conformance {

class Stories : public testing::Test {
 protected:
  static void SetUpTestSuite();
  static void TearDownTestSuite() { cluster().reset(); }
  void SetUp() override {
    if (cluster() == nullptr) GTEST_SKIP() << why_not();
  }

  static std::unique_ptr<nodes::Cluster>& cluster();
  static std::string& why_not();

  // Of manifests/, or websocket.py.
  static std::string File(const std::string& name);
  static std::string Does(const std::string& line, absl::string_view input = "") {
    return cluster()->Does(line, input);
  }
  static std::string Out(const std::string& line, absl::string_view input = "") {
    return cluster()->Out(line, input);
  }
  static bool Prints(const std::string& line, const std::string& expected, int seconds = 60) {
    std::string last;
    const bool same = cluster()->Prints(line, expected, std::chrono::seconds(seconds), &last);
    if (!same) ADD_FAILURE() << line << " prints\n" << last << "\ninstead of\n" << expected;
    return same;
  }
  // What all containers of a pod have said, each line after the container's name; waits for its
  // end.
  static std::string Said(const std::string& name_space, const std::string& pod);
  static std::string Log(const std::string& name_space, const std::string& pod,
                         const std::string& container);
  // kubectl get … -o jsonpath.
  static std::string Get(const std::string& what, const std::string& path) {
    return Out("kubectl get " + what + " -o jsonpath='" + path + "'");
  }
  // A shell line in a container of the pod network's client.
  static std::string Inside(const std::string& line, bool python = false);
  static std::string NodeIp();
};

}  // namespace meltemi::conformance
