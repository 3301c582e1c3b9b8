// Makes Jobs of CronJobs when their time comes.
//
// Threads: made and destroyed on one thread; works on the executor's. Source: the behaviour of
// Kubernetes' pkg/controller/cronjob.
#pragma once

#include <memory>

namespace meltemi::controllers {

struct Context;
class Running;

// CronJobs.
std::unique_ptr<Running> NewCronJobController(Context& context);

}  // namespace meltemi::controllers
