#include "test/pilot_kube/kube_mesh.h"

#include <gtest/gtest.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "base/yaml/parse.h"
#include "pilot/crds/crds.h"
#include "pilot/validate/validate.h"

namespace meltemi::pilot {
namespace {

std::string PluralOf(absl::string_view kind) {
  const std::string lower = absl::AsciiStrToLower(kind);
  if (absl::EndsWith(lower, "ry") || absl::EndsWith(lower, "cy")) {
    return absl::StrCat(lower.substr(0, lower.size() - 1), "ies");
  }
  return absl::StrCat(lower, absl::EndsWith(lower, "s") ? "" : "s");
}

// "/apis/apps/v1/namespaces/default/deployments"
std::string CollectionOf(const json::Value& document) {
  const absl::string_view api_version = document.FindString("apiVersion");
  const absl::string_view kind = document.FindString("kind");
  const bool core = !absl::StrContains(api_version, "/");
  std::string path = absl::StrCat(core ? "/api/" : "/apis/", api_version);
  if (kind != "CustomResourceDefinition" && kind != "Namespace") {
    const absl::string_view ns = document.Find("metadata")->FindString("namespace");
    absl::StrAppend(&path, "/namespaces/", ns.empty() ? "default" : ns);
  }
  return absl::StrCat(path, "/", PluralOf(kind));
}

}  // namespace

KubeMesh::KubeMesh()
    : loop_(executor_.fake_clock()),
      random_(7),
      api_(apiserver::NewMemoryApi(executor_.fake_clock(), random_)),
      user_(api_->NewProcess("kubernetes-admin")),
      process_(api_->NewProcess("system:serviceaccount:istio-system:meltemi-pilot")) {}

std::string KubeMesh::Refusal(const json::Value& document) {
  kube::ApiCall call{.method = "POST",
                     .path = CollectionOf(document),
                     .query = {{"fieldValidation", "Strict"}},
                     .body = json::ToString(document)};
  auto answer = user_->client().Call(call);
  if (!answer.ok() && kube::IsAlreadyExists(answer.status())) {
    call.method = "PUT";
    absl::StrAppend(&call.path, "/", document.Find("metadata")->FindString("name"));
    json::Value newer = document;
    const json::Value present = Get(call.path);
    newer.MutableObject("metadata")
        .Set("resourceVersion", *present.Find("metadata", "resourceVersion"));
    call.body = json::ToString(newer);
    answer = user_->client().Call(call);
  }
  return answer.ok() ? "" : answer.status().message;
}

void KubeMesh::Apply(absl::string_view yaml) {
  const auto documents = yaml::ParseAll(yaml);
  ASSERT_TRUE(documents.ok()) << documents.status();
  for (const json::Value& document : *documents) {
    EXPECT_EQ(Refusal(document), "") << document.FindString("kind");
  }
}

void KubeMesh::InstallDefinitions() { Apply(CrdManifests()); }

void KubeMesh::Delete(absl::string_view path) {
  const auto answer = user_->client().Call({.method = "DELETE", .path = std::string(path)});
  EXPECT_TRUE(answer.ok()) << answer.status().message;
}

json::Value KubeMesh::Get(absl::string_view path) {
  const auto answer = user_->client().Call({.path = std::string(path)});
  if (!answer.ok()) return json::Value();
  auto tree = json::Parse(answer->body);
  return tree.ok() ? *std::move(tree) : json::Value();
}

void KubeMesh::Start() {
  source_ = NewKubeSource(loop_, process_->client(), executor_, {}, Validate,
                          [this](const Changes& changes) {
                            for (const ObjectPtr& object : changes.updated) {
                              told_.push_back(object->Key().ToString());
                            }
                            for (const ObjectKey& key : changes.deleted) {
                              told_.push_back("-" + key.ToString());
                            }
                          });
  EXPECT_TRUE(source_->Start().ok());
  Wait(milliseconds(100));
}

void KubeMesh::Restart() {
  source_ = nullptr;
  process_->Disconnect();
  process_ = api_->NewProcess("system:serviceaccount:istio-system:meltemi-pilot");
  Start();
}

void KubeMesh::Wait(Duration by) {
  for (Duration done = Duration(); done <= by; done += milliseconds(20)) {
    if (done > Duration()) executor_.Advance(milliseconds(20));
    do {
      executor_.RunReady();
      api_->DeliverAll();
      loop_.RunPending();
    } while (executor_.ready() > 0 || api_->undelivered() > 0);
  }
}

std::string KubeMesh::Problems() const {
  std::string out;
  for (const Diagnostic& diagnostic : source_->Diagnostics()) {
    absl::StrAppend(&out, diagnostic.ToString(), "\n");
  }
  return out;
}

ObjectPtr KubeMesh::InEffect(Kind kind, absl::string_view ns, absl::string_view name) const {
  for (const ObjectPtr& object : source_->Objects()) {
    if (object->kind == kind && object->meta.ns == ns && object->meta.name == name) return object;
  }
  return nullptr;
}

}  // namespace meltemi::pilot
