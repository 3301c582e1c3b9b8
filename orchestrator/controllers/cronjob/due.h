// When a CronJob is due, and what it makes then: pure functions.
//
// Threads: functions without state. Source: the behaviour of Kubernetes' pkg/controller/cronjob.
#pragma once

#include <optional>
#include <string>

#include "base/clock/clock.h"
#include "kube/batch/v1/batch.pb.h"
#include "kube/cron/cron.h"

namespace meltemi::controllers::cronjobs {

// More starts than these that have been missed are worth a warning.
constexpr int kMissedMax = 100;

struct Due {
  // The last time that it was due, which has not led to a Job; earlier ones are let go.
  std::optional<WallTime> time;
  // The same, where startingDeadlineSeconds is over.
  std::optional<WallTime> too_late;
  bool many_missed = false;
  // When it is due next.
  std::optional<WallTime> next;
};

Due DueOf(const kube::batch::v1::CronJob& cron_job, const kube::CronSchedule& schedule,
          WallTime now);

// The same name for the same time, so that no Job is made twice.
std::string JobName(const kube::batch::v1::CronJob& cron_job, WallTime time);
kube::batch::v1::Job NewJob(const kube::batch::v1::CronJob& cron_job, WallTime time);

}  // namespace meltemi::controllers::cronjobs
