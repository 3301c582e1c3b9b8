#include "test/kubectl/cluster.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace meltemi::kubectl {
namespace {

constexpr std::chrono::seconds kTimeout(60);

std::string Real(const char* path) {
  char* const real = realpath(path, nullptr);
  const std::string out = real == nullptr ? path : real;
  std::free(real);
  return out;
}

}  // namespace

Cluster::Cluster() : folder_(absl::StrCat(testing::TempDir(), "/cluster-XXXXXX")) {
  EXPECT_NE(mkdtemp(folder_.data()), nullptr);
  const Answer up = Meltemi({"up", "--control-plane-only", "--port=0"});
  EXPECT_EQ(up.exit_status, 0) << up.output;
}

Cluster::~Cluster() { Meltemi({"down"}); }

Answer Cluster::Meltemi(std::vector<std::string> words) const {
  machine::ProcessOptions options;
  options.argv = {Real("cli/meltemi")};
  options.argv.insert(options.argv.end(), words.begin(), words.end());
  options.argv.push_back(absl::StrCat("--data-dir=", folder_));
  machine::Finished done = machine::RunToEnd(options, kTimeout);
  return {done.exit_status, std::move(done.output)};
}

Answer Cluster::Shell(const std::string& kubectl, const std::string& line,
                      absl::string_view input) const {
  machine::ProcessOptions options;
  const std::string stdin_file = Write("stdin", input);
  options.argv = {"bash", "-c",
                  absl::StrCat("set -o pipefail; cd ", folder_, "; kubectl() { ", kubectl,
                               " \"$@\"; }; ", line, " < ", stdin_file)};
  options.env = {absl::StrCat("KUBECONFIG=", folder_, "/admin.kubeconfig"),
                 absl::StrCat("HOME=", folder_), absl::StrCat("KUBECACHEDIR=", folder_, "/cache")};
  machine::Finished done = machine::RunToEnd(options, kTimeout);
  return {done.exit_status, std::move(done.output)};
}

std::string Cluster::Write(const std::string& name, absl::string_view text) const {
  const std::string path = absl::StrCat(folder_, "/", name);
  machine::WriteFile(path, text);
  return path;
}

std::vector<Program> Programs() {
  machine::ProcessOptions fetch;
  fetch.argv = {Real("test/interop/peers/fetch.sh"), "kubectl-debian"};
  const machine::Finished debian = machine::RunToEnd(fetch, std::chrono::seconds(120));
  const std::string said(absl::StripAsciiWhitespace(debian.output));
  return {{"Installed", "command kubectl", ""},
          debian.exit_status == 0 ? Program{"Debian", said, ""} : Program{"Debian", "", said}};
}

}  // namespace meltemi::kubectl
