// Images from folders, programs and packages; what is refused, and that bytes are the same twice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "cli/images/archive.h"
#include "cli/images/build.h"
#include "cli/images/elf.h"
#include "cli/images/image_name.h"
#include "cli/images/load.h"
#include "cli/images/mesh_images.h"
#include "cli/images/packages.h"
#include "cli/images/tar.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string Slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

struct Member {
  TarEntry entry;
  std::string bytes;
};

// By name; long names through their ustar prefix or pax records.
std::map<std::string, Member> Untar(absl::string_view tar) {
  std::map<std::string, Member> members;
  std::string pax_path;
  TarEntry entry;
  while (ReadTarHeader(tar, &entry)) {
    std::string name = entry.name;
    const absl::string_view prefix = tar.substr(345, 155);
    if (prefix[0] != '\0') name = absl::StrCat(prefix.substr(0, prefix.find('\0')), "/", name);
    const absl::string_view link = tar.substr(157, 100);
    entry.link = std::string(link.substr(0, link.find('\0')));
    entry.mode = static_cast<uint32_t>(std::stoul(std::string(tar.substr(100, 7)), nullptr, 8));
    tar.remove_prefix(kTarBlockBytes);
    Member member = {entry, std::string(tar.substr(0, entry.size_bytes))};
    tar.remove_prefix(entry.size_bytes + TarPadding(entry.size_bytes).size());
    if (entry.type == 'x') {
      const size_t at = member.bytes.find(" path=");
      if (at != std::string::npos) {
        pax_path = member.bytes.substr(at + 6, member.bytes.find('\n', at) - at - 6);
      }
      continue;
    }
    if (!pax_path.empty()) name = std::exchange(pax_path, "");
    members[name] = std::move(member);
  }
  return members;
}

class ImagesTest : public testing::Test {
 protected:
  ImagesTest() : folder_(fs::path(testing::TempDir()) / absl::StrCat("images", getpid())) {
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "root");
  }
  ~ImagesTest() override { fs::remove_all(folder_); }

  void Put(const std::string& name, const std::string& text) {
    fs::create_directories((folder_ / "root" / name).parent_path());
    std::ofstream(folder_ / "root" / name) << text;
  }
  BuildRequest Request() const {
    BuildRequest request;
    request.folders = {(folder_ / "root").string()};
    request.settings.tags = {"web:1"};
    request.output = (folder_ / "out.tar").string();
    return request;
  }
  std::map<std::string, Member> Built(const BuildRequest& request) {
    std::string file;
    image_ = BuildImage(request, &file);
    EXPECT_TRUE(image_.ok()) << image_.status();
    return Untar(Slurp(request.output));
  }
  static json::Value Json(const std::map<std::string, Member>& archive, const std::string& name) {
    return *json::Parse(archive.at(name).bytes);
  }
  static const Member& BlobOf(const std::map<std::string, Member>& archive,
                              const json::Value& descriptor) {
    return archive.at("blobs/sha256/" + std::string(descriptor.FindString("digest")).substr(7));
  }
  // The root file system that the archive's layer holds.
  static std::map<std::string, Member> LayerOf(const std::map<std::string, Member>& archive) {
    const json::Value index = Json(archive, "index.json");
    const json::Value manifest =
        *json::Parse(BlobOf(archive, index.Find("manifests")->items()[0]).bytes);
    return Untar(BlobOf(archive, manifest.Find("layers")->items()[0]).bytes);
  }
  std::string Refusal(const BuildRequest& request) {
    std::string file;
    const auto image = BuildImage(request, &file);
    EXPECT_FALSE(fs::exists(request.output));
    return std::string(image.status().message());
  }

  const fs::path folder_;
  absl::StatusOr<WrittenImage> image_ = absl::UnknownError("");
};

TEST_F(ImagesTest, AFolderBecomesTheRootFileSystem) {
  Put("bin/hello", "#!/bin/sh\n");
  chmod((folder_ / "root/bin/hello").c_str(), 0755);
  Put("etc/motd", "welcome\n");
  fs::create_symlink("motd", folder_ / "root/etc/issue");
  Put("image.yaml",
      "tags: [web:1, registry.example:5000/team/web]\ncmd: [/bin/hello, -v]\n"
      "ports: [80, 53/udp]\nenv: A=b\nuser: www-data\nstopSignal: SIGQUIT\n");
  BuildRequest request = Request();
  request.settings.tags.clear();
  const auto archive = Built(request);
  EXPECT_THAT(image_->names,
              ElementsAre("docker.io/library/web:1", "registry.example:5000/team/web:latest"));
  const auto layer = LayerOf(archive);
  EXPECT_EQ(layer.at("bin/hello").entry.mode, 0755u);
  EXPECT_EQ(layer.at("etc/motd").bytes, "welcome\n");
  EXPECT_EQ(layer.at("etc/issue").entry.link, "motd");
  EXPECT_EQ(layer.count("image.yaml"), 0u);
  const json::Value docker = Json(archive, "manifest.json").items()[0];
  const json::Value config = Json(archive, std::string(docker.FindString("Config")));
  EXPECT_EQ(config.Find("config", "Cmd")->items()[1].text(), "-v");
  EXPECT_EQ(config.Find("config", "Env")->items()[1].text(), "A=b");
  EXPECT_EQ(config.Find("config")->FindString("StopSignal"), "SIGQUIT");
  EXPECT_NE(config.Find("config", "ExposedPorts", "80/tcp"), nullptr);
  EXPECT_NE(config.Find("config", "ExposedPorts", "53/udp"), nullptr);
}

