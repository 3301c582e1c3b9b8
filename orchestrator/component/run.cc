#include "orchestrator/component/run.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log/log.h"
#include "base/loop/loop.h"
#include "base/random/locked_random.h"
#include "base/tls/certificate.h"
#include "kube/client/http_client.h"
#include "kube/informer/limits.h"
#include "kube/leader/leader.h"
#include "orchestrator/apiserver/http/server.h"
#include "orchestrator/apiserver/watch/no_watches.h"
#include "orchestrator/component/files.h"

namespace meltemi::orchestrator {
namespace {

constexpr Duration kDrainMax = seconds(2);
constexpr unsigned kStopMaxSeconds = 5;
constexpr int64_t kDaySeconds = 24 * 3600;

class Component {
 public:
  Component(const ComponentSpec& spec, const Clock& clock, Loop& loop)
      : spec_(spec), options_(spec.options), clock_(clock), loop_(loop), host_name_(HostName()) {}
  ~Component() { Stop(); }

  absl::Status Start() {
    absl::StatusOr<kube::ClusterAccess> access = kube::ReadKubeconfig(options_.kubeconfig);
    if (!access.ok()) return access.status();
    cluster_ = *std::move(access);
    absl::StatusOr<std::unique_ptr<kube::Client>> client = kube::NewHttpClient(
        cluster_, clock_, {.user_agent = absl::StrCat("meltemi-orchestrator/", spec_.name)});
    if (!client.ok()) return client.status();
    client_ = *std::move(client);
    executor_ = kube::NewThreadExecutor(clock_, {.threads_max = spec_.threads_max});
    access_ = std::make_unique<DelegatedAccess>(*client_, clock_);
    pages_ = std::make_unique<Pages>(*access_, metrics_);
    kube::InformerLimits limits;
    if (spec_.messages_max != 0) limits.messages_max = spec_.messages_max;
    informers_ = kube::NewInformers(*client_, *executor_, {}, limits);
    if (absl::Status status = Serve(); !status.ok()) return status;
    if (!spec_.elects || !options_.leader_elect) {
      Lead();
      return absl::OkStatus();
    }
    StandForElection();
    return absl::OkStatus();
  }

  // In the reverse order of what uses what.
  void Stop() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    if (server_ != nullptr) server_->Stop(kDrainMax);
    server_.reset();
    if (informers_ != nullptr) informers_->Stop();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      work_.reset();
    }
    election_.reset();
    // What is still queued there may use what follows.
    if (parts_ != nullptr) parts_->recorders.clear();
    executor_.reset();
    informers_.reset();
    client_.reset();
  }

