#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock/clock.h"
#include "base/json/write.h"
#include "cli/verbs.h"
#include "kube/client/http_client.h"
#include "kube/client/kubeconfig.h"
#include "pilot/ingest/decode/manifests.h"
#include "pilot/ingest/diagnostic.h"
#include "pilot/ingest/file/file_store.h"
#include "pilot/ingest/kube/read_cluster.h"
#include "pilot/validate/analyze.h"
#include "pilot/validate/validate.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;
using pilot::Diagnostic;
using pilot::Severity;

bool IsManifest(const fs::path& path) {
  const std::string extension = path.extension();
  return extension == ".yaml" || extension == ".yml" || extension == ".json";
}

// The files under `path`, sorted; false, with a message, if there is no such thing.
bool Collect(const std::string& path, bool recursive, std::vector<std::string>* files) {
  std::error_code error;
  if (path == "-" || fs::is_regular_file(path, error)) {
    files->push_back(path);
    return true;
  }
  if (!fs::is_directory(path, error)) {
    PrintError(absl::StrCat(path, ": no such file or folder"));
    return false;
  }
  const auto add = [&](const fs::directory_entry& entry) {
    if (entry.is_regular_file(error) && IsManifest(entry.path())) files->push_back(entry.path());
  };
  if (recursive) {
    for (const auto& entry : fs::recursive_directory_iterator(path, error)) add(entry);
  } else {
    for (const auto& entry : fs::directory_iterator(path, error)) add(entry);
  }
  std::sort(files->begin(), files->end());
  return true;
}

bool ReadAll(const std::string& path, std::string* text) {
  std::stringstream buffer;
  if (path == "-") {
    int c;
    while ((c = std::getchar()) != EOF) buffer.put(static_cast<char>(c));
  } else {
    std::ifstream in(path);
    if (!in) return false;
    buffer << in.rdbuf();
  }
  *text = buffer.str();
  return true;
}

void PrintJson(const std::vector<Diagnostic>& diagnostics) {
  std::string out;
  json::Writer writer(&out, 2);
  writer.BeginArray();
  for (const Diagnostic& diagnostic : diagnostics) {
    writer.BeginObject();
    writer.Key("severity").String(SeverityName(diagnostic.severity));
    writer.Key("code").String(diagnostic.code);
    writer.Key("object").String(diagnostic.object);
    writer.Key("path").String(diagnostic.path);
    writer.Key("file").String(diagnostic.file);
    writer.Key("line").Int(diagnostic.line);
    writer.Key("message").String(diagnostic.message);
    writer.EndObject();
  }
  writer.EndArray();
  std::printf("%s\n", out.c_str());
}

void PrintText(const std::vector<Diagnostic>& diagnostics, size_t files, size_t objects) {
  size_t errors = 0;
  for (const Diagnostic& diagnostic : diagnostics) {
    std::printf("%s\n", diagnostic.ToString().c_str());
    if (diagnostic.severity == Severity::kError) ++errors;
  }
  std::printf("%s%zu files, %zu objects: %zu errors, %zu other findings\n",
              diagnostics.empty() ? "" : "\n", files, objects, errors, diagnostics.size() - errors);
}

struct Options {
  std::string default_namespace = "default";
  bool recursive = false;
  std::string output = "text";
  std::string kubeconfig;  // empty: files alone
};

// What is in the cluster and what the files say, as if they were applied: an object of a file takes
// the place of the cluster's. False, with a message, if the cluster can't be read.
bool AddCluster(const std::string& kubeconfig, std::vector<pilot::ObjectPtr>* objects,
                std::vector<Diagnostic>* diagnostics) {
  const auto access = kube::ReadKubeconfig(kubeconfig);
  const SystemClock clock;
  if (!access.ok()) {
    PrintError(std::string(access.status().message()));
    return false;
  }
  const auto client = kube::NewHttpClient(*access, clock, {.user_agent = "meltemi-analyze"});
  if (!client.ok()) {
    PrintError(std::string(client.status().message()));
    return false;
  }
  kube::Result<pilot::ClusterObjects> cluster = pilot::ReadCluster(**client, pilot::Validate);
  if (!cluster.ok()) {
    PrintError(absl::StrCat("the cluster can't be read: ", cluster.status().message));
    return false;
  }
  std::set<std::string> written;
  for (const pilot::ObjectPtr& object : *objects) written.insert(object->Key().ToString());
  for (Diagnostic& diagnostic : cluster->diagnostics) {
    if (written.count(diagnostic.object) == 0) diagnostics->push_back(std::move(diagnostic));
  }
  for (pilot::ObjectPtr& object : cluster->objects) {
    if (written.count(object->Key().ToString()) == 0) objects->push_back(std::move(object));
  }
  std::sort(objects->begin(), objects->end(),
            [](const auto& a, const auto& b) { return a->Key() < b->Key(); });
  return true;
}

int Run(const Options& options, const std::vector<std::string>& paths) {
  if (paths.empty() && options.kubeconfig.empty()) {
    PrintError(
        "analyze what? Name files or folders of manifests, or - for standard input; or a cluster "
        "with --kubeconfig FILE");
    return 2;
  }
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    if (!Collect(path, options.recursive, &files)) return 2;
  }
  pilot::FileStore store({.default_namespace = options.default_namespace}, pilot::Validate);
  for (const std::string& file : files) {
    std::string text;
    if (!ReadAll(file, &text)) {
      PrintError(absl::StrCat(file, ": cannot be read"));
      return 2;
    }
    store.Update(file == "-" ? "standard input" : file, text);
  }
  std::vector<Diagnostic> diagnostics = store.Diagnostics();
  std::vector<pilot::ObjectPtr> objects = store.Objects();
  if (!options.kubeconfig.empty() && !AddCluster(options.kubeconfig, &objects, &diagnostics)) {
    return 2;
  }
  const std::vector<Diagnostic> between = pilot::Analyze(objects);
  diagnostics.insert(diagnostics.end(), between.begin(), between.end());
  pilot::SortDiagnostics(&diagnostics);
  if (options.output == "json") {
    PrintJson(diagnostics);
  } else {
    PrintText(diagnostics, files.size(), objects.size());
  }
  return pilot::HasErrors(diagnostics) ? 1 : 0;
}

}  // namespace

Verb AnalyzeVerb() {
  return {"analyze", "PATH…",
          "what is wrong with manifests, before they are applied or in a cluster",
          "Decodes and validates as the control plane does, then looks at the objects together:\n"
          "hosts and subsets that do not exist, rules that shadow each other. With a cluster,\n"
          "what it holds is looked at too, as if the manifests were applied to it. Exit code 1\n"
          "if there is an error; warnings alone give 0.",
          [](Flags& flags) -> std::function<int(const std::vector<std::string>&)> {
            auto options = std::make_shared<Options>();
            flags.Text("namespace", {"n"}, &options->default_namespace, "NAME",
                       "of objects that name none");
            flags.Switch("recursive", {"R"}, &options->recursive, "folders below folders too");
            flags.Text("kubeconfig", {}, &options->kubeconfig, "FILE",
                       "a cluster's objects too (or alone, without PATH)");
            flags.Choice("output", {"o"}, &options->output, {"json", "text"}, "form of the output");
            return [options](const std::vector<std::string>& rest) { return Run(*options, rest); };
          }};
}

}  // namespace meltemi::cli