TEST_F(ImagesTest, TheArchiveSaysWhatItHolds) {
  Put("a", "1");
  (void)Built(Request());
  const absl::StatusOr<WrittenImage> read = ReadImageArchive(Request().output);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->names, image_->names);
  EXPECT_EQ(read->digest, image_->digest);
  EXPECT_EQ(ReadImageArchive("/nowhere").status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(ReadImageArchive((folder_ / "root/a").string()).ok());
}

TEST_F(ImagesTest, TheSameInputGivesTheSameBytes) {
  Put("a/b", "1");
  (void)Built(Request());
  const std::string first = Slurp(Request().output);
  fs::last_write_time(folder_ / "root/a/b",
                      fs::file_time_type::clock::now() - std::chrono::hours(5));
  (void)Built(Request());
  EXPECT_TRUE(first == Slurp(Request().output));
  Put("a/b", "2");
  (void)Built(Request());
  EXPECT_FALSE(first == Slurp(Request().output));
}

TEST_F(ImagesTest, LongNamesAndHardLinksSurvive) {
  const std::string deep = std::string(90, 'd') + "/" + std::string(120, 'f');
  const std::string cut = std::string(80, 'd') + "/" + std::string(60, 'f');
  Put(deep, "deep");
  Put(cut, "cut");
  fs::create_hard_link(folder_ / "root" / cut, folder_ / "root/zwin");
  const auto layer = LayerOf(Built(Request()));
  EXPECT_EQ(layer.at(deep).bytes, "deep");
  EXPECT_EQ(layer.at(cut).bytes, "cut");
  EXPECT_EQ(layer.at("zwin").entry.type, '1');
}

