#include "pilot/ca/webhook_bundles.h"

#include <array>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "kube/client/client.h"
#include "kube/client/meta.h"
#include "kube/client/resource.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"
#include "kube/meta/v1/meta.pb.h"
#include "kube/queue/controller.h"

namespace meltemi::pilot {
namespace {

constexpr char kGroup[] = "admissionregistration.k8s.io";

kube::ApiResource Configurations(const char* resource, const char* kind) {
  return {
      .group = kGroup, .version = "v1", .resource = resource, .kind = kind, .namespaced = false};
}

class Bundles final : public WebhookBundles {
 public:
  Bundles(kube::Client& client, kube::Executor& executor, absl::string_view roots_pem)
      : client_(client),
        bundle_(absl::Base64Escape(roots_pem)),
        resources_{
            Configurations("mutatingwebhookconfigurations", "MutatingWebhookConfiguration"),
            Configurations("validatingwebhookconfigurations", "ValidatingWebhookConfiguration")},
        informers_(kube::NewInformers(client, executor)),
        queue_(kube::NewController(
            {.name = "webhook_bundles", .workers = 1}, executor, nullptr,
            [this](const kube::NamespacedName& key) { return Reconcile(key); })) {
    for (const kube::ApiResource& resource : resources_) {
      informers_->OfMetadata(resource).AddHandler([this, &resource](const kube::Change& change) {
        // Others' are none of its business, and it has no right to read them whole.
        if (change.after == nullptr || !IsOurs(kube::MetaOf(*change.after))) return;
        // The queue's keys have a place for a namespace, which these objects lack.
        queue_->Add({resource.resource, kube::NameOf(*change.after).name});
      });
    }
    informers_->Start([this] { queue_->Start(); });
  }

  ~Bundles() override {
    informers_->Stop();
    queue_ = nullptr;
  }

 private:
  static bool IsOurs(const kube::meta::v1::ObjectMeta& meta) {
    const auto label = meta.labels().find(std::string(kWebhookLabel));
    return label != meta.labels().end() && label->second == kWebhookLabelValue;
  }

  kube::ReconcileResult Reconcile(const kube::NamespacedName& key) {
    const kube::ApiResource& resource =
        key.ns == resources_[0].resource ? resources_[0] : resources_[1];
    const std::string path = resource.Path("", key.name);
    const kube::Result<kube::ApiAnswer> answer = client_.Call({.path = path});
    if (!answer.ok()) return Settled(answer.status());
    const auto object = json::Parse(answer->body);
    if (!object.ok()) return kube::Finished();
    const std::string patch = PatchOf(*object);
    if (patch.empty()) return kube::Finished();
    const kube::Result<kube::ApiAnswer> written =
        client_.Call({.method = "PATCH",
                      .path = path,
                      .body = patch,
                      .content_type = "application/json-patch+json"});
    if (!written.ok()) return Settled(written.status());
    return kube::Finished();
  }

  static kube::ReconcileResult Settled(const kube::Status& status) {
    if (!kube::IsNotFound(status)) return status;
    return kube::Finished();
  }

  // "": it is not ours, or is right already.
  std::string PatchOf(const json::Value& object) const {
    const json::Value* label = object.Find("metadata", "labels", kWebhookLabel);
    if (label == nullptr || label->text() != kWebhookLabelValue) return "";
    const json::Value* webhooks = object.Find("webhooks");
    if (webhooks == nullptr) return "";
    std::string out;
    json::Writer writer(&out);
    writer.BeginArray();
    int wrong = 0;
    for (size_t i = 0; i < webhooks->items().size(); ++i) {
      const json::Value* current = webhooks->items()[i].Find("clientConfig", "caBundle");
      if (current != nullptr && current->text() == bundle_) continue;
      ++wrong;
      writer.BeginObject();
      writer.Key("op").String("add");
      writer.Key("path").String(absl::StrCat("/webhooks/", i, "/clientConfig/caBundle"));
      writer.Key("value").String(bundle_);
      writer.EndObject();
    }
    writer.EndArray();
    return wrong == 0 ? "" : out;
  }

  kube::Client& client_;
  const std::string bundle_;
  const std::array<kube::ApiResource, 2> resources_;
  const std::unique_ptr<kube::Informers> informers_;
  std::unique_ptr<kube::Controller> queue_;
};

}  // namespace

std::unique_ptr<WebhookBundles> StartWebhookBundles(kube::Client& client, kube::Executor& executor,
                                                    std::string roots_pem) {
  return std::make_unique<Bundles>(client, executor, roots_pem);
}

}  // namespace meltemi::pilot
