#include "pilot/inject/webhook/webhook_server.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/http/server/https_server.h"
#include "base/json/write.h"
#include "base/log/log.h"
#include "pilot/inject/admission.h"

namespace meltemi::pilot {
namespace {

constexpr char kJson[] = "application/json";

http::WebResponse Text(int status, std::string text) {
  return {.status = status, .body = absl::StrCat(text, "\n")};
}

bool IsJson(const http::WebRequest& request) {
  const absl::string_view type = request.headers->Get("content-type");
  return type == kJson || absl::StartsWith(type, "application/json;");
}

}  // namespace

absl::StatusOr<std::unique_ptr<WebhookServer>> WebhookServer::Start(Loop& loop,
                                                                    metrics::Scope& metrics,
                                                                    WebhookOptions options) {
  const net::Address address = options.address;
  const tls::KeyPair identity = options.identity;
  const http::WebServerOptions limits = options.limits;
  std::unique_ptr<WebhookServer> webhooks(new WebhookServer(metrics, std::move(options)));
  WebhookServer* const raw = webhooks.get();
  absl::StatusOr<std::unique_ptr<http::HttpsServer>> server = http::ListenHttps(
      loop, address, identity,
      [raw](const http::WebRequest& request, const http::WebReply& reply) {
        reply(raw->Handle(request));
      },
      limits);
  if (!server.ok()) {
    return absl::Status(server.status().code(),
                        absl::StrCat("webhooks: ", server.status().message()));
  }
  webhooks->server_ = *std::move(server);
  return webhooks;
}

WebhookServer::WebhookServer(metrics::Scope& metrics, WebhookOptions options)
    : validate_(std::move(options.validate)),
      settings_(options.settings != nullptr ? std::move(options.settings)
                                            : std::make_shared<const InjectSettings>()),
      injected_(metrics.GetCounter("sidecar_injection_success_total")),
      skipped_(metrics.GetCounter("sidecar_injection_skip_total")),
      refused_(metrics.GetCounter("sidecar_injection_failure_total")),
      requests_(metrics.GetCounter("sidecar_injection_requests_total")),
      validated_(metrics.GetCounter("galley_validation_requests_total")),
      malformed_(metrics.GetCounter("webhook_malformed_requests_total")) {}

WebhookServer::~WebhookServer() = default;

absl::Status WebhookServer::SetIdentity(const tls::KeyPair& identity) {
  return server_->SetIdentity(identity);
}

void WebhookServer::SetSettings(std::shared_ptr<const InjectSettings> settings) {
  settings_ = std::move(settings);
}

const net::Address& WebhookServer::address() const { return server_->server().address(); }

http::WebResponse WebhookServer::Handle(const http::WebRequest& request) {
  if (request.path == "/ready") return Text(200, "ready");
  const bool inject = request.path == "/inject" || absl::StartsWith(request.path, "/inject/");
  const bool validate = request.path == "/validate" || absl::StartsWith(request.path, "/validate/");
  if (!inject && !validate) {
    malformed_.Inc();
    return Text(404, "There are POST /inject and POST /validate.");
  }
  if (request.method != "POST") {
    malformed_.Inc();
    return Text(405, "This takes POST.");
  }
  if (!IsJson(request)) {
    malformed_.Inc();
    return Text(415, "The content type must be application/json.");
  }
  return inject ? Inject(request) : Validate(request);
}

http::WebResponse WebhookServer::Inject(const http::WebRequest& request) {
  requests_.Inc();
  absl::StatusOr<ReviewAnswer> answer = AnswerInjection(request.body, *settings_);
  if (!answer.ok()) {
    malformed_.Inc();
    refused_.Inc();
    LOG(kWarn, "inject", "refused a request of ", request.remote.ToString(), ": ",
        answer.status().message());
    return Text(400, std::string(answer.status().message()));
  }
  switch (answer->outcome) {
    case ReviewAnswer::Outcome::kInjected:
      injected_.Inc();
      LOG(kInfo, "inject", "injected ", answer->pod);
      break;
    case ReviewAnswer::Outcome::kSkipped:
      skipped_.Inc();
      LOG(kInfo, "inject", "skipped ", answer->pod, ": ", answer->why);
      break;
    case ReviewAnswer::Outcome::kRefused:
      refused_.Inc();
      LOG(kWarn, "inject", "refused ", answer->pod, ": ", answer->why);
      break;
  }
  return {.status = 200, .body = std::move(answer->body), .content_type = kJson};
}

http::WebResponse WebhookServer::Validate(const http::WebRequest& request) {
  validated_.Inc();
  absl::StatusOr<std::string> answer;
  if (validate_ != nullptr) {
    answer = validate_(request.body);
  } else if (const absl::StatusOr<ReviewRequest> review = ParseReview(request.body); review.ok()) {
    answer = absl::StrCat(
        R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":)",
        json::ToString(json::Value::String(review->uid)), R"(,"allowed":true}})");
  } else {
    answer = review.status();
  }
  if (!answer.ok()) {
    malformed_.Inc();
    LOG(kWarn, "validate", "refused a request of ", request.remote.ToString(), ": ",
        answer.status().message());
    return Text(400, std::string(answer.status().message()));
  }
  return {.status = 200, .body = *std::move(answer), .content_type = kJson};
}

}  // namespace meltemi::pilot
