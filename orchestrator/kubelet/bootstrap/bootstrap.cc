#include "orchestrator/kubelet/bootstrap/bootstrap.h"

#include <algorithm>
#include <filesystem>
#include <future>
#include <mutex>
#include <system_error>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/tls/certificate.h"
#include "base/tls/signing_request.h"
#include "kube/client/http_client.h"
#include "kube/client/kubeconfig.h"
#include "orchestrator/component/files.h"
#include "orchestrator/kubelet/bootstrap/files.h"

namespace meltemi::kubelet {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSkewSeconds = 300, kDaySeconds = 24 * 3600;
constexpr int64_t kServingDays = 365, kServingRenewDays = 30;
constexpr Duration kRetryRenewal = minutes(10);

int64_t NowSeconds(const Clock& clock) {
  return std::chrono::duration_cast<seconds>(clock.WallNow().time_since_epoch()).count();
}

// Error: why the identity on disk is of no use.
absl::Status CheckIdentity(const BootstrapOptions& options, int64_t now_s) {
  const absl::StatusOr<tls::KeyPair> pair = ReadCurrent(options.cert_dir);
  if (!pair.ok()) return pair.status();
  const absl::StatusOr<tls::CertificateInfo> info =
      tls::ReadCertificatePem(pair->certificate_chain_pem);
  if (!info.ok()) return info.status();
  const std::string path = CurrentPath(options.cert_dir);
  if (info->not_after_s <= now_s) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": the certificate has expired"));
  }
  if (info->common_name != "system:node:" + options.node_name) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": the certificate is for ",
                                                      info->common_name, ", not for node ",
                                                      options.node_name));
  }
  return absl::OkStatus();
}

// The server may have moved since.
absl::Status WriteKubeconfig(const BootstrapOptions& options, const kube::ClusterAccess& access) {
  std::error_code error;
  const std::string pair_path = fs::absolute(CurrentPath(options.cert_dir), error).string();
  const std::string text = KubeconfigText(access.server, access.ca_pem, pair_path);
  const absl::StatusOr<std::string> before = orchestrator::ReadWholeFile(options.kubeconfig);
  if (before.ok() && *before == text) return absl::OkStatus();
  fs::create_directories(fs::path(options.kubeconfig).parent_path(), error);
  return orchestrator::WriteFileAtomically(options.kubeconfig, text, 0600);
}

absl::StatusOr<tls::KeyPair> Ask(const BootstrapOptions& options, const kube::ClusterAccess& access,
                                 const Clock& clock) {
  absl::StatusOr<std::unique_ptr<kube::Client>> client =
      kube::NewHttpClient(access, clock, {.user_agent = "meltemi-orchestrator/kubelet-bootstrap"});
  if (!client.ok()) return client.status();
  const std::unique_ptr<kube::Executor> executor =
      kube::NewThreadExecutor(clock, {.threads_max = 2});
  std::promise<absl::StatusOr<tls::KeyPair>> answer;
  const std::unique_ptr<IdentityRequest> request = RequestIdentity(
      options, **client, *executor,
      [](const absl::Status& trouble) {
        LOG(kWarn, "bootstrap", "no certificate yet: ", trouble.message());
      },
      [&answer](absl::StatusOr<tls::KeyPair> pair) { answer.set_value(std::move(pair)); });
  return answer.get_future().get();
}

class Renewal final : public IdentityRenewal {
 public:
  Renewal(const BootstrapOptions& options, kube::Client& client, kube::Executor& executor,
          Random& random, std::function<void()> renewed)
      : state_(std::make_shared<State>(options, client, executor, 0.7 + 0.2 * Part(random),
                                       std::move(renewed))) {
    State::LookAfter(state_, Duration(0));
  }
  ~Renewal() override { state_->Stop(); }

 private:
  static double Part(Random& random) {
    return static_cast<double>(random.Next() >> 11) * 0x1.0p-53;
  }

  class State {
   public:
    State(const BootstrapOptions& options, kube::Client& client, kube::Executor& executor,
          double part, std::function<void()> renewed)
        : options_(options),
          client_(client),
          executor_(executor),
          part_(part),
          renewed_(std::move(renewed)) {}

    static void LookAfter(const std::shared_ptr<State>& self, Duration delay) {
      const std::lock_guard<std::mutex> lock(self->mutex_);
      if (self->stopped_) return;
      self->delayed_ = self->executor_.After(delay, [self] { Look(self); });
    }
    void Stop() {
      std::unique_ptr<IdentityRequest> request;
      std::unique_ptr<kube::Delayed> delayed;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        stopped_ = true;
        request = std::move(request_);
        delayed = std::move(delayed_);
      }
    }

   private:
    static void Look(const std::shared_ptr<State>& self) {
      const Duration wait = self->UntilDue();
      if (wait > Duration(0)) return LookAfter(self, wait);
      LOG(kInfo, "bootstrap", "the certificate of node ", self->options_.node_name,
          " is to be renewed");
      auto request = RequestIdentity(
          self->options_, self->client_, self->executor_,
          [](const absl::Status& trouble) {
            LOG(kWarn, "bootstrap", "the certificate is not renewed yet: ", trouble.message());
          },
          [self](absl::StatusOr<tls::KeyPair> pair) { Take(self, std::move(pair)); });
      const std::lock_guard<std::mutex> lock(self->mutex_);
      if (!self->stopped_) self->request_ = std::move(request);
    }

