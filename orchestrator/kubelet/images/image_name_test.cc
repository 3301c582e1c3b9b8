#include "orchestrator/kubelet/images/image_name.h"

#include "gtest/gtest.h"

namespace meltemi::kubelet {
namespace {

std::string Full(absl::string_view text) {
  std::string error;
  const auto name = ParseImageName(text, &error);
  return name ? name->full() : error;
}

const char kDigest[] = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

TEST(ImageName, ShortNamesAreDockerHubs) {
  EXPECT_EQ(Full("nginx"), "docker.io/library/nginx:latest");
  EXPECT_EQ(Full("nginx:1.25"), "docker.io/library/nginx:1.25");
  EXPECT_EQ(Full("team/app"), "docker.io/team/app:latest");
  EXPECT_EQ(Full("docker.io/busybox"), "docker.io/library/busybox:latest");
  EXPECT_EQ(Full("index.docker.io/library/busybox"), "docker.io/library/busybox:latest");
}

TEST(ImageName, RegistriesHavePortsAndManyFolders) {
  EXPECT_EQ(Full("localhost/app"), "localhost/app:latest");
  EXPECT_EQ(Full("localhost:5000/a/b/c:v1"), "localhost:5000/a/b/c:v1");
  EXPECT_EQ(Full("ghcr.io/x/y_z.a-b--c"), "ghcr.io/x/y_z.a-b--c:latest");
  EXPECT_EQ(Full("[::1]:5000/app"), "[::1]:5000/app:latest");
}

TEST(ImageName, ADigestNeedsNoTag) {
  EXPECT_EQ(Full(std::string("app") + kDigest), std::string("docker.io/library/app") + kDigest);
  EXPECT_EQ(Full(std::string("app:v1") + kDigest),
            std::string("docker.io/library/app:v1") + kDigest);
}

TEST(ImageName, WhatIsNoNameSaysWhy) {
  const std::string bad = "invalid reference format";
  for (const char* text : {"", "nginx:", ":v1", "a//b", "-nginx", "nginx@sha256:12", "ngin x",
                           "nginx:-v1", "a..b", "a___b", "host.io:x/app", "host.io/"}) {
    EXPECT_EQ(Full(text), bad) << text;
  }
  EXPECT_EQ(Full("Nginx"), bad + ": repository name (library/Nginx) must be lowercase");
  EXPECT_EQ(Full(std::string(64, 'a')), "invalid repository name (" + std::string(64, 'a') +
                                            "), cannot specify 64-byte hexadecimal strings");
  EXPECT_EQ(Full("ghcr.io/" + std::string(250, 'a')),
            "repository name must not be more than 255 characters");
}

}  // namespace
}  // namespace meltemi::kubelet
