#include "proxy/config/secrets/ca_state.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "base/tls/certificate.h"
#include "base/tls/signing_request.h"
#include "proxy/config/secrets/pem.h"

namespace meltemi::proxy {
namespace {

// Chains have three or four certificates of one or two kilobytes.
constexpr size_t kCertificatesMax = 16;
constexpr size_t kChainBytesMax = 256 * 1024;
// How far behind the authority's clock ours may be.
constexpr Duration kSkewMax = minutes(10);
// A life that is nearly over already when it begins does not make the proxy ask without end.
constexpr Duration kRotationMin = seconds(1);

WallTime WallOf(int64_t unix_s) { return WallTime(seconds(unix_s)); }

std::string TextOf(WallTime time) {
  return absl::FormatTime(absl::RFC3339_sec, absl::FromChrono(time), absl::UTCTimeZone());
}

absl::Status Refused(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("the authority's answer is refused: ", why));
}

}  // namespace

std::string SpiffeId(absl::string_view trust_domain, absl::string_view namespace_,
                     absl::string_view service_account) {
  return absl::StrCat("spiffe://", trust_domain, "/ns/", namespace_, "/sa/", service_account);
}

CaState::CaState(std::string identity, const CaTimes& times)
    : identity_(std::move(identity)), times_(times) {}

std::optional<Duration> CaState::DueIn(MonotonicTime now, WallTime wall_now) const {
  if (asked_) return std::nullopt;
  if (retry_at_) return std::max(*retry_at_ - now, Duration::zero());
  if (!certificate_) return Duration::zero();
  return std::max(rotate_at_ - wall_now, Duration::zero());
}

absl::StatusOr<CaState::Request> CaState::Begin() {
  absl::StatusOr<std::string> key = tls::NewPrivateKeyPem(tls::KeyKind::kEcdsaP256);
  if (!key.ok()) return key.status();
  absl::StatusOr<std::string> csr = tls::NewSigningRequestPem({.uris = {identity_}}, *key);
  if (!csr.ok()) return csr.status();
  pending_key_pem_ = *std::move(key);
  asked_ = true;
  return Request{*std::move(csr), std::chrono::duration_cast<seconds>(times_.validity).count()};
}

absl::Status CaState::Answered(const std::vector<std::string>& chain, MonotonicTime now,
                               WallTime wall_now, Random& random) {
  absl::StatusOr<Parts> parts = Check(chain, wall_now);
  if (!parts.ok()) {
    Failed(now, random);
    return parts.status();
  }
  certificate_ = tls::KeyPair{std::move(parts->chain_pem), std::move(pending_key_pem_)};
  root_pem_ = std::move(parts->root_pem);
  begins_ = parts->begins;
  expires_ = parts->expires;
  const double jitter = times_.grace_jitter * (2 * random.Unit() - 1);
  const double grace = std::clamp(times_.grace_ratio + jitter, 0.0, 1.0);
  const Duration life = expires_ - begins_;
  rotate_at_ = expires_ - Duration(static_cast<int64_t>(static_cast<double>(life.count()) * grace));
  rotate_at_ = std::max(rotate_at_, wall_now + std::max((expires_ - wall_now) / 2, kRotationMin));
  pending_key_pem_.clear();
  asked_ = false;
  retry_at_.reset();
  failures_ = 0;
  return absl::OkStatus();
}

void CaState::Failed(MonotonicTime now, Random& random) {
  pending_key_pem_.clear();
  asked_ = false;
  Duration delay = times_.retry_first;
  for (uint32_t i = 0; i < failures_ && delay < times_.retry_max; ++i) delay *= 2;
  delay = std::min(delay, times_.retry_max);
  if (failures_ < 1'000'000) ++failures_;
  const uint64_t half = static_cast<uint64_t>(delay.count()) / 2;
  retry_at_ = now + Duration(static_cast<int64_t>(half + random.Below(half + 1)));
}

void CaState::RetryNow() {
  if (retry_at_) retry_at_ = MonotonicTime();
}

absl::Status CaState::CheckLeaf(const tls::CertificateInfo& leaf, WallTime wall_now) const {
  if (leaf.uris.size() != 1 || leaf.uris[0] != identity_) {
    return Refused(absl::StrCat("the certificate is for ",
                                leaf.uris.empty() ? "nobody" : absl::StrJoin(leaf.uris, ", "),
                                ", not for ", identity_));
  }
  if (leaf.is_ca) return Refused("the certificate is an authority's");
  if (WallOf(leaf.not_after_s) <= wall_now) {
    return Refused(absl::StrCat("the certificate has expired at ", TextOf(WallOf(leaf.not_after_s)),
                                "; here it is ", TextOf(wall_now)));
  }
  if (WallOf(leaf.not_before_s) > wall_now + kSkewMax) {
    return Refused(absl::StrCat("the certificate is not valid before ",
                                TextOf(WallOf(leaf.not_before_s)), "; here it is ",
                                TextOf(wall_now)));
  }
  return absl::OkStatus();
}

absl::StatusOr<CaState::Parts> CaState::Check(const std::vector<std::string>& chain,
                                              WallTime wall_now) const {
  std::vector<std::string> blocks;
  size_t bytes = 0;
  for (const std::string& text : chain) {
    bytes += text.size();
    if (bytes > kChainBytesMax) return Refused("it is too long");
    for (std::string& block : CertificatesOfPem(text)) blocks.push_back(std::move(block));
  }
  if (blocks.empty()) return Refused("it has no certificate");
  if (blocks.size() > kCertificatesMax) return Refused("it has too many certificates");
  std::vector<tls::CertificateInfo> infos;
  for (const std::string& block : blocks) {
    absl::StatusOr<tls::CertificateInfo> info = tls::ReadCertificatePem(block);
    if (!info.ok()) return Refused(info.status().message());
    infos.push_back(*std::move(info));
  }
  if (absl::Status status = CheckLeaf(infos[0], wall_now); !status.ok()) return status;
  if (!tls::IsCertificateOf(blocks[0], pending_key_pem_)) {
    return Refused("the certificate is not for the key that was sent");
  }
  Parts parts{.begins = WallOf(infos[0].not_before_s), .expires = WallOf(infos[0].not_after_s)};
  const size_t issuers = blocks.size() - 1;
  if (issuers > 0) {
    if (!infos.back().is_ca) return Refused("its last certificate is no authority's");
    parts.root_pem = blocks.back();
  }
  // The root is not sent to peers: they have it, or would not believe it.
  for (size_t i = 0; i < std::max<size_t>(issuers, 1); ++i) parts.chain_pem += blocks[i];
  return parts;
}

}  // namespace meltemi::proxy
