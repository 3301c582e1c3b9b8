// The fixture of all stories with kubectl: a server for each file of them, a namespace for each
// story.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/kubectl/cluster.h"

namespace meltemi::kubectl {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

class Stories : public ::testing::TestWithParam<size_t> {
 protected:
  static void SetUpTestSuite() { cluster() = std::make_unique<Cluster>(); }
  static void TearDownTestSuite() { cluster().reset(); }
  void SetUp() override {
    program_ = programs()[GetParam()];
    if (!program_.why_not.empty()) GTEST_SKIP() << program_.why_not;
    ns_ = absl::AsciiStrToLower(
        absl::StrCat(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    ns_ = absl::StrReplaceAll(ns_, {{"/", "-"}, {"_", "-"}});
    EXPECT_EQ(Run("kubectl create namespace " + ns_).exit_status, 0);
    EXPECT_EQ(Run("kubectl config set-context --current --namespace=" + ns_).exit_status, 0);
  }

  Answer Run(const std::string& line, absl::string_view input = "") const {
    return cluster()->Shell(program_.path, line, input);
  }
  // What is printed, without white space at the ends.
  std::string Out(const std::string& line, absl::string_view input = "") const {
    const Answer answer = Run(line, input);
    return std::string(absl::StripAsciiWhitespace(answer.output));
  }
  // From before 1.24: as Debian 12 has it.
  bool older() const { return !absl::StrContains(Out("kubectl create --help"), "  token "); }

  static std::unique_ptr<Cluster>& cluster() {
    static auto& cluster = *new std::unique_ptr<Cluster>();
    return cluster;
  }
  static const std::vector<Program>& programs() {
    static const auto& programs = *new std::vector<Program>(Programs());
    return programs;
  }

  Program program_;
  std::string ns_;
};

inline std::string ProgramName(const ::testing::TestParamInfo<size_t>& info) {
  return info.param == 0 ? "Installed" : "Debian";
}

inline constexpr char kWeb[] = R"(apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1.25
        ports: [{containerPort: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
)";

}  // namespace meltemi::kubectl