  bool begins_anew() const { return begins_anew_; }
  std::string failure() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return failure_;
  }

 private:
  absl::Status Serve() {
    pages_->AddCheck({.name = "ping", .check = [] { return absl::OkStatus(); }});
    pages_->AddCheck(
        {.name = "informer-sync", .check = [this] { return Synced(); }, .live = false});
    pages_->AddDebug("informers",
                     [this] { return absl::StrCat("waiting: ", informers_->Waiting(), "\n"); });
    apiserver::ServerOptions serving;
    absl::StatusOr<net::Address> address =
        net::Address::FromIp(options_.bind_address, static_cast<uint16_t>(options_.secure_port));
    if (!address.ok()) return address.status();
    serving.address = *address;
    serving.loops = 1;
    serving.reads_in_flight_max = serving.writes_in_flight_max = 4;
    serving.connections_max = 256;
    if (absl::Status status = ReadIdentity(&tls_); !status.ok()) return status;
    serving.tls = tls_;
    absl::StatusOr<std::unique_ptr<apiserver::Server>> server =
        apiserver::StartServer(serving, clock_, *pages_, no_watches_);
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    url_ = absl::StrCat("https://",
                        options_.bind_address == "0.0.0.0" ? "127.0.0.1" : options_.bind_address,
                        ":", server_->address().port());
    LOG(kInfo, "main", spec_.name, " serves its pages at ", url_);
    return absl::OkStatus();
  }

  absl::Status ReadIdentity(tls::ServerOptions* out) {
    out->alpn = {"h2", "http/1.1"};
    if (!options_.client_ca_file.empty()) {
      absl::StatusOr<std::string> ca = ReadWholeFile(options_.client_ca_file);
      if (!ca.ok()) return ca.status();
      out->peer = tls::PeerCertificate::kOptional;
      out->client_ca_pem = *std::move(ca);
    }
    if (!options_.tls_cert_file.empty()) {
      absl::StatusOr<std::string> chain = ReadWholeFile(options_.tls_cert_file);
      absl::StatusOr<std::string> key = ReadWholeFile(options_.tls_key_file);
      if (!chain.ok()) return chain.status();
      if (!key.ok()) return key.status();
      out->identity = {*std::move(chain), *std::move(key)};
      return absl::OkStatus();
    }
    const int64_t now_s =
        std::chrono::duration_cast<seconds>(clock_.WallNow().time_since_epoch()).count();
    tls::CertificateRequest request{.common_name = host_name_,
                                    .dns_names = {host_name_, "localhost"},
                                    .ip_addresses = {"127.0.0.1"},
                                    .server_auth = true,
                                    .not_before_s = now_s - 300,
                                    .not_after_s = now_s + 365 * kDaySeconds};
    absl::StatusOr<tls::KeyPair> made = tls::NewCertificate(request, {});
    if (!made.ok()) return made.status();
    out->identity = *std::move(made);
    return absl::OkStatus();
  }

  absl::Status Synced() const {
    if (standing_by_ || informers_->synced()) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("waiting for ", informers_->Waiting()));
  }

  void StandForElection() {
    standing_by_ = true;
    TellReady();
    kube::LeaderOptions election;
    election.lease = options_.lease_name;
    election.identity = absl::StrFormat("%s_%016x", host_name_, random_.Next());
    election.lease_duration = options_.lease_duration;
    election.renew_deadline = options_.renew_deadline;
    election.retry_period = options_.retry_period;
    election_ = kube::StartLeaderElection(
        *client_, *executor_, election, [this] { Lead(); },
        [this] { EndForAnew("it has lost its lease"); });
  }

  void EndForAnew(absl::string_view why) {
    LOG(kWarn, "main", spec_.name, " begins anew: ", why);
    begins_anew_ = true;
    loop_.Exit();
  }

  void Lead() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stopping_) return;
      standing_by_ = false;
      parts_.reset(new Parts{.clock = clock_,
                             .access = cluster_,
                             .client = *client_,
                             .executor = *executor_,
                             .informers = *informers_,
                             .metrics = metrics_,
                             .random = random_,
                             .pages = *pages_,
                             .serving = tls_,
                             .access_reviews = *access_,
                             .host_name = host_name_,
                             .begin_anew = [this](absl::string_view why) { EndForAnew(why); },
                             .recorders = {}});
      absl::StatusOr<std::unique_ptr<Work>> work = spec_.make_work(*parts_);
      if (!work.ok()) {
        failure_ = std::string(work.status().message());
        loop_.Exit();
        return;
      }
      work_ = *std::move(work);
    }
    informers_->Start([this] {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stopping_) return;
      LOG(kInfo, "main", spec_.name, " works");
      work_->Start();
      TellReady();
    });
  }

  void TellReady() {
    if (options_.address_file.empty()) return;
    const absl::Status status = WriteFileAtomically(options_.address_file, url_, 0644);
    if (!status.ok()) LOG(kError, "main", status.message());
  }

  const ComponentSpec& spec_;
  const ComponentOptions& options_;
  const Clock& clock_;
  Loop& loop_;
  const std::string host_name_;
  kube::ClusterAccess cluster_;
  metrics::Registry metrics_;
  LockedRandom random_;
  apiserver::NoWatches no_watches_;
  tls::ServerOptions tls_;
  std::string url_;
  std::atomic<bool> standing_by_{false}, begins_anew_{false};

  // In the order in which they are made.
  std::unique_ptr<kube::Client> client_;
  std::unique_ptr<kube::Executor> executor_;
  std::unique_ptr<DelegatedAccess> access_;
  std::unique_ptr<Pages> pages_;
  std::unique_ptr<kube::Informers> informers_;
  std::unique_ptr<apiserver::Server> server_;
  std::unique_ptr<Parts> parts_;
  std::mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::string failure_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Work> work_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<kube::LeaderElection> election_;
};

[[noreturn]] void BeginAnew(const std::vector<std::string>& argv) {
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(strdup(argument.c_str()));
  arguments.push_back(nullptr);
  execv("/proc/self/exe", arguments.data());
  std::perror("meltemi-orchestrator: cannot execute itself again");
  _exit(1);
}

}  // namespace

std::string HostName() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return absl::AsciiStrToLower(name.data());
}

kube::EventRecorder& Parts::RecorderOf(absl::string_view component) {
  recorders.push_back(kube::NewEventRecorder(
      client, executor, {.component = std::string(component), .host = host_name}));
  return *recorders.back();
}

int RunComponent(const ComponentSpec& spec, const std::vector<std::string>& argv) {
  log::SetLevel("*", spec.options.log_level);
  std::signal(SIGPIPE, SIG_IGN);
  const SystemClock clock;
  const std::unique_ptr<Loop> loop = NewEventLoop(clock);
  const auto stop = [&loop] { loop->Exit(); };
  const auto on_term = loop->WatchSignal(SIGTERM, stop);
  const auto on_int = loop->WatchSignal(SIGINT, stop);
  Component component(spec, clock, *loop);
  const absl::Status status = component.Start();
  if (status.ok()) loop->Run();
  if (component.begins_anew()) BeginAnew(argv);
  // Calls to an API server that does not answer would hold it up; nothing is lost without them.
  std::signal(SIGALRM, [](int) { _exit(0); });
  alarm(kStopMaxSeconds);
  component.Stop();
  const std::string failure = status.ok() ? component.failure() : std::string(status.message());
  if (failure.empty()) return 0;
  std::fprintf(stderr, "meltemi-orchestrator %s: %s\n", spec.name.c_str(), failure.c_str());
  return 1;
}

}  // namespace meltemi::orchestrator
