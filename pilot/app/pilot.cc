#include "pilot/app/pilot.h"

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/http/server/debug_server.h"
#include "base/log/log.h"
#include "base/net/address.h"
#include "pilot/ingest/file/file_source.h"
#include "pilot/status/debug_pages.h"
#include "pilot/validate/validate.h"

namespace meltemi::pilot {
namespace {

// What says where requests go to this moment, and nothing else.
bool IsEndpointKind(Kind kind) {
  return kind == Kind::kEndpoints || kind == Kind::kEndpointSlice || kind == Kind::kPod ||
         kind == Kind::kWorkloadEntry;
}

}  // namespace

Pilot::Pilot(Loop* loop, metrics::Registry* registry, Options options)
    : loop_(loop),
      options_(std::move(options)),
      registry_(registry),
      metrics_(registry->NewShard().root()),
      decoder_(options_.mesh.domain),
      builder_(options_.mesh),
      push_(loop, &metrics_, PushServer::Options{}),
      tracker_(loop, &push_),
      debouncer_({.quiet = milliseconds(options_.debounce_quiet_ms),
                  .delay_max = milliseconds(options_.debounce_max_ms)}),
      publish_timer_(loop->NewTimer([this] { Publish(); })) {}

// The servers first: they speak to everything else.
Pilot::~Pilot() {
  debug_ = nullptr;
  ads_ = nullptr;
  cluster_ = nullptr;
}

absl::Status Pilot::Start(NewSource new_source) {
  if (absl::Status status = StartSource(std::move(new_source)); !status.ok()) return status;
  if (absl::Status status = StartServers(); !status.ok()) return status;
  return StartDebug();
}

absl::Status Pilot::StartSource(NewSource new_source) {
  const auto on_change = [this](const Changes& changes) { OnChange(changes); };
  if (options_.over_kubernetes()) {
    auto cluster = ClusterSide::Connect(*loop_, metrics_, options_);
    if (!cluster.ok()) return cluster.status();
    cluster_ = *std::move(cluster);
    source_ = &cluster_->Read(on_change);
    return absl::OkStatus();
  }
  if (new_source) {
    own_source_ = new_source(on_change);
  } else {
    FileSourceOptions source;
    source.paths = options_.config_paths;
    source.decode.default_namespace = options_.default_namespace;
    own_source_ = NewFileSource(*loop_, std::move(source), Validate, on_change);
  }
  source_ = own_source_.get();
  return source_->Start();
}

absl::Status Pilot::StartServers() {
  auto ads = AdsServer::Start(loop_, &push_, {.address = options_.PlainXdsAddress()});
  if (!ads.ok()) return ads.status();
  ads_ = *std::move(ads);
  LOG(kInfo, "pilot", "serving xDS on ", options_.PlainXdsAddress(), " (port ", ads_->port(), ")");
  return cluster_ == nullptr ? absl::OkStatus() : cluster_->Serve(&push_, &tracker_);
}

absl::Status Pilot::StartDebug() {
  const absl::StatusOr<net::Address> address = net::Address::Parse(options_.http_address);
  if (!address.ok()) return address.status();
  http::DebugServerOptions limits;
  // What is configured where is nobody's business in a cluster; who may look into pilot's pod (or
  // forward a port of it) may.
  if (options_.over_kubernetes()) limits.loopback_only = "/debug";
  auto server = http::ListenDebug(*loop_, *address, limits);
  if (!server.ok()) {
    return absl::UnavailableError(
        absl::StrCat("metrics and debug pages: ", server.status().message(),
                     "; choose another place with --http-address"));
  }
  debug_ = *std::move(server);
  RegisterDebugPages({.push = &push_,
                      .registry = registry_,
                      .source = source_,
                      .programmed = &tracker_,
                      .refresh = [this] { Refresh(); },
                      .options_json = OptionsJson(options_)},
                     debug_.get());
  LOG(kInfo, "pilot", "metrics and debug pages on ", debug_->address().ToString());
  return absl::OkStatus();
}

void Pilot::OnChange(const Changes& changes) {
  for (const Diagnostic& diagnostic : source_->Diagnostics()) {
    LOG(kWarn, "config", diagnostic.ToString());
  }
  metrics_.GetCounter("pilot_k8s_cfg_events").Add(changes.updated.size() + changes.deleted.size());
  const bool first = push_.snapshot() == nullptr;
  if (changes.empty() && !first) return;
  if (!debouncer_.pending()) first_change_ = loop_->Now();
  ChangeKind kind = ChangeKind::kEndpoints;
  const auto note = [&](const ObjectKey& key, ObjectPtr object) {
    if (!IsEndpointKind(key.kind)) kind = ChangeKind::kConfig;
    changed_.insert_or_assign(key, std::move(object));
  };
  for (const ObjectPtr& object : changes.updated) note(object->Key(), object);
  for (const ObjectKey& key : changes.deleted) note(key, nullptr);
  if (first_changed_.empty()) {
    if (!changes.updated.empty()) {
      first_changed_ = changes.updated[0]->Key().ToString();
    } else if (!changes.deleted.empty()) {
      first_changed_ = absl::StrCat(changes.deleted[0].ToString(), " deleted");
    }
  }
  const Duration wait = debouncer_.OnChange(loop_->Now(), kind, build_cost_ + push_.push_cost());
  if (wait == Duration::zero() || first) {
    Publish();
  } else {
    publish_timer_->Arm(wait);
  }
}

void Pilot::Publish() {
  publish_timer_->Disarm();
  debouncer_.OnActed(loop_->Now());
  const auto begin = std::chrono::steady_clock::now();
  const SnapshotPtr snapshot = builder_.Build(decoder_.Decode(source_->Objects()));
  build_cost_ = std::chrono::steady_clock::now() - begin;
  std::string reason = std::exchange(first_changed_, {});
  if (changed_.size() > 1) absl::StrAppend(&reason, " and ", changed_.size() - 1, " more");
  for (const RuleNote& note : snapshot->notes) {
    LOG(kWarn, "config", note.object, ": ", note.message);
  }
  push_.SetSnapshot(snapshot, std::move(reason), first_change_);
  std::vector<ObjectPtr> updated;
  std::vector<ObjectKey> deleted;
  for (auto& [key, object] : std::exchange(changed_, {})) {
    if (object != nullptr) {
      updated.push_back(std::move(object));
    } else {
      deleted.push_back(key);
    }
  }
  tracker_.OnPublished(updated, deleted);
  UpdateGauges();
}

void Pilot::Refresh() {
  source_->Refresh();
  if (publish_timer_->armed()) Publish();
}

void Pilot::UpdateGauges() {
  const Snapshot& snapshot = *push_.snapshot();
  const auto set = [this](const char* name, size_t value) {
    metrics_.GetGauge(name).Set(static_cast<int64_t>(value));
  };
  set("pilot_services", snapshot.services->all().size());
  set("pilot_virt_services", snapshot.rules->virtual_services().size());
  set("pilot_destination_rules", snapshot.rules->destination_rules().size());
  set("pilot_rule_notes", snapshot.notes.size());
  set("pilot_snapshot_version", snapshot.version);
}

}  // namespace meltemi::pilot
