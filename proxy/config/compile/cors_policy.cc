#include <utility>

#include "absl/strings/str_cat.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "proxy/config/compile/matchers.h"
#include "proxy/config/compile/route_action.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"

namespace meltemi::proxy {

template <typename Policy>
absl::StatusOr<std::shared_ptr<const CorsPolicy>> CompileCorsPolicy(const Policy& policy,
                                                                    absl::string_view where) {
  RETURN_IF_ERROR(
      CheckSupported(policy, where,
                     {"allow_origin_string_match", "allow_methods", "allow_headers",
                      "expose_headers", "max_age", "allow_credentials.**", "filter_enabled.**",
                      "shadow_enabled.**", "forward_not_matching_preflights.**"}));
  auto out = std::make_shared<CorsPolicy>();
  for (int i = 0; i < policy.allow_origin_string_match_size(); ++i) {
    ASSIGN_OR_RETURN(
        StringMatcher origin,
        CompileStringMatcher(policy.allow_origin_string_match(i),
                             absl::StrCat(where, ".allow_origin_string_match[", i, "]")));
    out->allow_origins.push_back(std::move(origin));
  }
  out->allow_methods = policy.allow_methods();
  out->allow_headers = policy.allow_headers();
  out->expose_headers = policy.expose_headers();
  out->max_age = policy.max_age();
  if (policy.has_allow_credentials()) out->allow_credentials = policy.allow_credentials().value();
  if (policy.has_filter_enabled()) out->enabled = CompileFraction(policy.filter_enabled());
  if (policy.has_shadow_enabled()) out->shadow = CompileFraction(policy.shadow_enabled());
  if (policy.has_forward_not_matching_preflights()) {
    out->forward_not_matching_preflights = policy.forward_not_matching_preflights().value();
  }
  return std::shared_ptr<const CorsPolicy>(std::move(out));
}

template absl::StatusOr<std::shared_ptr<const CorsPolicy>> CompileCorsPolicy(
    const envoy::config::route::v3::CorsPolicy&, absl::string_view);
template absl::StatusOr<std::shared_ptr<const CorsPolicy>> CompileCorsPolicy(
    const envoy::extensions::filters::http::cors::v3::CorsPolicy&, absl::string_view);

}  // namespace meltemi::proxy
