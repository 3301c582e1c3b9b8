#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/authorization/v1/authorization.pb.h"
#include "kube/client/typed.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/certificates/certificates.h"
#include "orchestrator/controllers/certificates/request_rules.h"
#include "orchestrator/controllers/runtime/context.h"

namespace meltemi::controllers {
namespace {

using kube::authorization::v1::SubjectAccessReview;

// The right to have one approved may still come.
constexpr Duration kAskAgain = seconds(30);

// By which right a kubelet's request is approved, and in which words.
struct Recognizer {
  const char* subresource;
  const char* message;
};
constexpr Recognizer kSelf = {
    "selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."};
constexpr Recognizer kOther = {
    "nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."};

std::vector<Recognizer> RecognizersOf(const Request& request, const tls::SigningRequestInfo& info) {
  if (request.spec().signer_name() != kKubeletClientSigner || !CheckForSigner(request, info).ok()) {
    return {};
  }
  if (request.spec().username() == info.common_name) return {kSelf, kOther};
  return {kOther};
}

SubjectAccessReview ReviewOf(const Request& request, const Recognizer& recognizer) {
  SubjectAccessReview review;
  auto& spec = *review.mutable_spec();
  spec.set_user(request.spec().username());
  spec.set_uid(request.spec().uid());
  *spec.mutable_groups() = request.spec().groups();
  for (const auto& [key, value] : request.spec().extra()) {
    *(*spec.mutable_extra())[key].mutable_items() = value.items();
  }
  auto& attributes = *spec.mutable_resource_attributes();
  attributes.set_group("certificates.k8s.io");
  attributes.set_version("*");
  attributes.set_resource("certificatesigningrequests");
  attributes.set_subresource(recognizer.subresource);
  attributes.set_verb("create");
  return review;
}

class Approver final : public Running {
 public:
  explicit Approver(Context& context)
      : context_(context),
        requests_(context.informers.ListerOf<Request>()),
        queue_(kube::NewController(
            {.name = "certificate_csrapproving", .workers = 1}, context.executor, context.metrics,
            [this](const kube::NamespacedName& key) { return Reconcile(key.name); })) {
    context.informers.Of<Request>().AddHandler([this](const kube::Change& change) {
      if (change.after != nullptr) queue_->Add(kube::NameOf(*change.after));
    });
  }

  void Start() override { queue_->Start(); }

 private:
  kube::ReconcileResult Reconcile(const std::string& name) {
    const std::shared_ptr<const Request> request = requests_.Get("", name);
    if (request == nullptr || !request->status().certificate().empty() || IsDecided(*request)) {
      return kube::Finished();
    }
    const absl::StatusOr<tls::SigningRequestInfo> info =
        tls::ReadSigningRequestPem(request->spec().request());
    // The API server takes none that can't be read; it would not get better.
    if (!info.ok()) return kube::Finished();
    const std::vector<Recognizer> recognizers = RecognizersOf(*request, *info);
    for (const Recognizer& recognizer : recognizers) {
      const kube::Result<SubjectAccessReview> review =
          kube::Create(context_.client, ReviewOf(*request, recognizer));
      if (!review.ok()) return review.status();
      if (review->status().allowed()) return Approve(*request, recognizer.message);
    }
    if (recognizers.empty()) return kube::Finished();
    return kube::Again(kAskAgain);
  }

  kube::ReconcileResult Approve(Request request, const char* message) {
    auto& condition = *request.mutable_status()->add_conditions();
    condition.set_type("Approved");
    condition.set_status("True");
    condition.set_reason("AutoApproved");
    condition.set_message(message);
    const kube::Outcome written = kube::internal::UpdateInto(
        context_.client, kube::ResourceOf<Request>(), "approval", request, nullptr);
    if (!written.ok() && !kube::IsNotFound(written.status())) return written.status();
    return kube::Finished();
  }

  Context& context_;
  const kube::Lister<Request> requests_;
  const std::unique_ptr<kube::Controller> queue_;  // goes first
};

}  // namespace

std::unique_ptr<Running> NewCertificateApprover(Context& context) {
  return std::make_unique<Approver>(context);
}

}  // namespace meltemi::controllers