TEST_F(ImagesTest, ACompressedLayerIsTheSameFiles) {
  Put("a", std::string(100'000, 'x'));
  BuildRequest request = Request();
  const uint64_t plain = (Built(request), image_->size_bytes);
  request.settings.gzip = true;
  const auto archive = Built(request);
  EXPECT_LT(image_->size_bytes, plain / 5);
  const json::Value docker = Json(archive, "manifest.json").items()[0];
  const std::string packed = archive.at(docker.Find("Layers")->items()[0].text()).bytes;
  std::string unpacked(200'000, '\0');
  z_stream zlib{};
  ASSERT_EQ(inflateInit2(&zlib, 15 + 16), Z_OK);
  zlib.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  zlib.avail_in = static_cast<uInt>(packed.size());
  zlib.next_out = reinterpret_cast<Bytef*>(unpacked.data());
  zlib.avail_out = static_cast<uInt>(unpacked.size());
  EXPECT_EQ(inflate(&zlib, Z_FINISH), Z_STREAM_END);
  inflateEnd(&zlib);
  EXPECT_EQ(Untar(unpacked).at("a").bytes.size(), 100'000u);
}

TEST_F(ImagesTest, AProgramComesWithItsLoaderAndLibraries) {
  BuildRequest request = Request();
  request.folders.clear();
  request.programs = {"/usr/bin/curl"};
  const auto layer = LayerOf(Built(request));
  EXPECT_EQ(layer.at("bin").entry.link, "usr/bin");
  EXPECT_EQ(layer.at("usr/bin/curl").entry.type, '0');
  const ElfNeeds needs = *ReadElfNeeds(layer.at("usr/bin/curl").bytes);
  EXPECT_THAT(needs.libraries, Contains("libc.so.6"));
  EXPECT_EQ(layer.count("usr" + needs.loader), 1u) << needs.loader;
  bool has_crypto = false;  // needed by what curl needs
  for (const auto& [name, member] : layer) has_crypto |= absl::StrContains(name, "libcrypto.so");
  EXPECT_TRUE(has_crypto);
  EXPECT_EQ(layer.at("tmp/").entry.mode, 01777u);
  EXPECT_THAT(layer.at("etc/nsswitch.conf").bytes, HasSubstr("hosts: files dns"));
}

TEST_F(ImagesTest, WhatIsMissingIsNamed) {
  BuildRequest request = Request();
  request.programs = {"/usr/bin/no-such-program"};
  EXPECT_THAT(Refusal(request), HasSubstr("/usr/bin/no-such-program"));
  request = Request();
  request.packages = {"no-such-package"};
  EXPECT_THAT(Refusal(request), HasSubstr("apt-get install --no-install-recommends no-such-pack"));
  request = Request();
  request.settings.tags.clear();
  EXPECT_THAT(Refusal(request), HasSubstr("--tag"));
  EXPECT_THAT(Refusal(Request()), HasSubstr("an image of nothing"));
  Put("image.yaml", "tags: a\n\ncommand: x\n");
  EXPECT_THAT(Refusal(Request()), HasSubstr("image.yaml: line 3: command is no setting"));
  Put("image.yaml", "env: nothing\n");
  EXPECT_THAT(Refusal(Request()), HasSubstr("must be NAME=VALUE"));
}

TEST_F(ImagesTest, FoldersLieOnTopOfEachOther) {
  Put("a", "below");
  Put("b", "below");
  fs::create_directories(folder_ / "above");
  std::ofstream(folder_ / "above/a") << "above";
  Put("image.yaml", "user: below\nworkdir: /w\nlinks:\n  /b: [/bin/c, /bin/d]\n");
  std::ofstream(folder_ / "above/image.yaml") << "user: above\n";
  BuildRequest request = Request();
  request.folders.push_back((folder_ / "above").string());
  const auto archive = Built(request);
  const auto layer = LayerOf(archive);
  EXPECT_EQ(layer.at("a").bytes, "above");
  EXPECT_EQ(layer.at("b").bytes, "below");
  EXPECT_EQ(layer.at("bin/d").entry.link, "/b");
  const json::Value docker = Json(archive, "manifest.json").items()[0];
  const json::Value config = Json(archive, std::string(docker.FindString("Config")));
  EXPECT_EQ(config.Find("config")->FindString("User"), "above");
  EXPECT_EQ(config.Find("config")->FindString("WorkingDir"), "/w");
}

TEST_F(ImagesTest, ADeviceCannotBePacked) {
  ASSERT_EQ(mkfifo((folder_ / "root/pipe").c_str(), 0600), 0);
  EXPECT_THAT(Refusal(Request()), HasSubstr("a device, a socket or a pipe"));
}

TEST(RootFsTest, LinksAreFollowedInsideTheImage) {
  RootFs root;
  ASSERT_TRUE(root.AddSymlink("bin", "usr/bin").ok());
  ASSERT_TRUE(root.AddText("/bin/sh", "x").ok());
  EXPECT_NE(root.Find("usr/bin/sh"), nullptr);
  // /bin as a folder of a package is the link that is there.
  ASSERT_TRUE(root.AddFolder("bin").ok());
  EXPECT_EQ(root.Find("bin")->type, FsEntry::Type::kSymlink);
  ASSERT_TRUE(root.AddSymlink("a", "b").ok());
  ASSERT_TRUE(root.AddSymlink("b", "a").ok());
  EXPECT_FALSE(root.AddText("a/x", "").ok());
  EXPECT_FALSE(root.AddText("../x", "").ok());
  EXPECT_FALSE(root.AddText("usr/bin", "a file").ok());
}

TEST(ImageNameTest, ShortNamesAreDockersAndWrongOnesAreRefused) {
  EXPECT_EQ(ParseImageName("nginx")->full(), "docker.io/library/nginx:latest");
  EXPECT_EQ(ParseImageName("dustise/sleep:2")->full(), "docker.io/dustise/sleep:2");
  EXPECT_EQ(ParseImageName("registry.ioros.com/docker.io/busybox")->full(),
            "registry.ioros.com/docker.io/busybox:latest");
  EXPECT_EQ(ParseImageName("localhost:5000/a:b")->full(), "localhost:5000/a:b");
  for (const char* wrong : {"", "Nginx", "a:", "a:-x", "a//b", "a@sha256:00", "a..b", "-a", "a_"}) {
    EXPECT_FALSE(ParseImageName(wrong).ok()) << wrong;
  }
  EXPECT_TRUE(ParseImageName("a__b/c--d/e.f").ok());
}

TEST(PackagesTest, TheClosureTakesOneAlternativeAndLeavesInstallersOut) {
  const auto packages = ParsePackages(
      "Package: web\nStatus: install ok installed\nDepends: libc (>= 2), debconf, mail | smtp\n\n"
      "Package: libc\nStatus: hold ok installed\nPre-Depends: gcc:any\n\n"
      "Package: gcc\nStatus: install ok installed\nDepends: libc\n\n"
      "Package: exim\nStatus: install ok installed\nProvides: smtp (= 1), other\n\n"
      "Package: gone\nStatus: deinstall ok config-files\n\n"
      "Package: debconf\nStatus: install ok installed\nDepends: perl\n");
  EXPECT_THAT(*PackageClosure(packages, {"web"}), ElementsAre("exim", "gcc", "libc", "web"));
  EXPECT_THAT(*PackageClosure(packages, {"web"}, {"libc"}), ElementsAre("exim", "web"));
  EXPECT_FALSE(PackageClosure(packages, {"gone"}).ok());
  EXPECT_FALSE(IsWantedPath("/usr/share/doc/web/copyright"));
  EXPECT_FALSE(IsWantedPath("/usr/share/doc"));
  EXPECT_TRUE(IsWantedPath("/usr/share/web/index.html"));
}

TEST(LoadTest, NodesAreFoundByTheirSockets) {
  const fs::path run = fs::path(testing::TempDir()) / absl::StrCat("run", getpid());
  EXPECT_THAT(std::string(FindImageNodes(run.string(), {}).status().message()),
              HasSubstr("meltemi up"));
  for (const char* node : {"n2", "n1", "other"}) fs::create_directories(run / node);
  std::ofstream(run / "n1/containerd.sock") << "";
  std::ofstream(run / "n2/containerd.sock") << "";
  EXPECT_EQ(FindImageNodes(run.string(), {})->at(0).name, "n1");
  EXPECT_EQ(FindImageNodes(run.string(), {"n2"})->size(), 1u);
  EXPECT_THAT(std::string(FindImageNodes(run.string(), {"n9"}).status().message()),
              HasSubstr("there is n1, n2"));
  fs::remove_all(run);
}

TEST(StripTest, WhatRunsIsLeft) {
  const std::string self = Slurp("/proc/self/exe");
  const absl::StatusOr<std::string> stripped = StripElf(self);
  ASSERT_TRUE(stripped.ok()) << stripped.status();
  EXPECT_LT(stripped->size(), self.size());
  const std::string path = testing::TempDir() + "/stripped";
  std::ofstream(path, std::ios::binary) << *stripped;
  ASSERT_EQ(chmod(path.c_str(), 0755), 0);
  EXPECT_EQ(std::system((path + " --gtest_list_tests > " + path + ".out").c_str()), 0);
  EXPECT_THAT(Slurp(path + ".out"), HasSubstr("StripTest."));
  EXPECT_FALSE(StripElf("#!/bin/sh\n").ok());
  EXPECT_FALSE(StripElf(absl::string_view(self).substr(0, 200)).ok());
}

TEST(MeshImagesTest, TheSidecarIsItsProgramAndTheTables) {
  if (!fs::exists("/usr/sbin/xtables-nft-multi")) {
    GTEST_SKIP() << "needs iptables: apt-get install iptables";
  }
  const std::string path = testing::TempDir() + "/proxy.tar";
  const std::string program = testing::TempDir() + "/meltemi-proxy";
  fs::copy_file("/proc/self/exe", program, fs::copy_options::overwrite_existing);
  const absl::StatusOr<WrittenImage> image = WriteProxyImage(program, kProxyImage, path);
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_THAT(image->names, ElementsAre("docker.io/meltemi/proxy:0.1.0"));
  const std::map<std::string, Member> archive = Untar(Slurp(path));
  std::map<std::string, Member> files;
  std::string config;
  for (const auto& [name, member] : archive) {
    if (absl::StrContains(member.bytes, "usr/bin/meltemi-proxy") && member.bytes[0] != '{') {
      files = Untar(member.bytes);
    }
    if (absl::StrContains(member.bytes, "\"User\"")) config = member.bytes;
  }
  EXPECT_THAT(config, HasSubstr("\"User\":\"1337:1337\""));
  EXPECT_THAT(config, HasSubstr("\"/usr/bin/meltemi-proxy\""));
  ASSERT_EQ(files.count("usr/bin/meltemi-proxy"), 1u);
  EXPECT_LT(files["usr/bin/meltemi-proxy"].bytes.size(), fs::file_size(program));
  for (const char* name : {"usr/sbin/iptables-restore", "usr/sbin/ip6tables-save",
                           "usr/lib/x86_64-linux-gnu/xtables/libxt_owner.so", "etc/passwd"}) {
    EXPECT_EQ(files.count(name), 1u) << name;
  }
  EXPECT_EQ(files.count("usr/bin/sh"), 0u);
  EXPECT_FALSE(WriteProxyImage("/nowhere/meltemi-proxy", kProxyImage, path).ok());
}

}  // namespace
}  // namespace meltemi::cli
