// images: made, put into the nodes, listed.
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/cluster/control_plane.h"
#include "cli/cluster/layout.h"
#include "cli/images/build.h"
#include "cli/images/load.h"
#include "cli/images/mesh_images.h"
#include "cli/verbs.h"

namespace meltemi::cli {
namespace {

constexpr double kMegabyte = 1e6;

struct ImagesOptions {
  BuildRequest request;
  std::vector<std::string> nodes;
  std::string data_dir = kDataDir;
};

int Fail(const absl::Status& status) {
  PrintError(absl::StrCat("images: ", status.message()));
  return 1;
}

int WrongCall(absl::string_view what) {
  PrintError(absl::StrCat("images: ", what, "; see meltemi help images"));
  return 2;
}

void PrintImage(const std::string& file, const WrittenImage& image) {
  std::printf("%s  %s  %.1f MB  %s\n", file.c_str(), absl::StrJoin(image.names, " ").c_str(),
              static_cast<double>(image.size_bytes) / kMegabyte, image.digest.c_str());
}

int Build(const ImagesOptions& options, const std::vector<std::string>& rest) {
  BuildRequest request = options.request;
  request.folders = rest;
  std::string file;
  const absl::StatusOr<WrittenImage> image = BuildImage(std::move(request), &file);
  if (!image.ok()) return Fail(image.status());
  PrintImage(file, *image);
  return 0;
}

int Load(const ImagesOptions& options, const std::vector<std::string>& rest) {
  if (rest.empty()) return WrongCall("load: name at least one archive");
  const absl::StatusOr<std::vector<ImageNode>> nodes =
      FindImageNodes(FoldersOf(options.data_dir).run_dir, options.nodes);
  if (!nodes.ok()) return Fail(nodes.status());
  for (const std::string& file : rest) {
    size_t loaded = 0;
    const absl::Status status = LoadImage(file, *nodes, &loaded);
    if (!status.ok()) return Fail(status);
    std::printf("%s: loaded into %zu of %zu nodes%s\n", file.c_str(), loaded, nodes->size(),
                loaded < nodes->size() ? "; the others had it" : "");
  }
  return 0;
}

int List(const ImagesOptions& options, const std::vector<std::string>& rest) {
  if (!rest.empty()) return WrongCall(absl::StrCat("list: unexpected argument '", rest[0], "'"));
  const absl::StatusOr<std::vector<ImageNode>> nodes =
      FindImageNodes(FoldersOf(options.data_dir).run_dir, options.nodes);
  if (!nodes.ok()) return Fail(nodes.status());
  std::printf("%-12s %-60s %s\n", "NODE", "IMAGE", "SIZE");
  for (const ImageNode& node : *nodes) {
    const absl::StatusOr<std::map<std::string, NodeImage>> images = ListImages(node);
    if (!images.ok()) return Fail(images.status());
    for (const auto& [name, image] : *images) {
      if (absl::string_view(name).substr(0, 7) == "sha256:") continue;  // the CRI's own entries
      std::printf("%-12s %-60s %s\n", node.name.c_str(), name.c_str(), image.size.c_str());
    }
  }
  return 0;
}

// The mesh's own, of the programs beside this one.
int Mesh(const std::vector<std::string>& rest) {
  if (rest.size() > 1) return WrongCall("mesh: name one folder at most");
  const std::string folder = rest.empty() ? "." : rest[0];
  const struct {
    const char *name, *place, *tag;
    absl::StatusOr<WrittenImage> (*write)(const std::string&, const std::string&,
                                          const std::string&);
  } images[] = {{"meltemi-proxy", "../proxy/app/meltemi-proxy", kProxyImage, WriteProxyImage},
                {"meltemi-pilot", "../pilot/app/meltemi-pilot", kPilotImage, WritePilotImage}};
  for (const auto& image : images) {
    const absl::StatusOr<std::string> program = ProgramBeside({image.name, image.place});
    if (!program.ok()) {
      return Fail(absl::NotFoundError(
          absl::StrCat(program.status().message(),
                       "; build them with ./meltemi build //proxy/app:all //pilot/app:all")));
    }
    const std::string file = absl::StrCat(folder, "/", image.name, ".tar");
    const absl::StatusOr<WrittenImage> written = image.write(*program, image.tag, file);
    if (!written.ok()) return Fail(written.status());
    PrintImage(file, *written);
  }
  return 0;
}

int Images(const ImagesOptions& options, std::vector<std::string> rest) {
  if (rest.empty()) return WrongCall("say build, mesh, load or list");
  const std::string what = rest[0];
  rest.erase(rest.begin());
  if (what == "build") return Build(options, rest);
  if (what == "mesh") return Mesh(rest);
  if (what == "load") return Load(options, rest);
  if (what == "list") return List(options, rest);
  return WrongCall(absl::StrCat("there is no '", what, "', only build, mesh, load and list"));
}

constexpr char kDetails[] =
    "  build [DIR…] [OPTIONS] makes an image archive of folders (their image.yaml may hold the\n"
    "                         options), of programs with their libraries, of Debian packages\n"
    "  mesh [DIR]             the mesh's own: meltemi-proxy.tar and meltemi-pilot.tar\n"
    "  load FILE…             puts archives into the nodes that run on this machine\n"
    "  list                   the images of these nodes\n\n"
    "The same input makes the same bytes. Archives are in OCI's layout; docker and podman load\n"
    "them, too.";

}  // namespace

Verb ImagesVerb() {
  return {"images", "build|mesh|load|list [ARGUMENTS]", "container images without a registry",
          kDetails, [](Flags& flags) -> std::function<int(const std::vector<std::string>&)> {
            auto options = std::make_shared<ImagesOptions>();
            BuildRequest& request = options->request;
            ImageSettings& settings = request.settings;
            flags.Repeated("tag", {"t"}, &settings.tags, "NAME", "build: its names");
            flags.Text("output", {"o"}, &request.output, "FILE",
                       "build: where to (default: NAME_TAG.tar)");
            flags.Repeated("program", {}, &request.programs, "FILE",
                           "build: with the libraries that it needs");
            flags.Repeated("package", {}, &request.packages, "NAME",
                           "build: an installed Debian package, with all that it depends on");
            flags.Repeated("without", {}, &request.without, "NAME",
                           "build: a package that the others can do without");
            flags.Repeated("link", {}, &request.links, "PATH=TARGET", "build: a symbolic link");
            flags.Repeated("entrypoint", {}, &settings.entrypoint, "WORD",
                           "build: what runs, word by word");
            flags.Repeated("cmd", {}, &settings.cmd, "WORD", "build: its default arguments");
            flags.Repeated("env", {"e"}, &settings.env, "NAME=VALUE", "build: its environment");
            flags.Text("workdir", {}, &settings.workdir, "FOLDER", "build: where it starts");
            flags.Text("user", {}, &settings.user, "USER[:GROUP]", "build: as whom it runs");
            flags.Repeated("port", {}, &settings.ports, "PORT[/udp]", "build: where it listens");
            flags.Text("stop-signal", {}, &settings.stop_signal, "SIGNAL",
                       "build: what ends it (default: SIGTERM)");
            flags.Switch("ca-certificates", {}, &request.ca_certificates,
                         "build: with this machine's list of authorities");
            flags.Switch("gzip", {}, &settings.gzip, "build: the layer compressed");
            flags.Repeated("node", {}, &options->nodes, "NAME", "load, list: not all nodes");
            flags.Text("data-dir", {}, &options->data_dir, "FOLDER", "load, list: that of `up`");
            return
                [options](const std::vector<std::string>& rest) { return Images(*options, rest); };
          }};
}

}  // namespace meltemi::cli
