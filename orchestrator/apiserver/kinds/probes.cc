// Probes and lifecycle hooks of containers.
#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/pod_parts.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

void ValidateHttpGet(const json::Value& http, const FieldPath& path, FieldErrors& errors) {
  if (Text(http, "path").empty()) errors.push_back(kube::Required(path.Child("path")));
  ValidatePortNumberOrName(Get(http, "port"), path.Child("port"), errors);
  const absl::string_view scheme = Text(http, "scheme");
  if (scheme != "HTTP" && scheme != "HTTPS") {
    errors.push_back(kube::NotSupported(
        path.Child("scheme"), json::Value::String(std::string(scheme)), {"HTTP", "HTTPS"}));
  }
  for (const json::Value& header : Items(http, "httpHeaders")) {
    const absl::string_view name = Text(header, "name");
    AddInvalid(path.Child("httpHeaders"), name, CheckHttpHeaderName(name), errors);
  }
}

void ValidateSleep(const json::Value& sleep, const FieldPath& path, const PodContext& context,
                   FieldErrors& errors) {
  const int64_t seconds = Int(sleep, "seconds");
  if (seconds > 0 && seconds <= context.grace_period_s) return;
  errors.push_back(kube::InvalidField(
      path, seconds,
      absl::StrCat("must be greater than 0 and less than terminationGracePeriodSeconds (",
                   context.grace_period_s,
                   "). Enable AllowPodLifecycleSleepActionZeroValue feature gate for zero "
                   "sleep.")));
}

void ValidateHandler(const json::Value& handler, bool of_lifecycle, const FieldPath& path,
                     const PodContext& context, FieldErrors& errors) {
  bool found = false;
  // False: there is one already.
  const auto take = [&](absl::string_view key) {
    if (!Has(handler, key)) return false;
    if (found) {
      errors.push_back(
          kube::ForbiddenField(path.Child(key), "may not specify more than 1 handler type"));
      return false;
    }
    return found = true;
  };
  if (take("exec") && Items(Get(handler, "exec"), "command").empty()) {
    errors.push_back(kube::Required(path.Child("exec").Child("command")));
  }
  if (take("httpGet")) ValidateHttpGet(Get(handler, "httpGet"), path.Child("httpGet"), errors);
  if (take("tcpSocket")) {
    ValidatePortNumberOrName(Get(handler, "tcpSocket", "port"),
                             path.Child("tcpSocket").Child("port"), errors);
  }
  if (!of_lifecycle && take("grpc")) {
    ValidatePortNumberOrName(Get(handler, "grpc", "port"), path.Child("grpc").Child("port"),
                             errors);
  }
  if (of_lifecycle && take("sleep")) {
    ValidateSleep(Get(handler, "sleep"), path.Child("sleep"), context, errors);
  }
  if (!found) errors.push_back(kube::Required(path, "must specify a handler type"));
}

void ValidateProbe(const json::Value& container, absl::string_view key, const FieldPath& path,
                   const PodContext& context, FieldErrors& errors) {
  if (!Has(container, key)) return;
  const json::Value& probe = Get(container, key);
  const FieldPath at = path.Child(key);
  ValidateHandler(probe, false, at, context, errors);
  for (const char* number : {"initialDelaySeconds", "timeoutSeconds", "periodSeconds",
                             "successThreshold", "failureThreshold"}) {
    ValidateNonNegative(probe, number, at, errors);
  }
  const std::optional<int64_t> grace = OptionalInt(probe, "terminationGracePeriodSeconds");
  if (grace.has_value() && *grace <= 0) {
    errors.push_back(kube::InvalidField(at.Child("terminationGracePeriodSeconds"), *grace,
                                        "must be greater than 0"));
  }
  if (key == "readinessProbe") {
    if (grace.has_value()) {
      errors.push_back(kube::InvalidField(at.Child("terminationGracePeriodSeconds"), *grace,
                                          "must not be set for readinessProbes"));
    }
  } else if (Int(probe, "successThreshold") != 1) {
    errors.push_back(kube::InvalidField(at.Child("successThreshold"),
                                        Int(probe, "successThreshold"), "must be 1"));
  }
}

}  // namespace

void ValidatePortNumberOrName(const json::Value& port, const FieldPath& path, FieldErrors& errors) {
  if (port.is_string()) {
    AddInvalid(path, port.text(), CheckPortName(port.text()), errors);
  } else {
    const int64_t number = port.AsInt64().value_or(0);
    AddInvalid(path, number, CheckPortNumber(number), errors);
  }
}

void ValidateProbes(const json::Value& container, const FieldPath& path, const PodContext& context,
                    FieldErrors& errors) {
  for (const char* key : {"livenessProbe", "readinessProbe", "startupProbe"}) {
    ValidateProbe(container, key, path, context, errors);
  }
}

void ValidateLifecycle(const json::Value& container, const FieldPath& path,
                       const PodContext& context, FieldErrors& errors) {
  const json::Value& lifecycle = Get(container, "lifecycle");
  for (const char* key : {"postStart", "preStop"}) {
    if (!Has(lifecycle, key)) continue;
    ValidateHandler(Get(lifecycle, key), true, path.Child(key), context, errors);
  }
}

}  // namespace meltemi::apiserver
