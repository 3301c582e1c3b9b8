// A stream for filter tests: remembers what the filter asked of it.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "base/clock/clock_fake.h"
#include "base/loop/loop_fake.h"
#include "base/random/random_fake.h"
#include "proxy/filters/filter.h"
#include "proxy/observe/stream_info.h"
#include "proxy/route/route.h"

namespace meltemi::proxy {

class FakeFilterStream final : public FilterStream {
 public:
  Loop& loop() override { return fake_loop; }
  Random& random() override { return fake_random; }
  StreamInfo& info() override { return stream_info; }
  const Route* route() const override { return chosen_route; }
  const FilterOverrides* overrides() const override { return &filter_overrides; }
  absl::string_view cluster_name() const override { return cluster; }
  void Continue() override { ++continued; }
  void Answer(LocalReply reply) override { answer = std::move(reply); }

  FakeClock clock;
  FakeLoop fake_loop{clock};
  FakeRandom fake_random;
  StreamInfo stream_info;
  const Route* chosen_route = nullptr;
  FilterOverrides filter_overrides;
  std::string cluster;
  int continued = 0;
  std::optional<LocalReply> answer;
};

}  // namespace meltemi::proxy
