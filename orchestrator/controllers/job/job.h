// Runs the pods of Jobs to completion.
//
// Threads: made and destroyed on one thread; works on the executor's. Source: the behaviour of
// Kubernetes' pkg/controller/job, ttlafterfinished.
#pragma once

#include <memory>

namespace meltemi::controllers {

struct Context;
class Running;

// Jobs.
std::unique_ptr<Running> NewJobController(Context& context);
// Deletes finished Jobs after ttlSecondsAfterFinished.
std::unique_ptr<Running> NewFinishedJobsController(Context& context);

}  // namespace meltemi::controllers
