#include "cli/images/archive.h"

#include <sys/utsname.h>
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "cli/images/blob_file.h"
#include "cli/images/image_name.h"
#include "cli/images/tar.h"

namespace meltemi::cli {
namespace {

constexpr char kPath[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
// The beginning of Unix' time: an image made twice is the same one.
constexpr char kCreated[] = "1970-01-01T00:00:00Z";
constexpr char kManifestType[] = "application/vnd.oci.image.manifest.v1+json";
constexpr char kIndexType[] = "application/vnd.oci.image.index.v1+json";
constexpr char kConfigType[] = "application/vnd.oci.image.config.v1+json";
constexpr char kLayerType[] = "application/vnd.oci.image.layer.v1.tar";
constexpr size_t kIndexBytesMax = 4 * 1024 * 1024;
constexpr size_t kMembersMax = 100'000;

// A layer on its way into the file: hashed as it is, and as it is stored.
class Layer {
 public:
  Layer(BlobFile& file, bool gzip) : file_(file), gzip_(gzip) {
    // 16: with gzip's header, whose time and name stay empty.
    if (gzip_) deflateInit2(&zlib_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, 0);
  }
  ~Layer() {
    if (gzip_) deflateEnd(&zlib_);
  }
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

  absl::Status Write(absl::string_view bytes) {
    plain_.Add(bytes);
    return gzip_ ? Deflate(bytes, Z_NO_FLUSH) : file_.WriteBlob(bytes);
  }
  absl::Status Finish() { return gzip_ ? Deflate("", Z_FINISH) : absl::OkStatus(); }
  std::string PlainHex() { return plain_.FinishHex(); }

 private:
  absl::Status Deflate(absl::string_view bytes, int flush) {
    std::string out(64 * 1024, '\0');
    zlib_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    zlib_.avail_in = static_cast<uInt>(bytes.size());
    do {
      zlib_.next_out = reinterpret_cast<Bytef*>(out.data());
      zlib_.avail_out = static_cast<uInt>(out.size());
      deflate(&zlib_, flush);
      const size_t made = out.size() - zlib_.avail_out;
      absl::Status status = file_.WriteBlob(absl::string_view(out.data(), made));
      if (!status.ok()) return status;
    } while (zlib_.avail_out == 0);
    return absl::OkStatus();
  }

  BlobFile& file_;
  const bool gzip_;
  z_stream zlib_ = {};
  Sha256Stream plain_;
};

std::string Architecture() {
  utsname name{};
  uname(&name);
  const absl::string_view machine = name.machine;
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return std::string(machine);
}

json::Value Texts(const std::vector<std::string>& texts) {
  json::Value array = json::Value::Array();
  for (const std::string& text : texts) array.Append(json::Value::String(text));
  return array;
}

json::Value Text(absl::string_view text) { return json::Value::String(std::string(text)); }

std::string PortOf(const std::string& port) {
  return absl::StrContains(port, '/') ? port : port + "/tcp";
}

json::Value RunConfig(const ImageSettings& settings) {
  json::Value config = json::Value::Object();
  if (!settings.user.empty()) config.Set("User", Text(settings.user));
  if (!settings.ports.empty()) {
    json::Value& ports = config.MutableObject("ExposedPorts");
    for (const std::string& port : settings.ports) ports.Set(PortOf(port), json::Value::Object());
  }
  std::vector<std::string> env = settings.env;
  const auto is_path = [](const std::string& entry) { return absl::StartsWith(entry, "PATH="); };
  if (std::none_of(env.begin(), env.end(), is_path)) env.insert(env.begin(), kPath);
  config.Set("Env", Texts(env));
  if (!settings.entrypoint.empty()) config.Set("Entrypoint", Texts(settings.entrypoint));
  if (!settings.cmd.empty()) config.Set("Cmd", Texts(settings.cmd));
  if (!settings.workdir.empty()) config.Set("WorkingDir", Text(settings.workdir));
  if (!settings.stop_signal.empty()) config.Set("StopSignal", Text(settings.stop_signal));
  return config;
}

std::string ConfigJson(const ImageSettings& settings, const std::string& layer_plain_hex) {
  json::Value config = json::Value::Object();
  config.Set("created", Text(kCreated));
  config.Set("architecture", Text(Architecture()));
  config.Set("os", Text("linux"));
  config.Set("config", RunConfig(settings));
  json::Value& root = config.MutableObject("rootfs");
  root.Set("type", Text("layers"));
  root.Set("diff_ids", Texts({"sha256:" + layer_plain_hex}));
  json::Value step = json::Value::Object();
  step.Set("created", Text(kCreated));
  step.Set("created_by", Text("meltemi images build"));
  json::Value history = json::Value::Array();
  history.Append(std::move(step));
  config.Set("history", std::move(history));
  return json::ToString(config);
}

json::Value Descriptor(absl::string_view type, const Blob& blob) {
  json::Value descriptor = json::Value::Object();
  descriptor.Set("mediaType", Text(type));
  descriptor.Set("digest", Text("sha256:" + blob.sha256_hex));
  descriptor.Set("size", json::Value::Int(static_cast<int64_t>(blob.size_bytes)));
  return descriptor;
}

std::string ManifestJson(const Blob& config, const Blob& layer, bool gzip) {
  json::Value manifest = json::Value::Object();
  manifest.Set("schemaVersion", json::Value::Int(2));
  manifest.Set("mediaType", Text(kManifestType));
  manifest.Set("config", Descriptor(kConfigType, config));
  json::Value layers = json::Value::Array();
  layers.Append(Descriptor(absl::StrCat(kLayerType, gzip ? "+gzip" : ""), layer));
  manifest.Set("layers", std::move(layers));
  return json::ToString(manifest);
}

// A descriptor per name: containerd reads the full one, other tools the tag.
std::string IndexJson(const std::vector<ImageName>& names, const Blob& manifest) {
  json::Value index = json::Value::Object();
  index.Set("schemaVersion", json::Value::Int(2));
  index.Set("mediaType", Text(kIndexType));
  json::Value manifests = json::Value::Array();
  for (const ImageName& name : names) {
    json::Value descriptor = Descriptor(kManifestType, manifest);
    json::Value& platform = descriptor.MutableObject("platform");
    platform.Set("architecture", Text(Architecture()));
    platform.Set("os", Text("linux"));
    json::Value& notes = descriptor.MutableObject("annotations");
    notes.Set("io.containerd.image.name", Text(name.full()));
    notes.Set("org.opencontainers.image.ref.name", Text(name.tag));
    manifests.Append(std::move(descriptor));
  }
  index.Set("manifests", std::move(manifests));
  return json::ToString(index);
}

std::string DockerManifestJson(const std::vector<ImageName>& names, const Blob& config,
                               const Blob& layer) {
  std::vector<std::string> tags;
  for (const ImageName& name : names) tags.push_back(name.full());
  json::Value image = json::Value::Object();
  image.Set("Config", Text("blobs/sha256/" + config.sha256_hex));
  image.Set("RepoTags", Texts(tags));
  image.Set("Layers", Texts({"blobs/sha256/" + layer.sha256_hex}));
  json::Value images = json::Value::Array();
  images.Append(std::move(image));
  return json::ToString(images);
}

absl::StatusOr<std::vector<ImageName>> NamesOf(const ImageSettings& settings) {
  std::vector<ImageName> names;
  std::set<std::string> known;
  for (const std::string& tag : settings.tags) {
    absl::StatusOr<ImageName> name = ParseImageName(tag);
    if (!name.ok()) return name.status();
    if (known.insert(name->full()).second) names.push_back(*std::move(name));
  }
  if (names.empty()) return absl::InvalidArgumentError("an image needs a name: --tag NAME");
  return names;
}

absl::StatusOr<Blob> WriteLayer(BlobFile& file, const RootFs& root, bool gzip,
                                std::string* plain_hex) {
  if (absl::Status status = file.BeginBlob(); !status.ok()) return status;
  Layer layer(file, gzip);
  absl::Status status =
      root.WriteTar([&layer](absl::string_view bytes) { return layer.Write(bytes); });
  if (status.ok()) status = layer.Finish();
  if (!status.ok()) return status;
  *plain_hex = layer.PlainHex();
  return file.EndBlob();
}

absl::Status ReadIndex(const std::string& path, const std::string& text, WrittenImage* image) {
  const absl::StatusOr<json::Value> index = json::Parse(text);
  const json::Value* manifests = index.ok() ? index->Find("manifests") : nullptr;
  if (manifests == nullptr || !manifests->is_array() || manifests->items().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": its index.json names no image"));
  }
  for (const json::Value& manifest : manifests->items()) {
    image->digest = std::string(manifest.FindString("digest"));
    const json::Value* notes = manifest.Find("annotations");
    if (notes == nullptr) continue;
    const absl::string_view name = notes->FindString("io.containerd.image.name");
    if (!name.empty()) image->names.emplace_back(name);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckImageSettings(const ImageSettings& settings) {
  if (absl::Status status = NamesOf(settings).status(); !status.ok()) return status;
  for (const std::string& entry : settings.env) {
    if (entry.find('=') == std::string::npos || entry[0] == '=') {
      return absl::InvalidArgumentError(absl::StrCat("env \"", entry, "\" must be NAME=VALUE"));
    }
  }
  if (!settings.workdir.empty() && settings.workdir[0] != '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("workdir \"", settings.workdir, "\" must begin with a slash"));
  }
  for (const std::string& port : settings.ports) {
    const std::vector<std::string> parts = absl::StrSplit(PortOf(port), '/');
    uint32_t number = 0;
    const bool good = parts.size() == 2 && absl::SimpleAtoi(parts[0], &number) && number > 0 &&
                      number < 65536 &&
                      (parts[1] == "tcp" || parts[1] == "udp" || parts[1] == "sctp");
    if (!good) {
      return absl::InvalidArgumentError(
          absl::StrCat("port \"", port, "\" must be like 80 or 53/udp"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<WrittenImage> WriteImageArchive(const ImageSettings& settings, const RootFs& root,
                                               const std::string& path) {
  if (absl::Status status = CheckImageSettings(settings); !status.ok()) return status;
  const absl::StatusOr<std::vector<ImageName>> names = NamesOf(settings);
  absl::StatusOr<std::unique_ptr<BlobFile>> created = BlobFile::Create(path);
  if (!created.ok()) return created.status();
  BlobFile& file = **created;
  absl::Status status = file.AddFile("oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
  if (status.ok()) status = file.AddFolder("blobs");
  if (status.ok()) status = file.AddFolder("blobs/sha256");
  if (!status.ok()) return status;
  std::string plain_hex;
  const absl::StatusOr<Blob> layer = WriteLayer(file, root, settings.gzip, &plain_hex);
  if (!layer.ok()) return layer.status();
  const absl::StatusOr<Blob> config = file.AddBlob(ConfigJson(settings, plain_hex));
  if (!config.ok()) return config.status();
  const absl::StatusOr<Blob> manifest = file.AddBlob(ManifestJson(*config, *layer, settings.gzip));
  if (!manifest.ok()) return manifest.status();
  status = file.AddFile("index.json", IndexJson(*names, *manifest));
  if (status.ok()) {
    status = file.AddFile("manifest.json", DockerManifestJson(*names, *config, *layer));
  }
  if (!status.ok()) return status;
  const absl::StatusOr<uint64_t> size = file.Finish();
  if (!size.ok()) return size.status();
  WrittenImage image;
  for (const ImageName& name : *names) image.names.push_back(name.full());
  image.digest = "sha256:" + manifest->sha256_hex;
  image.size_bytes = *size;
  return image;
}

absl::StatusOr<WrittenImage> ReadImageArchive(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  WrittenImage image;
  std::string block(kTarBlockBytes, '\0');
  for (size_t members = 0; members < kMembersMax; ++members) {
    TarEntry entry;
    if (!in.read(block.data(), static_cast<std::streamsize>(block.size())) ||
        !ReadTarHeader(block, &entry)) {
      break;
    }
    const uint64_t stored = entry.size_bytes + TarPadding(entry.size_bytes).size();
    if (entry.name != "index.json") {
      in.seekg(static_cast<std::streamoff>(stored), std::ios::cur);
      continue;
    }
    if (entry.size_bytes > kIndexBytesMax) break;
    std::string text(entry.size_bytes, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (absl::Status status = ReadIndex(path, text, &image); !status.ok()) return status;
    return image;
  }
  return absl::InvalidArgumentError(absl::StrCat(path, " is no image archive in OCI's layout"));
}

absl::Status WritePauseImage(const std::string& program, const std::string& path) {
  RootFs root;
  if (absl::Status status = root.AddHostFile("pause", program, false); !status.ok()) return status;
  ImageSettings settings;
  settings.tags = {kPauseImage};
  settings.entrypoint = {"/pause"};
  settings.user = "65535:65535";
  return WriteImageArchive(settings, root, path).status();
}

}  // namespace meltemi::cli
