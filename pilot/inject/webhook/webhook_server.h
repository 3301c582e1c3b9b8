// pilot's webhooks over HTTPS, as API servers call them:
//
//   POST /inject, /inject/…   pods get their sidecar   (pilot/inject/admission.h)
//   POST /validate            mesh objects are checked (a function of the owner's)
//   GET  /ready               200
//
// Loop-owned. What comes is bounded (WebServerOptions); what is no AdmissionReview gets 400 and is
// counted, and nothing else is affected.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/http/server/web_server.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "base/net/address.h"
#include "base/tls/tls.h"
#include "pilot/inject/settings.h"

namespace meltemi::http {
class HttpsServer;
}

namespace meltemi::pilot {

// The bytes of an AdmissionReview with a request -> those of one with the response. Error: it is
// no AdmissionReview; the message is shown to the caller. Called on the loop: must not block.
using ReviewFunction = std::function<absl::StatusOr<std::string>(absl::string_view review)>;

struct WebhookOptions {
  net::Address address;   // 0.0.0.0:15017
  tls::KeyPair identity;  // for meltemi-pilot.istio-system.svc
  std::shared_ptr<const InjectSettings> settings;
  ReviewFunction validate;  // unset: /validate allows everything
  http::WebServerOptions limits = {};
};

class WebhookServer {
 public:
  // Listens at once. `loop` and `metrics` outlive it. Error: the certificate or the address.
  static absl::StatusOr<std::unique_ptr<WebhookServer>> Start(Loop& loop, metrics::Scope& metrics,
                                                              WebhookOptions options);
  ~WebhookServer();

  // For connections and requests from now on. Error of SetIdentity: what is wrong with the PEM;
  // the old one stays.
  absl::Status SetIdentity(const tls::KeyPair& identity);
  void SetSettings(std::shared_ptr<const InjectSettings> settings);

  const net::Address& address() const;

 private:
  WebhookServer(metrics::Scope& metrics, WebhookOptions options);
  http::WebResponse Handle(const http::WebRequest& request);
  http::WebResponse Inject(const http::WebRequest& request);
  http::WebResponse Validate(const http::WebRequest& request);

  const ReviewFunction validate_;
  std::shared_ptr<const InjectSettings> settings_;
  metrics::Counter& injected_;  // sidecar_injection_success_total, as Istio names them
  metrics::Counter& skipped_;
  metrics::Counter& refused_;
  metrics::Counter& requests_;
  metrics::Counter& validated_;
  metrics::Counter& malformed_;  // webhook_malformed_requests_total: no AdmissionReview, or no POST
  std::unique_ptr<http::HttpsServer> server_;
};

}  // namespace meltemi::pilot