    // Zero: now.
    Duration UntilDue() const {
      const absl::StatusOr<tls::KeyPair> pair = ReadCurrent(options_.cert_dir);
      if (!pair.ok()) return Duration(0);
      const auto info = tls::ReadCertificatePem(pair->certificate_chain_pem);
      if (!info.ok()) return Duration(0);
      const auto life = static_cast<double>(info->not_after_s - info->not_before_s);
      const int64_t due_s = info->not_before_s + static_cast<int64_t>(life * part_);
      return seconds(std::max<int64_t>(0, due_s - NowSeconds(executor_.clock())));
    }

    static void Take(const std::shared_ptr<State>& self, absl::StatusOr<tls::KeyPair> pair) {
      {
        const std::lock_guard<std::mutex> lock(self->mutex_);
        if (self->stopped_) return;
      }
      absl::Status status = pair.status();
      if (status.ok()) {
        status = WriteCurrent(self->options_.cert_dir, *pair, NowSeconds(self->executor_.clock()));
      }
      if (status.ok()) return self->renewed_();
      LOG(kError, "bootstrap", "the certificate is not renewed: ", status.message());
      LookAfter(self, kRetryRenewal);
    }

    const BootstrapOptions options_;
    kube::Client& client_;
    kube::Executor& executor_;
    const double part_;  // of the certificate's life
    const std::function<void()> renewed_;
    std::mutex mutex_;
    bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
    std::unique_ptr<kube::Delayed> delayed_ ABSL_GUARDED_BY(mutex_);
    std::unique_ptr<IdentityRequest> request_ ABSL_GUARDED_BY(mutex_);
  };

  const std::shared_ptr<State> state_;
};

bool Serves(const tls::CertificateInfo& info, const std::string& node_name,
            const std::vector<std::string>& ip_addresses, int64_t now_s) {
  const auto has = [](const std::vector<std::string>& list, const std::string& text) {
    return std::find(list.begin(), list.end(), text) != list.end();
  };
  return info.not_after_s > now_s + kServingRenewDays * kDaySeconds &&
         has(info.dns_names, node_name) &&
         std::all_of(ip_addresses.begin(), ip_addresses.end(),
                     [&](const std::string& ip) { return has(info.ip_addresses, ip); });
}

}  // namespace

absl::Status EnsureIdentity(const BootstrapOptions& options, const Clock& clock) {
  const absl::Status usable = CheckIdentity(options, NowSeconds(clock));
  if (options.bootstrap_kubeconfig.empty()) {
    if (!usable.ok()) {
      return absl::FailedPreconditionError(absl::StrCat(
          usable.message(), "; give --bootstrap-kubeconfig to have a new certificate signed"));
    }
    return fs::exists(options.kubeconfig)
               ? absl::OkStatus()
               : absl::NotFoundError(absl::StrCat(options.kubeconfig, ": there is none"));
  }
  const absl::StatusOr<kube::ClusterAccess> access =
      kube::ReadKubeconfig(options.bootstrap_kubeconfig);
  if (!access.ok()) {
    return usable.ok() && fs::exists(options.kubeconfig) ? absl::OkStatus() : access.status();
  }
  if (!usable.ok()) {
    if (!absl::IsNotFound(usable)) LOG(kWarn, "bootstrap", usable.message());
    const absl::StatusOr<tls::KeyPair> pair = Ask(options, *access, clock);
    if (!pair.ok()) return pair.status();
    absl::Status status = WriteCurrent(options.cert_dir, *pair, NowSeconds(clock));
    if (!status.ok()) return status;
    LOG(kInfo, "bootstrap", "node ", options.node_name, " has its certificate");
  }
  return WriteKubeconfig(options, *access);
}

std::unique_ptr<IdentityRenewal> StartIdentityRenewal(const BootstrapOptions& options,
                                                      kube::Client& client,
                                                      kube::Executor& executor, Random& random,
                                                      std::function<void()> renewed) {
  return std::make_unique<Renewal>(options, client, executor, random, std::move(renewed));
}

absl::StatusOr<tls::KeyPair> ServingCertificate(const std::string& cert_dir,
                                                const std::string& node_name,
                                                const std::vector<std::string>& ip_addresses,
                                                const Clock& clock) {
  const std::string certificate = cert_dir + "/kubelet.crt", key = cert_dir + "/kubelet.key";
  const int64_t now_s = NowSeconds(clock);
  const absl::StatusOr<std::string> chain = orchestrator::ReadWholeFile(certificate);
  const absl::StatusOr<std::string> private_key = orchestrator::ReadWholeFile(key);
  if (chain.ok() && private_key.ok() && tls::IsCertificateOf(*chain, *private_key)) {
    const auto info = tls::ReadCertificatePem(*chain);
    if (info.ok() && Serves(*info, node_name, ip_addresses, now_s)) {
      return tls::KeyPair{*chain, *private_key};
    }
  }
  tls::CertificateRequest request{.common_name = node_name,
                                  .dns_names = {node_name, "localhost"},
                                  .ip_addresses = ip_addresses,
                                  .server_auth = true,
                                  .not_before_s = now_s - kSkewSeconds,
                                  .not_after_s = now_s + kServingDays * kDaySeconds};
  absl::StatusOr<tls::KeyPair> made = tls::NewCertificate(request, {});
  if (!made.ok()) return made;
  std::error_code error;
  fs::create_directories(cert_dir, error);
  // The key first: a certificate without its key would be of no use.
  absl::Status status = orchestrator::WriteFileAtomically(key, made->private_key_pem, 0600);
  if (status.ok()) {
    status = orchestrator::WriteFileAtomically(certificate, made->certificate_chain_pem, 0644);
  }
  if (!status.ok()) return status;
  return made;
}

}  // namespace meltemi::kubelet
