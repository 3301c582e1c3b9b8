#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "base/tls/certificate.h"
#include "base/tls/signing_request.h"
#include "kube/certificates/v1/certificates.pb.h"
#include "kube/client/typed.h"
#include "orchestrator/kubelet/bootstrap/bootstrap.h"

namespace meltemi::kubelet {
namespace {

using Asked = kube::certificates::v1::CertificateSigningRequest;

// A signer is fast, a person is not.
constexpr Duration kLookFirst = milliseconds(25), kLookMax = seconds(5);

bool HasCondition(const Asked& asked, absl::string_view type, std::string* words) {
  for (const auto& condition : asked.status().conditions()) {
    if (condition.type() != type) continue;
    *words = absl::StrCat(condition.reason(), condition.message().empty() ? "" : ": ",
                          condition.message());
    return true;
  }
  return false;
}

// Refusals that will not go away by asking again.
bool IsFinal(const kube::Status& status) {
  return status.code >= 400 && status.code < 500 && status.code != 404 && status.code != 409 &&
         status.code != 429;
}

absl::Status ToStatus(const kube::Status& status) {
  if (status.code == 401) {
    return absl::UnauthenticatedError(
        "the API server does not accept the bootstrap token: it has expired, or was removed; "
        "`meltemi join --print` on the control plane makes a new one");
  }
  return absl::UnavailableError(status.message);
}

// Steps: ask → look, look, … → done. One step at a time, each begun by the one before.
class Impl final : public IdentityRequest {
 public:
  Impl(const BootstrapOptions& options, kube::Client& client, kube::Executor& executor,
       std::function<void(const absl::Status&)> trouble, Done done)
      : state_(std::make_shared<State>(options, client, executor, std::move(trouble),
                                       std::move(done))) {
    State::Step(state_, Duration(0), &State::Ask);
  }
  // A step that is under way ends first; none follows.
  ~Impl() override { state_->Stop(); }

 private:
  class State {
   public:
    State(const BootstrapOptions& options, kube::Client& client, kube::Executor& executor,
          std::function<void(const absl::Status&)> trouble, Done done)
        : options_(options),
          client_(client),
          executor_(executor),
          trouble_(std::move(trouble)),
          done_(std::move(done)) {}

    static void Step(const std::shared_ptr<State>& self, Duration delay,
                     void (State::*step)(const std::shared_ptr<State>&)) {
      const auto work = [self, step] {
        const std::lock_guard<std::mutex> lock(self->mutex_);
        if (!self->stopped_) ((*self).*step)(self);
      };
      if (delay == Duration(0)) {
        self->executor_.Run(work);
      } else {
        self->delayed_ = self->executor_.After(delay, work);
      }
    }
    void Stop() {
      std::unique_ptr<kube::Delayed> delayed;
      const std::lock_guard<std::mutex> lock(mutex_);
      stopped_ = true;
      delayed = std::move(delayed_);
    }

    void Ask(const std::shared_ptr<State>& self) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      if (key_pem_.empty()) {
        absl::StatusOr<std::string> key = tls::NewPrivateKeyPem(tls::KeyKind::kEcdsaP256);
        if (!key.ok()) return End(key.status());
        key_pem_ = *std::move(key);
      }
      Asked request;
      request.mutable_metadata()->set_generate_name("csr-");
      absl::StatusOr<std::string> pem = tls::NewSigningRequestPem(
          {.common_name = "system:node:" + options_.node_name, .organizations = {"system:nodes"}},
          key_pem_);
      if (!pem.ok()) return End(pem.status());
      request.mutable_spec()->set_request(*std::move(pem));
      request.mutable_spec()->set_signer_name("kubernetes.io/kube-apiserver-client-kubelet");
      request.mutable_spec()->add_usages("digital signature");
      request.mutable_spec()->add_usages("client auth");
      const kube::Result<Asked> made = kube::Create(client_, request);
      if (!made.ok()) return Trouble(self, made.status(), &State::Ask);
      name_ = made->metadata().name();
      asked_at_ = executor_.clock().Now();
      delay_ = kLookFirst;
      Step(self, delay_, &State::Look);
    }

    void Look(const std::shared_ptr<State>& self) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      const kube::Result<Asked> found = kube::Get<Asked>(client_, "", name_);
      if (!found.ok()) {
        // Cleaned up, or a store that was restored: from the start.
        if (kube::IsNotFound(found.status())) return Step(self, kLookMax, &State::Ask);
        return Trouble(self, found.status(), &State::Look);
      }
      std::string words;
      if (HasCondition(*found, "Denied", &words) || HasCondition(*found, "Failed", &words)) {
        return End(absl::PermissionDeniedError(
            absl::StrCat("the certificate request ", name_, " was refused: ", words)));
      }
      const std::string& certificate = found->status().certificate();
      if (!certificate.empty()) {
        if (!tls::IsCertificateOf(certificate, key_pem_)) {
          return End(absl::InternalError(
              absl::StrCat("the certificate of request ", name_, " is not for its key")));
        }
        return End(tls::KeyPair{certificate, key_pem_});
      }
      if (executor_.clock().Now() - asked_at_ > options_.request_timeout) {
        Tell(absl::DeadlineExceededError(absl::StrCat(
            "nobody has decided on the certificate request ", name_,
            "; is a controller-manager running? (kubectl certificate approve ", name_, ")")));
        return Step(self, kLookMax, &State::Ask);
      }
      delay_ = std::min(delay_ * 2, kLookMax);
      Step(self, delay_, &State::Look);
    }

   private:
    void Trouble(const std::shared_ptr<State>& self, const kube::Status& status,
                 void (State::*again)(const std::shared_ptr<State>&)) {
      if (IsFinal(status)) return End(ToStatus(status));
      Tell(ToStatus(status));
      delay_ = std::clamp<Duration>(delay_ * 2, kLookFirst * 4, kLookMax);
      Step(self, delay_, again);
    }
    void Tell(const absl::Status& status) {
      if (trouble_) trouble_(status);
    }
    void End(absl::StatusOr<tls::KeyPair> result) {
      stopped_ = true;
      // It may destroy the request, which waits for this very step.
      executor_.Run([done = std::move(done_), result = std::move(result)] { done(result); });
    }

    const BootstrapOptions options_;
    kube::Client& client_;
    kube::Executor& executor_;
    const std::function<void(const absl::Status&)> trouble_;
    std::mutex mutex_;  // held for a step
    Done done_;
    bool stopped_ = false;
    std::unique_ptr<kube::Delayed> delayed_;
    std::string key_pem_, name_;
    Duration delay_ = kLookFirst;
    MonotonicTime asked_at_;
  };

  const std::shared_ptr<State> state_;
};

}  // namespace

std::unique_ptr<IdentityRequest> RequestIdentity(const BootstrapOptions& options,
                                                 kube::Client& client, kube::Executor& executor,
                                                 std::function<void(const absl::Status&)> trouble,
                                                 IdentityRequest::Done done) {
  return std::make_unique<Impl>(options, client, executor, std::move(trouble), std::move(done));
}

}  // namespace meltemi::kubelet
